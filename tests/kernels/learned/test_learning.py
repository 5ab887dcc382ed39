"""Learned kernels: what the layer and the convolution do is what was learned; errors; files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from striate import InputSpec, dataset, kernels
from striate.errors import DataError, OptionError, TrainingError
from striate.images import read_image
from striate.kernels.learned import LearnedKernels
from striate.kernels.learned.keeping import read_kernels, write_kernels
from striate.kernels.learned.patches import draw_patches
from striate.kernels.learned.whitening import normalise
from striate.pixelwise import PixelStatistics

SPEC = InputSpec(3, 20, 30, (0.48, 0.45, 0.4), (0.2, 0.25, 0.3))


@pytest.fixture(scope="module")
def pictures(astronaut, chelsea):
    """Two photographs as small as those of CIFAR-10 twice over, (N, H, W, 3)."""
    small = [read_image(file).resize((60, 40), Image.Resampling.BOX) for file in (astronaut, chelsea)]
    return np.stack([np.asarray(picture) for picture in small])


@pytest.fixture(scope="module")
def learned(pictures) -> LearnedKernels:
    return kernels.learn_kernels(pictures, count=24, size=(4, 5), patches=3000, seed=1)


def whitened(learned, window):
    """Return normalised and whitened numbers of a window (C, h, w) of 0 to 255, in double precision."""
    flat = window.astype(np.float64).ravel()
    normal = (flat - flat.mean()) / np.sqrt(flat.var(ddof=1) + learned.contrast)
    return learned.whitening.astype(np.float64) @ (normal - learned.mean.ravel())


@pytest.mark.parametrize("spec", [None, SPEC])
def test_the_layer_codes_as_it_was_learned(learned, pictures, spec):
    images = torch.from_numpy(pictures[:1]).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        codes = learned.layer(spec, stride=2)(images if spec is None else spec.normalise(images))[0]
    for row, column in ((0, 0), (3, 7), (18, 27)):
        window = pictures[0, 2 * row : 2 * row + 4, 2 * column : 2 * column + 5].transpose(2, 0, 1)
        far = np.linalg.norm(whitened(learned, window) - learned.centroids.reshape(24, -1), axis=1)
        np.testing.assert_allclose(codes[:, row, column].numpy(), np.maximum(0, far.mean() - far), atol=1e-3)


@pytest.mark.parametrize("spec", [None, SPEC])
def test_the_convolution_does_the_linear_part_at_the_usual_contrast(learned, pictures, spec):
    images = torch.from_numpy(pictures[:1]).permute(0, 3, 1, 2).float() / 255
    weight, bias = learned.convolution(spec)
    answers = F.conv2d(images if spec is None else spec.normalise(images), weight, bias)[0]
    window = pictures[0, 5:9, 6:11].transpose(2, 0, 1).astype(np.float64).ravel()
    usual = (window - window.mean()) / learned.spread  # instead of its own spread
    white = learned.whitening.astype(np.float64) @ (usual - learned.mean.ravel())
    expected = learned.centroids.reshape(24, -1) @ white
    np.testing.assert_allclose(answers[:, 5, 6].numpy(), expected, atol=2e-3 * np.abs(expected).max())


def test_filters_do_not_see_brightness(learned):
    assert np.abs(learned.filters.sum((1, 2, 3))).max() < 1e-4 * np.abs(learned.filters).max()


def test_edges_are_found_without_labels(learned):
    """Most kernels are small patterns with a direction: their energy is in few of the waves that a window has."""
    waves = np.abs(np.fft.fft2(learned.centroids.mean(1))) ** 2
    flat = np.sort(waves.reshape(24, -1), axis=1)[:, ::-1]
    noise = np.abs(np.fft.fft2(np.random.default_rng(0).standard_normal((400, 4, 5)))) ** 2
    plain = np.sort(noise.reshape(400, -1), axis=1)[:, ::-1]
    share = lambda values: (values[:, :4].sum(1) / values.sum(1)).mean()  # noqa: E731
    assert share(flat) > share(plain) + 0.1


def test_the_same_call_learns_the_same_and_says_how(pictures, learned):
    again = kernels.learn_kernels(pictures, count=24, size=(4, 5), patches=3000, seed=1)
    np.testing.assert_array_equal(again.centroids, learned.centroids)
    assert learned.recipe.options["patches"] == 3000
    assert learned.recipe.options["seed"] == 1
    assert learned.counts.sum() == 3000
    assert repr(learned) == "LearnedKernels(24 of 3 x 4 x 5)"


def test_a_network_s_size_and_channels_are_taken(pictures):
    grey = kernels.learn_kernels(pictures, count=4, size=3, patches=500, spec=InputSpec(1, 12, 12))
    assert grey.centroids.shape == (4, 1, 3, 3)
    assert grey.bank().caption().startswith("4 filters of 3 x 3 over 1 input channel")


@pytest.mark.parametrize("kind", ["centroids", "filters"])
def test_they_are_drawn(learned, kind, tmp_path):
    bank = learned.bank(kind)
    assert bank.colour
    assert bank.largest == 1
    with Image.open(bank.save(tmp_path / "bank.png")) as drawn:
        assert drawn.size[0] > 300
    with pytest.raises(OptionError, match="kind is 'centroids' or 'filters', got 'both'"):
        learned.bank("both")


def test_what_is_said_of_the_picture_is_so(learned):
    assert learned.bank().caption() == (
        "24 filters of 4 x 5 over 3 input channels; mid-grey is zero, each filter on a scale of its own."
    )
    draw = np.random.default_rng(0)
    weights = draw.standard_normal((300, 3, 4, 4)).astype(np.float32) * draw.uniform(1, 9, (300, 1, 1, 1))
    many = replace(learned, centroids=weights.astype(np.float32)).bank()
    assert many.caption().endswith("each filter on a scale of its own. Shown: the first 256 filters.")
    (drawing,) = many.drawings()
    assert [label.words for label in drawing.labels] == [str(index) for index in range(256)]
    assert drawing.caption == "In their order, the number of each below."


def test_kept_and_read_bit_by_bit(learned, tmp_path):
    found = read_kernels(write_kernels(learned, tmp_path / "kernels.npz"))
    for name in ("centroids", "mean", "whitening", "counts"):
        np.testing.assert_array_equal(getattr(found, name), getattr(learned, name))
    assert (found.spread, found.contrast, found.recipe) == (learned.spread, learned.contrast, learned.recipe)
    (tmp_path / "kernels.npz").write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(TrainingError, match="holds no learned kernels"):
        read_kernels(tmp_path / "kernels.npz")


def test_faiss_learns_kernels_that_are_as_good(learned, pictures):
    other = kernels.learn_kernels(pictures, count=24, size=(4, 5), patches=3000, seed=1, engine="faiss")
    assert (learned.recipe.options["engine"], other.recipe.options["engine"]) == ("scikit-learn", "faiss")
    np.testing.assert_array_equal(other.whitening, learned.whitening)  # of the same patches
    drawn, _ = draw_patches(dataset.open(pictures), (4, 5), 3000, seed=1)
    normal, _ = normalise(drawn.reshape(len(drawn), -1), 10.0)
    white = (normal - learned.mean.ravel()) @ learned.whitening

    def spread(found):
        apart = ((white[:, None] - found.centroids.reshape(24, -1)[None]) ** 2).sum(2)
        return apart.min(1).mean()

    assert spread(other) < 1.03 * spread(learned)
    assert other.counts.sum() == 3000


def test_what_cannot_be_learned(pictures):
    flat = np.full((2, 9, 9), 7, np.uint8)
    with pytest.raises(DataError, match=r"300 patches of .* are only 1 distinct ones, too few for 5 kernels"):
        kernels.learn_kernels(flat, count=5, size=3, patches=300)
    with pytest.raises(OptionError, match="no method 'medoids'; there are k-means, spherical"):
        kernels.learn_kernels(pictures, method="medoids")
    with pytest.raises(OptionError, match="no engine 'abacus'; there are scikit-learn, faiss"):
        kernels.learn_kernels(pictures, engine="abacus")
    with pytest.raises(OptionError, match="faiss is for k-means, and the method is spherical"):
        kernels.learn_kernels(pictures, method="spherical", engine="faiss")
    with pytest.raises(OptionError, match="contrast must be above 0 and whitening at least 0, got 0 and 0"):
        kernels.learn_kernels(pictures, contrast=0)
    with pytest.raises(OptionError, match="a patch of a single number has no contrast"):
        kernels.learn_kernels(flat, size=1, patches=10)
    with pytest.raises(DataError, match="there is no picture to draw patches from"):
        kernels.learn_kernels(dataset.open(flat), indices=np.empty(0, np.int64))


def test_a_network_that_they_do_not_fit(learned):
    with pytest.raises(OptionError, match="the kernels were learned on 3 channels, and the network takes 1"):
        learned.layer(InputSpec(1, 9, 9))
    each = PixelStatistics(np.zeros((3, 9, 9), np.float32), np.ones((3, 9, 9), np.float32))
    with pytest.raises(OptionError, match="normalises each pixel by itself"):
        learned.convolution(InputSpec(3, 9, 9, pixelwise=each))
