"""Our networks as sources: named, saved, loaded again, and no code run from a file."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import striate
from striate import nets
from striate.cli import main
from striate.errors import NetworkError, OptionError, StriateError
from striate.network import FORMAT
from striate.sources import USUAL


def test_a_name_gives_a_network_with_random_weights_and_says_so():
    network = striate.load("striate:cnn1")
    assert network.name == "cnn1"
    assert network.factory == "striate:cnn1,classes=10,channels=1,size=28"
    assert network.notes == ("striate:cnn1 has random weights (seed 0): it has learned nothing yet.",)
    assert network.spec.size == (28, 28)
    assert network.spec.mean == (0.1307,)
    assert network(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    assert not network.module.training


def test_the_same_call_gives_the_same_weights_and_another_seed_others():
    first, again, other = (striate.load(name) for name in ("striate:tiny", "striate:tiny", "striate:tiny,seed=1"))
    assert first.weights_hash == again.weights_hash != other.weights_hash


@pytest.mark.parametrize(
    ("source", "spec", "channels", "size", "classes"),
    [
        ("striate:tiny,classes=4,channels=3,size=32x40", None, 3, (32, 40), 4),
        ("striate:tiny, size=32", {"channels": 2, "width": 50}, 2, (32, 50), 10),
        ("striate:tiny", striate.InputSpec(1, 30, 20), 1, (30, 20), 10),
        ("striate:sequential,1x12x14,conv 4 3x3 relu,flatten,dense 3", None, 1, (12, 14), 3),
        ("striate:sequential,1x12x14,conv 4 3x3 relu,flatten,dense 3", {"channels": 2}, 2, (12, 14), 3),
    ],
)
def test_options_reach_the_network(source, spec, channels, size, classes):
    network = striate.load(source, spec=spec)
    assert (network.spec.channels, network.spec.size) == (channels, size)
    assert network.graph().classes == classes


@pytest.mark.parametrize(
    "source",
    [
        "striate:cnn2,classes=4,channels=3,size=20x24",
        "striate:lenet-5",
        "striate:resnet-20-cifar-b,classes=3",
        "striate:sequential,2x12x14,conv 4 3x3 relu,local 2 3x3,flatten,dense 3",
    ],
)
def test_saved_and_loaded_again(source, tmp_path):
    network = striate.load(source, class_names=None)
    again = striate.load(network.save(tmp_path / "network.safetensors"))
    assert again.weights_hash == network.weights_hash
    assert again.spec == network.spec
    assert again.factory == network.factory
    assert not again.notes  # its weights are no longer random
    images = torch.randn(2, network.spec.channels, *network.spec.size)
    assert torch.equal(again(images), network(images))


@pytest.mark.parametrize(
    "make", [lambda: nets.create("tiny", classes=3), lambda: nets.sequential("flatten, dense 3", (1, 28, 28))]
)
def test_a_module_of_ours_that_somebody_wraps_knows_how_it_is_made(make, tmp_path):
    spec = striate.InputSpec(1, 28, 28, mean=(0.5,), std=(0.5,))
    network = striate.Network(make().eval(), spec, ["a", "b", "c"], name="mine")
    again = striate.load(network.save(tmp_path / "mine.safetensors"))
    assert (again.name, again.class_names, again.spec) == ("mine", ("a", "b", "c"), spec)
    images = torch.randn(2, 1, 28, 28)
    assert torch.equal(again(images), network(images))


def tampered(path, factory: str) -> None:
    """Write a file that claims to be made so."""
    network = striate.load("striate:cnn1")
    network.save(path)
    with safe_open(path, framework="pt") as file:
        metadata = dict(file.metadata())
        state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    assert metadata["format"] == FORMAT
    save_file(state, path, metadata | {"factory": factory})


@pytest.mark.parametrize(
    ("factory", "text"),
    [
        ("striate:os.system", r"there is no network 'os.system'"),
        ("striate:cnn1,classes=__import__('os')", r'"classes=__import__.*is not understood'),
        ("striate:cnn1,classes=11", r"does not fit Stack: of other shape: 2 \(first: dense1.weight is"),
        ("striate:cnn1,size=3000000", r"one layer would have 10 x 288000000000000 weights"),
        ("striate:sequential,1x28x28,eval 1", r"layer 1: 'eval 1': 'eval' is not understood"),
        ("striate.nets.builder:sequential", r"Code named by a file is not run"),
    ],
)
def test_a_file_can_name_nothing_but_our_networks(factory, text, tmp_path):
    tampered(tmp_path / "bad.safetensors", factory)
    with pytest.raises(StriateError, match=text):
        striate.load(tmp_path / "bad.safetensors")


@pytest.mark.parametrize(
    ("source", "error", "text"),
    [
        ("striate:vgc", NetworkError, r"there is no network 'vgc'\. Did you mean vgg-c\?"),
        ("striate:", NetworkError, r"there is no network ''"),
        ("striate:vgg-d,size=16", NetworkError, r"vgg-d cannot be built for pictures of 16 x 16.*smallest is 32 x 32"),
        (
            "striate:tiny,classes=ten",
            OptionError,
            r"'classes=ten' in .* After the name stand classes, channels, size, seed",
        ),
        ("striate:tiny,depth=3", OptionError, r"'depth=3' in 'striate:tiny,depth=3' is not understood"),
        ("striate:tiny,classes=0", OptionError, r"classes of tiny must be a whole number of at least 1, got 0"),
        ("striate:tiny,size=-4", OptionError, r"'size=-4' .* is not understood"),
        ("striate:sequential,flatten", OptionError, r"followed by channels x height x width and the layers"),
        ("tiny", NetworkError, r"no network 'tiny': .* Did you mean striate:tiny\?"),
        ("vgg-c", NetworkError, r"Did you mean striate:vgg-c\?"),
    ],
)
def test_what_is_not_understood(source, error, text):
    with pytest.raises(error, match=text):
        striate.load(source)


def test_a_state_dict_with_one_of_ours_as_factory(tmp_path):
    module = nets.create("lenet-5")
    torch.save(module.state_dict(), tmp_path / "weights.pt")
    network = striate.load(tmp_path / "weights.pt", factory="striate:lenet-5")
    assert network.spec.size == (32, 32)
    assert network.spec.mean == (0.1307,)
    assert network.notes == (USUAL,)
    images = torch.randn(2, 1, 32, 32)
    torch.testing.assert_close(network(images), module.eval()(images))
    # who says what it expects is not told what is assumed
    said = striate.load(tmp_path / "weights.pt", factory="striate:lenet-5", spec=striate.InputSpec(1, 32, 32))
    assert not said.notes


def test_the_command_lists_the_layers(capsys):
    assert main(["layers", "striate:lenet-5"]) == 0
    out, err = capsys.readouterr()
    assert "1,516" in out
    assert out.splitlines()[-1] == "14 layers, 60,850 parameters, 417 k mult-adds for a picture of 1 x 32 x 32"
    assert "random weights" in err


def test_the_command_builds_for_the_size_that_is_asked(capsys):
    assert main(["layers", "striate:tiny", "--channels", "3", "--height", "40", "--json"]) == 0
    graph = json.loads(capsys.readouterr().out)
    assert graph["picture"] == [3, 40, 40]
    assert graph["layers"][0]["parameters"] == 6 * 3 * 9 + 6


def test_lenses_look_into_ours(chelsea, tmp_path):
    network = striate.load("striate:resnet-20-cifar")
    images = network.read([chelsea])
    heatmap = striate.lenses.grad_cam(network, images)
    assert heatmap.scores.shape == (1, 32, 32)
    local = striate.load("striate:sequential,3x24x24,conv 4 3x3 relu,local 4 3x3 relu,pool 2 l2,flatten,dense 5")
    images = local.read([chelsea])
    scores = striate.lenses.saliency(local, images, rule="guided", signed=True).scores
    assert torch.isfinite(scores).all()
    assert scores.any()
