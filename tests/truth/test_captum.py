"""Every explanation equals Captum's, on networks that rectify in modules, in functions, in place, and clamped."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from captum import attr
from pytorch_grad_cam import GradCAM, HiResCAM, LayerCAM

import striate
from striate import lenses
from truth import peers
from truth.cases import CASES, case

STEPS = 6
RULES = ("gradient", "guided", "deconvnet")
networks = pytest.mark.parametrize("name", CASES)


@networks
@pytest.mark.parametrize("rule", RULES)
def test_saliency_of_classes(name, rule):
    it = case(name)
    theirs = peers.attribute(rule, it.modules, it.images, it.targets)
    largest = lenses.saliency(it.network, it.images, rule=rule)
    assert peers.deviation(largest.scores, theirs.abs().amax(1)) < it.tolerance


@networks
def test_signed_saliency_of_given_classes(name):
    it = case(name)
    classes = [3, 7]
    theirs = peers.attribute("gradient", it.modules, it.images, torch.tensor(classes))
    heatmap = lenses.saliency(it.network, it.images, [f"class:{index}" for index in classes], signed=True)
    assert peers.deviation(heatmap.scores, theirs.sum(1)) < it.tolerance


@networks
def test_input_x_gradient(name):
    it = case(name)
    theirs = peers.attribute("input_x_gradient", it.modules, it.images, it.targets)
    heatmap = lenses.input_x_gradient(it.network, it.images)
    assert peers.deviation(heatmap.scores, theirs.sum(1)) < it.tolerance


@networks
def test_integrated_gradients(name):
    # in double precision always: in single, Captum differs from itself in double by half a percent
    it = case(name)
    network, plain, images = it.network, it.plain, it.images.double()
    if it.images.dtype != images.dtype:
        plain, images = deepcopy(plain).double(), images[..., :96, :128]
        network = striate.Network(deepcopy(network.module).double(), spec=network.spec)
    mean, std = (images.new_tensor(values).view(1, -1, 1, 1) for values in (network.spec.mean, network.spec.std))
    black = (-mean / std).expand_as(images)
    options = {"baselines": black, "n_steps": STEPS, "internal_batch_size": 2 * STEPS}
    theirs = peers.attribute("integrated_gradients", plain, images, it.targets, **options)
    heatmap = lenses.integrated_gradients(network, images, it.targets.tolist(), steps=STEPS, baseline="black")
    assert peers.deviation(heatmap.scores, theirs.sum(1)) < 1e-6


@networks
@pytest.mark.parametrize("rectified", [True, False], ids=["rectified", "signed"])
def test_grad_cam_of_classes(name, rectified):
    it = case(name)
    for layer in it.plan.cam:
        with peers.quiet():
            peer = attr.LayerGradCam(it.plain, it.plain.get_submodule(layer))
            theirs = peer.attribute(it.images, it.targets, relu_attributions=rectified).detach()
        heatmap = lenses.grad_cam(it.network, it.images, layer=layer, relu=rectified)
        assert peers.deviation(heatmap.native, theirs.squeeze(1)) < it.tolerance


@networks
def test_grad_cam_of_a_channel_above(name):
    it = case(name)
    above, below = it.plan.cam
    module = it.plain.get_submodule(above)

    def channel_mean(images):
        kept = []
        handle = module.register_forward_hook(
            lambda *call: kept.append(call[-1].clone())
        )  # what follows may rectify in place
        it.plain(images)
        handle.remove()
        return kept[0].mean((2, 3))

    with peers.quiet():
        peer = attr.LayerGradCam(channel_mean, it.plain.get_submodule(below))
        theirs = peer.attribute(it.images, target=5, relu_attributions=False).detach()
    heatmap = lenses.grad_cam(it.network, it.images, f"{above}:5", layer=below, relu=False)
    assert peers.deviation(heatmap.native, theirs.squeeze(1)) < it.tolerance


@networks
@pytest.mark.parametrize("rule", RULES)
def test_saliency_of_channels_and_units(name, rule):
    it = case(name)
    layer = it.modules.get_submodule(it.plan.layer)
    row, column = 3, 2
    for neuron, address in (
        (lambda maps: maps[:, 4].mean((1, 2)), f"{it.plan.layer}:4"),
        ((4, row, column), f"{it.plan.layer}:4@{row},{column}"),
    ):
        theirs = peers.attribute(rule, it.modules, it.images, None, layer=layer, neuron=neuron)
        heatmap = lenses.saliency(it.network, it.images, address, rule=rule)
        assert peers.deviation(heatmap.scores, theirs.abs().amax(1)) < it.tolerance


@networks
def test_guided_grad_cam(name):
    it = case(name)
    with peers.quiet():
        peer = attr.GuidedGradCam(it.modules, it.modules.get_submodule(it.plan.layer))
        theirs = peer.attribute(it.images, it.targets, interpolate_mode="bilinear").detach()
    heatmap = lenses.grad_cam(it.network, it.images, layer=it.plan.layer, guided=True, placement="stretch")
    assert peers.deviation(heatmap.scores, theirs.abs().amax(1)) < it.tolerance


@networks
@pytest.mark.parametrize(("variant", "kind"), [("hires-cam", HiResCAM), ("layer-cam", LayerCAM), ("grad-cam", GradCAM)])
def test_relatives_of_grad_cam_equal_pytorch_grad_cams(name, variant, kind):
    it = case(name)
    layer = it.plan.cam[1]
    with peers.quiet():
        module = it.plain.get_submodule(layer)
        outputs, slopes = [], []

        def keep(*call):
            outputs.append(call[-1])
            call[-1].register_hook(slopes.append)

        handle = module.register_forward_hook(keep)
        logits = it.plain(it.images.clone().requires_grad_())
        handle.remove()
        logits.gather(1, it.targets[:, None]).sum().backward()
        maps, gradients = outputs[0].detach().numpy(), slopes[0].numpy()
        theirs = kind(it.plain, []).get_cam_image(it.images, module, it.targets, maps, gradients, False)
    heatmap = lenses.grad_cam(it.network, it.images, layer=layer, variant=variant, relu=False)
    assert peers.deviation(heatmap.native, torch.from_numpy(theirs)) < it.tolerance


@networks
def test_rectifiers_are_counted(name):
    # as many calls as the copy has; a shared module counts as often as it is called
    it = case(name)
    calls = []
    kinds = [part for part in it.modules.modules() if isinstance(part, torch.nn.ReLU)]
    handles = [part.register_forward_hook(lambda *call: calls.append(1)) for part in kinds]
    with torch.no_grad():
        it.modules(it.images)
    for handle in handles:
        handle.remove()
    assert lenses.saliency(it.network, it.images, rule="guided").details["rectifiers"] == len(calls)
