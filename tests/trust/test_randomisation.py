"""Layers that forget: which do, what stays of a map, and that the network itself never changes."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from striate import lenses
from striate.errors import NetworkError, OptionError
from striate.network import Network
from striate.results import Heatmap
from striate.spec import InputSpec
from striate.trust import Explainer, randomisation
from striate.trust.randomisation import stage_counts
from striate.trust.weights import forgetful, layers_below


def edges(network: Network, images: torch.Tensor, target: object) -> Heatmap:
    """A map that looks at the picture alone, whatever the network."""
    found = lenses.saliency(network, images, target)  # type: ignore[arg-type]
    scores = images.diff(dim=3, prepend=images[:, :, :, :1]).abs().amax(1)
    return Heatmap(
        scores=scores,
        native=scores,
        target=found.target,
        score_values=found.score_values,
        signed=False,
        pictures=found.pictures,
    )


# --- which layers


def test_layers_from_the_bottom_up_with_their_normalisations(small, images):
    assert layers_below(small, images, None) == [("stem", "norm"), ("left",), ("right",), ("head",)]


def test_only_what_the_target_depends_on_forgets(small, images):
    assert layers_below(small, images, "right") == [("stem", "norm"), ("right",)]
    assert layers_below(small, images, "norm") == [("stem", "norm")]


@pytest.mark.parametrize(
    ("layers", "stages", "share", "counts"),
    [
        (50, 8, 1.0, [1, 8, 15, 22, 29, 36, 43, 50]),
        (50, 1, 0.25, [13]),
        (3, 8, 1.0, [1, 2, 3]),
        (1, 4, 0.1, [1]),
        (20, 2, 0.5, [1, 10]),
    ],
)
def test_stages_are_evenly_spread(layers, stages, share, counts):
    assert stage_counts(layers, stages, share) == counts


def test_exactly_the_top_layers_forget(small, images):
    layers = layers_below(small, images, None)
    before = copy.deepcopy(small.module.state_dict())
    for count, twin in enumerate(forgetful(small, images, layers, [1, 2, 3, 4], seed=0), start=1):
        forgotten = {name for layer in layers[4 - count :] for name in layer}
        for key, value in twin.module.state_dict().items():
            if "num_batches" not in key:
                assert torch.equal(value, before[key]) == (key.rpartition(".")[0] not in forgotten), key


def test_what_forgets_keeps_its_spread(small, images):
    layers = layers_below(small, images, None)
    (twin,) = forgetful(small, images, layers, [4], seed=0)

    def outputs(network: Network) -> dict[str, torch.Tensor]:
        found: dict[str, torch.Tensor] = {}
        module = copy.deepcopy(network.module).eval()
        for name in ("stem", "norm", "left", "right", "head"):
            part = module.get_submodule(name)
            part.register_forward_hook(lambda _module, _inputs, output, name=name: found.__setitem__(name, output))
        with torch.no_grad():
            module(images)
        return found

    before, after = outputs(small), outputs(twin)
    for name in ("stem", "left", "right", "head"):
        torch.testing.assert_close(after[name].std(), before[name].std(), rtol=1e-4, atol=0)
    # normalised by the statistics of these very pictures
    torch.testing.assert_close(after["norm"].mean((0, 2, 3)), torch.zeros(6), rtol=0, atol=1e-4)
    torch.testing.assert_close(after["norm"].std((0, 2, 3)), torch.ones(6), rtol=1e-3, atol=0)


def test_a_network_of_many_layers_does_not_die():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        deep = nn.Sequential(*(part for _ in range(40) for part in (nn.Conv2d(4, 4, 3, padding=1), nn.ReLU6())))
        with torch.no_grad():
            for part in deep[::2]:
                part.weight.normal_(0, (2 / 36) ** 0.5)
        net = Network(nn.Sequential(deep, nn.Flatten(), nn.Linear(4 * 64, 3)), InputSpec(4, 8, 8))
        images = torch.randn(3, 4, 8, 8)
    for twin in forgetful(net, images, layers_below(net, images, None), [20, 41], seed=0):
        assert lenses.saliency(twin, images, 0).scores.amax((1, 2)).min() > 0


# --- what stays of a map


def test_an_edge_filter_does_not_depend_on_the_network(small, images):
    found = randomisation(small, images, edges, "class:tabby", stages=4)
    assert (found.similarity - 1).abs().max() < 1e-12
    assert not found.depends("edges")
    assert found.sentence("edges") == (
        "Hardly changes when the top layer of the network gets random weights (similarity 1.00): "
        "it shows the picture, not the decision."
    )
    assert found.short("edges") == found.sentence("edges")


def test_the_gradient_of_a_trained_network_changes_and_guided_backprop_hardly_does(resnet20, six):
    found = randomisation(resnet20, six, ["saliency", "saliency:rule=guided", "grad_cam"], stages=5, seed=3)
    assert found.counts == (1, 6, 11, 15, 20)
    assert found.stages == ("linear", "layer3.0.conv2", "layer2.1.conv1", "layer1.2.conv1", "conv1")
    assert [found.depends(name) for name in found.names] == [True, False, True]
    assert found.left("saliency:rule=guided", 0) > 0.85  # the classifier alone
    assert found.left("saliency", 0) < 0.6
    assert found.left("saliency:rule=guided", 4) < 0.5  # all layers: then it does change
    assert "it shows the picture, not the decision" in found.sentence("saliency:rule=guided")
    assert found.short("saliency").startswith("Depends on the weights (similarity 0.")
    assert found.maps[0].shape == (6, 4, 32, 32)


def test_guided_backprop_of_efficientnet_hardly_changes(lite0, chelsea, astronaut):
    images = lite0.read([chelsea, astronaut])
    found = randomisation(lite0, images, ["saliency", "saliency:rule=guided"], stages=1, share=0.25)
    assert found.left("saliency:rule=guided") > 0.9
    assert found.left("saliency") < 0.65


def test_structure_may_be_compared_instead_of_order(small, images):
    found = randomisation(small, images, ["saliency"], 0, stages=2, similarity="ssim")
    assert found.measure == "ssim"
    assert (found.similarity[0, 0] == 1).all()
    assert (found.similarity[0, 1:] < 0.99).all()


def test_the_seed_decides_what_is_drawn(small, images):
    one, again, other = (randomisation(small, images, "saliency", 0, seed=seed, stages=2) for seed in (0, 0, 1))
    torch.testing.assert_close(again.similarity, one.similarity, rtol=0, atol=0)
    assert not torch.equal(other.similarity, one.similarity)


def test_maps_made_before_and_fewer_pictures_give_the_same(small, images):
    whole = randomisation(small, images[:1], "saliency", 1, stages=2)
    made = {"saliency": lenses.saliency(small, images, 1)}
    first = randomisation(small, images, "saliency", 1, stages=2, heatmaps=made, most=1)
    torch.testing.assert_close(first.similarity, whole.similarity)
    assert len(first) == 1


def test_a_map_that_vanishes_has_nothing_in_common_and_is_said(small, images):
    def empty_when_random(network, images, target):
        found = lenses.saliency(network, images, target)
        if network.module is not small.module:
            found.scores.zero_()
        return found

    found = randomisation(small, images, empty_when_random, 0, stages=2)
    assert (found.similarity[0, 1:] == 0).all()
    assert found.recipe.notes[-1].startswith("4 of 4 maps came out flat or not finite")


def test_a_unit_keeps_its_place(small, images):
    asked: list[object] = []

    def remember(network, images, target):
        asked.append(target)
        return lenses.saliency(network, images, target)

    found = randomisation(small, images, remember, "right:2@max", stages=1)
    assert all("max" not in one for one in found.target)
    assert asked == ["right:2@max", list(found.target)]
    assert found.layers == 2


# --- the network itself


@pytest.mark.parametrize("breaks", [False, True])
def test_the_network_is_as_it_was(small, images, breaks):
    small.module.train()
    small.module.head.weight.requires_grad_(False)
    before, hashed = copy.deepcopy(small.module.state_dict()), small.weights_hash
    calls = 0

    def lens(network, images, target):
        nonlocal calls
        calls += 1
        if breaks and calls == 2:
            raise OptionError("broken on purpose")
        return lenses.saliency(network, images, target)

    if breaks:
        with pytest.raises(OptionError, match="broken on purpose"):
            randomisation(small, images, lens, 0)
    else:
        randomisation(small, images, lens, 0)
    after = small.module.state_dict()
    assert all(torch.equal(value, before[key]) for key, value in after.items())
    assert small.weights_hash == hashed
    assert all(part.training for part in small.module.modules())
    assert [weight.requires_grad for weight in small.module.head.parameters()] == [False, True]
    assert all(weight.grad is None for weight in small.module.parameters())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in small.module.modules())


# --- errors


@pytest.mark.parametrize("options", [{"stages": 0}, {"share": 0.0}, {"share": 1.5}, {"most": 0}])
def test_options_out_of_range(small, images, options):
    with pytest.raises(OptionError, match=r"stages must be at least 1, share in \(0, 1\] and most at least 1"):
        randomisation(small, images, "saliency", **options)


def test_a_lens_that_is_no_heatmap(small, images):
    predicting = Explainer("guess", lambda network, images, target: lenses.predictions(network, images))
    with pytest.raises(OptionError, match="guess gives Predictions, no heatmap"):
        randomisation(small, images, predicting)


def test_a_network_without_weights():
    net = Network(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), InputSpec(3, 8, 8))
    with pytest.raises(NetworkError, match="no weights below the target"):
        randomisation(net, torch.rand(1, 3, 8, 8), "saliency")


def test_a_network_that_cannot_be_copied(small, images):
    small.module.head.kept = small.module.head.weight * 2  # deepcopy refuses what has a gradient's history
    with pytest.raises(NetworkError, match=r"small cannot be copied \(RuntimeError: Only Tensors created explicitly"):
        randomisation(small, images, "saliency")
