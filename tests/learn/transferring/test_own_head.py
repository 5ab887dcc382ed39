"""A linear head in the network itself: what its own head reads, the same logits as from outside, trained further."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import striate
from learn.striped import parts
from striate.errors import NetworkError
from striate.learn import fit
from striate.learn.run import Run
from striate.learn.transferring.own_head import head_place, with_head
from striate.nets import heads
from striate.nets.joined import joined
from striate.network import Network
from striate.spec import InputSpec

SMALL = {"spec": {"height": 40, "width": 40, "resize": 40}, "pretrained": False}


def linear(features, classes=3):
    draw = torch.Generator().manual_seed(1)
    state = {"layer.weight": torch.randn(classes, features, generator=draw), "layer.bias": torch.arange(classes) / 3}
    return heads.filled("linear", state, features=features, classes=classes)


@pytest.mark.parametrize(
    ("source", "given", "place", "factory"),
    [
        ("timm:test_byobnet", SMALL, "head.global_pool", "timm:test_byobnet,classes=3"),
        ("torchvision:resnet18", SMALL, "avgpool", "torchvision:resnet18,classes=3"),
        ("striate:resnet-20-cifar", {}, "avgpool", "striate:resnet-20-cifar,classes=3,channels=3,size=32"),
        ("striate:cnn2,channels=2,size=16x20", {}, "relu5", "striate:cnn2,classes=3,channels=2,size=16x20"),
        (
            "striate:sequential,2x9x9,conv 4 3x3 relu,global average,flatten,dense 7", {}, "pool1",
            "striate:sequential,2x9x9,conv 4 3x3 relu,global average,flatten,dense 3",
        ),
        # a rectifier stands behind its last convolution: the head cannot take its place
        ("torchvision:squeezenet1_1", SMALL, "features", "joined:"),
    ],
)  # fmt: skip
def test_the_same_logits_in_its_own_place_and_from_outside(tmp_path, source, given, place, factory):
    network = striate.load(source, **given)
    before = network.weights_hash
    assert head_place(network) == place
    head = linear(network.graph().layer(place).channels)
    made = with_head(network, head, ["a", "b", "c"])
    images = torch.rand(2, network.spec.channels, *network.spec.size)
    outside = joined(network, [place], head)
    torch.testing.assert_close(made(images), outside(images), rtol=1e-4, atol=1e-4)
    assert made.factory.startswith(factory)
    assert (made.class_names, made.spec) == (("a", "b", "c"), network.spec)
    assert network.weights_hash == before
    assert torch.equal(striate.load(made.save(tmp_path / "n.safetensors"))(images), made(images))


class Own(nn.Module):
    """Of the user's own, whose last layer reads a flattened map, or averages."""

    def __init__(self, flat):
        super().__init__()
        self.conv, self.flat = nn.Conv2d(1, 4, 3), flat
        self.fc = nn.Linear(4 * 36 if flat else 4, 5)

    def forward(self, images):
        maps = self.conv(images).relu()
        return self.fc(maps.flatten(1) if self.flat else maps.mean((2, 3)))


def test_a_network_of_one_s_own_gets_its_head_from_outside_or_not_at_all():
    torch.manual_seed(0)
    spec = InputSpec(1, 8, 8)
    assert head_place(Network(Own(True), spec)) is None
    # the rectifier is no layer of its own: the maps before it are something else
    assert head_place(Network(Own(False), spec)) is None
    with pytest.raises(NetworkError, match="does not read a vector or averaged maps of one layer"):
        with_head(Network(Own(True), spec), linear(4))
    row = Network(
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)), spec
    )
    assert head_place(row) == "2"
    made = with_head(row, linear(4))
    assert made.factory.startswith("joined:")
    images = torch.rand(3, 1, 8, 8)
    torch.testing.assert_close(made(images), linear(4)(row.module[:4](images)))


def test_heads_that_do_not_fit_are_refused():
    network = striate.load("striate:resnet-20-cifar")
    with pytest.raises(NetworkError, match="avgpool of resnet-20-cifar gives 64 features for a picture, and the head"):
        with_head(network, linear(63))
    dense = heads.blank({"kind": "dense", "features": 64, "units": 4, "classes": 3})
    with pytest.raises(NetworkError, match="a dense head cannot stand where the last layer"):
        with_head(network, dense)


def test_a_joined_network_is_trained_with_its_backbone_frozen_and_resumed(tmp_path):
    network = striate.load("striate:sequential,1x9x9,conv 4 3x3 bn relu,conv 6 3x3 bn relu,flatten,dense 5")
    data = parts()
    made = joined(network, ["relu1", "relu2"], linear(10, len(data.class_names)), data.class_names)
    before = {name: held.clone() for name, held in made.module.state_dict().items()}
    settings = {"frozen": ("backbone",), "batch": 8, "precision": "float32", "workers": 0, "epochs": 2}
    fit(made, data, out=tmp_path / "run", **settings)
    after = striate.load(tmp_path / "run").module.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"head.layer.weight", "head.layer.bias"}
    assert Run.open(tmp_path / "run").network("best").factory == made.factory
