"""What it costs to judge explanations: curves against the bare passes, and a report with checks and without."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from bench.measure import Claim, Table, interleaved
from bench.subjects import bare_forward, frozen, network, ordered, pictures
from striate import Network, lenses, trust
from striate.cli.demo import demo_pictures
from striate.report import look

__all__ = ["run"]

NAMES = ("efficientnet_lite0", "resnet18")
STEPS = 50


def run(*, quick: bool = False) -> Table:
    """Measure the curves of one picture of 224 x 224, the randomisation of one lens, and the report of the demo."""
    table = Table(
        "How far to believe an explanation",
        f"Curves: deletion and insertion of one picture, {STEPS} steps, 2 x {STEPS} masked pictures; beside them the "
        "same number of bare forward passes at the fastest of several batch sizes and both orders of memory. "
        "Randomisation: plain gradient of one picture at 8 stages, against 9 times the lens. Report: `make demo`.",
        ("network", "what", "seconds", "bare", "share"),
    )
    for name in NAMES[:1] if quick else NAMES:
        net = network(name)
        images = pictures(net, 1)
        found = lenses.grad_cam(net, images, 281)
        calls = {"curves": lambda net=net, images=images, found=found: trust.curves(net, images, found, steps=STEPS)}
        calls["bare"] = _bare(net, images)
        calls["lens"] = lambda net=net, images=images: lenses.saliency(net, images, 281)
        calls["randomisation"] = lambda net=net, images=images: trust.randomisation(net, images, "saliency", 281)
        seconds = interleaved(calls, repeats=1 if quick else 5)
        bare = seconds["bare"]
        share = bare / seconds["curves"]
        table.rows.append((name, "curves", f"{seconds['curves']:.2f}", f"{bare:.2f}", f"{share:.2f}"))
        table.claims.append(Claim(f"{name}: curves, share of the bare passes' speed", share, 0.9, at_most=False))
        nine = 9 * seconds["lens"]
        cost = seconds["randomisation"]
        table.rows.append((name, "randomisation", f"{cost:.2f}", f"{nine:.2f}", f"{nine / cost:.2f}"))
    if not quick:
        table.rows.append(_demo(table))
    return table


def _bare(net: Network, images: Tensor) -> Callable[[], object]:
    """Return as many bare passes as the curves take, in the order of memory and batch that a trial finds fastest."""
    passes: dict[tuple[str, int], Callable[[int], object]] = {}
    for order in (torch.contiguous_format, torch.channels_last):
        module = frozen(ordered(net, order).module)
        for size in (4, 8, 16, 50):
            batch = images.expand(size, -1, -1, -1).contiguous(memory_format=order)
            passes[f"{order}", size] = lambda count, module=module, batch=batch: [
                bare_forward(module, batch[: count - start]) for start in range(0, count, len(batch))
            ]
    trial = interleaved({f"{key}": lambda run=run: run(50) for key, run in passes.items()}, repeats=2)
    fastest = min(passes, key=lambda key: trial[f"{key}"])
    return lambda: passes[fastest](2 * STEPS)


def _demo(table: Table) -> tuple[str, ...]:
    """Time the report of the four photographs of the demo, with the checks and without."""
    net, paths = network("efficientnet_lite0"), demo_pictures()
    with tempfile.TemporaryDirectory() as folder:
        look(net, paths[:1], Path(folder), trust=False)  # whatever is loaded or worked out once
        seconds = {}
        for trusting in (True, False):
            start = time.perf_counter()
            look(net, paths, Path(folder), trust=trusting)
            seconds[trusting] = time.perf_counter() - start
    table.claims.append(Claim("seconds of the demo's report", seconds[True], 60, at_most=True))
    share = seconds[False] / seconds[True]
    return ("efficientnet_lite0", "report", f"{seconds[True]:.1f}", f"{seconds[False]:.1f}", f"{share:.2f}")
