"""LocallyConnected2d against one batched matrix product of the same size, and against a naive loop.

Keras 3 has no locally connected layer any more, so there is no peer to measure. The product stands for what cannot be
avoided: windows (places, N, K) times kernels (places, K, O), with the windows gathered beforehand, and both slopes.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.measure import Claim, Table, interleaved
from striate.nets import LocallyConnected2d

__all__ = ["run"]

# pictures, channels, side, filters, kernel
SIZES = ((64, 32, 16, 64, 3), (32, 64, 14, 128, 3), (128, 16, 20, 32, 3), (32, 16, 28, 32, 5))


def run(*, quick: bool = False) -> Table:
    """Measure forward alone, and forward with backward to weights and input."""
    table = Table(
        "Locally connected layer",
        "Forward without gradients, and forward with the gradients of weights and input, each against one batched "
        "matrix product (forward, or with both its gradients) of as many numbers, whose windows are already gathered. "
        "Bias left out. Keras 3 has no such layer any more; the loop runs over places as the formula does.",
        ("input", "filters", "what", "order of memory", "ms", "times the product"),
    )
    for size in SIZES[: 1 if quick else None]:
        _one(size, table, repeats=5 if quick else 11)
    return table


def _one(size: tuple[int, int, int, int, int], table: Table, *, repeats: int) -> None:
    count, channels, side, filters, kernel = size
    torch.manual_seed(0)
    layer = LocallyConnected2d(channels, filters, side, kernel, bias=False)
    places, taps = layer.output_size[0] * layer.output_size[1], channels * kernel**2
    images = torch.randn(count, channels, side, side, requires_grad=True)
    last = images.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
    windows = torch.randn(places, count, taps, requires_grad=True)
    kernels = torch.randn(places, filters, taps, requires_grad=True)
    slope = torch.randn(places, count, filters)
    slopes = {
        "plain": torch.randn(count, filters, *layer.output_size),
        "channels last": torch.randn(count, filters, *layer.output_size).to(memory_format=torch.channels_last),
    }

    def product() -> Tensor:
        return torch.bmm(windows, kernels.transpose(1, 2))

    calls = {
        "product|forward|": lambda: _without_gradients(product),
        "product|both|": lambda: torch.autograd.grad(product(), (kernels, windows), slope),
    }
    for order, x in (("plain", images), ("channels last", last)):
        calls[f"layer|forward|{order}"] = lambda x=x: _without_gradients(lambda: layer(x))
        calls[f"layer|both|{order}"] = lambda x=x, order=order: torch.autograd.grad(
            layer(x), (layer.weight, x), slopes[order]
        )
    loops = {
        "loop|forward|plain": lambda: _without_gradients(lambda: _by_loop(images, layer)),
        "loop|both|plain": lambda: torch.autograd.grad(
            _by_loop(images, layer), (layer.weight, images), slopes["plain"]
        ),
    }
    torch.testing.assert_close(_by_loop(images, layer), layer(images), rtol=1e-3, atol=1e-4)
    # the loop takes as long as all the rest together, so it is called less often
    seconds = interleaved(calls, repeats=repeats) | interleaved(loops, repeats=min(repeats, 3))
    shape = f"{count} x {channels} x {side} x {side}"
    for call, spent in seconds.items():
        who, what, order = call.split("|")
        ratio = spent / seconds[f"product|{what}|"]
        words = {"product": "the product", "layer": "LocallyConnected2d", "loop": "a loop over places"}[who]
        passes = {"forward": "forward", "both": "forward and backward"}[what]
        table.rows.append(
            (
                shape,
                f"{filters} of {kernel} x {kernel}",
                f"{words}, {passes}",
                order,
                f"{spent * 1e3:.2f}",
                f"{ratio:.2f}",
            )
        )
        if who == "layer":
            text = f"{shape}, {filters} filters of {kernel} x {kernel}, {order}: {passes}, times the product"
            table.claims.append(Claim(text, ratio, 1.2, at_most=True))
    for what in ("forward", "both"):
        ratio = seconds[f"loop|{what}|plain"] / seconds[f"layer|{what}|plain"]
        table.claims.append(Claim(f"{shape}: {what}, speed against the loop", ratio, 1, at_most=False))


def _without_gradients(call: Callable[[], Tensor]) -> Tensor:
    with torch.no_grad():
        return call()


def _by_loop(images: Tensor, layer: LocallyConnected2d) -> Tensor:
    """Connect one place after the other, as the formula is written."""
    height, width = layer.kernel_size
    rows = []
    for j in range(layer.output_size[0]):
        row = [
            F.linear(images[:, :, j : j + height, k : k + width].flatten(1), layer.weight[j, k].flatten(1))
            for k in range(layer.output_size[1])
        ]
        rows.append(torch.stack(row, 2))
    return torch.stack(rows, 2)
