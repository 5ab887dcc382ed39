"""A convolution as the sparse matrix that it is: matrix times input equals the convolution. Draws nothing.

In one dimension each row holds the kernel, one place further on than the row before: a Toeplitz matrix, whose
borders cut the kernel off. In two it is made of such matrices, one for each row of the kernel, again one place
further on: doubly blocked. Channels, stride, padding of any kind and dilation only choose which weights stand
where. Its transpose is the transposed convolution, which leads every answer back to the inputs that made it.

Source: Goodfellow, Bengio and Courville 2016, "Deep learning", section 9.1; Dumoulin and Visin 2016,
arXiv:1603.07285, section 4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from torch import Tensor

import striate
from striate.errors import ImageError, OptionError
from striate.kernels.by_hand import Kernel
from striate.kernels.windows import OUTSIDE, Border, Mode, Padding, Windows, check_word, windows
from striate.results.base import Recipe
from striate.results.pattern import MatrixPattern

__all__ = ["ConvolutionMatrix", "convolution_matrix"]

MOST_ENTRIES: Final = 100_000_000
"""Weights that a matrix may hold: at 12 bytes each (number and column), 1.2 GB, and three times as much to make."""


@dataclass(frozen=True, eq=False)
class ConvolutionMatrix:
    """The matrix of one convolution, for inputs of one size.

    Args:
        matrix: shape (outputs, inputs), `scipy.sparse.csr_array`, float64. Row and column count the units of
            `output_shape` and `input_shape` in their order, the last axis fastest.
        input_shape: (C, L) or (C, H, W).
        output_shape: (K, l) or (K, h, w).
        windows: how the kernel lies along each axis of the picture.
        weights: as they are laid on the picture, shape (K, C / groups, w) or (K, C / groups, h, w).
    """

    matrix: Any
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    windows: tuple[Windows, ...]
    weights: NDArray[np.float64]

    @property
    def entries(self) -> int:
        """Weights that stand in the matrix, those that are 0 in the kernel included."""
        return int(self.matrix.nnz)

    @property
    def full_entries(self) -> int:
        """Numbers that a matrix of this shape holds when nothing is left out: a full connection."""
        return math.prod(self.input_shape) * math.prod(self.output_shape)

    @property
    def density(self) -> float:
        """Share of the matrix that is filled, in [0, 1]."""
        return self.entries / self.full_entries

    def apply(self, picture: ArrayLike) -> NDArray[np.float64]:
        """Multiply: the convolution of a picture.

        Args:
            picture: shape `input_shape`, or without its first axis when that is 1.

        Returns:
            Shape `output_shape`, float64.

        Raises:
            ImageError: another shape.
        """
        return _flat(picture, self.input_shape, self.matrix).reshape(self.output_shape)

    def transposed(self, answers: ArrayLike) -> NDArray[np.float64]:
        """Multiply by the transpose: the transposed convolution, which is also how gradients go back.

        Args:
            answers: shape `output_shape`, or without its first axis when that is 1.

        Returns:
            Shape `input_shape`, float64: `torch.nn.functional.conv_transpose2d` with as much `output_padding` as
            leads to this size.

        Raises:
            ImageError: another shape.
        """
        return _flat(answers, self.output_shape, self.matrix.T).reshape(self.input_shape)

    def dense(self) -> NDArray[np.float64]:
        """Return all numbers of the matrix, zeros included.

        Raises:
            OptionError: there are too many.
        """
        if self.full_entries > MOST_ENTRIES:
            raise OptionError(
                f"written out, the matrix has {self.full_entries:,} numbers ({self.full_entries * 8 / 1e9:,.3g} GB), "
                f"of which {self.entries:,} count. Use it as it is, sparse."
            )
        return np.asarray(self.matrix.toarray())

    def inputs_of(self, unit: Sequence[int]) -> NDArray[np.bool_]:
        """Say which inputs an output sees: its row.

        Args:
            unit: (channel, row, column) or, along one axis, (channel, place); a leading 0 may be left out.

        Returns:
            Shape `input_shape`; padding is no input.

        Raises:
            OptionError: there is no such unit.
        """
        return self._marked(self.matrix, unit, self.output_shape, self.input_shape, "output")

    def outputs_of(self, unit: Sequence[int]) -> NDArray[np.bool_]:
        """Say which outputs an input reaches: its column.

        Args:
            unit: as in `inputs_of`, of the input.

        Returns:
            Shape `output_shape`.

        Raises:
            OptionError: there is no such unit.
        """
        return self._marked(self.matrix.T.tocsr(), unit, self.input_shape, self.output_shape, "input")

    def pattern(self, *, letters: bool = False, most: int = 1200) -> MatrixPattern:
        """Draw the matrix.

        Args:
            letters: write a letter for each weight instead of its number: a, b, c, ... of the kernel as it is laid.
            most: rows and columns that are drawn; of a larger matrix the upper left part.

        Raises:
            OptionError: `most` is below 1.
        """
        if most < 1:
            raise OptionError(f"at least one row and column of the matrix has to be drawn, got most={most}.")
        rows, columns = (min(most, length) for length in self.matrix.shape)
        part = self.matrix[:rows, :columns]
        taps = np.full((rows, columns), -1, dtype=np.intp)
        for row, column, tap in zip(*_taps(self, rows), strict=True):
            if row < rows and column < columns:
                taps[row, column] = tap
        flat = len(self.windows) == 1
        return MatrixPattern(
            values=np.asarray(part.toarray()),
            taps=taps,
            input_shape=self.input_shape,
            output_shape=self.output_shape,
            weights=self.weights[:, :, None] if flat else self.weights,
            entries=self.entries,
            letters=letters,
            words=_words(self.windows),
            recipe=Recipe(
                lens="kernels.pattern",
                options={"input_shape": list(self.input_shape), "laid": _words(self.windows), "letters": letters},
                version=striate.__version__,
                device="cpu",
            ),
        )

    def _marked(
        self, rows: Any, unit: Sequence[int], own: tuple[int, ...], others: tuple[int, ...], side: str
    ) -> NDArray[np.bool_]:
        row = unit_index(unit, own, side)
        marked = np.zeros(math.prod(others), dtype=bool)
        marked[rows.indices[rows.indptr[row] : rows.indptr[row + 1]]] = True
        return marked.reshape(others)


def convolution_matrix(
    kernel: Tensor | ArrayLike | Kernel,
    size: int | Sequence[int],
    *,
    mode: Mode = "convolution",
    padding: Padding = "valid",
    stride: int | tuple[int, ...] = 1,
    dilation: int | tuple[int, ...] = 1,
    groups: int = 1,
    border: Border = "zeros",
) -> ConvolutionMatrix:
    """Write a convolution as a sparse matrix.

    Args:
        kernel: along one axis shape (w,), (C, w) or (K, C / groups, w); along two (h, w), (C, h, w) or
            (K, C / groups, h, w). Every tap of it stands in the matrix, also one that is 0.
        size: of the input: a length, or (height, width).
        mode: "convolution" turns the kernel first, "correlation" does not. (The transposed convolution of networks
            is the transpose of the correlation.)
        padding: as in `convolve`.
        stride: as in `convolve`.
        dilation: as in `convolve`.
        groups: the channels are dealt out into so many groups, each with its own filters.
        border: as in `convolve`; taps that read one and the same pixel add up.

    Raises:
        OptionError: an option means nothing, or the matrix would have more than `MOST_ENTRIES` weights.
        ImageError: the input is smaller than the kernel.
    """
    check_word(mode, get_args(Mode), "mode")
    lengths = _lengths(size)
    axes = len(lengths)
    weights = _bank(kernel, axes)
    if mode == "convolution":
        weights = np.flip(weights, axis=tuple(range(2, weights.ndim)))
    filters, depth = weights.shape[:2]
    if isinstance(groups, bool) or not isinstance(groups, int) or groups < 1 or filters % groups:
        raise OptionError(f"groups is a whole number of at least 1 that divides the {filters} filters, got {groups}.")
    lain = windows(lengths, weights.shape[2:], padding=padding, stride=stride, dilation=dilation, border=border)
    places = tuple(axis.count for axis in lain)
    entries = math.prod(places) * weights.size
    if entries > MOST_ENTRIES:
        raise OptionError(
            f"the matrix would hold {entries:,} weights ({weights.size:,} at each of {math.prod(places):,} places), "
            f"more than the {MOST_ENTRIES:,} that are made. Take a smaller picture: the pattern is the same."
        )
    input_shape, output_shape = (depth * groups, *lengths), (filters, *places)
    matrix = sparse.csr_array(
        _entries(weights, lain, groups), shape=(math.prod(output_shape), math.prod(input_shape)), dtype=np.float64
    )
    return ConvolutionMatrix(matrix, input_shape, output_shape, lain, np.ascontiguousarray(weights))


def unit_index(unit: Sequence[int], shape: tuple[int, ...], side: str) -> int:
    """Count a unit within its shape.

    Args:
        unit: an index for each axis; the first may be left out where the shape has 1 there.
        shape: of the input or the output.
        side: what to call it in an error.

    Raises:
        OptionError: there is no such unit.
    """
    given = (unit,) if isinstance(unit, (int, np.integer)) else tuple(unit)
    if len(given) == len(shape) - 1 and shape[0] == 1:
        given = (0, *given)
    inside = len(given) == len(shape) and all(0 <= one < length for one, length in zip(given, shape, strict=True))
    if not inside:
        raise OptionError(
            f"there is no {side} unit {', '.join(map(str, given))}: the {side} is {' x '.join(map(str, shape))} "
            "(channel first), counted from 0."
        )
    return int(np.ravel_multi_index(given, shape))


def _entries(
    weights: NDArray[np.float64], lain: tuple[Windows, ...], groups: int
) -> tuple[NDArray[np.float64], tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Return value, row and column of every weight; taps on zero padding are left out."""
    filters, depth = weights.shape[:2]
    if len(lain) == 1:  # a row is a picture of height 1
        lain, weights = (Windows(1, 1), *lain), weights[:, :, None]
    down, across = (axis.sources() for axis in lain)  # (h, taps), (w, taps)
    height, width = (axis.length for axis in lain)
    group = np.arange(filters) * groups // filters  # of each filter
    channel = group[:, None] * depth + np.arange(depth)  # (K, C / groups)
    # axes: filter, row, column of the output; channel, row, column of the kernel
    rows_of = down[None, :, None, None, :, None]
    columns_of = across[None, None, :, None, None, :]
    shape = (filters, len(down), len(across), depth, *weights.shape[2:])
    column = np.broadcast_to((channel[:, None, None, :, None, None] * height + rows_of) * width + columns_of, shape)
    row = np.arange(math.prod(shape[:3])).reshape(*shape[:3], 1, 1, 1)
    seen = np.broadcast_to((rows_of != OUTSIDE) & (columns_of != OUTSIDE), shape)
    values = np.broadcast_to(weights[:, None, None], shape)
    return values[seen], (np.broadcast_to(row, shape)[seen], column[seen])


def _taps(made: ConvolutionMatrix, rows: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Return row, column and number of the weight of every entry, by making the matrix of the weights' numbers."""
    numbers = np.arange(made.weights.size, dtype=np.float64).reshape(made.weights.shape)
    groups = made.input_shape[0] // made.weights.shape[1]
    values, (row, column) = _entries(numbers, made.windows, groups)
    chosen = row < rows
    return row[chosen], column[chosen], values[chosen].astype(np.intp)


def _words(lain: tuple[Windows, ...]) -> str:
    """Say how a kernel is laid: "kernel 3 x 3, stride 2, padding 1 before and 1 after"."""

    def each(values: Sequence[int]) -> str:
        return str(values[0]) if len(set(values)) == 1 else " x ".join(map(str, values))

    parts = [f"Kernel {' x '.join(str(axis.taps) for axis in lain)}", f"stride {each([axis.stride for axis in lain])}"]
    if any(axis.dilation > 1 for axis in lain):
        parts.append(f"dilation {each([axis.dilation for axis in lain])}")
    if any(axis.before or axis.after for axis in lain):
        before, after = each([axis.before for axis in lain]), each([axis.after for axis in lain])
        padding = f"padding {before}" if before == after else f"padding {before} before and {after} after"
        parts.append(padding if lain[0].border == "zeros" else f"{padding} ({lain[0].border})")
    else:
        parts.append("no padding")
    return ", ".join(parts)


def _lengths(size: int | Sequence[int]) -> tuple[int, ...]:
    lengths = (size,) if isinstance(size, (int, np.integer)) else tuple(size)
    whole = all(isinstance(one, (int, np.integer)) and not isinstance(one, bool) and one >= 1 for one in lengths)
    if len(lengths) not in (1, 2) or not whole:
        raise OptionError(f"the size of the input is a length, or a height and a width, each at least 1, got {size}.")
    return tuple(int(one) for one in lengths)


def _bank(kernel: Tensor | ArrayLike | Kernel, axes: int) -> NDArray[np.float64]:
    """Read a kernel as (K, C, ...)."""
    array = kernel.detach().cpu().double().numpy() if isinstance(kernel, torch.Tensor) else np.asarray(kernel)
    wanted = "(w,), (C, w) or (K, C, w)" if axes == 1 else "(h, w), (C, h, w) or (K, C, h, w)"
    if array.dtype.kind not in "fiub" or not axes <= array.ndim <= axes + 2 or array.size == 0:
        raise OptionError(
            f"for an input of {axes} {'axis' if axes == 1 else 'axes'} a kernel has the shape {wanted}, made of "
            f"numbers, got {array.dtype} of shape {array.shape}."
        )
    if not np.isfinite(array).all():
        raise OptionError("a kernel is made of finite numbers; this one holds not-a-number or infinity.")
    weights: NDArray[np.float64] = array.astype(np.float64)
    return weights.reshape((1,) * (axes + 2 - weights.ndim) + weights.shape)


def _flat(values: ArrayLike, shape: tuple[int, ...], matrix: Any) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.shape != shape and array.shape != (shape[1:] if shape[0] == 1 else shape):
        raise ImageError(
            f"this matrix is for an array of shape {' x '.join(map(str, shape))} (channel first), got {array.shape}."
        )
    return np.asarray(matrix @ array.reshape(-1))
