"""How large training pictures are kept: by hand, and sharper for it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from striate import dataset
from striate.learn.pictures.augment import Augment
from striate.learn.pictures.canvas import canvas
from striate.learn.pictures.draws import draw
from striate.learn.pictures.warping import sampled
from striate.spec import InputSpec

IMAGENET = InputSpec(3, 224, 224, resize=256, interpolation="bicubic")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four photographs of 600 x 500 pixels, one of them small."""
    where = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    for index in range(4):
        noise = rng.integers(0, 256, (500, 600, 3), dtype=np.uint8)
        Image.fromarray(noise).save(where / f"{index}.png", compress_level=0)
    return dataset.open(where)


def chosen(pictures, spec, words):
    return canvas(pictures, np.arange(len(pictures)), spec, None if words is None else Augment.parse(words))


@pytest.mark.parametrize("words", [None, "none", "small", "brightness=0.2,cutout=0.2,mixup=0.1", "flip=both,pad=10"])
def test_what_is_not_sampled_is_kept_as_the_network_sees_it(folder, words):
    found = chosen(folder, IMAGENET, words)
    assert found.frame.plain
    for index in range(2):
        assert np.array_equal(folder.fitted(index, found.spec), folder.fitted(index, IMAGENET))


def test_what_the_resize_rule_leaves_around_is_kept_where_pictures_turn(folder):
    found = chosen(folder, IMAGENET, "rotation=10")
    assert found.frame.size == (224, 224)
    assert found.frame.density == pytest.approx(1.25)
    assert (found.frame.height, found.frame.width) == found.spec.size == (320, 320)
    assert found.spec.resize == 320


def test_crops_are_one_for_one_at_their_mean_area(folder):
    found = chosen(folder, IMAGENET.changed(resize=None), "crop=0.28:1")
    assert found.frame.height == round(224 / 0.64**0.5) == 280
    assert chosen(folder, IMAGENET, "crop=0.28:1").frame.height == 280


def test_patches_of_the_inputs_size_come_from_what_the_resize_rule_leaves(folder):
    found = chosen(folder, IMAGENET, "patch=224")
    assert (found.frame.height, found.frame.density) == (256, 1)
    assert draw(Augment(patch=(224, 224)), 3, 0, frame=found.frame).whole
    halves = chosen(folder, IMAGENET, "patch=160")
    assert halves.frame.density == pytest.approx(1.4, abs=0.01)


def test_no_pixels_are_made_up_for_small_pictures(folder):
    large = InputSpec(3, 480, 480)
    assert chosen(folder, large, "rotation=10").frame.density == pytest.approx(500 / 480)
    assert chosen(folder, large.changed(height=600, width=600), "rotation=10").frame.density == 1


def test_arrays_of_the_inputs_size_and_prepared_pictures_are_never_enlarged():
    digits = dataset.open(np.zeros((5, 28, 28), dtype=np.uint8))
    assert chosen(digits, InputSpec(1, 28, 28), "digits").frame.plain
    prepared = dataset.open([(torch.zeros(3, 8, 8), 0)] * 3, prepared=True)
    assert chosen(prepared, InputSpec(3, 8, 8), "photos").frame.plain


@pytest.mark.parametrize(
    "spec",
    [
        IMAGENET,
        IMAGENET.changed(resize=None),
        IMAGENET.changed(resize=None, crop="none"),
        IMAGENET.changed(height=160, width=200),
        IMAGENET.changed(resize=(240, 250)),
    ],
)
def test_not_moved_the_middle_of_what_is_kept_is_what_the_network_sees(astronaut, spec):
    pictures = dataset.open(astronaut)
    found = chosen(pictures, spec, "rotation=10")
    kept = torch.tensor(pictures.fitted(0, found.spec)).permute(2, 0, 1)[None].float() / 255
    theta = draw(Augment(), 1, 0, frame=found.frame).theta
    seen = sampled(kept, theta, spec.size, "edge")[0].permute(1, 2, 0).numpy()
    expected = pictures.fitted(0, spec).astype(np.float32) / 255
    assert np.abs(seen - expected).mean() < 0.012
    moved = np.roll(expected, 2, axis=1)
    assert np.abs(seen - expected).mean() < 0.4 * np.abs(seen - moved).mean()


def test_turned_pictures_are_sharper_for_it(astronaut):
    pictures = dataset.open(astronaut)
    spec = InputSpec(3, 224, 224, resize=256)
    with Image.open(astronaut) as file:  # the truth: turned at 512 pixels, and only then made small
        turned = spec.fit(file.convert("RGB").rotate(8, Image.Resampling.BICUBIC))
    truth = torch.from_numpy(np.asarray(turned).copy()).permute(2, 0, 1)[:, 60:160, 60:160].float() / 255

    def error(found):
        kept = torch.tensor(pictures.fitted(0, found.spec)).permute(2, 0, 1)[None].float() / 255
        draws = draw(Augment(rotation=1), 1, 0, frame=found.frame)
        draws = type(draws)(found.frame, draws.window, angle=torch.tensor([8.0], dtype=torch.float64))
        seen = sampled(kept, draws.theta, spec.size, "edge")[0, :, 60:160, 60:160]
        return float((seen - truth).pow(2).mean())

    large, plain = chosen(pictures, spec, "rotation=8"), chosen(pictures, spec, "none")
    assert large.frame.density == 1.25
    assert error(large) < 0.5 * error(plain)
