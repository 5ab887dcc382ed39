"""Activations of an early layer against the whole forward pass: the network is run no further than asked."""

from __future__ import annotations

import torch

from bench.measure import Claim, Table, best, interleaved
from bench.subjects import NETWORKS, bare_forward, channels_last, frozen, network, pictures
from striate import Network, lenses

__all__ = ["run"]

COUNT = 32


def run(*, quick: bool = False) -> Table:
    """Measure the layer that stands at a quarter of the convolutions."""
    table = Table(
        "Activations at a quarter of the depth",
        f"{COUNT} pictures, the convolution before which a quarter of all convolutions stand.",
        ("network", "what", "order of memory", "seconds", "forward passes"),
    )
    for name in NETWORKS[: 1 if quick else None]:
        _one(name, table, repeats=5 if quick else 9)
    return table


def _one(name: str, table: Table, *, repeats: int) -> None:
    net = network(name)
    images, layer = pictures(net, COUNT), _quarter(net)
    calls = {}
    for order, ours, shape in (
        ("plain", net, torch.contiguous_format),
        ("channels last", channels_last(net), torch.channels_last),
    ):
        x, lean = images.to(memory_format=shape), frozen(ours.module)
        calls[f"bare forward|{order}"] = lambda m=lean, x=x: bare_forward(m, x)
        calls[f"activations of {layer}|{order}"] = lambda n=ours, x=x: lenses.activations(n, x, layers=layer)
    seconds = interleaved(calls, repeats=repeats)
    bare, took = best(seconds, "bare forward|")[1], best(seconds, "activations")[1]
    for what in dict.fromkeys(call.partition("|")[0] for call in calls):
        fastest, spent = best(seconds, f"{what}|")
        table.rows.append((name, what, fastest.partition("|")[2], f"{spent:.3f}", f"{spent / bare:.2f}"))
    table.claims.append(
        Claim(f"{name}, forward passes that activations of {layer} cost", took / bare, 0.4, at_most=True)
    )


def _quarter(net: Network) -> str:
    convolutions = [row.address for row in net.graph().rows if row.kind == "Conv2d"]
    return convolutions[len(convolutions) // 4]
