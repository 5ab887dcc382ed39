"""Memory of integrated gradients against Captum's; each is measured in a process of its own."""

from __future__ import annotations

import sys
import warnings

from captum import attr

from bench.measure import Claim, Table, memory_of, peak_bytes
from bench.subjects import bare_backward, frozen, network, pictures
from striate import lenses

__all__ = ["run"]

NAME, STEPS = "resnet18", 50
CALLS = {
    "integrated_gradients": "as it comes",
    "captum": "as it comes",
    "captum-8": "internal_batch_size=8",
    "captum-1": "internal_batch_size=1",
}


def run(*, quick: bool = False) -> Table:
    """Measure one picture of 224 x 224 and 50 steps."""
    table = Table(
        "Memory of integrated gradients",
        f"{NAME}, one picture, {STEPS} steps: peak resident memory of a process of its own, above what it holds "
        "after one bare pass forward and back.",
        ("what", "setting", "MB more"),
    )
    bytes_of = {}
    for call, setting in CALLS.items():
        if quick and call.startswith("captum-"):
            continue
        bytes_of[call] = memory_of("bench.integrated", call)
        table.rows.append((call.partition("-")[0], setting, f"{bytes_of[call] / 1e6:.0f}"))
    share = bytes_of["integrated_gradients"] / bytes_of["captum"]
    table.claims.append(Claim("memory as a share of Captum's default", share, 0.25, at_most=True))
    return table


def _child(call: str) -> int:
    warnings.simplefilter("ignore")
    net = network(NAME)
    images, lean = pictures(net, 1), frozen(net.module)
    net.graph()
    peer, _, size = call.partition("-")
    options = {"internal_batch_size": int(size)} if size else {}
    calls = {
        "integrated_gradients": lambda: lenses.integrated_gradients(net, images, "class:281", steps=STEPS),
        "captum": lambda: attr.IntegratedGradients(lean).attribute(images, target=281, n_steps=STEPS, **options),
    }
    return peak_bytes(lambda: bare_backward(lean, images), calls[peer])


if __name__ == "__main__":
    print(_child(sys.argv[1]))
