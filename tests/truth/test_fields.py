"""Receptive fields: the values worked by hand, and every box against where the gradient of the unit is not zero."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import striate
from truth import support
from truth.nets import Branches


def graph_of(module: nn.Module, size: tuple[int, int], channels: int = 3):
    spec = striate.InputSpec(
        channels=channels, height=size[0], width=size[1], mean=(0.5,) * channels, std=(0.25,) * channels
    )
    return striate.Network(module.eval(), spec=spec).graph()


def field_of(module: nn.Module, layer: str, size: tuple[int, int]):
    return next(row for row in reversed(graph_of(module, size).rows) if row.address == layer).field


@pytest.mark.parametrize(
    ("name", "layer", "length", "size", "stride", "padding"),
    [
        # (size, stride, padding) by r += (k - 1) j, P += p j, j *= s
        ("alexnet", "features.0", 224, 11, 4, 2),
        ("alexnet", "features.12", 448, 195, 32, 66),
        ("vgg16", "features.30", 256, 212, 32, 90),
        ("resnet18", "maxpool", 128, 11, 4, 5),
        ("resnet18", "layer1", 128, 43, 4, 21),
        ("resnet18", "layer2", 224, 99, 8, 49),
        ("resnet18", "layer3", 256, 211, 16, 105),
        ("resnet18", "layer4", 480, 435, 32, 217),
        ("resnet50", "layer3", 288, 267, 16, 133),
        ("resnet50", "layer4", 448, 427, 32, 213),
        ("inception_v3", "Mixed_7c", 299, 1311, 32, 618),
    ],
)
def test_golden_values(name, layer, length, size, stride, padding):
    models = pytest.importorskip("torchvision.models")
    options = {"init_weights": False} if name in ("vgg16", "inception_v3") else {}
    with torch.device("cpu"):
        module = getattr(models, name)(weights=None, **options)
    graph = graph_of(module, (length, length))
    row = next(row for row in reversed(graph.rows) if row.address == layer or row.address.startswith(f"{layer}."))
    field = row.field
    assert field.size == (size, size)
    assert field.stride == (stride, stride)
    centre = (size - 1) / 2 - padding
    assert field.centre == (centre, centre)


NETWORKS: dict[str, tuple[tuple[int, int], dict[str, object]]] = {
    "alexnet": ((224, 256), {}),
    "vgg11": ((96, 128), {"init_weights": False}),
    "resnet18": ((160, 192), {}),
    "resnet50": ((128, 128), {}),
    "squeezenet1_1": ((128, 160), {}),
    "densenet121": ((96, 128), {}),
    "googlenet": ((128, 128), {"init_weights": False, "aux_logits": False}),
    "inception_v3": ((160, 160), {"init_weights": False, "aux_logits": False}),
    "mobilenet_v2": ((128, 160), {}),
    "mobilenet_v3_small": ((128, 128), {}),
    "efficientnet_b0": ((128, 128), {}),
    "shufflenet_v2_x0_5": ((128, 160), {}),
    "mnasnet0_5": ((128, 128), {}),
    "regnet_x_400mf": ((128, 128), {}),
    "convnext_tiny": ((128, 128), {}),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_boxes_are_where_the_gradient_is(name):
    models = pytest.importorskip("torchvision.models")
    size, options = NETWORKS[name]
    check_boxes(getattr(models, name)(weights=None, **options), size)


def test_boxes_of_branches_that_meet():
    assert check_boxes(Branches(), (61, 74)) > 20


class Widening(nn.Module):
    """Steps back up to the picture: interpolation, transposed convolution, pixel shuffle, uneven pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(2, 8, 3, stride=2, padding=1)
        self.up = nn.Upsample(scale_factor=2, mode="bilinear")
        self.smooth = nn.Conv2d(8, 8, 3, padding=1)
        self.again = nn.Conv2d(8, 8, 3, stride=2, padding=1)
        self.back = nn.ConvTranspose2d(8, 8, 4, stride=2, padding=1)
        self.shuffle = nn.PixelShuffle(2)
        self.join = nn.Conv2d(2, 3, 3, padding=1)
        self.pool = nn.AdaptiveAvgPool2d((5, 7))
        self.mix = nn.Conv2d(3, 3, 2)
        self.head = nn.Linear(3, 4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        low = self.smooth(self.up(self.down(images)))
        high = self.join(self.shuffle(self.back(self.again(low))))
        return self.head(self.mix(self.pool(high)).mean((2, 3)))


def test_boxes_of_maps_that_grow_again():
    check_boxes(Widening(), (44, 36), channels=2)


class Gated(nn.Module):
    """A squeeze-and-excitation gate, and a column mean: units that see everything in one or both directions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.gate = nn.Conv2d(4, 4, 1)
        self.after = nn.Conv2d(4, 4, 3)
        self.head = nn.Linear(4, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.conv(images)
        gated = maps * torch.sigmoid(self.gate(maps.mean((2, 3), keepdim=True)))
        return self.head(self.after(gated).mean((2, 3)))


def test_a_gate_sees_the_whole_picture():
    graph = graph_of(Gated(), (20, 24))
    status = {row.address: row.field.status for row in graph.rows}
    assert status["conv"] == "exact"
    assert status["after"] == "whole input"
    check_boxes(Gated(), (20, 24))


# what keeps the order N, C, H, W; between two permutations a network may have another
MAPS = ("Conv", "BatchNorm", "ReLU", "MaxPool", "AvgPool", "AdaptiveAvgPool", "Upsample", "PixelShuffle")


def check_boxes(module: nn.Module, size: tuple[int, int], channels: int = 3, layers: int = 7) -> int:
    """Compare boxes with gradients at corners and middle of layers spread over the depth; count the exact ones.

    Exact boxes that lie inside the picture must be equal; at the border a unit may see less than its window, for
    padding deeper in the network hides pixels, so there, and for bounds, the gradient must stay within the box.
    """
    graph = graph_of(module, size, channels)
    leaves = {name for name, part in module.named_modules() if not list(part.children())}
    rows = [
        row for row in graph.rows if row.address.partition("~")[0] in leaves and len(row.shape) == 4
        and not row.functional and row.field.status != "unknown" and row.kind.startswith(MAPS)
    ]  # fmt: skip
    assert len(rows) >= min(3, layers), "hardly any layer was followed"
    rows = [rows[round(index * (len(rows) - 1) / (layers - 1))] for index in range(layers)]
    asked = {}
    for row in rows:
        height, width = row.shape[-2:]
        asked[row.address] = sorted({(0, 0), (height // 2, width // 2), (height - 1, width - 1)})
    found = support.boxes(support.opened(module), size, channels, asked)
    exact = 0
    for row in rows:
        for unit in asked[row.address]:
            seen, box, whole = found[row.address, *unit], row.field.box(*unit), row.field.box(*unit, clipped=False)
            where = f"{row.address}@{unit[0]},{unit[1]} ({row.field.status}): gradient {seen}, box {box}"
            assert box[0] <= seen[0], where
            assert box[1] <= seen[1], where
            assert box[2] >= seen[2], where
            assert box[3] >= seen[3], where
            if row.field.status == "exact":
                inside = [whole[0] >= 0, whole[1] >= 0, whole[2] < size[0], whole[3] < size[1]]
                for side in range(4):
                    exact += inside[side]
                    assert not inside[side] or box[side] == seen[side], where
    return exact
