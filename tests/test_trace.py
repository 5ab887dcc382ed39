"""The graph of a network: steps, shapes, costs, calls, merges; and fields of random networks against the gradient."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

import striate
from striate.errors import AddressError, NetworkError
from striate.trace import trace
from truth.support import boxes, opened


class Small(nn.Module):
    """One of everything that a table has to show: a shared module, a merge, a functional call, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=4)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Linear(8, 5)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.relu(self.norm(self.first(images)))
        maps = self.relu(maps + self.second(maps))
        maps = functional.avg_pool2d(self.pool(maps), 2)
        return self.head(maps.mean((2, 3)))


@pytest.fixture(scope="module")
def graph():
    return trace(Small(), torch.rand(1, 3, 32, 24))


def test_the_rows_are_the_steps_in_order(graph):
    assert [(row.address, row.kind) for row in graph.rows] == [
        ("first", "Conv2d"),
        ("norm", "BatchNorm2d"),
        ("relu~1", "ReLU"),
        ("second", "Conv2d"),
        ("", "add"),
        ("relu~2", "ReLU"),
        ("pool", "MaxPool2d"),
        ("", "avg_pool2d"),
        ("", "mean"),
        ("head", "Linear"),
    ]


def test_branches_and_merges_are_in_the_inputs(graph):
    assert [row.inputs for row in graph.rows] == [(-1,), (0,), (1,), (2,), (2, 3), (4,), (5,), (6,), (7,), (8,)]


def test_windows_shapes_and_costs(graph):
    first, second, pool, head = (graph.rows[index] for index in (0, 3, 6, 9))
    assert (first.kernel, first.stride, first.padding, first.dilation, first.groups) == (
        (3, 3),
        (2, 2),
        (1, 1),
        (1, 1),
        1,
    )
    assert (first.shape, first.parameters, first.macs) == ((1, 8, 16, 12), 216, 216 * 16 * 12)
    assert (second.dilation, second.groups, second.parameters) == ((2, 2), 4, 8 * 2 * 9 + 8)
    assert second.macs == 8 * 2 * 9 * 16 * 12
    assert (pool.kernel, pool.stride, pool.shape) == ((2, 2), (2, 2), (1, 8, 8, 6))
    assert (head.parameters, head.macs, head.shape) == (45, 40, (1, 5))
    assert graph.parameters == sum(row.parameters for row in graph.rows) == 216 + 16 + 152 + 45
    assert graph.classes == 5


def test_layers_called_twice_are_told_apart(graph):
    assert [layer.address for layer in graph.layers] == ["first", "norm", "relu~1", "second", "relu~2", "pool", "head"]
    assert graph.layer("relu").call == 2
    assert graph.layer("relu~1").field.size == (3, 3)
    assert graph.layer("relu").field.size == (3 + 2 * 4, 3 + 2 * 4)
    with pytest.raises(AddressError, match=r"no layer 'relu~3'.*relu~1, relu~2"):
        graph.layer("relu~3")


def test_the_last_map_and_the_stages(graph):
    assert graph.last_map().address == "relu~2"
    assert [layer.address for layer in graph.stages()] == ["relu~2"]


def test_the_head_sees_everything(graph):
    assert graph.layer("head").field.status == "whole input"


def test_transposed_convolutions_cost_by_their_input():
    graph = trace(nn.Sequential(nn.ConvTranspose2d(3, 4, 2, stride=2), nn.Flatten()), torch.rand(1, 3, 5, 5))
    assert graph.rows[0].macs == 3 * 4 * 4 * 25


def test_channels_last_modules_are_understood():
    class Permuted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 6, 3, padding=1)
            self.mix = nn.Linear(6, 4)

        def forward(self, images: Tensor) -> Tensor:
            return self.mix(self.conv(images).permute(0, 2, 3, 1)).mean((1, 2))

    layer = trace(Permuted(), torch.rand(1, 3, 8, 9)).layer("mix")
    assert (layer.shape, layer.channel_axis, layer.spatial, layer.map_size) == ((1, 8, 9, 4), 3, (1, 2), (8, 9))
    assert layer.arranged(torch.rand(2, 8, 9, 4), 2).shape == (2, 4, 8, 9)
    assert layer.field.size == (3, 3)


def test_an_operation_that_cannot_be_followed_is_unknown_and_named():
    class Rolled(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.roll(images, 3, 2).flatten(1)

    graph = trace(nn.Sequential(Rolled()), torch.rand(1, 3, 8, 8))
    assert graph.unfollowed == {"roll": 1}
    assert graph.rows[-1].field.status == "unknown"


class Function(nn.Module):
    """A function as the last part of a network whose first is a convolution of 5."""

    def __init__(self, function) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 5, padding=2)
        self.after = nn.Identity()
        self.function = function

    def forward(self, images: Tensor) -> Tensor:
        return self.after(self.function(self.conv, images))


def _written_into_a_slice(conv, images):
    new = torch.zeros_like(images)
    new[:, :1] = conv(images)[:, :1]
    return new * 2


def _added_to_a_view(conv, images):
    new = images.clone()
    view = new[:, :1]
    view += conv(images)[:, :1]
    return new * 2


AWKWARD = {
    "a slice of zeros": _written_into_a_slice,
    "a view": _added_to_a_view,
    "mirrored further than a kernel reaches": lambda conv, x: nn.functional.max_pool2d(
        nn.functional.pad(x, (3, 3, 3, 3), "reflect"), 3, 1
    ),
    "mirrored as far as a kernel reaches": lambda conv, x: nn.functional.avg_pool2d(
        nn.functional.pad(x, (1, 1, 1, 1), "reflect"), 3, 1
    ),
    "repeated borders": lambda conv, x: nn.functional.avg_pool2d(nn.functional.pad(x, (3, 3, 3, 3), "replicate"), 2, 1),
    "half, bilinear": lambda conv, x: nn.functional.interpolate(x, scale_factor=0.5, mode="bilinear"),
    "1.7, bilinear": lambda conv, x: nn.functional.interpolate(x, scale_factor=1.7, mode="bilinear"),
    "1.7, nearest": lambda conv, x: nn.functional.interpolate(x, scale_factor=1.7),
    "0.3, nearest": lambda conv, x: nn.functional.interpolate(x, scale_factor=0.3),
    "bicubic": lambda conv, x: nn.functional.interpolate(x, size=(20, 9), mode="bicubic"),
    "one corner": lambda conv, x: nn.functional.interpolate(x, size=(1, 1), mode="bilinear", align_corners=True),
    "rows side by side": lambda conv, x: torch.cat([x, torch.zeros_like(x)], 2),
    "columns dealt out": lambda conv, x: torch.cat([x[..., ::2], x[..., 1::2]], 3),
    "circular": lambda conv, x: nn.functional.pad(x, (2, 2, 2, 2), "circular"),
}


@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_operations_are_never_called_exact_when_they_are_not(name):
    module = Function(AWKWARD[name])
    graph = trace(module, torch.rand(1, 3, 15, 13))
    layer = graph.layer("after")
    assert layer.map_size is not None
    for unit in ((0, 0), (layer.map_size[0] // 2, layer.map_size[1] // 2), (layer.map_size[0] - 1, 0)):
        images = torch.rand(1, 3, 15, 13, dtype=torch.float64, requires_grad=True)
        value = module.double()(images)[0, :, unit[0], unit[1]].sum()
        if not value.requires_grad:
            continue
        (slope,) = torch.autograd.grad(value, images)
        hit = slope[0].abs().sum(0) > 0
        if not hit.any():
            continue
        down, across = hit.any(1).nonzero().flatten(), hit.any(0).nonzero().flatten()
        seen = (int(down[0]), int(across[0]), int(down[-1]), int(across[-1]))
        box = layer.field.box(*unit)
        assert box[0] <= seen[0]
        assert box[1] <= seen[1]
        assert box[2] >= seen[2]
        assert box[3] >= seen[3]
        assert layer.field.status != "exact" or box == seen or "max" in name or "mirrored further" in name
    assert "mirrored as far" not in name or layer.field.status == "exact"


def test_units_without_a_place_of_their_own_are_bounds():
    class Windows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.flat, self.parts = nn.Flatten(), nn.Identity()

        def forward(self, images: Tensor) -> Tensor:
            windows = images.unfold(2, 4, 4).unfold(3, 4, 4)  # N, C, 2, 2, 4, 4
            windows = self.parts(windows.permute(0, 2, 3, 1, 4, 5).reshape(-1, 3, 4, 4) * 2)
            return self.flat(images) + windows.mean()

    graph = trace(Windows(), torch.rand(1, 3, 8, 8))
    assert graph.layer("flat").field.status == "bound"
    assert graph.layer("flat").field.box(0, 0) == (0, 0, 7, 7)
    parts = graph.layer("parts")
    assert parts.field.box(0, 0) == (0, 0, 7, 7)
    with pytest.raises(NetworkError, match="'parts' gives"):
        parts.arranged(torch.rand(4, 3, 4, 4), 1)


def test_arguments_left_at_their_defaults_are_known():
    graph = trace(Function(lambda conv, x: torch.cat([conv(x)])), torch.rand(1, 3, 8, 8))
    assert graph.note == ""
    assert graph.layer("after").field.size == (5, 5)


def test_control_flow_that_depends_on_values_is_no_obstacle():
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = nn.Conv2d(3, 2, 3), nn.Conv2d(3, 2, 5)

        def forward(self, images: Tensor) -> Tensor:
            return (self.left if float(images.mean()) > 0 else self.right)(images).mean((2, 3))

    assert [row.address for row in trace(Branching(), torch.ones(1, 3, 8, 8)).rows] == ["", "left", ""]


def test_a_network_that_cannot_be_run_says_with_what():
    with pytest.raises(NetworkError, match="cannot be run on a picture batch of 1 x 4 x 8 x 8"):
        trace(Small(), torch.rand(1, 4, 8, 8))


def test_when_operations_cannot_be_watched_layers_and_shapes_remain():
    class Shy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 3)

        def forward(self, images: Tensor) -> Tensor:
            from torch.utils._python_dispatch import _get_current_dispatch_mode

            if _get_current_dispatch_mode() is not None:
                raise RuntimeError("not while I am watched")
            return self.conv(images).mean((2, 3))

    graph = trace(Shy(), torch.rand(1, 3, 8, 8))
    assert "not while I am watched" in graph.note
    assert [(layer.address, layer.shape) for layer in graph.layers] == [("conv", (1, 2, 6, 6))]
    assert graph.layers[0].field.status == "unknown"


class Drawn(nn.Module):
    """A network drawn by hypothesis: steps with strides, dilation, groups, branches, pooling, shuffles."""

    def __init__(self, steps: list[tuple[str, int, int]]) -> None:
        super().__init__()
        self.steps = steps
        self.parts = nn.ModuleList()
        for kind, kernel, stride in steps:
            padding = kernel // 2
            part: dict[str, nn.Module] = {
                "conv": nn.Conv2d(4, 4, kernel, stride, padding),
                "grouped": nn.Conv2d(4, 4, kernel, stride, padding, groups=2),
                "dilated": nn.Conv2d(4, 4, kernel, padding=0, dilation=stride),
                "max": nn.MaxPool2d(kernel, stride, padding),
                "average": nn.AvgPool2d(kernel, stride, ceil_mode=True),
                "residual": nn.Conv2d(4, 4, kernel, 1, padding),
                "inception": nn.Conv2d(4, 2, kernel, 1, padding),
                "shuffle": nn.Conv2d(4, 4, kernel, stride, padding),
                "crop": nn.ZeroPad2d((-1, 0, stride, 1)),
                "transposed": nn.ConvTranspose2d(4, 4, kernel + 1, stride, padding),
                "nearest": nn.Upsample(scale_factor=stride),
            }
            self.parts.append(part[kind])
        self.side = nn.ModuleList(nn.Conv2d(4, 2, 1) for _ in steps)

    def forward(self, maps: Tensor) -> Tensor:
        for (kind, _, _), part, side in zip(self.steps, self.parts, self.side, strict=True):
            new = part(maps)
            if kind == "residual":
                new = maps + new if new.shape == maps.shape else new
            if kind == "inception":
                new = torch.cat([new, side(maps)], 1) if new.shape[2:] == maps.shape[2:] else new.repeat(1, 2, 1, 1)
            if kind == "shuffle":
                count, channels, height, width = new.shape
                new = new.view(count, 2, channels // 2, height, width).transpose(1, 2).reshape(new.shape)
            maps = new
        return maps.mean((2, 3))


EXACT = ["conv", "grouped", "dilated", "max", "average", "residual", "inception", "shuffle", "crop"]
STEP = st.tuples(st.sampled_from([*EXACT, "transposed", "nearest"]), st.sampled_from([1, 2, 3, 5]), st.integers(1, 2))


@settings(max_examples=60, deadline=None)
@given(st.lists(STEP, min_size=1, max_size=5))
def test_boxes_of_random_networks_are_where_the_gradient_is(steps):
    module = Drawn(steps)
    size = (26, 31)
    try:
        graph = trace(module, torch.rand(1, 4, *size))
    except NetworkError:
        return  # a window larger than what is left of the map
    layers = [layer for layer in graph.layers if layer.name.startswith("parts.") and min(layer.map_size or (0,)) > 0]
    copy = opened(module)
    for layer in layers:
        assert layer.map_size is not None
        height, width = layer.map_size
        for unit in ((0, 0), (height // 2, width // 2), (height - 1, 0), (0, width - 1)):
            try:
                ((_, seen),) = boxes(copy, size, 4, {layer.address: [unit]}).items()
            except IndexError:
                continue  # a unit in the border sees nothing but padding
            box = layer.field.box(*unit)
            assert layer.field.status in ("exact", "bound", "whole input")
            # where padding cuts a window that has gaps, its last tap inside may be some pixels further in
            gaps = any(kind == "dilated" or kernel < stride for kind, kernel, stride in steps)
            if layer.field.status == "exact" and (not gaps or box == layer.field.box(*unit, clipped=False)):
                assert seen == box
            assert box[0] <= seen[0]
            assert box[1] <= seen[1]
            assert box[2] >= seen[2]
            assert box[3] >= seen[3]


def test_a_layer_whose_operations_show_no_window_says_it_itself():
    net = striate.load("striate:sequential,1x9x9,local 4 3x2 /2,flatten,dense 10")
    rows = {row.address: row for row in net.graph().rows}
    local = rows["local1"]
    assert (local.kernel, local.stride, local.padding, local.shape) == ((3, 2), (2, 2), (0, 0), (1, 4, 4, 4))
    assert rows["dense1"].kernel is None
