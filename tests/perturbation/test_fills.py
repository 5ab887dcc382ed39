from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import torch
from torch import Tensor, nn

import striate
from striate.errors import OptionError
from striate.perturbation.fills import COLOURS, fill


def network(channels: int = 3) -> striate.Network:
    mean, std = tuple(0.3 + 0.1 * index for index in range(channels)), (0.25,) * channels
    spec = striate.InputSpec(channels=channels, height=60, width=80, mean=mean, std=std)
    return striate.Network(nn.Sequential(nn.Flatten(), nn.Linear(channels * 4800, 2)), spec)


def images(channels: int = 3, count: int = 2) -> Tensor:
    return torch.randn(count, channels, 60, 80, generator=torch.Generator().manual_seed(0))


def levels(net: striate.Network, filled: Tensor) -> Tensor:
    """Turn a fill back into what is seen, from 0 to 1."""
    return net.spec.denormalise(filled)


@pytest.mark.parametrize(("name", "level"), [("black", 0.0), ("white", 1.0), ("grey", 0.5)])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_blank_pictures_are_named_by_what_they_look_like(name, level, channels):
    net, batch = network(channels), images(channels)
    filled = fill(net, batch, name)
    assert filled.shape == batch.shape
    torch.testing.assert_close(levels(net, filled), torch.full_like(batch, level), rtol=0, atol=1e-6)


def test_mean_is_the_mean_of_the_specification():
    net = network()
    shown = levels(net, fill(net, images(), "mean"))
    torch.testing.assert_close(shown[1, :, 3, 4], torch.tensor([0.3, 0.4, 0.5]))


@pytest.mark.parametrize("name", ["#ff8000", "#FF8000"])
def test_a_colour_by_its_digits(name):
    net = network()
    shown = levels(net, fill(net, images(), name))
    torch.testing.assert_close(shown[1, :, 9, 9], torch.tensor([1.0, 128 / 255, 0.0]))


@pytest.mark.parametrize("name", COLOURS)
def test_colours_by_name(name):
    # Pillow knows the colours of CSS, too
    from PIL import ImageColor

    net = network()
    shown = levels(net, fill(net, images(), name))
    expected = torch.tensor(ImageColor.getrgb(name)) / 255
    torch.testing.assert_close(shown[0, :, 5, 5], expected, rtol=0, atol=1e-6)


def test_blur_is_a_gaussian_far_from_the_edges():
    # 60 pixels: a standard deviation of 3; in the middle the edges are 10 of them away
    batch = images()
    blurred = fill(network(), batch, "blur")
    expected = scipy.ndimage.gaussian_filter(batch.numpy(), (0, 0, 3, 3), truncate=9)
    np.testing.assert_allclose(blurred[:, :, 28:32, 30:50], expected[:, :, 28:32, 30:50], rtol=0, atol=1e-5)


def test_blur_leaves_one_colour_as_it_is_up_to_the_corners():
    even = torch.full((1, 3, 60, 80), 0.7)
    torch.testing.assert_close(fill(network(), even, "blur"), even)


def test_noise_covers_black_to_white_evenly_and_is_the_same_for_every_picture():
    net, batch = network(), images()
    filled = fill(net, batch, "noise", seed=3)
    assert torch.equal(filled[0], filled[1])
    assert torch.equal(filled, fill(net, batch, "noise", seed=3))
    assert not torch.equal(filled, fill(net, batch, "noise", seed=4))
    counts = torch.histc(levels(net, filled)[0], bins=4, min=0, max=1) / (3 * 4800)
    assert counts.sum() == 1
    torch.testing.assert_close(counts, torch.full((4,), 0.25), rtol=0, atol=0.02)  # 5 standard deviations


def test_average_is_the_mean_of_each_superpixel():
    batch = images()
    labels = torch.randint(7, (2, 60, 80), generator=torch.Generator().manual_seed(1))
    filled = fill(network(), batch, "average", labels=labels)
    for row in range(2):
        for channel in range(3):
            means = scipy.ndimage.mean(batch[row, channel].numpy(), labels[row].numpy(), range(7))
            np.testing.assert_allclose(filled[row, channel], means[labels[row]], rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", [(), (3,), (3, 1, 1), (3, 60, 80), (1, 3, 60, 80), (2, 3, 60, 80)])
def test_tensors_of_any_fitting_shape(shape):
    values = torch.rand(shape, generator=torch.Generator().manual_seed(2))
    filled = fill(network(), images(), values)
    wanted = values.view(3, 1, 1) if shape == (3,) else values
    assert torch.equal(filled, wanted.expand(2, 3, 60, 80))


def test_type_follows_the_pictures():
    net, batch = network(), images().double()
    for name in ("black", "blur", "noise", "red", torch.zeros(3)):
        assert fill(net, batch, name).dtype == torch.float64


@pytest.mark.parametrize(
    ("baseline", "message"),
    [
        ("blak", r"no baseline 'blak'; there are black, white, grey, mean, blur"),
        ("ff8000", "no baseline 'ff8000'"),  # hexadecimal digits begin with #
        ("#ff80", "no baseline '#ff80'"),
        ("#gg8000", "no baseline '#gg8000'"),
        ("average", "mean colour of each superpixel, and there are none"),
        (torch.zeros(4), "a baseline of 4 does not fit pictures of 2 x 3 x 60 x 80"),
        (torch.zeros(3, 80, 60), "a baseline of 3 x 80 x 60 does not fit"),
        (torch.tensor(float("nan")), "NaN or infinite values in the baseline"),
        (0.5, r"a baseline is a name or a tensor, got 0\.5\. Write torch\.tensor\(0\.5\)\."),
    ],
)
def test_what_is_no_baseline_is_explained(baseline, message):
    with pytest.raises(OptionError, match=message):
        fill(network(), images(), baseline)


def test_a_colour_needs_red_green_and_blue():
    with pytest.raises(OptionError, match="'red' for a network that takes 1 channels"):
        fill(network(1), images(1), "red")
