"""The triangle code: what the layer gives is what the definition gives, window by window, in double precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from striate import InputSpec, Network, lenses
from striate.errors import NetworkError, OptionError
from striate.nets import sequential
from striate.nets.layers import QuadrantSum2d, TriangleConv2d
from striate.rectifiers import backward


def by_definition(pictures, centroids, whitening, mean, *, contrast, stride):
    """Code every window of pictures (N, C, H, W) of 0 to 255 by itself, in numpy and float64."""
    count, _, height, width = centroids.shape
    codes = []
    for picture in pictures.astype(np.float64):
        for top in range(0, picture.shape[1] - height + 1, stride):
            for left in range(0, picture.shape[2] - width + 1, stride):
                window = picture[:, top : top + height, left : left + width].ravel()
                normal = (window - window.mean()) / np.sqrt(window.var(ddof=1) + contrast)
                white = whitening @ (normal - mean)
                far = np.linalg.norm(white - centroids.reshape(count, -1), axis=1)
                codes.append(np.maximum(0, far.mean() - far))
    rows = (pictures.shape[2] - height) // stride + 1
    return np.array(codes).reshape(len(pictures), rows, -1, count).transpose(0, 3, 1, 2)


@pytest.mark.parametrize(("channels", "stride"), [(1, 1), (3, 2), (5, 1)])
def test_codes_are_those_of_the_definition(channels, stride):
    generator = np.random.default_rng(channels)
    size = channels * 12
    centroids = generator.normal(0, 1, (7, channels, 3, 4))
    root = generator.normal(0, 0.3, (size, size))
    whitening, mean = root @ root.T, generator.normal(0, 0.1, size)
    folded = centroids.reshape(7, -1) @ whitening
    layer = TriangleConv2d(channels, 7, (3, 4), stride, contrast=10.0)
    free = whitening - whitening.mean(1, keepdims=True)
    state = {
        "weight": (folded - folded.mean(1, keepdims=True)).reshape(centroids.shape),
        "bias": -folded @ mean - (centroids.reshape(7, -1) ** 2).sum(1) / 2,
        "whitening": free.reshape(size, channels, 3, 4),
        "middle": whitening @ mean,
        "scale": np.full((channels, 1, 1), 255.0),
        "shift": np.full((channels, 1, 1), -127.5),
    }
    layer.load_state_dict({name: torch.from_numpy(value).float() for name, value in state.items()})
    pictures = generator.integers(0, 256, (2, channels, 8, 9))
    pictures[0, :, :4] = 250  # flat and bright, where rounding is felt most
    expected = by_definition(pictures, centroids, whitening, mean, contrast=10.0, stride=stride)
    with torch.no_grad():
        found = layer(torch.from_numpy(pictures).float() / 255)
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-4)
    assert (expected > 0).mean() > 0.2


def test_brightness_does_nothing_and_contrast_little():
    torch.manual_seed(0)
    layer, pictures = TriangleConv2d(3, 20, 5), torch.rand(2, 3, 12, 12) / 2
    with torch.no_grad():
        torch.testing.assert_close(layer(pictures + 0.4), layer(pictures), rtol=0, atol=1e-3)
        assert (layer(2 * pictures) - layer(pictures)).abs().max() < 0.02


def test_a_flat_picture_has_finite_codes_and_gradients():
    picture = torch.full((1, 3, 8, 8), 1.0, requires_grad=True)
    TriangleConv2d(3, 4, 3)(picture).sum().backward()
    assert bool(picture.grad.isfinite().all())


def test_one_rectifier_for_backward_rules():
    picture = torch.rand(1, 3, 8, 8, requires_grad=True)
    _, count, others = backward(TriangleConv2d(3, 4, 3)(picture).sum((1, 2, 3)), picture, "guided")
    assert count == 1
    assert others == {"ClampMin": 2}  # against rounding below zero: of the spread and of the distance


def test_weights_are_drawn_by_the_seed():
    one, same, other = (TriangleConv2d(2, 3, 4) for _ in range(3))
    for layer, seed in ((one, 1), (same, 1), (other, 2)):
        layer.reset_parameters(torch.Generator().manual_seed(seed))
    assert torch.equal(one.weight, same.weight)
    assert not torch.equal(one.weight, other.weight)
    assert one.weight.detach().sum((1, 2, 3)).abs().max() < 1e-6


@pytest.mark.parametrize(("settings", "text"), [
    ((1, 4, 1), "a window of a single number has no contrast"),
    ((3, 0, 2), "filters must be a whole number of at least 1, got 0"),
])  # fmt: skip
def test_settings_that_make_no_sense(settings, text):
    with pytest.raises(OptionError, match=text):
        TriangleConv2d(*settings)


def test_no_contrast_would_divide_by_nothing():
    with pytest.raises(OptionError, match="contrast must be above 0, got 0"):
        TriangleConv2d(3, 4, 3, contrast=0)


def test_quadrants_by_hand():
    # 3 x 5 into 2 x 2: rows 2 and 1, columns 3 and 2
    maps = torch.arange(15.0).view(1, 1, 3, 5)
    expected = torch.tensor([[0 + 1 + 2 + 5 + 6 + 7, 3 + 4 + 8 + 9], [10 + 11 + 12, 13 + 14]], dtype=torch.float32)
    torch.testing.assert_close(QuadrantSum2d()(maps)[0, 0], expected)


@pytest.mark.parametrize(("size", "parts"), [((27, 27), 2), ((8, 9), (3, 1)), ((2, 7), 2), ((5, 5), (5, 3))])
def test_no_number_is_lost_or_counted_twice(size, parts):
    maps = torch.rand(2, 3, *size)
    torch.testing.assert_close(QuadrantSum2d(parts)(maps).sum((2, 3)), maps.sum((2, 3)))


def test_a_map_that_cannot_be_cut():
    with pytest.raises(NetworkError, match="a map of 9 x 9 cannot be cut into 4 x 2 parts: parts of 3 x 5 leave"):
        QuadrantSum2d((4, 2))(torch.zeros(1, 1, 9, 9))
    with pytest.raises(NetworkError, match=r"layer 2: 'quadrants 7': a map of 4 x 6 cannot be cut"):
        sequential("triangle 4 5x5, quadrants 7", (3, 8, 10))


def test_words_of_the_builder():
    module = sequential("triangle 8 4x3 stride 2, quadrants, flatten, dense 5", (3, 12, 15))
    assert module(torch.zeros(2, 3, 12, 15)).shape == (2, 5)
    assert [name for name, _ in module.named_children()] == ["triangle1", "quadrants1", "flatten1", "dense1"]
    assert module.triangle1.stride == (2, 2)
    with pytest.raises(NetworkError, match="a window of 6 x 6 does not fit the map of 4 x 9"):
        sequential("triangle 8", (3, 4, 9))
    with pytest.raises(Exception, match="say how many patterns there are, as in 'triangle 400 6x6'"):
        sequential("triangle", (3, 12, 15))


def test_lenses_see_through_it():
    """The whole is a network like any other: its filters, its receptive fields, explanations."""
    text = "triangle 6 4x4, quadrants, flatten, dense 3"
    module = sequential(text, (3, 12, 12), generator=torch.Generator().manual_seed(0)).eval()
    assert isinstance(module, nn.Module)
    network = Network(module, InputSpec(3, 12, 12, (0.5,), (0.5,)))
    fields = {row.address: row.field for row in network.graph().rows}
    assert fields["triangle1"].size == (4, 4)
    assert fields["triangle1"].status == "exact"
    bank = lenses.filters(network)
    assert bank.layer == "triangle1"
    assert bank.colour
    pictures = network.spec.normalise(torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(1)))
    assert float(lenses.saliency(network, pictures, "class:1").scores.max()) > 0
    one = lenses.occlusion(network, pictures, "class:1", patch=4, stride=4)
    assert bool(one.scores.isfinite().all())
