"""Standardising at every pixel: there and back, in torch and numpy alike, at other sizes, and kept in files."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest
import torch
from torch import nn

import striate
from striate.dataset.preparing import normalised
from striate.errors import NetworkError, OptionError
from striate.perturbation.fills import fill
from striate.pixelwise import PixelStatistics
from striate.spec import InputSpec

HEIGHT, WIDTH = 6, 9


def statistics(channels: int = 3, height: int = HEIGHT, width: int = WIDTH) -> PixelStatistics:
    generator = np.random.default_rng(0)
    mean, std = generator.random((2, channels, height, width))
    return PixelStatistics(mean, 0.05 + std / 2)


@pytest.fixture
def spec() -> InputSpec:
    return InputSpec(3, HEIGHT, WIDTH, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4), pixelwise=statistics())


@pytest.fixture
def images() -> torch.Tensor:
    levels = torch.randint(256, (5, 3, HEIGHT, WIDTH), generator=torch.Generator().manual_seed(1))
    return levels.float() / 255


def test_each_pixel_is_normalised_by_its_own_numbers_and_back(spec, images):
    held = spec.pixelwise
    expected = (images.double().numpy() - held.mean.astype(np.float64)) / held.std.astype(np.float64)
    there = spec.normalise(images)
    np.testing.assert_allclose(there.numpy(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(spec.denormalise(there), images, rtol=0, atol=1e-6)
    assert torch.equal(torch.from_numpy(spec.pixels(there)), (images * 255).byte().permute(0, 2, 3, 1))
    assert spec.normalise(images.double()).dtype == torch.float64
    assert torch.equal(spec.normalise(images[0]), there[0])  # without a batch


@pytest.mark.parametrize("number_type", [np.uint8, np.float32])
def test_numpy_and_torch_give_the_same_bits(spec, images, number_type):
    levels = (images * 255).byte().permute(0, 2, 3, 1).contiguous().numpy()
    values = levels if number_type is np.uint8 else levels.astype(np.float32) / np.float32(255)
    ours = torch.from_numpy(normalised(values, spec)).permute(0, 3, 1, 2)
    assert torch.equal(ours, spec.normalise(images))


def test_a_picture_read_from_a_file_is_normalised_alike(spec, tmp_path):
    from PIL import Image

    pixels = np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "one.png")
    network = striate.Network(nn.Flatten(), spec)
    expected = spec.normalise(torch.from_numpy(pixels).permute(2, 0, 1).float() / 255)
    assert torch.equal(network.read(tmp_path / "one.png")[0], expected)
    assert torch.equal(striate.dataset.open(tmp_path / "one.png").read(0, spec), expected)


def test_gradients_pass_also_after_inference_mode(spec, images):
    with torch.inference_mode():
        spec.normalise(images)
    given = images.clone().requires_grad_()
    spec.normalise(given).sum().backward()
    torch.testing.assert_close(given.grad, torch.from_numpy(1 / spec.pixelwise.std).expand_as(images))


def test_other_sizes_get_the_statistics_stretched_to_them(spec):
    flat = PixelStatistics(np.full((3, HEIGHT, WIDTH), 0.25), np.full((3, HEIGHT, WIDTH), 0.5))
    even = spec.changed(pixelwise=flat)
    large = torch.rand(2, 3, 11, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(even.normalise(large), (large - 0.25) / 0.5)
    # a ramp stays a ramp: shrunk to half, each place is the mean of what it covers
    ramp = np.broadcast_to(np.arange(8.0) / 8, (1, 4, 8))
    half = PixelStatistics(ramp, ramp + 1).resized(2, 4)
    np.testing.assert_allclose(half.mean[0, 0, 1:3], [2.5 / 8, 4.5 / 8], atol=1e-6)
    assert spec.pixelwise.resized(HEIGHT, WIDTH) is spec.pixelwise
    assert spec.changed(height=11, width=4).pixelwise == spec.pixelwise.resized(11, 4)
    torch.testing.assert_close(spec.changed(height=11, width=4).normalise(large), spec.normalise(large))


def test_another_mean_takes_the_place_of_the_statistics(spec):
    assert spec.changed(mean=0.5, std=0.5).pixelwise is None
    assert spec.changed(crop="none").pixelwise is spec.pixelwise
    with pytest.raises(OptionError, match="pixelwise is of 3 x 6 x 9, and the network takes 1 x 6 x 9"):
        spec.changed(channels=1, pixelwise=spec.pixelwise, mean=0.0, std=1.0)
    with pytest.raises(OptionError, match="pixelwise is of 3 x 6 x 9, and the network takes 3 x 7 x 9"):
        InputSpec(3, 7, WIDTH, pixelwise=spec.pixelwise)


def test_equal_numbers_are_equal_and_one_other_bit_is_not(spec):
    same = InputSpec(3, HEIGHT, WIDTH, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4), pixelwise=statistics())
    assert same == spec
    assert len({same, spec}) == 1
    mean = spec.pixelwise.mean.copy()
    mean[2, 5, 8] = np.nextafter(mean[2, 5, 8], np.float32(2))
    assert spec.changed(pixelwise=PixelStatistics(mean, spec.pixelwise.std)) != spec
    assert spec.changed(pixelwise=None) != spec
    with pytest.raises(ValueError, match="read-only"):
        spec.pixelwise.mean[0] = 0
    assert pickle.loads(pickle.dumps(spec)) == copy.deepcopy(spec) == spec


def test_json_holds_all_numbers_and_a_recipe_their_hash(spec):
    text = json.dumps(spec.to_dict())
    assert InputSpec.from_dict(json.loads(text)) == spec
    assert len(text) < 4 / 3 * 2 * 4 * 3 * HEIGHT * WIDTH + 500  # base64 of float32, not digits
    assert spec.brief()["pixelwise"] == {"shape": [3, HEIGHT, WIDTH], "hash": spec.pixelwise.digest}
    plain = spec.changed(pixelwise=None)
    assert "pixelwise" not in plain.to_dict()  # as before there were any
    assert plain.brief() == plain.to_dict()
    with pytest.raises(NetworkError, match="in the input specification, statistics of each pixel cannot be read"):
        InputSpec.from_dict(spec.brief())


def test_what_cannot_be_divided_by_is_refused():
    good = np.ones((1, 2, 2))
    with pytest.raises(OptionError, match="deviations above 0"):
        PixelStatistics(good, good * 0)
    with pytest.raises(OptionError, match="finite numbers"):
        PixelStatistics(good * np.nan, good)
    with pytest.raises(OptionError, match="two arrays C x H x W, got 1 x 2 x 2 and 2 x 2"):
        PixelStatistics(good, good[0])


def test_a_network_keeps_them_in_its_file(spec, images, tmp_path):
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    (tmp_path / "made.py").write_text(
        "from torch import nn\n\n\ndef make():\n"
        "    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())\n"
    )
    factory = f"{tmp_path}/made.py:make"
    network = striate.Network(module.eval(), spec, factory=factory)
    network.save(tmp_path / "kept.safetensors")
    again = striate.load(tmp_path / "kept.safetensors", factory=factory)
    assert again.spec == spec
    batch = spec.normalise(images)
    assert torch.equal(again(batch), network(batch))


def test_recipes_stay_small_and_results_are_made_again(spec, images, tmp_path):
    big = InputSpec(3, 64, 64, pixelwise=statistics(3, 64, 64))
    network = striate.Network(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval(), big
    )
    batch = big.normalise(torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    result = striate.lenses.saliency(network, batch)
    assert len(json.dumps(result.recipe.to_dict())) < 2000
    result.save(tmp_path / "map.json")
    made = striate.again(tmp_path / "map.json", network, batch)
    assert torch.equal(made.scores, result.scores)
    network.spec = big.changed(pixelwise=statistics(3, 63, 64).resized(64, 64))
    with pytest.raises(NetworkError, match="pixelwise"):
        striate.again(tmp_path / "map.json", network, batch)


def test_baselines_look_like_their_names(spec, images):
    network = striate.Network(nn.Flatten(), spec)
    batch = spec.normalise(images)
    for name, level in (("black", 0.0), ("white", 1.0), ("grey", 0.5)):
        shown = spec.denormalise(spec.baseline(name, batch))
        torch.testing.assert_close(shown, torch.full_like(shown, level), rtol=0, atol=1e-6)
    mean = spec.denormalise(spec.baseline("mean", batch))[0]
    torch.testing.assert_close(mean, torch.from_numpy(spec.pixelwise.mean.copy()))
    red = spec.denormalise(fill(network, batch, "red"))
    torch.testing.assert_close(red, torch.tensor([1.0, 0, 0]).view(3, 1, 1).expand_as(red), rtol=0, atol=1e-6)
    # what mixes pixels mixes them as they are seen: a picture of one colour stays so
    plain = spec.normalise(torch.full_like(images, 0.3))
    labels = torch.zeros(len(images), HEIGHT, WIDTH, dtype=torch.int64)
    for name in ("blur", "average"):
        found = spec.denormalise(fill(network, plain, name, labels=labels))
        torch.testing.assert_close(found, torch.full_like(found, 0.3), rtol=0, atol=1e-5)


def test_an_atlas_is_built_opened_and_told_apart_by_them(tmp_path):
    from atlas.small import network, pictures
    from striate import atlas
    from striate.errors import AtlasError

    folder = pictures(tmp_path / "set", 12)
    one = network()
    one.spec = one.spec.changed(pixelwise=statistics(one.spec.channels, *one.spec.size))
    built = atlas.build(one, folder, tmp_path / "atlas", top=2)
    built.check(one)
    assert atlas.open(tmp_path / "atlas").spec == one.spec
    source = striate.dataset.open(folder)
    np.testing.assert_array_equal(built.pictures.read(3, one).numpy(), source.read(3, one.spec).numpy())
    with pytest.raises(AtlasError, match=r"another specification of the input: pixelwise was \{'shape': \[3, "):
        built.check(network())
