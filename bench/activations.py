"""Activations of an early layer against the whole forward pass: the network is run no further than asked."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench.measure import Claim, Table, best, interleaved
from bench.subjects import NETWORKS, bare_forward, frozen, network, ordered, pictures
from striate import Network, lenses

__all__ = ["run"]

COUNT = 32


def run(*, quick: bool = False) -> Table:
    """Measure the layers at a quarter of the convolutions, and of the multiply-adds."""
    table = Table(
        "Activations at a quarter of the depth",
        f"{COUNT} pictures; the convolution with which a quarter of all convolutions, or of all multiply-adds, are "
        "done. The bare forward pass runs all pictures at once or 4 at a time, in both orders of memory; the fastest "
        "counts. Ours, which folds batch norm into the convolutions before the layer, is warm.",
        ("network", "what", "settings", "seconds", "forward passes"),
    )
    for name in NETWORKS[: 1 if quick else None]:
        for part in ("convolutions", "multiply-adds"):
            _one(name, part, table, repeats=5 if quick else 9)
    return table


def _one(name: str, part: str, table: Table, *, repeats: int) -> None:
    net = network(name)
    images, layer = pictures(net, COUNT), _quarter(net, part)
    calls = {}
    for order, shape in (
        ("plain", torch.contiguous_format),
        ("channels last", torch.channels_last),
    ):
        ours = ordered(net, shape)
        x, lean = images.to(memory_format=shape), frozen(ours.module)
        calls[f"bare forward|{order}"] = lambda m=lean, x=x: bare_forward(m, x)
        calls[f"bare forward|{order}, 4 at a time"] = lambda m=lean, x=x: [bare_forward(m, four) for four in x.split(4)]
        calls[f"bare forward as far as {layer}|{order}"] = lambda m=lean, x=x: _as_far_as(m, layer, x)
        calls[f"activations of {layer}|{order}"] = lambda n=ours, x=x: lenses.activations(n, x, layers=layer)
    seconds = interleaved(calls, repeats=repeats)
    bare, took = best(seconds, "bare forward|")[1], best(seconds, "activations")[1]
    for what in dict.fromkeys(call.partition("|")[0] for call in calls):
        fastest, spent = best(seconds, f"{what}|")
        table.rows.append((name, what, fastest.partition("|")[2], f"{spent:.3f}", f"{spent / bare:.2f}"))
    table.claims.append(
        Claim(f"{name}, a quarter of the {part} ({layer}), forward passes", took / bare, 0.4, at_most=True)
    )


class _Far(Exception):  # a signal, not an error
    """The layer was reached."""


def _as_far_as(module: nn.Module, layer: str, images: Tensor) -> None:
    def stop(*_call: object) -> None:
        raise _Far

    handle = module.get_submodule(layer).register_forward_hook(stop)
    try:
        bare_forward(module, images)
    except _Far:
        pass
    finally:
        handle.remove()


def _quarter(net: Network, part: str) -> str:
    rows = [row for row in net.graph().rows if row.kind == "Conv2d"]
    if part == "convolutions":
        return rows[len(rows) // 4 - 1].address
    done = [sum(row.macs for row in rows[: index + 1]) for index in range(len(rows))]
    return next(row.address for row, macs in zip(rows, done, strict=True) if macs >= done[-1] / 4)
