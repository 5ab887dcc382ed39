"""From the output of a layer to a few numbers for each unit and picture, in one pass while it is in the caches.

Knows tensors only. A map is read block by block: its column maxima, sums and sums of squares are taken of one block
before the next is touched, so that memory is read once and nothing of the size of the map is written.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["Reduced", "first_maximum", "in_order", "new_scratch", "reduce_map", "reduce_whole"]

_BLOCK = 1 << 19  # numbers in a block: two megabytes, and as much for its squares

Reduced = tuple[Tensor, Tensor, Tensor]


def in_order(output: Tensor) -> Tensor:
    """Return a map (N, C, H, W) as (N, H, W, C), float32, one row of channels behind the other in memory."""
    return output.permute(0, 2, 3, 1).contiguous().float()


def reduce_map(maps: Tensor, scratch: Tensor) -> Reduced:
    """Return column maxima, sums and sums of squares of maps.

    Sums are float32, taken pairwise, so that they are good to about 1e-7. A picture's numbers depend neither on the
    others of the batch nor on the number of threads.

    Args:
        maps: (N, H, W, C) as `in_order` gives them.
        scratch: what `new_scratch` gave; nothing is written into it where blocks do not pay (on a GPU).

    Returns:
        Maxima of the columns (N, W, C), sums (N, C), sums of squares (N, C).
    """
    count, height, width, channels = maps.shape
    flat = maps.view(count, height * width, channels)
    if maps.device.type != "cpu":
        return reduce_whole(maps)
    size = height * width * channels
    if len(scratch) < width * channels:  # a block has one row at least
        scratch = maps.new_empty(width * channels)
    columns = maps.new_empty((count, width, channels))
    if size <= _BLOCK:
        sums, squares = maps.new_empty((count, channels)), maps.new_empty((count, channels))
        together = _BLOCK // size
        parts = (torch.unsafe_split(one, together) for one in (maps, flat, columns, sums, squares))
        for block, lines, top, added, doubled in reversed(list(zip(*parts, strict=True))):
            _reduce(block, lines, 1, scratch, top, added, doubled)
        return columns, sums, squares
    rows = max(_BLOCK // (width * channels), 1)
    number = -(-height // rows)
    tops = maps.new_empty((number, width, channels))
    parted = maps.new_empty((2, count, number, channels))
    tops_of_blocks = tops.unbind()
    # from the last picture back: it was written last, and lies in the caches still
    for index in range(count - 1, -1, -1):
        picture, sums, squares = maps[index], parted[0, index], parted[1, index]
        ways = (
            torch.unsafe_split(picture, rows),
            torch.unsafe_split(flat[index], rows * width),
            tops_of_blocks,
            sums.unbind(),
            squares.unbind(),
        )
        for block, lines, top, added, doubled in zip(*ways, strict=True):
            _reduce(block, lines, 0, scratch, top, added, doubled)
        torch.amax(tops, 0, out=columns[index])
    whole = parted.sum(2)
    return columns, whole[0], whole[1]


def reduce_whole(maps: Tensor) -> Reduced:
    """Do the same without blocks: for devices whose caches hold no map, and whose calls cost more."""
    return maps.amax(1), maps.sum((1, 2)), torch.linalg.vector_norm(maps, dim=(1, 2)).square_()


def _reduce(
    block: Tensor, lines: Tensor, axis: int, scratch: Tensor, top: Tensor, added: Tensor, doubled: Tensor
) -> None:
    """Write maxima of columns, sums and sums of squares of one block."""
    torch.amax(block, axis, out=top)
    torch.sum(lines, axis, out=added)
    squared = scratch[: lines.numel()].view_as(lines)
    torch.mul(lines, lines, out=squared)
    torch.sum(squared, axis, out=doubled)


def new_scratch() -> Tensor:
    """Return the memory that `reduce_map` writes squares into."""
    return torch.empty(_BLOCK)


def first_maximum(maps: Tensor, columns: Tensor, pictures: Tensor, channels: Tensor) -> Tensor:
    """Return where some units have their maximum: ``row * W + column``, int32.

    Of equal maxima the one in the leftmost column counts, and in it the topmost. Only one column of the column maxima
    and one of the map are read for each unit.

    Args:
        maps: (N, H, W, C) as `in_order` gives them.
        columns: column maxima (N, W, C).
        pictures: (P,) int64, indices into the batch.
        channels: (P,) int64.
    """
    width = maps.shape[2]
    column = columns.permute(0, 2, 1)[pictures, channels].argmax(1)  # P
    row = maps.permute(0, 2, 3, 1)[pictures, column, channels].argmax(1)
    return (row * width + column).int()
