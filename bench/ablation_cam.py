"""Ablation-CAM and Score-CAM against pytorch-grad-cam."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable

import torch
from pytorch_grad_cam import AblationCAM, ScoreCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from bench.measure import Claim, Table, best, interleaved
from bench.subjects import bare_forward, frozen, network, ordered, pictures
from striate import lenses

__all__ = ["run"]

NETWORKS = ("resnet18", "efficientnet_lite0")  # the peer takes minutes for the 2,048 channels of a resnet50
LAST = {"efficientnet_lite0": "bn2", "resnet18": "layer4"}
EARLIER = {"efficientnet_lite0": "blocks.3", "resnet18": "layer1"}  # fewer channels, each of which costs as much
ORDERS = {"plain": torch.contiguous_format, "channels last": torch.channels_last}
ABLATION_BATCHES, SCORE_BATCHES = (16, 32, 64), (8, 16, 32)


def run(*, quick: bool = False) -> Table:
    """Measure the last convolutional layer on one picture."""
    table = Table(
        "Ablation-CAM and Score-CAM",
        "One picture, one class. pytorch-grad-cam runs with frozen weights, at several batch sizes, in both orders of "
        "memory; the fastest counts. Its Ablation-CAM runs the whole network for every channel of the last "
        "convolutional layer, ours only what comes after the layer. On maps with values below zero (those of "
        "efficientnet_lite0) its numbers depend on the batch size; the time does not. Score-CAM has to run the whole "
        "network for every channel, as do bare forward passes of as many pictures. It is measured on an earlier "
        "layer of fewer channels.",
        ("network", "what", "settings", "seconds"),
    )
    for name in NETWORKS[: 1 if quick else None]:
        _one(name, table, quick=quick)
    return table


def _one(name: str, table: Table, *, quick: bool) -> None:
    net = network(name)
    image, last, earlier = pictures(net, 1), LAST[name], EARLIER[name]
    index = int(net(image).argmax())
    channels = net.graph().layer(earlier).channels
    outputs = [ClassifierOutputTarget(index)]
    calls: dict[str, Callable[[], object]] = {}
    for order, shape in ORDERS.items():
        ours = ordered(net, shape)
        lean = frozen(ours.module)
        x = image.to(memory_format=shape)
        calls[f"ablation_cam|{order}"] = lambda n=ours: lenses.ablation_cam(n, image, index, layer=last)
        calls[f"score_cam|{order}"] = lambda n=ours: lenses.score_cam(n, image, index, layer=earlier)
        for size in ABLATION_BATCHES[1:2] if quick else ABLATION_BATCHES:
            peer = AblationCAM(lean, [lean.get_submodule(last)], batch_size=size)
            calls[f"pytorch-grad-cam's AblationCAM|{order}, {size} at a time"] = _quietly(peer, x, outputs)
        for size in SCORE_BATCHES[:1] if quick else SCORE_BATCHES:
            batch = image.expand(size, -1, -1, -1).contiguous(memory_format=shape)
            calls[f"bare forward passes|{order}, {size} at a time"] = lambda m=lean, b=batch: [
                bare_forward(m, b) for _ in range(-(-channels // len(b)))
            ]
            # its Score-CAM has a batch size only as an attribute that users set
            scoring = ScoreCAM(lean, [lean.get_submodule(earlier)])
            scoring.batch_size = size
            calls[f"pytorch-grad-cam's ScoreCAM|{order}, {size} at a time"] = _quietly(scoring, x, outputs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seconds = interleaved(calls, repeats=1 if quick else 3)
    for call, spent in sorted(seconds.items(), key=lambda item: item[1]):
        table.rows.append((name, *call.split("|"), f"{spent:.4f}"))
    ablation, score = (best(seconds, f"{lens}|")[1] for lens in ("ablation_cam", "score_cam"))
    peers = [best(seconds, f"pytorch-grad-cam's {kind}|")[1] for kind in ("AblationCAM", "ScoreCAM")]
    bare = best(seconds, "bare forward passes|")[1]
    claims = (
        ("speed of ablation_cam against pytorch-grad-cam", peers[0] / ablation, 50),
        ("speed of score_cam against pytorch-grad-cam", peers[1] / score, 1),
        ("speed of score_cam against the bare forward passes", bare / score, 0.9),
    )
    table.claims += [Claim(f"{name}, {text}", value, limit, at_most=False) for text, value, limit in claims]


def _quietly(peer: object, image: torch.Tensor, outputs: list[ClassifierOutputTarget]) -> Callable[[], object]:
    """Call a peer without the bar that it draws for every picture."""

    def call() -> object:
        with contextlib.redirect_stderr(io.StringIO()):
            return peer(input_tensor=image, targets=outputs)  # type: ignore[operator]

    return call
