"""Fresh networks: by every kind of name, for other classes and channels, the same by seed, made again from a file."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import striate
from striate import nets
from striate.errors import NetworkError, OptionError
from striate.learn.starting.heads import head_of
from striate.learn.starting.naming import brings_weights, smallest_side
from striate.learn.starting.start import start


def weights_of(network):
    return dict(network.module.state_dict())


@pytest.mark.parametrize(
    ("net", "given", "factory", "head"),
    [
        ("cnn2", {}, "striate:cnn2,classes=7,channels=1,size=28", "dense2"),
        ("cnn1", {"channels": 3, "size": (20, 24)}, "striate:cnn1,classes=7,channels=3,size=20x24", "dense1"),
        ("resnet20", {"size": 16}, "striate:resnet-20-cifar,classes=7,channels=3,size=16", "linear"),
        ("striate:sequential,1x9x9,conv 4 3x3,flatten,dense 3", {}, None, "dense1"),
        ("timm:test_convnext", {"channels": 1, "size": 64}, "timm:test_convnext,classes=7,channels=1", "head.fc"),
        ("torchvision:mobilenet_v3_small", {"channels": 2, "size": 64}, None, "classifier.3"),
        ("squeezenet1_1", {"size": 64}, "torchvision:squeezenet1_1,classes=7", "classifier.1"),
        ("test_efficientnet", {"size": 64}, "timm:test_efficientnet,classes=7", "classifier"),
    ],
)
def test_every_kind_of_name_gives_a_network_that_a_file_makes_again(net, given, factory, head, tmp_path):
    before = torch.get_rng_state()
    network = start(net, classes=7, **given)
    assert torch.equal(before, torch.get_rng_state())
    channels = given.get("channels", network.spec.channels)
    assert network.spec.channels == channels
    images = torch.rand(2, channels, *network.spec.size, generator=torch.Generator().manual_seed(0))
    assert network(images).shape == (2, 7)
    assert head_of(network) == (head,)
    assert factory is None or network.factory == factory
    assert not any(weight.requires_grad for weight in network.module.parameters())
    again = striate.load(network.save(tmp_path / "net.safetensors"))
    assert again.weights_hash == network.weights_hash
    assert torch.equal(again(images), network(images))
    assert start(net, classes=7, **given).weights_hash == network.weights_hash
    assert start(net, classes=7, seed=1, **given).weights_hash != network.weights_hash


def test_a_named_rule_draws_all_first_weights():
    network = start("cnn1", classes=10, initial="gaussian")
    assert float(network.module.conv1.weight.std()) == pytest.approx(0.01, rel=0.2)
    assert not network.module.conv1.bias.any()
    with pytest.raises(OptionError, match="no rule 'zeros' for first weights"):
        start("cnn1", classes=10, initial="zeros")


def test_trained_weights_are_taken_over_and_the_head_is_new(lite0):
    network = start("efficientnet_lite0", classes=5, pretrained=True)
    own, given = weights_of(network), weights_of(lite0)
    assert {key for key in own if not torch.equal(own[key], given[key])} == {"classifier.weight", "classifier.bias"}
    assert network.module.classifier.out_features == 5
    assert network.spec == lite0.spec
    assert "new are those of classifier (5 classes instead of 1,000)" in " ".join(network.notes)


def test_kernels_for_grey_answer_to_grey_as_those_for_colour_did(lite0):
    network = start("efficientnet_lite0", classes=5, pretrained=True, channels=1)
    grey = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        network.module.conv_stem(grey), lite0.module.conv_stem(grey.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-4
    )
    assert "conv_stem takes 1 channel instead of 3: its weights are their sum." in network.notes
    assert network.spec.mean == pytest.approx((0.498,))


def test_a_saved_network_keeps_its_head_for_the_same_classes_and_loses_it_for_others(tmp_path):
    saved = start("cnn2", classes=3, class_names=["ant", "bee", "cat"])
    saved.module.dense2.bias.fill_(0.5)
    path = saved.save(tmp_path / "net.safetensors")
    same = start(path, classes=3, class_names=["ant", "bee", "cat"], seed=5)
    assert same.weights_hash == saved.weights_hash
    for other in (["ant", "bee", "dog"], ["ant", "bee", "cat", "dog"]):
        changed = start(path, classes=len(other), class_names=other, seed=5)
        own, given = weights_of(changed), weights_of(saved)
        differing = {key for key in own if own[key].shape != given[key].shape or not torch.equal(own[key], given[key])}
        assert differing == {"dense2.weight", "dense2.bias"}
        assert changed.class_names == tuple(other)
        assert "new are those of dense2" in changed.notes[-1]
    larger = start(path, classes=3, size=32)  # what reads the whole map has other weights then
    assert larger.spec.size == (32, 32)
    assert "new are those of dense1" in larger.notes[-1]


def test_statistics_of_pixels_follow_to_another_size(tmp_path):
    from striate.pixelwise import PixelStatistics

    saved = start("cnn2", classes=3)
    mean = np.linspace(0, 1, 28 * 28, dtype=np.float32).reshape(1, 28, 28)
    saved.spec = saved.spec.changed(pixelwise=PixelStatistics(mean, np.full_like(mean, 0.25)))
    path = saved.save(tmp_path / "net.safetensors")
    same = start(path, classes=4)
    assert same.spec == saved.spec
    assert start(path, classes=4, size=32).spec.pixelwise.shape == (1, 32, 32)
    assert start(path, classes=4, channels=3).spec.channels == 3


def test_a_head_behind_pooling_and_through_a_convolution_is_found():
    text = "striate:sequential,1x12x12,conv 4 3x3 relu,conv 5 1x1,relu,global average,flatten"
    assert head_of(striate.load(text)) == ("conv2",)
    with pytest.raises(NetworkError, match=r"does not end with a dense layer for the classes\. End it with: dense 7"):
        start(text, classes=7)
    norm = striate.Network(
        torch.nn.Sequential(torch.nn.Flatten(), torch.nn.BatchNorm1d(12)), striate.InputSpec(3, 2, 2)
    )
    with pytest.raises(NetworkError, match=r"weights, 1 \(BatchNorm1d\), is neither dense nor a convolution"):
        head_of(norm)


@pytest.mark.parametrize(
    ("net", "given", "message"),
    [
        ("resnet1888", {}, "Neither torchvision nor timm has it, and there is no such file"),
        ("cnn9", {}, "Did you mean cnn2 or cnn1"),
        ("gone/net.safetensors", {}, "there is no such file. Give a saved network"),
        ("digits.py:make", {}, r"factory 'digits.py:make' cannot be imported .*there is no file digits\.py"),
        ("nowhere.at_all:make", {}, r"cannot be imported \(ModuleNotFoundError: No module named 'nowhere'\)"),
        ("digits.py:make", {"pretrained": True}, "code of your own: it brings the weights that it has"),
        ("striate:cnn1", {"pretrained": True}, "has no trained weights"),
        ("vgg-c", {"size": 16}, "vgg-c cannot be built for pictures of 16 x 16"),
        (
            "efficientnet_lite0",
            {"pretrained": True, "initial": "gaussian"},
            "nothing of the trained ones would be left",
        ),
        ("cnn1", {"class_names": ["a"]}, "1 class names for 7 classes"),
        ("timm:resnet18,classes=4", {}, None),
        ("timm:resnet18,classes=4,channels=1", {}, r"channels=1 would be ignored. .*\(channels="),
    ],
)
def test_what_is_wrong_is_said(net, given, message):
    if message is None:  # what stands behind a library's name is settled by the pictures
        assert start(net, classes=7, size=64).factory == "timm:resnet18,classes=7"
        return
    with pytest.raises((NetworkError, OptionError), match=message):
        start(net, classes=7, **given)


def test_a_file_refuses_what_it_would_ignore(tmp_path):
    path = start("cnn1", classes=3).save(tmp_path / "net.safetensors")
    for given in ({"pretrained": True}, {"initial": "gaussian"}):
        with pytest.raises(OptionError, match=r"holds weights of its own: leave .* out"):
            start(path, classes=3, **given)
    assert brings_weights(path)
    assert not brings_weights("cnn1")
    assert brings_weights("efficientnet_lite0", pretrained=True)
    assert smallest_side("vgg-c") == nets.design("vgg-c").smallest
    assert smallest_side("timm:resnet18") == smallest_side(path) == 1


def test_a_name_wins_over_a_folder_and_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cnn1").mkdir()
    assert "There is a file or folder 'cnn1' too; for that, write ./cnn1." in start("cnn1", classes=3).notes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("timm:resnet18,classes=0", "'classes=0' in 'timm:resnet18,classes=0' is not understood"),
        ("torchvision:resnet18,size=64", "After the name stand classes and channels"),
    ],
)
def test_what_stands_behind_a_librarys_name_is_checked(text, message):
    with pytest.raises(OptionError, match=message):
        striate.load(text, pretrained=False)


def test_trained_weights_for_other_classes_are_refused():
    with pytest.raises(NetworkError, match="are for its own classes and channels, not for classes=10"):
        striate.load("timm:resnet18,classes=10")


OWN = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, classes=7):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.head = nn.Linear(4, classes)

    def forward(self, images):
        return self.head(self.conv(images).relu().mean((2, 3)))

class Asks(Net):
    def __init__(self, classes, width):
        super().__init__(classes)

class Maps(Net):
    def forward(self, images):
        return self.conv(images).flatten()

def three():
    return Net(3)

def broken():
    raise ValueError("out of ideas")

def word():
    return "resnet"

def kind():
    return Net

def lazy():
    return nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(7))

one = Net()
number = 4
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(OWN)
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "nets.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [one for one in __import__("sys").path if one not in ("", str(tmp_path))])
    return tmp_path


def test_code_of_ones_own_makes_a_network(own, monkeypatch):
    state = torch.random.get_rng_state()
    made = start("mine.py:Net", classes=7, channels=1, size=(12, 14), seed=3)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert (made.name, made.factory) == ("Net", "mine.py:Net")
    assert (made.spec.channels, *made.spec.size) == (1, 12, 14)
    assert not made.module.training
    assert not brings_weights("mine.py:Net")
    same, other = (start("mine.py:Net", classes=7, channels=1, size=12, seed=seed) for seed in (3, 4))
    assert same.weights_hash == made.weights_hash != other.weights_hash
    assert start("pack.nets:Net", classes=7, channels=1, size=12, seed=3).weights_hash == made.weights_hash
    absolute = start(f"{own}/mine.py:three", classes=3, channels=1, size=12)
    assert absolute.graph().classes == 3
    lazy = [start("mine.py:lazy", classes=7, channels=2, size=9, seed=seed).weights_hash for seed in (0, 0, 1)]
    assert lazy[0] == lazy[1] != lazy[2]
    drawn = start("mine.py:Net", classes=7, channels=1, size=12, initial="gaussian")
    assert drawn.weights_hash != start("mine.py:Net", classes=7, channels=1, size=12).weights_hash
    # a file of it asks for the code by name, and takes it
    path = made.save(own / "net.safetensors")
    with pytest.raises(NetworkError, match=r"Code named by a file is not run: name it yourself"):
        start(path, classes=7)
    assert start(path, classes=7, factory="mine.py:Net").weights_hash == made.weights_hash
    with pytest.raises(OptionError, match=r"factory would be ignored: mine.py:Net says by itself"):
        start("mine.py:Net", classes=7, channels=1, factory="mine.py:Net")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Nett", r"has no attribute 'Nett'\)\. Did you mean mine\.py:Net\?"),
        (
            "Asks",
            r"needs arguments \(classes, width\), and is called without any\. Write a .*Asks\(classes=\.\.\.\)",
        ),
        ("three", r"makes a network with 3 outputs, and there are 7 classes.*`def net\(\): return Net\(7\)`"),
        ("Maps", r"cannot be trained on pictures of 1 x 12 x 12 .*--channels, --size\): .*one row of logits"),
        ("broken", "failed: ValueError: out of ideas"),
        ("word", r"made str, not a torch\.nn\.Module"),
        ("kind", r"made the class Net, not a module of it: call it there"),
        ("one", r"is a module already, Net: name a function that makes a new one"),
        ("number", "is int, which cannot be called"),
    ],
)
def test_what_is_wrong_with_code_of_ones_own_is_said(own, name, message):
    with pytest.raises(NetworkError, match=message):
        start(f"mine.py:{name}", classes=7, channels=1, size=12)
