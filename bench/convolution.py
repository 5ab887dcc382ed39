"""Convolutions of three by three with fewer multiplications against PyTorch's own, forward and back."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.measure import Claim, Table, interleaved
from striate.winograd import convolution as winograd

__all__ = ["run"]

# pictures, channels in, channels out, side, padding; the last two are windows of an occlusion, with what is around them
SIZES = (
    (32, 64, 64, 56, 1),
    (32, 128, 128, 28, 1),
    (32, 256, 256, 14, 1),
    (32, 512, 512, 7, 1),
    (32, 192, 384, 13, 1),
    (32, 128, 128, 18, 0),
    (32, 512, 512, 10, 0),
)


KINDS = {torch.float32: "float32", torch.bfloat16: "bfloat16"}
TRAINED = 4
"""The first of the sizes are those of ResNet-18, which are measured in bfloat16 as well."""


def run(*, quick: bool = False) -> Table:
    """Measure the output, the gradient of the maps and that of the weights."""
    table = Table(
        "Convolutions of three by three",
        "Stride 1, maps channels last. In float32 PyTorch's own convolution takes weights that are laid out for these "
        "maps where it can (forward), and ours makes them ready beforehand too for the output; for the gradients, and "
        "for all of bfloat16, in each call, as a training has to. The error is the root mean square of the difference "
        "from float64, relative to that of the numbers; in bfloat16 with weights in float32, which PyTorch rounds.",
        ("maps", "kernels", "type", "what", "PyTorch, ms", "ours, ms", "times as fast", "error of PyTorch", "ours"),
    )
    sizes = SIZES[: 1 if quick else None]
    for size in sizes:
        _one(size, table, torch.float32, repeats=3 if quick else 15)
    if winograd.can_halves():
        for size in sizes[:TRAINED]:
            _one(size, table, torch.bfloat16, repeats=3 if quick else 15)
    return table


def _one(size: tuple[int, int, int, int, int], table: Table, dtype: torch.dtype, *, repeats: int) -> None:
    count, inputs, outputs, side, padding = size
    torch.manual_seed(0)
    last = torch.channels_last
    images = torch.randn(count, inputs, side, side).relu().to(dtype).to(memory_format=last)
    weight = (torch.randn(outputs, inputs, 3, 3) / (3 * inputs**0.5)).to(memory_format=last)
    around, beyond = [padding] * 2, [2 - padding] * 2
    exact = F.conv2d(images.double(), weight.double(), padding=padding)
    slope = torch.randn(exact.shape).to(dtype).to(memory_format=last)

    def back(which: int, dtype: torch.dtype) -> Tensor:
        given = (one.to(dtype) for one in (slope, images, rounded if dtype == images.dtype else weight))
        wanted = [which == 0, which == 1, False]
        found = torch.ops.aten.convolution_backward(
            *given, [0], [1, 1], around, [1, 1], False, [0, 0], 1, wanted
        )  # fmt: skip
        result: Tensor = found[which]
        return result

    rounded = weight.to(dtype)
    if dtype == torch.float32:
        lay: Callable[..., Tensor] = torch.ops.mkldnn._reorder_convolution_weight
        pointwise: Callable[..., Tensor] = torch.ops.mkldnn._convolution_pointwise
        laid = lay(weight, around, [1, 1], [1, 1], 1, list(images.shape))
        ready = winograd.kernels(weight)
        outputs_of = (
            lambda: pointwise(images, laid, None, around, [1, 1], [1, 1], 1, "none", [], ""),
            lambda: winograd.convolve(images, ready, padding=around),
            lambda: winograd.convolve(slope, winograd.kernels(weight, turned=True), padding=beyond),
        )
    else:
        outputs_of = (
            lambda: F.conv2d(images, rounded, padding=padding),
            lambda: winograd.convolve(images, winograd.kernels(weight, torch.bfloat16), padding=around),
            lambda: winograd.convolve(slope, winograd.kernels(weight, torch.bfloat16, turned=True), padding=beyond),
        )
    calls: dict[str, Callable[[], Tensor]] = {
        "PyTorch|output": outputs_of[0],
        "ours|output": outputs_of[1],
        "PyTorch|gradient of the maps": lambda: back(0, dtype),
        "ours|gradient of the maps": outputs_of[2],
        "PyTorch|gradient of the weights": lambda: back(1, dtype),
        "ours|gradient of the weights": lambda: winograd.weight_gradient(images, slope, padding=around),
    }
    truths = {
        "output": exact,
        "gradient of the maps": back(0, torch.float64),
        "gradient of the weights": back(1, torch.float64),
    }
    with torch.no_grad():
        seconds = interleaved(calls, repeats=repeats)
        errors = {
            call: float((run() - truth).norm() / truth.norm())
            for call, run in calls.items()
            for truth in (truths[call.partition("|")[2]],)
        }
    for what in truths:
        theirs, ours = f"PyTorch|{what}", f"ours|{what}"
        times = seconds[theirs] / seconds[ours]
        maps = f"{count} x {inputs} x {side} x {side}"
        table.rows.append(
            (
                maps + (", nothing around them" if not padding else ""),
                f"{outputs}",
                KINDS[dtype],
                what,
                f"{seconds[theirs] * 1e3:.2f}",
                f"{seconds[ours] * 1e3:.2f}",
                f"{times:.2f}",
                f"{errors[theirs]:.0e}",
                f"{errors[ours]:.0e}",
            )
        )
        if what == "output":
            table.claims.append(
                Claim(f"{maps}, {outputs} kernels, {KINDS[dtype]}: times as fast as PyTorch", times, 1.0, at_most=False)
            )
