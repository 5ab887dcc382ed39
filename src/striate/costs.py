"""What a layer costs: weights, multiply-adds, memory, and how sparse it is. Needs no torch and no model.

The same map can come from a convolution (few weights, shared), from a locally connected layer (the same few
connections, each with a weight of its own) and from a full connection (everything with everything). `compare`
puts them side by side for the same shapes.

Source: Goodfellow, Bengio and Courville 2016, "Deep Learning", section 9.2 and figures 9.5 and 9.6.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, Literal

from striate.errors import OptionError
from striate.sizes import Fit, fit, pair

__all__ = [
    "Cost",
    "Pair",
    "Shape",
    "compare",
    "convolution",
    "full",
    "locally_connected",
    "strided_and_downsampled",
]

Shape = tuple[int, int, int]  # channels, height, width
Pair = int | tuple[int, int]  # one number, or height and width


@dataclass(frozen=True)
class Cost:
    """What one layer costs for one picture.

    Attributes:
        kind: "convolution", "locally connected" or "full connection".
        inputs: channels, height and width of what it is given.
        outputs: of what it gives.
        weights: numbers learned, without biases.
        biases: numbers learned that are added.
        multiply_adds: products that are added up, those with padding included, as frameworks count them.
        connections: pairs of an input and an output that a weight joins: the entries of the layer's matrix that
            are not zero. Padding is no input, so this may be less than `multiply_adds`.
    """

    kind: str
    inputs: Shape
    outputs: Shape
    weights: int
    biases: int
    multiply_adds: int
    connections: int

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return self.weights + self.biases

    @property
    def operations(self) -> int:
        """Multiplications and additions: a sum of m products takes m of the first and m - 1 of the second."""
        places = prod(self.outputs)
        return 2 * self.multiply_adds - places + (places if self.biases else 0)

    @property
    def matrix_entries(self) -> int:
        """Entries of the layer as one matrix: inputs times outputs."""
        return prod(self.inputs) * prod(self.outputs)

    @property
    def sparsity(self) -> float:
        """Share of the entries of that matrix that are zero, in [0, 1]."""
        return 1 - self.connections / self.matrix_entries

    def weight_bytes(self, size: int = 4) -> int:
        """Return the memory for the parameters, in bytes; `size` is that of one number (4 single, 8 double)."""
        return self.parameters * size

    def activation_bytes(self, size: int = 4) -> int:
        """Return the memory for inputs and outputs of one picture, in bytes."""
        return (prod(self.inputs) + prod(self.outputs)) * size

    def to_dict(self) -> dict[str, Any]:
        """Return every number as JSON-able values; bytes in single precision."""
        return {
            "kind": self.kind,
            "inputs": list(self.inputs),
            "outputs": list(self.outputs),
            "weights": self.weights,
            "biases": self.biases,
            "multiply_adds": self.multiply_adds,
            "operations": self.operations,
            "connections": self.connections,
            "matrix_entries": self.matrix_entries,
            "sparsity": self.sparsity,
            "weight_bytes": self.weight_bytes(),
            "activation_bytes": self.activation_bytes(),
        }


def convolution(
    inputs: Shape,
    filters: int,
    kernel: Pair,
    *,
    stride: Pair = 1,
    padding: Pair | Literal["valid", "same"] = 0,
    dilation: Pair = 1,
    groups: int = 1,
    bias: bool = True,
) -> Cost:
    """Count what a convolution costs: (F * F * D) * K weights and K biases.

    Args:
        inputs: channels, height and width.
        filters: channels of the output.
        kernel: height and width of a filter, or one number for both.
        stride: likewise.
        padding: likewise, on each side; or "valid", or "same".
        dilation: likewise.
        groups: of channels that are filtered by themselves; divides both channels and filters.
        bias: a number is added to each map.

    Raises:
        OptionError: the kernel does not fit, a number makes no sense, or the groups do not divide the channels.
    """
    down, across = _fits(inputs, kernel, stride, padding, dilation)
    return _convolution(inputs, filters, down, across, groups, bias)


def _convolution(inputs: Shape, filters: int, down: Fit, across: Fit, groups: int, bias: bool) -> Cost:
    depth = _depth(inputs, filters, groups)
    outputs = (filters, down.outputs, across.outputs)
    taps = depth * down.kernel * across.kernel
    return Cost(
        kind="convolution",
        inputs=inputs,
        outputs=outputs,
        weights=filters * taps,
        biases=filters if bias else 0,
        multiply_adds=prod(outputs) * taps,
        connections=filters * depth * _met(down) * _met(across),
    )


def locally_connected(
    inputs: Shape,
    filters: int,
    kernel: Pair,
    *,
    stride: Pair = 1,
    padding: Pair | Literal["valid", "same"] = 0,
    dilation: Pair = 1,
    groups: int = 1,
    bias: bool = True,
) -> Cost:
    """Count what a locally connected layer costs (unshared convolution); arguments as in `convolution`."""
    shared = convolution(
        inputs, filters, kernel, stride=stride, padding=padding, dilation=dilation, groups=groups, bias=bias
    )
    return Cost(
        kind="locally connected",
        inputs=inputs,
        outputs=shared.outputs,
        weights=shared.multiply_adds,  # each product has a weight of its own
        biases=prod(shared.outputs) if bias else 0,
        multiply_adds=shared.multiply_adds,
        connections=shared.connections,
    )


def full(inputs: Shape, outputs: Shape, *, bias: bool = True) -> Cost:
    """Count what a full connection between two maps (or vectors, K x 1 x 1) costs.

    Raises:
        OptionError: a side below 1.
    """
    if min(*inputs, *outputs) < 1:
        raise OptionError(f"every side must be at least 1, got {inputs} and {outputs}.")
    entries = prod(inputs) * prod(outputs)
    return Cost("full connection", inputs, outputs, entries, prod(outputs) if bias else 0, entries, entries)


def compare(
    inputs: Shape,
    filters: int,
    kernel: Pair,
    *,
    stride: Pair = 1,
    padding: Pair | Literal["valid", "same"] = 0,
    dilation: Pair = 1,
    groups: int = 1,
    bias: bool = True,
) -> tuple[Cost, Cost, Cost]:
    """Count convolution, locally connected layer and full connection between the same two shapes.

    Arguments as in `convolution`.
    """
    settings: Any = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "bias": bias}
    shared = convolution(inputs, filters, kernel, **settings)
    unshared = locally_connected(inputs, filters, kernel, **settings)
    return shared, unshared, full(inputs, shared.outputs, bias=bias)


def strided_and_downsampled(
    inputs: Shape,
    filters: int,
    kernel: Pair,
    *,
    stride: Pair,
    padding: Pair | Literal["valid", "same"] = 0,
    dilation: Pair = 1,
    groups: int = 1,
    bias: bool = True,
) -> tuple[Cost, Cost]:
    """Count a strided convolution, and the one at stride 1 of which every `stride`-th output is kept.

    Both give the same numbers; the second works out many that are thrown away. Arguments as in `convolution`.

    Returns:
        The strided one, and the one before down-sampling (its outputs are those at stride 1).
    """
    down, across = _fits(inputs, kernel, stride, padding, dilation)
    strided = _convolution(inputs, filters, down, across, groups, bias)
    dense = [
        fit(one.length, one.kernel, padding=(one.before, one.after), dilation=one.dilation) for one in (down, across)
    ]
    return strided, _convolution(inputs, filters, dense[0], dense[1], groups, bias)


def _fits(
    inputs: Shape, kernel: Pair, stride: Pair, padding: Pair | Literal["valid", "same"], dilation: Pair
) -> tuple[Fit, Fit]:
    """Fit the kernel down and across."""
    if len(inputs) != 3 or min(inputs) < 1:
        raise OptionError(f"a shape is channels, height and width, each at least 1, got {inputs}.")
    kernels, strides, dilations = pair(kernel), pair(stride), pair(dilation)
    pads = (padding, padding) if isinstance(padding, str) else pair(padding)
    found = [
        fit(inputs[1 + axis], kernels[axis], strides[axis], padding=pads[axis], dilation=dilations[axis], side=side)
        for axis, side in enumerate(("high", "wide"))
    ]
    return found[0], found[1]


def _depth(inputs: Shape, filters: int, groups: int) -> int:
    """Return the channels that one filter sees."""
    if filters < 1 or groups < 1:
        raise OptionError(f"filters and groups must be at least 1, got {filters} and {groups}.")
    if inputs[0] % groups or filters % groups:
        raise OptionError(f"{groups} groups do not divide {inputs[0]} channels and {filters} filters evenly.")
    return inputs[0] // groups


def _met(found: Fit) -> int:
    """Count the pairs of an output and a tap that lies on the input, not on its padding, along one axis."""
    total = 0
    for tap in range(found.kernel):
        place = found.dilation * tap - found.before  # of this tap in the first window
        first = max(0, -(place // found.stride))
        last = min(found.outputs - 1, (found.length - 1 - place) // found.stride)
        total += max(0, last - first + 1)
    return total
