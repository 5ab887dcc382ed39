"""The way of a gradient to the pictures, through the first convolution, where that has a stride. Knows no network.

What arrives at the first convolution of most networks (7 x 7, stride 2, 64 channels to 3) takes PyTorch several
times as long to send through it as the way forward took: what is made for 3 channels is worked out for 16.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, _engine_run_backward
from torch.nn import functional

__all__ = ["gradient_at", "nodes", "through"]

_FEW = 4  # channels of pictures; of more, no work is wasted


def nodes(root: Any, without: Any = None) -> Iterator[Any]:
    """Walk the autograd graph, each node once; not past the node `without`."""
    seen, stack = {without}, [root]
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node
        stack.extend(following for following, _ in node.next_functions)


def gradient_at(score: Tensor, leaf: Tensor) -> Tensor | None:
    """Return the gradient of a score at a leaf tensor, as `torch.autograd.grad` does; None where there is none.

    The last convolution on the way back is done by `through` where that is faster: nothing but the order in which its
    products are added is another. All that a network does on its way forward stays as it is, and with it which
    rectifiers are open.

    Args:
        score: one number.
        leaf: what the gradient is taken at.
    """
    entrance = _entrance(score.grad_fn, leaf)
    if entrance is None:
        (found,) = torch.autograd.grad(score, leaf, allow_unused=True)
        return found
    arriving: Sequence[Tensor | None] = torch.autograd.grad(score, GradientEdge(entrance, 0), allow_unused=True)
    if arriving[0] is None:  # the network cuts it
        return None
    step = _step(entrance)  # not before: with checkpointing, that runs a part of the network once more and keeps it
    leaving = through(arriving[0], *step)
    before, output = entrance.next_functions[0]
    # what stands before it, and hooks on that, as ever: what `torch.autograd.grad` calls, which for a tensor handed to
    # it loads more than a second's worth of modules
    (found,) = _engine_run_backward(
        (GradientEdge(before, output),),
        (leaving,),
        False,
        False,
        (leaf,),
        allow_unreachable=True,
        accumulate_grad=False,
    )
    return cast("Tensor | None", found)


class _Step(NamedTuple):
    """What there is to be known of a convolution to send a signal back through it."""

    weight: Tensor
    stride: tuple[int, int]
    padding: tuple[int, int]
    size: tuple[int, int]


def _step(node: Any) -> _Step:
    _, _, height, width = _entering(node)
    down, *right = node._saved_padding  # "valid" is kept as one number for both
    return _Step(node._saved_weight, node._saved_stride, (down, *(right or [down])), (height, width))


def _entering(node: Any) -> torch.Size:
    """Return the shape of a convolution's input, for which what is saved need not be fetched (checkpointing)."""
    before, output = node.next_functions[0]
    shape: torch.Size = before._input_metadata[output].shape
    return shape


def _entrance(root: Any, leaf: Tensor) -> Any:
    """Return the convolution that is the only way to a leaf tensor, if `through` is the faster way through it."""
    if leaf.device.type != "cpu" or leaf.dim() != 4 or leaf.shape[1] > _FEW or not leaf.is_leaf:
        return None
    found = [node for node in nodes(root) if node.name() == "ConvolutionBackward0" and _pays(node)]
    if len(found) != 1 or any(getattr(node, "variable", None) is leaf for node in nodes(root, without=found[0])):
        return None
    return found[0]


def _pays(node: Any) -> bool:
    """Tell whether a convolution has a stride, takes few channels, and is otherwise of the plainest kind."""
    of_input, *of_weights = (before for before, _ in node.next_functions)
    if of_input is None or any(before is not None for before in of_weights):  # weights may be made from the picture
        return False
    if len(node._saved_stride) != 2 or node._saved_transposed:
        return False
    plain = math.prod(node._saved_dilation) == 1 and node._saved_groups == 1
    return plain and math.prod(node._saved_stride) > 1 and _entering(node)[1] <= _FEW


def through(
    arriving: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int], size: tuple[int, int]
) -> Tensor:
    """Send a signal back through a convolution with a stride by one without.

    With stride s, the pixels s apart in both directions are each a convolution of the signal with every s-th weight.
    All s x s of these are done in one, as so many channels, and dealt out to their pixels.

    Args:
        arriving: (N, O, h, w), the signal at the convolution's output.
        weight: (O, C, kernel height, kernel width), as the convolution has it.
        stride: in pixels, down and to the right.
        padding: in pixels, above and below, and on both sides.
        size: of the convolution's input, height and width, in pixels.

    Returns:
        (N, C, *size), in the order of memory of `arriving`.

    Source: Shi et al. 2016, arXiv:1609.07009 (the gradient of a strided convolution is a convolution whose channels
        are dealt out to the pixels).
    """
    count, channels = len(arriving), weight.shape[1]
    down, right = (
        _along(kernel, step, edge, length, signal)
        for kernel, step, edge, length, signal in zip(
            weight.shape[2:], stride, padding, size, arriving.shape[2:], strict=True
        )
    )
    order = (
        torch.channels_last if arriving.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
    )
    with torch.no_grad():
        edged = functional.pad(weight, (0, 1, 0, 1))  # the last row and column are zeros, for places beyond the kernel
        taps = edged[:, :, down.taps][..., right.taps]  # (O, C, s, t, s, t)
        kernel = taps.permute(2, 4, 1, 0, 3, 5).flatten(0, 2).contiguous(memory_format=order)  # (s s C, O, t, t)
        dealt = functional.conv2d(arriving, kernel, padding=(down.edge, right.edge))
        dealt = dealt[:, :, down.start : down.start + down.blocks, right.start : right.start + right.blocks]
        height, width = down.blocks * stride[0], right.blocks * stride[1]
        whole = torch.empty((count, channels, height, width), dtype=arriving.dtype, memory_format=order)
        # (N, C, blocks, s, blocks, s), both: a view of the pixels, and what goes there
        pixels = whole.view(count, channels, down.blocks, stride[0], right.blocks, stride[1])
        pixels.copy_(dealt.reshape(count, *stride, channels, down.blocks, right.blocks).permute(0, 3, 4, 1, 5, 2))
        return whole[:, :, : size[0], : size[1]].contiguous(memory_format=order)


class _Along(NamedTuple):
    """The convolution of `through` in one direction.

    Attributes:
        taps: (s, t), which weight of the kernel stands at each place of the new ones; one past the last for none.
        blocks: of s pixels each that cover the picture.
        edge: zeros to put around the signal.
        start: where the first block's value is in what comes out.
    """

    taps: Tensor
    blocks: int
    edge: int
    start: int


def _along(kernel: int, step: int, edge: int, length: int, signal: int) -> _Along:
    """Lay out one direction: pixel ``step * q + r`` gets ``weight[step * (q - a) + r + edge] * signal[a]``."""
    blocks = -(-length // step)
    last = (kernel - 1 - edge) // step  # of q - a
    first = -((step - 1 + edge) // step)
    taps = step * torch.arange(last, first - 1, -1) + torch.arange(step)[:, None] + edge
    taps = taps.where((taps >= 0) & (taps < kernel), kernel)
    around = max(0, last, blocks - signal - first)
    return _Along(taps, blocks, around, around - last)
