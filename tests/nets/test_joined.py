"""A backbone and a head as one network: the same numbers as by hand, no further than needed, made again from data."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from torch import nn

import striate
from striate import lenses
from striate.errors import NetworkError, OptionError, StriateError
from striate.nets import heads
from striate.nets.joined import PREFIX, Joined, joined
from striate.network import Network
from striate.spec import InputSpec
from striate.tap import activations, gradient

BEHIND: list[str] = []


class Backbone(nn.Module):
    """Maps, an in-place rectifier on a tapped output, a layer that is called twice, channels last, and a vector."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 4, 3)
        self.act = nn.ReLU(inplace=True)
        self.twice = nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.LayerNorm(4)
        self.unread = nn.Linear(4, 3)
        self.fc = nn.Linear(4, 3)
        self.drop = nn.Dropout(0.5)

    def forward(self, images):
        maps = self.act(self.first(images))
        maps = self.twice(self.twice(maps))
        maps = maps + (maps.mean((2, 3)) @ self.unread.weight.T).sum()  # a layer that is never called
        last = self.norm(maps.permute(0, 2, 3, 1))  # N, H, W, C
        logits = self.fc(last.mean((1, 2)))
        BEHIND.append("logits")
        return self.drop(logits)


def small(seed=0):
    torch.manual_seed(seed)
    return Network(Backbone().eval(), InputSpec(2, 9, 7))


def linear(features, classes=3, seed=1):
    draw = torch.Generator().manual_seed(seed)
    state = {"layer.weight": torch.randn(classes, features, generator=draw), "layer.bias": torch.arange(classes) / 3}
    return heads.filled("linear", state, features=features, classes=classes)


def noise(count=3, *size):
    return torch.randn((count, *(size or (2, 9, 7))), generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize(
    ("places", "pool"),
    [
        (["first"], "average"),
        (["twice~1"], "average"),
        (["twice", "first"], "average"),
        (["norm", "fc", "twice~1"], "average"),
        (["norm", "first"], "whole"),
    ],
)
def test_logits_are_those_of_the_head_on_what_tap_gives(places, pool):
    network, images = small(), noise()
    outputs = activations(network, images, places).outputs
    columns = [
        part.mean((2, 3)) if part.dim() == 4 and pool == "average" else part.flatten(1)
        for part in (outputs[place] for place in places)
    ]
    features = torch.cat(columns, 1)
    head = linear(features.shape[1])
    whole = joined(network, places, head, ["a", "b", "c"], pool=pool)
    torch.testing.assert_close(whole(images), head(features), rtol=1e-5, atol=1e-6)
    assert whole.class_names == ("a", "b", "c")
    assert whole.spec == network.spec


def test_the_backbone_is_run_no_further_than_the_deepest_layer():
    network = small()
    whole = joined(network, ["first", "norm"], linear(8))
    BEHIND.clear()
    whole(noise())
    assert not BEHIND
    graph = whole.graph()
    assert graph.names[-2:] == ["head.layer", "head"]
    assert "backbone.fc" not in graph.names
    assert graph.macs == 9 * (4 * 2 * 7 * 5 + 2 * 4 * 4 * 7 * 5) + 4 * 3 + 8 * 3
    assert graph.classes == 3
    assert [graph.rows[index].address for index in graph.ends] == ["head.layer"]


def test_what_is_never_reached_is_left_out_and_what_is_read_without_a_call_stays():
    network = small()
    whole = joined(network, ["norm"], linear(4))
    assert whole.module.left_out == ("fc",)
    assert "backbone.fc.weight" not in whole.module.state_dict()
    shallow = joined(network, ["first"], linear(4))
    assert shallow.module.left_out == ("twice", "norm", "unread", "fc")
    assert sum(weight.numel() for weight in shallow.module.parameters()) == (2 * 4 * 9 + 4) + (4 * 3 + 3)


@pytest.mark.parametrize("places", [["first"], ["twice~1", "norm"], ["norm"]])
def test_a_head_on_a_joined_network_takes_the_place_of_the_old_one(places, tmp_path):
    once = joined(small(), ["norm", "twice~1"], linear(8))
    again = joined(once, [f"backbone.{place}" for place in places], linear(4 * len(places), 5))
    plain = joined(small(), places, linear(4 * len(places), 5))
    assert torch.equal(again(noise()), plain(noise()))
    assert again.name == plain.name == "Backbone with a linear head"
    assert again.graph().names == plain.graph().names
    assert again.module.made_by == plain.module.made_by
    assert again.weights_hash == plain.weights_hash  # what is not reached is gone, whenever it went
    again.save(tmp_path / "net.safetensors")
    loaded = striate.load(tmp_path / "net.safetensors", factory=Backbone)
    assert torch.equal(loaded(noise()), plain(noise()))


def test_a_third_head_finds_what_two_have_left(tmp_path):
    block = nn.Sequential(nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)), nn.Conv2d(4, 4, 1))
    module = nn.Sequential(nn.Conv2d(2, 4, 3), block, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)).eval()
    whole = Network(module, InputSpec(2, 9, 7))
    once = joined(whole, ["1.0.0"], linear(4))
    twice = joined(once, ["backbone.0"], linear(4))
    assert (once.module.left_out, twice.module.left_out) == (("1.0.1", "1.1", "4"), ("4", "1"))
    thrice = joined(twice, ["backbone.0"], linear(4, 2))
    assert torch.equal(thrice(noise()), joined(whole, ["0"], linear(4, 2))(noise()))
    thrice.save(tmp_path / "net.safetensors")
    again = striate.load(tmp_path / "net.safetensors", factory=lambda: copy.deepcopy(module))
    assert torch.equal(again(noise()), thrice(noise()))
    program = torch.export.export(thrice.module, (noise(1),), strict=False)
    torch.testing.assert_close(program.module()(noise(1)), thrice(noise(1)))


def test_a_head_on_the_old_head_goes_behind_the_whole():
    once = joined(small(), ["norm"], linear(4))
    again = joined(once, ["head"], linear(3))
    assert {name.split(".")[0] for name, _ in again.module.backbone.named_children()} == {"backbone", "head"}
    torch.testing.assert_close(again(noise()), again.module.head(once(noise())))


def test_the_network_stays_as_it_is_and_the_new_one_is_apart():
    network = small()
    before, keys = network.weights_hash, list(network.module.state_dict())
    whole = joined(network, ["norm"], linear(4))
    with torch.no_grad():
        whole.module.backbone.first.weight.zero_()
    assert network.weights_hash == before
    assert list(network.module.state_dict()) == keys


def test_nothing_is_left_behind_after_an_error():
    whole = joined(small(), ["first"], linear(4 * 7 * 5), pool="whole")
    hash_before = whole.weights_hash
    with pytest.raises(NetworkError, match=r"reads 140 features, and pictures of 9 x 8 give 168 \(whole maps"):
        whole(noise(1, 2, 9, 8))
    with pytest.raises(NetworkError, match="cannot be run on a picture batch of 1 x 2 x 2 x 2"):
        whole(noise(1, 2, 2, 2))
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in whole.module.modules())
    assert whole.weights_hash == hash_before


def test_copies_and_twins_answer_alike():
    whole, images = joined(small(), ["first", "twice"], linear(8)), noise()
    expected = whole(images)
    assert torch.equal(whole.twin()(images), expected)
    assert torch.equal(Network(copy.deepcopy(whole.module), whole.spec)(images), expected)


def test_gradients_flow_to_the_picture_and_to_a_layer_between():
    whole, images = joined(small(), ["first", "norm"], linear(8)), noise()
    leaf = images.clone().requires_grad_()
    (expected,) = torch.autograd.grad(whole.module(leaf)[:, 1].sum(), leaf)
    torch.testing.assert_close(gradient(whole, whole.batch(images), "class:1").values, expected)
    between = gradient(whole, whole.batch(images), "class:1", at="backbone.twice~2")
    assert between.values.shape == (3, 4, 7, 5)
    assert between.values.abs().sum() > 0
    guided = gradient(whole, whole.batch(images), "class:1", rule="guided")
    assert guided.rectifiers == 1


def forest(features, classes=2):
    state = {
        "roots": torch.tensor([0]), "feature": torch.tensor([0, 0, 0]), "threshold": torch.tensor([0.0, 0, 0]),
        "ways": torch.tensor([[1, 2], [1, 1], [2, 2]]), "leaf": torch.tensor([0, 0, 1]), "shares": torch.eye(2),
    }  # fmt: skip
    return heads.filled("forest", state, features=features, trees=1, nodes=3, leaves=2, depth=1, classes=classes)


def test_a_forest_is_occluded_step_by_step_and_refuses_gradients():
    whole = joined(small(), ["first"], forest(4), ["no", "yes"])
    image = whole.batch(noise(1))
    found = lenses.occlusion(whole, image, "class:yes", patch=3, stride=2)
    assert found.details["incremental"]
    with pytest.raises(NetworkError, match=r"class:yes does not depend on the picture by way of a gradient: .*forest"):
        lenses.saliency(whole, image, "class:yes")
    with pytest.raises(NetworkError, match="whole numbers"):
        lenses.synthesize(whole, "class:yes", steps=2)
    with pytest.raises(NetworkError, match="without a gradient: it cuts it on the way"):
        lenses.signals(whole, image, "class:yes")


@pytest.mark.parametrize(
    ("source", "places", "given"),
    [
        ("striate:cnn2,channels=3,size=20x24", ["conv2", "dense1"], {}),
        ("striate:sequential,1x9x9,conv 4 3x3 relu,conv 6 3x3 relu,flatten,dense 3", ["relu1"], {}),
        ("timm:test_byobnet", ["stages.1"], {"pretrained": False}),
        ("torchvision:resnet18", ["layer1", "avgpool"], {"pretrained": False}),
    ],
)
def test_saved_and_loaded_by_the_backbone_s_name_bit_for_bit(tmp_path, source, places, given):
    network = striate.load(source, **given)
    network.spec = network.spec.changed(height=min(network.spec.height, 48), width=min(network.spec.width, 48))
    width = sum(network.graph().layer(place).channels for place in places)
    whole = joined(network, places, linear(width), ["a", "b", "c"])
    file = whole.save(tmp_path / "network.safetensors")
    again = striate.load(tmp_path)  # the folder of a run, and the file in it, are the same
    images = noise(2, network.spec.channels, *network.spec.size)
    assert torch.equal(again(images), whole(images))
    assert again.weights_hash == whole.weights_hash
    assert (again.factory, again.name, again.spec, again.class_names) == (
        whole.factory, whole.name, whole.spec, whole.class_names,
    )  # fmt: skip
    assert striate.load(file).factory.startswith(PREFIX)
    nested = joined(again, ["backbone." + places[0]], linear(network.graph().layer(places[0]).channels))
    nested.save(tmp_path / "nested.safetensors")
    assert torch.equal(striate.load(tmp_path / "nested.safetensors")(images), nested(images))


@pytest.mark.parametrize("kind", ["dense", "kernel", "forest"])
def test_other_heads_are_saved_with_it(tmp_path, kind):
    sizes = {"dense": {"units": 5, "classes": 2}, "kernel": {"vectors": 3, "classes": 2}}
    if kind == "forest":
        head = forest(4)
    else:
        head = heads.blank({"kind": kind, "features": 4, **sizes[kind]})
        draw = torch.Generator().manual_seed(0)
        head.load_state_dict({name: torch.rand(held.shape, generator=draw) for name, held in head.state_dict().items()})
    network = striate.load("striate:sequential,2x9x7,conv 4 3x3 relu,flatten,dense 3")
    whole = joined(network, ["conv1"], head)
    whole.save(tmp_path / "n.safetensors")
    assert torch.equal(striate.load(tmp_path / "n.safetensors")(noise()), whole(noise()))


def test_the_built_in_network_is_made_again(lite0, tmp_path):
    network = Network(
        lite0.module, lite0.spec.changed(height=48, width=48, resize=48), name="small", factory=lite0.factory
    )
    whole = joined(network, ["blocks.1", "blocks.2"], linear(64))
    whole.save(tmp_path / "n.safetensors")
    images = noise(1, 3, 48, 48)
    assert torch.equal(striate.load(tmp_path / "n.safetensors")(images), whole(images))
    assert (tmp_path / "n.safetensors").stat().st_size < 400_000  # of 18 MB: the rest is not there


def test_code_named_by_a_file_is_not_run_but_the_user_may_name_it(tmp_path):
    whole = joined(small(), ["norm"], linear(4))
    file = whole.save(tmp_path / "own.safetensors")
    name = f"{Backbone.__module__}:Backbone"
    with pytest.raises(NetworkError, match="Code named by a file is not run: name it yourself"):
        striate.load(file)
    again = striate.load(file, factory=Backbone)
    assert torch.equal(again(noise()), whole(noise()))
    assert json.loads(again.factory.removeprefix(PREFIX))["backbone"] == name
    nameless = Network(nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten()), InputSpec(2, 9, 7))
    unknown = joined(nameless, ["0"], linear(4))
    file = unknown.save(tmp_path / "unknown.safetensors")
    with pytest.raises(NetworkError, match=r"holds weights but not what they are for\. Say how the module is made"):
        striate.load(file)
    made = striate.load(file, factory=lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten()))
    assert torch.equal(made(noise()), unknown(noise()))
    with pytest.raises(NetworkError, match="joined to layer 'norm', which Sequential does not have"):
        striate.load(tmp_path / "own.safetensors", factory=lambda: nn.Sequential(nn.Conv2d(2, 4, 3)))


@pytest.mark.parametrize(
    "changed",
    [
        "not json",
        "[]",
        "{}",
        {"backbone": 3},
        {"places": [{"layer": "conv1"}]},
        {"places": [{"layer": "conv1", "call": "1", "channels": 1, "rows": 2, "columns": 3}]},
        {"pool": "largest"},
        {"left_out": [""]},
        {"left_out": ["nothing"]},
        {"head": {"kind": "linear", "features": 2**40, "classes": 2}},
        {"head": [1]},
        {"places": []},
    ],
)
def test_a_file_that_says_nonsense_is_refused(tmp_path, changed):
    from safetensors import safe_open
    from safetensors.torch import save_file

    network = striate.load("striate:sequential,2x9x7,conv 4 3x3 relu,flatten,dense 3")
    file = joined(network, ["conv1"], linear(4)).save(tmp_path / "n.safetensors")
    with safe_open(file, framework="pt") as held:
        state, metadata = {key: held.get_tensor(key) for key in held.keys()}, dict(held.metadata())  # noqa: SIM118
    about = json.loads(metadata["factory"].removeprefix(PREFIX))
    text = changed if isinstance(changed, str) else json.dumps(about | changed)
    save_file(state, file, {**metadata, "factory": PREFIX + text})
    with pytest.raises(StriateError):
        striate.load(file)


def test_mistakes_are_said():
    network = small()
    with pytest.raises(NetworkError, match=r"first, norm of Backbone give 8 features for a picture, .* reads 5"):
        joined(network, ["first", "norm"], linear(5))
    with pytest.raises(OptionError, match="named twice in first, first"):
        joined(network, ["first", "first"], linear(8))
    with pytest.raises(OptionError, match="must be a list of layers, got 'first'"):
        joined(network, "first", linear(4))
    with pytest.raises(OptionError, match="2 class names for a head of 3 classes"):
        joined(network, ["first"], linear(4), ["a", "b"])
    with pytest.raises(OptionError, match="pool must be 'average' or 'whole', got 'max'"):
        joined(network, ["first"], linear(4), pool="max")
    with pytest.raises(striate.errors.AddressError, match="frist"):
        joined(network, ["frist"], linear(4))
    tokens = Network(nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten(2), nn.Flatten()), InputSpec(2, 9, 7))
    with pytest.raises(NetworkError, match="neither a feature map"):
        joined(tokens, ["1"], linear(35))


def test_exported_by_pytorch_it_gives_the_same():
    whole = joined(small(), ["first", "norm"], linear(8))
    assert isinstance(whole.module, Joined)
    program = torch.export.export(whole.module, (noise(1),), strict=False)
    torch.testing.assert_close(program.module()(noise(1)), whole(noise(1)))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # torch asks for it itself, and hides the warning
@pytest.mark.parametrize("places", [["first"], ["twice~1", "norm"]])
def test_compiled_it_gives_the_same_and_is_run_no_further(places):
    whole, images = joined(small(), places, linear(4 * len(places))), noise()
    compiled = torch.compile(whole.module, backend="aot_eager")
    leaf, other = (images.clone().requires_grad_() for _ in range(2))
    BEHIND.clear()
    logits = compiled(leaf)
    assert not BEHIND  # what lies behind may be gone, or not fit any more
    torch.testing.assert_close(logits, whole.module(other))
    (found,), (wanted,) = (
        torch.autograd.grad(one[:, 1].sum(), x) for one, x in ((logits, leaf), (whole.module(other), other))
    )
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(compiled(noise(5)), whole(noise(5)))
    assert not any(part._forward_hooks for part in whole.module.modules())
    torch._dynamo.reset()
