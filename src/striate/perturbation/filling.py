"""Windows with what has changed set into the unchanged map, and channels put together, each number written once.

On a processor, in float32, where numba is there: `filling_compiled` does the work.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from striate.perturbation.regions import Starts
from striate.threads import borders, compiled, in_threads

__all__ = ["AS_IT_IS", "Norm", "can_fill", "fill"]

_PIECE = 1 << 15  # numbers that are worth waking a thread for


@dataclass(frozen=True, eq=False)
class Norm:
    """What is done to each number that has changed: ``clamp(scale * x + shift, low, high)``.

    Attributes:
        scale: (C,) float32; empty to leave the numbers as they are.
        shift: likewise.
        low: the smallest number that comes out.
        high: the largest.
    """

    scale: Tensor
    shift: Tensor
    low: float = -math.inf
    high: float = math.inf


AS_IT_IS = Norm(torch.empty(0), torch.empty(0))


def can_fill(*tensors: Tensor) -> bool:
    """Tell whether numba is there, and the tensors are such as it works on; loads numba."""
    return all(one.device.type == "cpu" and one.dtype == torch.float32 for one in tensors) and _compiled() is not None


@cache
def _compiled() -> ModuleType | None:
    """Return the compiled operations; None where there is no numba."""
    return compiled("striate.perturbation.filling_compiled")


def fill(
    clean: Tensor | None,
    begin: tuple[Starts, Starts],
    size: tuple[int, int],
    pieces: Sequence[tuple[Tensor, Starts, Starts]],
    norm: Norm = AS_IT_IS,
) -> Tensor:
    """Return windows: what has changed, and the unchanged map around it.

    Args:
        clean: (H, W, C), the unchanged map as it is in the end; None where nothing of it is in the windows.
        begin: first rows and columns of the windows in it, (M,) each.
        size: of the windows.
        pieces: what has changed, channel by channel: (M, p, q, c), and its first rows and columns in the windows,
            (M,) each. Together they have C channels.
        norm: what is done to each number that has changed.

    Returns:
        (M, h, w, C), contiguous.
    """
    compiled = _compiled()
    assert compiled is not None
    changed = [piece.contiguous() for piece, _, _ in pieces]
    table = np.array([(one.data_ptr(), one.shape[3], *one.shape[1:3]) for one in changed], np.int64)
    target = torch.empty(len(begin[0]), *size, int(table[:, 1].sum()))
    given = (
        target.numpy(),
        np.empty((0, 0, 0), np.float32) if clean is None else clean.contiguous().numpy(),
        *begin,
        table,
        np.stack([down for _, down, _ in pieces]),
        np.stack([right for _, _, right in pieces]),
        norm.scale.numpy(),
        norm.shift.numpy(),
        np.float32(norm.low),
        np.float32(norm.high),
    )
    parts = min(torch.get_num_threads(), len(target), target.numel() // _PIECE)
    if parts < 2:
        compiled.fill(*given)
    else:
        with in_threads(parts) as threads:
            compiled.fill_in_parts(*given, borders(len(target), threads))
    return target
