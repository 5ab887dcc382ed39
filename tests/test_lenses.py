"""What every lens has in common: found by name, fed with paths or tensors, its recipe attached, remade from it."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest
import torch
from torch import nn

import striate
from striate import registry
from striate.errors import AddressError, NetworkError, OptionError


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    names = ["ant", "bee", "crane", "crane"]
    module = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    )
    return striate.Network(module, striate.InputSpec(3, 24, 20), names, name="small")


@pytest.fixture(scope="module")
def images():
    return torch.rand(2, 3, 24, 20, generator=torch.Generator().manual_seed(1))


def test_lenses_are_functions_even_after_their_files_were_imported():
    module = importlib.import_module("striate.lenses.saliency")
    assert callable(striate.lenses.saliency)
    assert striate.lenses.saliency is module.saliency
    assert dir(striate.lenses) == registry.names()


def test_a_file_imported_first_does_not_hide_the_function():
    code = "import striate.lenses.saliency; from striate.lenses import saliency; print(type(saliency).__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "function"


def test_a_lens_that_is_none_is_an_attribute_error_with_the_nearest():
    with pytest.raises(AttributeError, match=r"no lens is called 'salience'\. Did you mean saliency"):
        striate.lenses.salience  # noqa: B018


def test_the_recipe_says_what_was_done(network, images):
    recipe = striate.lenses.saliency(network, images, ["class:bee", 2], rule="guided").recipe
    assert (recipe.lens, recipe.network, recipe.weights) == ("saliency", "small", network.weights_hash)
    assert recipe.target == ("class:bee", "class:2")  # "crane" stands for two classes
    assert recipe.options == {"rule": "guided", "signed": False}
    assert (recipe.version, recipe.device, recipe.dtype) == (striate.__version__, "cpu", "float32")
    assert recipe.seconds > 0
    assert "rectifiers followed the rule" in recipe.notes[0]


WITH_PICTURES_AND_TARGET = [
    name
    for name in registry.names()
    if registry.describe(name).target is not None and registry.describe(name).required == {"images"}
]


@pytest.mark.parametrize("name", [*WITH_PICTURES_AND_TARGET, "receptive_field"])
def test_a_result_is_made_again_from_its_saved_recipe(network, images, name, tmp_path):
    target = "4:1@max" if name == "receptive_field" else None
    fewer = {"optimizers": ["sgd", "adam"], "steps": 3, "grid": 5} if name == "optimizer_paths" else {}
    first = registry.function(name)(network, images, target, **fewer)
    again = striate.again(first.save(tmp_path / "result.json"), network, images)
    assert again.recipe.target == first.recipe.target
    for key, array in first.arrays().items():
        assert (array == again.arrays()[key]).all(), key


def test_pictures_can_be_paths(network, chelsea, images):
    by_path = striate.lenses.saliency(network, chelsea, 1)
    by_tensor = striate.lenses.saliency(network, network.read([chelsea]), 1)
    torch.testing.assert_close(by_path.scores, by_tensor.scores, rtol=0, atol=0)


def test_activations_of_layers_stages_and_all(network, images):
    graph = network.graph()
    assert list(striate.lenses.activations(network, images).maps) == [layer.address for layer in graph.stages()]
    assert list(striate.lenses.activations(network, images, layers="all").maps) == [
        layer.address for layer in graph.maps()
    ]
    last = graph.layers[-1]
    vectors = striate.lenses.activations(network, images, layers=last.address).maps[last.address]
    torch.testing.assert_close(vectors, network(images))


def test_filters_of_a_layer_without_kernels(network):
    with pytest.raises(NetworkError, match=r"has no two-dimensional kernels\. The first that has is"):
        striate.lenses.filters(network, layer=network.graph().layers[-1].address)
    bank = striate.lenses.filters(network)
    assert bank.colour
    assert bank.weights.shape[1] == 3


def test_receptive_fields_of_what_has_none(network, images):
    with pytest.raises(AddressError, match="is a class, which sees all of the picture"):
        striate.lenses.receptive_field(network, images, "class:bee")
    with pytest.raises(AddressError, match="has no map"):
        striate.lenses.receptive_field(network, images, network.graph().layers[-1].address)


def test_receptive_fields_of_layers_channels_and_units(network, images):
    layer = network.graph().maps()[0]
    maps = striate.lenses.activations(network, images, layers=layer.address).maps[layer.address]
    unit = striate.lenses.receptive_field(network, images, f"{layer.address}:1@2,3")
    assert unit.boxes == (layer.field.box(2, 3),) * 2
    torch.testing.assert_close(unit.values, maps[:, 1, 2, 3])
    channel = striate.lenses.receptive_field(network, images, f"{layer.address}:1")
    torch.testing.assert_close(channel.values, maps[:, 1].amax((1, 2)))
    whole = striate.lenses.receptive_field(network, images, layer.address)
    torch.testing.assert_close(whole.values, maps.amax((1, 2, 3)))


WRONG = {
    "steps must be at least 1": ("integrated_gradients", {"steps": 0}),
    "no baseline 'blak'": ("integrated_gradients", {"baseline": "blak"}),
    "chunk must be at least 1": ("integrated_gradients", {"chunk": 0}),
    "samples must be at least 2 for the variance": ("smoothgrad", {"samples": 1, "variant": "variance"}),
    "noise must be 0 or more": ("smoothgrad", {"noise": -1.0}),
    "no rule 'guide'": ("saliency", {"rule": "guide"}),
    "no variant 'gradcam'": ("grad_cam", {"variant": "gradcam"}),
    "no placement 'center'": ("grad_cam", {"placement": "center"}),
    "no variant 'median'": ("smoothgrad", {"variant": "median"}),
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_options_are_explained(network, images, message):
    name, options = WRONG[message]
    with pytest.raises(OptionError, match=message):
        registry.function(name)(network, images, **options)


def test_smoothgrad_counts_each_sample_once_when_memory_runs_out(network, images, monkeypatch):
    expected = striate.lenses.smoothgrad(network, images, samples=6, variant="variance").scores
    module = importlib.import_module("striate.lenses.smoothgrad")
    gradient, calls = module.gradient, []

    def scarce(network, batch, *args, **kwargs):
        calls.append(len(batch))
        if len(batch) > 3:
            raise torch.OutOfMemoryError("out of memory")
        return gradient(network, batch, *args, **kwargs)

    monkeypatch.setattr(module, "gradient", scarce)
    found = striate.lenses.smoothgrad(network, images, samples=6, variant="variance", chunk=8).scores
    torch.testing.assert_close(found, expected)
    assert calls[:3] == [8, 4, 2]
