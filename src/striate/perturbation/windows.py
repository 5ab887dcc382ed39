"""Where a sliding window stands, and its numbers laid back on the pixels. Arithmetic only: runs no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from striate.errors import OptionError

__all__ = ["Windows", "coarse_nodes", "covered_mean", "interpolated", "slide"]


@dataclass(frozen=True)
class Windows:
    """All places of a window that slides over a picture, row by row.

    Attributes:
        size: height and width of the picture, in pixels.
        patch: height and width of the window.
        tops: first row of each row of windows.
        lefts: first column of each column of windows.
    """

    size: tuple[int, int]
    patch: tuple[int, int]
    tops: tuple[int, ...]
    lefts: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.tops) * len(self.lefts)

    @property
    def grid(self) -> tuple[int, int]:
        """Number of windows down and across."""
        return len(self.tops), len(self.lefts)

    @cached_property
    def boxes(self) -> Tensor:
        """Top, left, bottom and right of each (exclusive), cut off at the edge: (M, 4), int64."""
        corners = torch.cartesian_prod(torch.tensor(self.tops), torch.tensor(self.lefts)).view(-1, 2)
        ends = torch.minimum(corners + torch.tensor(self.patch), torch.tensor(self.size))
        return torch.cat([corners, ends], dim=1)


def slide(size: tuple[int, int], patch: int | Sequence[int], stride: int | Sequence[int]) -> Windows:
    """Slide a window over a picture, so that it comes to every pixel.

    It starts in the top left corner. The last window of a row begins no later than needed to reach the
    edge; what stands out over the edge is cut off.

    Args:
        size: height and width of the picture, in pixels.
        patch: side of the window, or its height and width, in pixels.
        stride: pixels from one window to the next, or those down and across.

    Raises:
        OptionError: a side or a step is below 1, the window is larger than the picture, or steps leave gaps.
    """
    sides, steps = _pair(patch, "patch"), _pair(stride, "stride")
    if any(side > length for side, length in zip(sides, size, strict=True)):
        raise OptionError(
            f"a patch of {sides[0]} x {sides[1]} pixels is larger than the picture of {size[0]} x {size[1]}. "
            "Choose a smaller patch."
        )
    if any(step > side for side, step in zip(sides, steps, strict=True)):
        raise OptionError(
            f"with stride {steps[0]} x {steps[1]} a patch of {sides[0]} x {sides[1]} leaves pixels uncovered, "
            "for which there would be no answer. Choose a stride of at most the patch."
        )
    starts = [
        tuple(range(0, length - side + step, step)) for length, side, step in zip(size, sides, steps, strict=True)
    ]
    return Windows(size, sides, starts[0], starts[1])


def _pair(value: int | Sequence[int], name: str) -> tuple[int, int]:
    given = (value, value) if isinstance(value, int) else tuple(value)
    given = given * 2 if len(given) == 1 else given
    if len(given) != 2:
        raise OptionError(f"{name} is one number, or height and width; got {len(given)} numbers.")
    if min(given) < 1:
        raise OptionError(f"{name} must be at least 1 pixel, got {' x '.join(map(str, given))}.")
    return int(given[0]), int(given[1])


def covered_mean(boxes: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    """Give each pixel the mean of the values of all boxes that cover it.

    A box is four corners in a table of differences, whose running sums are the pixels: the cost is that
    of the picture, however many boxes there are and however large they are.

    Args:
        boxes: (M, 4), top, left, bottom and right in pixels; the last two are exclusive.
        values: (T, M), one value a box in each of T maps.
        size: height and width of the maps, in pixels.

    Returns:
        Shape (T, H, W), float64; 0 where no box lies.
    """
    height, width = size
    top, left, bottom, right = boxes.unbind(1)
    table = values.new_zeros((len(values) + 1, (height + 1) * (width + 1)), dtype=torch.float64)
    counted = torch.cat([values.double(), table.new_ones(1, len(boxes))])  # the last map counts the boxes
    for row, column, sign in ((top, left, 1), (bottom, right, 1), (top, right, -1), (bottom, left, -1)):
        table.index_add_(1, row * (width + 1) + column, counted, alpha=sign)
    sums = table.view(-1, height + 1, width + 1).cumsum(1).cumsum(2)[:, :height, :width]
    return sums[:-1] / sums[-1].round().clamp(min=1)


def coarse_nodes(windows: Windows) -> tuple[Tensor, Tensor]:
    """Choose rows and columns of windows that just cover the picture: every second one at least.

    Returns:
        Rows and columns of the grid, int64, ascending, with the first and the last of each.
    """
    chosen = []
    for starts, side in zip((windows.tops, windows.lefts), windows.patch, strict=True):
        step = max(2, side // (starts[1] - starts[0])) if len(starts) > 1 else 1
        chosen.append(torch.tensor(sorted({*range(0, len(starts), step), len(starts) - 1})))
    return chosen[0], chosen[1]


def interpolated(values: Tensor, rows: Tensor, columns: Tensor, grid: tuple[int, int]) -> Tensor:
    """Fill a grid between some of its rows and columns, bilinearly.

    Args:
        values: (T, r, c), at the crossings.
        rows: (r,), those of the grid that are known, ascending, with the first and the last.
        columns: (c,), likewise.
        grid: rows and columns in all.

    Returns:
        Shape (T, *grid), float64; the values themselves at the crossings.
    """
    down, across = (_between(known, length) for known, length in zip((rows, columns), grid, strict=True))
    return down @ values.double() @ across.T


def _between(known: Tensor, length: int) -> Tensor:
    """Return how much each known place counts at each place of an axis: (length, known), rows of sum 1."""
    weights = torch.zeros(length, len(known), dtype=torch.float64)
    places = torch.arange(length)
    after = torch.searchsorted(known, places).clamp(max=len(known) - 1)
    before = (after - 1).clamp(min=0)
    gap = (known[after] - known[before]).clamp(min=1)
    share = (known[after] - places).double() / gap  # of the one before
    weights[places, after] = 1 - share
    weights[places, before] += share
    return weights
