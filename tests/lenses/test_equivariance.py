"""Whether maps move with the picture: exactly where they must, not where they cannot, and the lecture's pooling."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

import striate
from striate.errors import AddressError, NetworkError, OptionError
from striate.lenses import equivariance

EXACT = 1e-10  # of double precision, over a few layers


class Head(nn.Sequential):
    """Layers to look at, then something that a network ends with."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images).mean((2, 3))


def network(*layers: nn.Module, channels: int = 3, height: int = 26, width: int = 30) -> striate.Network:
    torch.manual_seed(0)
    for part in layers:
        for module in part.modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
    return striate.Network(Head(*layers).double().eval(), striate.InputSpec(channels, height, width), name="small")


def pictures(count: int = 2, channels: int = 3, height: int = 26, width: int = 30) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, channels, height, width, generator=generator, dtype=torch.float64)


def test_convolutions_move_with_the_picture_and_nothing_stays():
    net = network(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 5, 5, padding=2, dilation=1), nn.ReLU())
    result = equivariance(net, pictures(), layers=["0", "3"], shift=8, scales=[], angles=[])
    shifts = result.curves["shift"]
    assert shifts.amounts == tuple(float(pixels) for pixels in range(9))
    assert shifts.clean == (True, True)
    assert float(shifts.errors.max()) < EXACT
    assert float(shifts.changes[:, :, 0].max()) == 0  # nothing has moved
    assert float(shifts.changes[:, :, 1:].min()) > 0.3
    assert float(shifts.shares[0, :, 1:].min()) > 0.999  # of the picture every value changes, but for chance


@pytest.mark.parametrize("direction", ["right", "down"])
def test_strides_move_with_multiples_of_themselves(direction):
    net = network(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU(), nn.MaxPool2d(2), height=40, width=48)
    images = pictures(height=40, width=48)
    result = equivariance(net, images, layers=["0", "2"], shift=9, direction=direction, scales=[], angles=[])
    assert result.strides == (2, 4)
    for layer, stride in (("0", 2), ("2", 4)):
        errors = result.error("shift", layer)
        assert max(errors[::stride]) < EXACT
        assert min(error for pixels, error in enumerate(errors) if pixels % stride) > 0.1
    assert "0: " in result.sentence("shift")
    assert "at multiples of its 4 pixels" in result.sentence("shift")


def test_only_a_kernel_that_turns_into_itself_turns_with_the_picture():
    layers = nn.Conv2d(1, 1, 3, padding=1, bias=False), nn.Conv2d(1, 1, 3, padding=1, bias=False)
    net = network(*layers, channels=1, height=21, width=21)
    layers[0].weight.data = torch.tensor([[[[0.0, 1, 0], [1, -4, 1], [0, 1, 0]]]], dtype=torch.float64)
    layers[1].weight.data = torch.tensor([[[[0.0, 0, 0], [-1, 0, 1], [0, 0, 0]]]], dtype=torch.float64)
    images = pictures(1, 1, 21, 21)
    result = equivariance(net, images, layers=["0", "1"], shift=0, scales=[], angles=[0, 45, 90, 180, 270])
    laplace, difference = result.error("rotation", "0"), result.error("rotation", "1")
    assert max(laplace[[0, 2, 3, 4]]) < EXACT
    assert laplace[1] > 0.1  # the squares of its grid do not turn by 45 degrees
    # a difference across turns into one down: another thing; by half a turn into its negative: the root of 2
    assert difference[0] < EXACT
    assert 0.7 < difference[2] < 1.3
    assert difference[3] == pytest.approx(2**0.5)


def test_what_looks_at_single_pixels_moves_with_everything():
    net = network(nn.Conv2d(3, 4, 1), nn.ReLU())
    result = equivariance(net, pictures(), layers=["0", "1"], shift=2, scales=[0.7, 1.0, 1.4], angles=[0, 20, 77])
    for kind in ("scale", "rotation"):
        assert max(result.error(kind, "0")) < EXACT
        rectified = result.error(kind, "1")  # interpolating before or behind a rectifier is not the same
        assert min(rectified[index] for index, amount in enumerate(result.curves[kind].amounts) if amount > 1) > 0.01
    with_three = equivariance(network(nn.Conv2d(3, 4, 3)), pictures(), layers="0", shift=0, scales=[1.4], angles=[20])
    assert float(with_three.error("scale", "0")[0]) > 0.1
    assert float(with_three.error("rotation", "0")[0]) > 0.1


def test_pooled_values_of_the_lecture():
    """A detector's answers .1 1 .2 .3, again and again; pooled by the largest of three: 1 1 1 .3.

    Shifted by one, .3 .1 1 .2, every answer has changed, and of the pooled ones, .3 1 1 1, only half.
    """
    row = torch.tensor([0.1, 1.0, 0.2, 0.3], dtype=torch.float64).repeat(6)[1:-1]  # 22 wide: 20 clear of the border
    net = network(nn.Conv2d(1, 1, 1, bias=False), nn.MaxPool2d((1, 3), 1), channels=1, height=4, width=22)
    net.module[0].weight.data.fill_(1)
    result = equivariance(net, row.expand(1, 1, 4, 22), layers=["0", "1"], shift=1, scales=[], angles=[])
    shifts = result.curves["shift"]
    assert float(shifts.shares[0, 0, 1]) == 1
    assert float(shifts.shares[1, 0, 1]) == 1
    # pooled units are 20; the first shows what was brought in at the border, and the rest are 19: 0 to 18 of a period
    assert int(shifts.units[1, 1]) == 19 * 4
    assert float(shifts.shares[2, 0, 1]) == pytest.approx(0.5, abs=0.5 / 19)
    assert float(shifts.changes[2, 0, 1]) < float(shifts.changes[1, 0, 1])
    assert shifts.errors[:, 0, 1].tolist() == [0, 0]
    assert result.sentence("shift").endswith("stand: 100 % in the picture, 100 % in 0, 53 % in 1.")


def test_the_figure_of_the_lecture_itself():
    """Goodfellow, Bengio and Courville 2016, figure 9.8, number by number."""
    from striate.lenses.equivariance import _share

    detector, moved = torch.tensor([0.1, 1.0, 0.2, 0.1]), torch.tensor([0.3, 0.1, 1.0, 0.2])
    pool = nn.MaxPool1d(3, 1, padding=1)
    pooled, pooled_moved = pool(detector[None])[0], pool(moved[None])[0]
    torch.testing.assert_close(pooled, torch.tensor([1.0, 1.0, 1.0, 0.2]))
    torch.testing.assert_close(pooled_moved, torch.tensor([0.3, 1.0, 1.0, 1.0]))
    assert _share(moved, detector) == 1
    assert _share(pooled_moved, pooled) == 0.5


def test_where_the_border_cannot_be_left_out_the_result_says_so():
    layers = [nn.Conv2d(3, 3, 7, padding=3) for _ in range(5)]
    result = equivariance(network(*layers), pictures(1), layers=["0", "4"], shift=3, scales=[], angles=[])
    assert result.curves["shift"].clean == (True, False)
    assert float(result.error("shift", "0").max()) < EXACT
    assert float(result.error("shift", "4")[1:].min()) > 1e-3
    assert "Broken lines: the borders of the picture count too" in result.caption()


def test_pieces_and_pictures_do_not_matter():
    net = network(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU())
    images = pictures(3)
    options = {"layers": "1", "shift": 3, "scales": [0.8, 1.3], "angles": [10.0, 90.0]}
    whole = equivariance(net, images, **options)
    small = equivariance(net, images, chunk=2, **options)
    single = [equivariance(net, images[index : index + 1], **options) for index in range(3)]
    for kind, curves in whole.curves.items():
        for name in ("errors", "changes", "shares"):
            values = getattr(curves, name)
            torch.testing.assert_close(getattr(small.curves[kind], name), values)
            torch.testing.assert_close(torch.cat([getattr(one.curves[kind], name) for one in single], 1), values)
        torch.testing.assert_close(small.curves[kind].probabilities, curves.probabilities)
    again = equivariance(net, images, **whole.recipe.options)
    for key, values in whole.arrays().items():
        np.testing.assert_array_equal(again.arrays()[key], values)
    logits = net(images)
    expected = logits.softmax(1).amax(1)
    torch.testing.assert_close(whole.curves["shift"].probabilities[:, 0], expected)


def test_a_real_network_on_a_photograph(small_lite0, chelsea, tmp_path):
    result = equivariance(
        small_lite0, chelsea, layers=["blocks.1", "blocks.2"], shift=8, scales=[0.8, 1.0], angles=[0, 90]
    )
    for layer, stride in (("blocks.1", 4), ("blocks.2", 8)):
        errors = result.error("shift", layer)
        assert result.curves["shift"].clean == (True, True)
        assert max(errors[::stride]) < 1e-5
        assert max(errors) > 0.2
        assert result.error("rotation", layer)[1] > 0.5
        assert result.error("scale", layer)[1] < 1e-6
    assert result.classes == ("tiger cat",) or len(result.classes) == 1
    figure = result.figure()
    words = {text.get_text() for text in figure.axes[0].texts}
    assert {"the picture itself", "blocks.1", "blocks.2", "Shifted right", "Scaled", "Rotated"} <= words
    assert len(figure.axes) == 1 + 3 * 3
    assert [one.title for one in result.drawings()] == ["shift", "scale", "rotation"]
    assert not result.by_picture  # three drawings of three pictures would not be one of each
    kept = json.loads(result.save(tmp_path / "moved.json").read_text(encoding="utf-8"))
    assert kept["movements"]["shift"]["layers"]["blocks.2"]["errors"] == result.curves["shift"].errors[1].tolist()
    with np.load(result.save(tmp_path / "moved.npz")) as arrays:
        np.testing.assert_array_equal(arrays["rotation_errors"], result.curves["rotation"].errors)


def test_amounts_are_drawn_from_left_to_right():
    options = {"layers": "0", "shift": 0, "scales": []}
    result = equivariance(network(nn.Conv2d(3, 4, 3)), pictures(1), angles=[90, 0, 45], **options)
    curves = [line for axes in result.figure().axes[1:] for line in axes.lines if len(line.get_xdata()) == 3]
    assert len(curves) >= 4
    assert all(list(line.get_xdata()) == [0, 45, 90] for line in curves)


def test_large_shifts_are_cut_and_the_recipe_says_so():
    result = equivariance(network(nn.Conv2d(3, 4, 3)), pictures(1), shift=100, scales=[], angles=[])
    assert result.curves["shift"].amounts[-1] == 10
    assert result.recipe.notes == ("Shifts go up to 10 pixels, a third of the picture.",)
    assert result.layers == ("0",)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"layers": "9"}, AddressError, "no layer '9'"),
        ({"layers": "2"}, NetworkError, r"layer '2' gives 1 x 4 x 1 x 1: no map, so nothing can move in it"),
        ({"shift": -2}, OptionError, "shift must be 0 or more, got -2"),
        ({"scales": [1.0, 0.0]}, OptionError, "scales must lie between 0.1 and 10, got 0.0"),
        ({"angles": [400.0]}, OptionError, "angles must lie between -360 and 360 degrees, got 400.0"),
        ({"direction": "left"}, OptionError, "no direction 'left'; there are right, down"),
    ],
)
def test_what_makes_no_sense(options, kind, message):
    net = network(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    with pytest.raises(kind, match=message):
        equivariance(net, pictures(1), **options)


def test_too_many_curves_and_none():
    net = network(*(nn.ReLU() for _ in range(8)))
    with pytest.raises(OptionError, match="8 layers are too many curves for one drawing"):
        equivariance(net, pictures(1), layers=[str(index) for index in range(8)])
    with pytest.raises(NetworkError, match="no layer of small gives a map of more than one unit"):
        equivariance(network(nn.AdaptiveAvgPool2d(1), nn.Conv2d(3, 2, 1)), pictures(1))
