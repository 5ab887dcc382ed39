"""Connectivity read off the matrices of convolutions, from the output's side and from the input's. Draws nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

import striate
from striate.errors import OptionError
from striate.kernels.matrix import ConvolutionMatrix, unit_index
from striate.results.base import Recipe
from striate.results.connections import Connections

__all__ = ["connections"]


def connections(
    *layers: ConvolutionMatrix, output: Sequence[int] | None = None, input: Sequence[int] | None = None
) -> Connections:
    """Say which inputs an output sees and which outputs an input reaches, through one layer or a stack of them.

    The deeper the stack, the more of the input an output sees, though every layer connects only few.

    Args:
        layers: one or more matrices, each for the size that the one before gives.
        output: the unit of the last layer to ask, channel first (a leading 0 may be left out); None takes the one in
            the middle of channel 0.
        input: the unit of the first input to ask, likewise.

    Raises:
        OptionError: no layers, layers that do not follow one another, or no such unit.
    """
    if not layers:
        raise OptionError("connections need at least one matrix: make it with convolution_matrix(kernel, size).")
    for index, (before, after) in enumerate(pairwise(layers)):
        if before.output_shape != after.input_shape:
            gives, takes = (" x ".join(map(str, one)) for one in (before.output_shape, after.input_shape))
            raise OptionError(f"layer {index + 1} gives {gives}, layer {index + 2} takes {takes}: they do not follow.")
    shapes = (layers[0].input_shape, *(layer.output_shape for layer in layers))
    asked_output, asked_input = _unit(output, shapes[-1], "output"), _unit(input, shapes[0], "input")
    sees = [_only(asked_output, shapes[-1], "output")]
    for layer in reversed(layers):
        sees.insert(0, _through(_filled(layer).T, sees[0], layer.input_shape))
    reaches = [_only(asked_input, shapes[0], "input")]
    for layer in layers:
        reaches.append(_through(_filled(layer), reaches[-1], layer.output_shape))
    flat = len(shapes[0]) == 2
    return Connections(
        shapes=shapes,
        links=tuple(_links(layer) if flat else np.zeros((0, 2), dtype=np.intp) for layer in layers),
        output=asked_output,
        sees=tuple(sees),
        input=asked_input,
        reaches=tuple(reaches),
        recipe=Recipe(
            lens="kernels.connections",
            options={"output": list(asked_output), "input": list(asked_input)},
            version=striate.__version__,
            device="cpu",
        ),
    )


def _unit(given: Sequence[int] | None, shape: tuple[int, ...], side: str) -> tuple[int, ...]:
    if given is None:
        return (0, *(length // 2 for length in shape[1:]))
    return tuple(int(one) for one in np.unravel_index(unit_index(given, shape, side), shape))


def _only(unit: tuple[int, ...], shape: tuple[int, ...], side: str) -> NDArray[np.bool_]:
    marks = np.zeros(math.prod(shape), dtype=bool)
    marks[unit_index(unit, shape, side)] = True
    return marks.reshape(shape)


def _filled(layer: ConvolutionMatrix) -> Any:
    """Return the matrix with 1 at every weight: one that is 0, or two that cancel, connect all the same."""
    ones = layer.matrix.copy()
    ones.data = np.ones_like(ones.data)
    return ones


def _through(matrix: Any, marks: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    carried = matrix @ marks.reshape(-1).astype(np.float64)
    return np.asarray(carried > 0).reshape(shape)


def _links(layer: ConvolutionMatrix) -> NDArray[np.intp]:
    pairs = layer.matrix.tocoo()
    outputs, inputs = pairs.coords
    return np.stack([inputs, outputs], axis=1).astype(np.intp)
