"""Gradient lenses against the bare forward and input-only backward pass, and against Captum."""

from __future__ import annotations

import warnings

import torch
from captum import attr

from bench.measure import Claim, Table, best, interleaved
from bench.subjects import NETWORKS, bare_backward, frozen, network, ordered, pictures
from striate import lenses

__all__ = ["run"]

COUNT = 32


def run(*, quick: bool = False) -> Table:
    """Measure 32 pictures at a time; lenses of many passes get 2 pictures and 16 passes, the same work."""
    table = Table(
        "Gradient lenses",
        f"{COUNT} pictures. The bare pass runs the frozen network forward and back to the pixels, and Captum the "
        "same network, each in the faster of the two orders of memory, all at once or 8 at a time. "
        "The fastest way of the bare pass is found first; it is timed in turn with the lenses, the rest after them. "
        "Speed is that of the bare pass over that of the lens. Captum's integrated gradients work in batches of 32.",
        ("network", "what", "settings", "seconds", "speed"),
    )
    for name in NETWORKS[: 1 if quick else 2]:
        _one(name, table, repeats=3)
    return table


def _one(name: str, table: Table, *, repeats: int) -> None:
    net = network(name)
    images = pictures(net, COUNT)
    few = images[:2]
    classes, fewer = net(images).argmax(1), net(few).argmax(1)
    targets, few_targets = [f"class:{k}" for k in classes.tolist()], [f"class:{k}" for k in fewer.tolist()]
    calls = {}
    for order, shape in (
        ("plain", torch.contiguous_format),
        ("channels last", torch.channels_last),
    ):
        ours = ordered(net, shape)
        theirs = frozen(ours.module)
        many, some = images.to(memory_format=shape), few.to(memory_format=shape)
        calls |= {
            f"bare pass|{order}": lambda m=theirs, x=many: bare_backward(m, x),
            f"bare pass|{order}, 8 at a time": lambda m=theirs, x=many: [bare_backward(m, part) for part in x.split(8)],
            f"Captum Saliency|{order}, 8 at a time": lambda m=theirs, x=many: [
                attr.Saliency(m).attribute(part.clone(), of)
                for part, of in zip(x.split(8), classes.split(8), strict=True)
            ],
            f"saliency|{order}": lambda n=ours, x=many: lenses.saliency(n, x, targets),
            f"saliency, guided|{order}": lambda n=ours, x=many: lenses.saliency(n, x, targets, rule="guided"),
            f"saliency, deconvnet|{order}": lambda n=ours, x=many: lenses.saliency(n, x, targets, rule="deconvnet"),
            f"input_x_gradient|{order}": lambda n=ours, x=many: lenses.input_x_gradient(n, x, targets),
            f"smoothgrad|{order}": lambda n=ours, x=some: lenses.smoothgrad(n, x, few_targets, samples=16),
            f"integrated_gradients|{order}": lambda n=ours, x=some: lenses.integrated_gradients(
                n, x, few_targets, steps=16
            ),
            f"Captum Saliency|{order}": lambda m=theirs, x=many: attr.Saliency(m).attribute(x.clone(), classes),
            f"Captum InputXGradient|{order}": lambda m=theirs, x=many: attr.InputXGradient(m).attribute(
                x.clone(), classes
            ),
            f"Captum IntegratedGradients|{order}": lambda m=theirs, x=some: attr.IntegratedGradients(m).attribute(
                x, target=fewer, n_steps=16, internal_batch_size=COUNT
            ),
        }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trial = interleaved({call: run for call, run in calls.items() if call.startswith("bare pass|")}, repeats=2)
        fastest = best(trial, "bare pass|")[0]
        ours_first = {
            call: run for call, run in calls.items() if call == fastest or not call.startswith(("bare", "Captum"))
        }
        # what runs 32 pictures at once leaves gigabytes behind, to be given back by whoever comes next
        seconds = interleaved(ours_first, repeats=repeats + 2)
        seconds |= interleaved({call: run for call, run in calls.items() if call not in ours_first}, repeats=repeats)
    bare = seconds[fastest]
    for what in dict.fromkeys(call.partition("|")[0] for call in calls):
        way, took = best(seconds, f"{what}|")
        table.rows.append((name, what, way.partition("|")[2], f"{took:.3f}", f"{bare / took:.2f}"))
        if "Captum" not in what and what != "bare pass":
            table.claims.append(Claim(f"{name}, {what}, speed against the bare pass", bare / took, 0.9, at_most=False))
