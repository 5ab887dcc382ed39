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
    """Measure the layer that stands at a quarter of the convolutions."""
    table = Table(
        "Activations at a quarter of the depth",
        f"{COUNT} pictures, the convolution with which a quarter of all convolutions are done.",
        ("network", "what", "order of memory", "seconds", "forward passes"),
    )
    for name in NETWORKS[: 1 if quick else None]:
        _one(name, table, repeats=5 if quick else 9)
    return table


def _one(name: str, table: Table, *, repeats: int) -> None:
    net = network(name)
    images, layer = pictures(net, COUNT), _quarter(net)
    calls = {}
    for order, shape in (
        ("plain", torch.contiguous_format),
        ("channels last", torch.channels_last),
    ):
        ours = ordered(net, shape)
        x, lean = images.to(memory_format=shape), frozen(ours.module)
        calls[f"bare forward|{order}"] = lambda m=lean, x=x: bare_forward(m, x)
        calls[f"bare forward as far as {layer}|{order}"] = lambda m=lean, x=x: _as_far_as(m, layer, x)
        calls[f"activations of {layer}|{order}"] = lambda n=ours, x=x: lenses.activations(n, x, layers=layer)
    seconds = interleaved(calls, repeats=repeats)
    bare, took = best(seconds, "bare forward|")[1], best(seconds, "activations")[1]
    for what in dict.fromkeys(call.partition("|")[0] for call in calls):
        fastest, spent = best(seconds, f"{what}|")
        table.rows.append((name, what, fastest.partition("|")[2], f"{spent:.3f}", f"{spent / bare:.2f}"))
    table.claims.append(
        Claim(f"{name}, forward passes that activations of {layer} cost", took / bare, 0.4, at_most=True)
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


def _quarter(net: Network) -> str:
    convolutions = [row.address for row in net.graph().rows if row.kind == "Conv2d"]
    return convolutions[len(convolutions) // 4 - 1]
