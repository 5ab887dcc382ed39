"""Occlusion against Captum, against plain batched inference, and against the limit that the arithmetic sets."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from copy import deepcopy

import torch
import torchvision
from captum import attr
from torch import Tensor, nn

import striate
from bench.measure import Claim, Table, memory_of, peak_bytes
from striate import lenses

__all__ = ["run"]

SIZE, PATCH, STRIDE = 224, 16, 8
SIDE = (SIZE - PATCH) // STRIDE + 1
# network, times Captum's speed that are promised
NETWORKS = {
    "vgg16": 8.0,
    "resnet50": 4.0,
    "resnet18": 4.0,
    "alexnet": 4.0,
    "efficientnet_lite0": 3.0,
    "densenet121": 3.0,
    "mobilenet_v2": None,
}
SHARE = 0.7  # of the limit, against plain batched inference
BATCHES = (4, 8, 16, 32)
_LONG = 12.0  # seconds


def run(*, quick: bool = False) -> Table:
    """Measure one picture of 224 x 224 under 729 patches of 16 x 16, every 8 pixels."""
    table = Table(
        "Occlusion",
        f"One picture of {SIZE} x {SIZE} under {SIDE * SIDE} patches of {PATCH} x {PATCH}, every {STRIDE} pixels, "
        "black. Random weights but for EfficientNet-Lite0. Captum runs as its users run it (weights and picture in "
        "their default order of memory) with the best of several `perturbations_per_eval`; plain inference writes the "
        "patches into one buffer in place, channels last, with its best batch, chosen on 40 patches. The limit is the "
        "number of multiply-adds of the whole network over that of the values which a patch really changes, counted "
        "by comparing every convolution's output with and without the patch, for 24 patches. It can be passed: "
        "windows stay in the cache, whole maps do not, and convolutions of three by three take fewer multiplications. "
        "The first time in a process compiled code is loaded. The error is the largest difference from plain "
        "inference, relative to the largest drop.",
        ("network", "what", "seconds", "times as fast as Captum", "as plain", "limit", "error"),
    )
    if not quick:
        held = memory_of("bench.occlusion") / 1e9
        table.claims.append(Claim("resnet50 at 448 x 448, gigabytes above the network", held, 3.0, at_most=True))
    for name in ["resnet18"] if quick else NETWORKS:
        _one(name, table)
        print(f"{name}: {table.claims[-1].sentence()}", file=sys.stderr, flush=True)  # minutes apart
    return table


def _one(name: str, table: Table) -> None:
    net = _network(name)
    image = torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    black = net.spec.baseline("black", image)
    target = int(net(image).argmax())
    captum = attr.Occlusion(deepcopy(net.module).to(memory_format=torch.contiguous_format))
    ordered = net.module.to(memory_format=torch.channels_last)

    def captums(batch: int, patch: int = PATCH, stride: int = STRIDE) -> Tensor:
        with torch.no_grad():
            return captum.attribute(
                image, (3, patch, patch), (3, stride, stride), black, target, perturbations_per_eval=batch
            )

    seconds: dict[str, float] = {}
    batch = min(BATCHES, key=lambda size: _took(lambda: captums(size, 32, 32)))
    seconds["Captum"] = _took(lambda: captums(batch))
    count = min(BATCHES, key=lambda size: _took(lambda: _plain(ordered, image, black, size, target, 40)))
    drops: list[Tensor] = []
    seconds["plain"] = _took(lambda: drops.append(_plain(ordered, image, black, count, target)))
    half = _half(ordered)
    seconds["plain, bfloat16"] = _took(lambda: _plain(half, image.bfloat16(), black.bfloat16(), count, target))
    error = {}
    for label, precision in (("occlusion", "float32"), ("occlusion, bfloat16", "bfloat16")):

        def ours(precision: str = precision) -> striate.results.Heatmap:
            return lenses.occlusion(net, image, target, patch=PATCH, stride=STRIDE, precision=precision)

        found: list[striate.results.Heatmap] = []

        def call(
            run: Callable[[], striate.results.Heatmap] = ours, found: list[striate.results.Heatmap] = found
        ) -> None:
            found.append(run())

        first = _took(call, once=True)
        if precision == "float32":
            seconds[f"{label}, the first time"] = first
        seconds[label] = _took(call)
        wrong = (found[0].native.flatten() - drops[0]).abs().max() / drops[0].abs().max()
        error[label] = f"{float(wrong):.1e}"
    limit = _limit(ordered, image, black)
    for label, took in sorted(seconds.items(), key=lambda item: -item[1]):
        base = "plain, bfloat16" if "bfloat16" in label else "plain"
        table.rows.append(
            (
                name,
                label + {"Captum": f", {batch} at a time", "plain": f", {count} at a time"}.get(label, ""),
                f"{took:.2f}",
                f"{seconds['Captum'] / took:.2f}",
                f"{seconds[base] / took:.2f}",
                f"{limit:.2f}" if label in error else "",
                error.get(label, ""),
            )
        )
    promised = NETWORKS[name]
    if promised is not None:
        ratio = seconds["Captum"] / seconds["occlusion"]
        table.claims.append(Claim(f"{name}, speed against Captum", ratio, promised, at_most=False))
    share = seconds["plain"] / seconds["occlusion"] / limit
    table.claims.append(
        Claim(
            f"{name}, share of the limit of {limit:.2f} that is reached against plain inference",
            share,
            SHARE,
            at_most=False,
        )
    )


def _network(name: str) -> striate.Network:
    if name == "efficientnet_lite0":
        return striate.load(name)
    torch.manual_seed(0)
    module = getattr(torchvision.models, name)(weights=None)
    return striate.Network(module.eval(), striate.InputSpec(mean=(0.5,) * 3, std=(0.25,) * 3), name=name)


def _half(module: nn.Module) -> nn.Module:
    return deepcopy(module).bfloat16()


def _took(call: Callable[[], object], *, once: bool = False) -> float:
    """Return the seconds of a call; the better of two where one takes little, as other work then weighs more."""
    start = time.perf_counter()
    call()
    spent = time.perf_counter() - start
    return spent if once or spent > _LONG else min(spent, _took(call, once=True))


def _corners() -> list[tuple[int, int]]:
    places = range(0, SIZE - PATCH + 1, STRIDE)
    return [(top, left) for top in places for left in places]


def _plain(
    module: nn.Module, image: Tensor, black: Tensor, batch: int, target: int, total: int | None = None
) -> Tensor:
    """Return the drop under each patch, the patches written into one buffer and taken out again."""
    corners = _corners()[:total]
    buffer = image.expand(batch, -1, -1, -1).contiguous(memory_format=torch.channels_last)
    found = []
    with torch.inference_mode():
        clean = module(image)[0, target]
        for start in range(0, len(corners), batch):
            part = corners[start : start + batch]
            for row, (top, left) in enumerate(part):
                at = (slice(None), slice(top, top + PATCH), slice(left, left + PATCH))
                buffer[row][at] = black[0][at]
            found.append(clean - module(buffer[: len(part)])[:, target])
            for row, (top, left) in enumerate(part):
                at = (slice(None), slice(top, top + PATCH), slice(left, left + PATCH))
                buffer[row][at] = image[0][at]
    return torch.cat(found).float()


def _limit(module: nn.Module, image: Tensor, black: Tensor) -> float:
    """Return all multiply-adds over those of outputs that a patch changes."""
    clean: dict[str, Tensor] = {}
    total = affected = 0.0
    generator = torch.Generator().manual_seed(1)
    corners = _corners()
    chosen = [corners[int(at)] for at in torch.randperm(len(corners), generator=generator)[:24]]

    def note(name: str, layer: nn.Module, output: Tensor, first: bool) -> None:
        nonlocal total, affected
        weight = layer.weight
        each = weight[0].numel()
        if first:
            clean[name] = output.clone()  # the next step may write into it
            return
        total += output.numel() * each
        changed = (output != clean[name])[0]
        if changed.dim() == 3:  # the box around all that has changed
            rows, columns = changed.any(0).any(1).nonzero(), changed.any(0).any(0).nonzero()
            box = (rows.max() - rows.min() + 1) * (columns.max() - columns.min() + 1) if len(rows) else 0
            affected += float(box) * output.shape[1] * each
        else:
            affected += output.numel() * each

    for index, corner in enumerate([None, *chosen]):
        picture = image.clone()
        if corner is not None:
            at = (slice(None), slice(None), slice(corner[0], corner[0] + PATCH), slice(corner[1], corner[1] + PATCH))
            picture[at] = black[at]
        handles = [
            layer.register_forward_hook(
                lambda part, _inputs, output, name=name, first=index == 0: note(name, part, output, first)
            )
            for name, layer in module.named_modules()
            if isinstance(layer, nn.Conv2d | nn.Linear)
        ]
        with torch.inference_mode():
            module(picture)
        for handle in handles:
            handle.remove()
    return total / affected


if __name__ == "__main__":
    net = _network("resnet50")
    large = torch.randn(1, 3, 448, 448)
    print(peak_bytes(lambda: net(large), lambda: lenses.occlusion(net, large, patch=PATCH, stride=PATCH)))
