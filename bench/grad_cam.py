"""Grad-CAM against the bare forward pass, Captum and pytorch-grad-cam."""

from __future__ import annotations

import time
import warnings

import torch
from captum import attr
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from bench.measure import Claim, Table, best, interleaved
from bench.subjects import NETWORKS, bare_forward, frozen, network, ordered, pictures
from striate import lenses

__all__ = ["run"]

COUNT = 8
LAYERS = {"efficientnet_lite0": "bn2", "resnet18": "layer4", "resnet50": "layer4"}


def run(*, quick: bool = False) -> Table:
    """Measure the last convolutional layer, 8 pictures at a time."""
    table = Table(
        "Grad-CAM",
        f"{COUNT} pictures, one class each. The peers run with all weights as they come, and with the weights frozen "
        "as far as each can bear; each in both orders of memory. The fastest of these counts. With frozen weights "
        "Captum costs little more than one forward pass itself; asked why the top class, it needs a second one. Ours "
        "runs the part before the layer with batch norm folded and rectifiers done by the convolutions, which is less "
        "than a forward pass, though not half of one; to prepare that takes what the first call takes longer, once.",
        ("network", "what", "settings", "seconds", "forward passes"),
    )
    for name in NETWORKS[: 1 if quick else None]:
        _one(name, table, repeats=5 if quick else 11)
    return table


def _one(name: str, table: Table, *, repeats: int) -> None:
    net = network(name)
    images, layer = pictures(net, COUNT), LAYERS[name]
    classes = net(images).argmax(1)
    targets = [f"class:{k}" for k in classes.tolist()]
    outputs = [ClassifierOutputTarget(k) for k in classes.tolist()]
    calls = {}
    started = time.perf_counter()
    lenses.grad_cam(ordered(net, torch.channels_last), images, targets, layer=layer)
    first = time.perf_counter() - started
    for order, shape in (
        ("plain", torch.contiguous_format),
        ("channels last", torch.channels_last),
    ):
        ours = ordered(net, shape)
        x = images.to(memory_format=shape)
        lean = frozen(ours.module)
        calls[f"bare forward|{order}"] = lambda m=lean, x=x: bare_forward(m, x)
        calls[f"grad_cam|{order}"] = lambda n=ours, x=x: lenses.grad_cam(n, x, targets, layer=layer)
        calls[f"grad_cam, layer chosen|{order}"] = lambda n=ours, x=x: lenses.grad_cam(n, x, targets)
        half = frozen(ours.module)
        half.get_submodule(layer).requires_grad_()  # the peer's backward pass needs a leaf at or below the layer
        free = frozen(ours.module).requires_grad_()
        for weights, captums, grad_cams in (("weights free", free, free), ("weights frozen", lean, half)):
            captum = attr.LayerGradCam(captums, captums.get_submodule(layer))
            calls[f"Captum|{order}, {weights}"] = lambda c=captum, x=x: c.attribute(x, classes, relu_attributions=True)
            peer = GradCAM(model=grad_cams, target_layers=[grad_cams.get_submodule(layer)])
            calls[f"pytorch-grad-cam|{order}, {weights}"] = lambda p=peer, x=x: p(input_tensor=x, targets=outputs)
            # what most people ask: why the class that it says? One forward pass tells both to grad_cam
            calls[f"Captum, top class|{order}, {weights}"] = lambda c=captum, m=captums, x=x: c.attribute(
                x, _classes(m, x), relu_attributions=True
            )
            calls[f"pytorch-grad-cam, top class|{order}, {weights}"] = lambda p=peer, x=x: p(
                input_tensor=x, targets=None
            )
        calls[f"grad_cam, top class|{order}"] = lambda n=ours, x=x: lenses.grad_cam(n, x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seconds = interleaved(calls, repeats=repeats)
    bare, took = best(seconds, "bare forward|")[1], best(seconds, "grad_cam|")[1]
    for call, spent in sorted(seconds.items(), key=lambda item: item[1]):
        table.rows.append((name, *call.split("|"), f"{spent:.4f}", f"{spent / bare:.2f}"))
    table.rows.append((name, "grad_cam, the first time", "channels last", f"{first:.4f}", f"{first / bare:.2f}"))
    table.claims.append(Claim(f"{name}, forward passes that grad_cam costs", took / bare, 1.15, at_most=True))
    for peer in ("Captum", "pytorch-grad-cam"):
        for asked, words in (("", "the class given"), (", top class", "the top class")):
            ratio = best(seconds, f"{peer}{asked}|")[1] / best(seconds, f"grad_cam{asked}|")[1]
            table.claims.append(Claim(f"{name}, {words}, speed of grad_cam against {peer}", ratio, 2, at_most=False))


def _classes(module: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Find the top classes as a user of Captum has to, at its best: without a graph."""
    with torch.no_grad():
        return module(images).argmax(1)
