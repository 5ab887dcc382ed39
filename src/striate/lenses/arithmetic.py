"""The lens `arithmetic`: one value of a layer by hand, with its window, its kernel, the products and their sum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from striate.address import parse
from striate.errors import AddressError, NetworkError, OptionError
from striate.graph import Graph, Layer
from striate.lenses._lens import lens
from striate.nets.layers import ScaledTanh
from striate.network import Images, Network
from striate.operations import Operation, Reading, capture, folded
from striate.results import Arithmetic, Computed
from striate.running import undisturbed
from striate.streaming import in_chunks
from striate.tap import activations, settle
from striate.targets import Targets, resolve

__all__ = ["Working", "arithmetic", "working"]

APART = 1e-2  # of the largest product: beyond it, the layer does more than its window says


@lens
def arithmetic(
    network: Network, images: Images, target: str | Sequence[str] | None = None, *, shown: int = 5
) -> Arithmetic:
    """Work out one value of a layer by hand: the window, the kernel, the products and their sum.

    Of a batch normalisation, the convolution before it is worked out with the normalisation folded into its kernel;
    of an activation function, also what that makes of the sum.

    Args:
        network: that is asked.
        images: (N, C, H, W), normalised, or paths.
        target: a unit (LAYER:CHANNEL@ROW,COLUMN) of a convolution, dense layer or pooling, or of what normalises
            or rectifies one; of a channel (LAYER:CHANNEL) or a layer (LAYER) the unit that answers most in each
            picture; of a class the unit of the dense layer that gives it; the first convolution unless given.
        shown: input channels that are drawn, those that count for most; the others are summed.

    Returns:
        The numbers of each window, in double precision, and how far their sum is from the network's own value.

    Raises:
        AddressError: no such unit, or a class that no dense layer gives.
        NetworkError: the layer makes its values otherwise.
        OptionError: no channels are to be drawn.

    Source: Dumoulin and Visin 2016, arXiv:1603.07285, figure 1.1 (a convolution drawn in numbers).
    """
    if shown < 1:
        raise OptionError(f"shown must be at least 1, got {shown}.")
    batch = network.batch(images)
    graph = network.graph(*batch.shape[2:])
    targets = _targets(network, graph, batch, target)
    assert targets.place is not None
    layer = graph.layer(targets.place)
    chain = _chain(network, graph, layer)
    found: list[Computed] = []

    def run_piece(start: int, stop: int) -> None:
        piece, asked = batch[start:stop], targets.pick(range(start, stop))
        held = _working(network, piece, layer, chain)
        operation = held.with_normalisation()
        for picture, (channel, position) in enumerate(zip(asked.channels, asked.positions, strict=True)):
            assert channel is not None
            row, column = position if isinstance(position, tuple) else (0, 0)  # of a vector
            reading = operation.read(picture, channel, row, column)
            steps = _after(network, chain, reading, channel, operation.output.shape[1])
            one = Computed.of(reading, operation.given[picture], shown=shown, steps=steps)
            largest = float(np.abs(one.values if one.products is None else one.products).max())
            if one.error > APART * max(largest, abs(one.own), 1e-6):
                raise NetworkError(
                    f"{asked.labels[picture]} is {one.own:.6g} in the network, while its window gives "
                    f"{one.answer:.6g}: the {layer.kind} does more than that. Name a plain convolution."
                )
            found.append(one)

    in_chunks(len(batch), run_piece, size=network.piece(), task="arithmetic")
    boxes = [layer.field.box(*place) if isinstance(place, tuple) else None for place in targets.positions]
    return Arithmetic(
        addresses=targets.labels,
        computed=tuple(found),
        boxes=tuple(boxes),
        pictures=network.spec.pixels(batch),
        kind=chain.window.kind,
        colour=_in_colour(network, graph, chain),
        folded=None if chain.normalisation is None else chain.window.address,
    )


@dataclass(frozen=True)
class Working:
    """How all values of a layer come about: what `arithmetic` works each of them out from.

    Attributes:
        operation: of the convolution, dense layer or pooling; its `output` is what the network made in the layer that
            was asked for, (N, K, h, w).
        kind: class of that module.
        folded: its address, where a batch normalisation follows; else None.
        scale: what that multiplies each channel by, (K,), float64; None where there is none.
        shift: what it adds after that, likewise.
        steps: activation functions after that, in their order.
        colour: what the window reads are the colours of the picture.
    """

    operation: Operation
    kind: str
    folded: str | None
    scale: Tensor | None
    shift: Tensor | None
    steps: tuple[nn.Module, ...]
    colour: bool

    def with_normalisation(self) -> Operation:
        """Return the operation with the normalisation folded into its kernel and bias."""
        if self.scale is None or self.shift is None:
            return self.operation
        return folded(self.operation, self.scale, self.shift, self.operation.output)


def working(network: Network, images: Images, place: str) -> Working:
    """Run a network as far as a layer, and say what each of its values is worked out from.

    Args:
        network: that is asked.
        images: (N, C, H, W), normalised, or paths.
        place: address of the layer.

    Raises:
        AddressError: no such layer.
        NetworkError: the layer makes its values otherwise, or its places do not share their kernels.
    """
    batch = network.batch(images)
    graph = network.graph(*batch.shape[2:])
    layer = graph.layer(place)
    found = _working(network, batch, layer, _chain(network, graph, layer))
    if found.operation.weight is not None and found.operation.weight.dim() != 4:
        raise NetworkError(
            f"each place of {layer.address!r} ({found.kind}) has kernels of its own: "
            "look at one of its units at a time."
        )
    return found


def _targets(network: Network, graph: Graph, batch: Tensor, target: str | Sequence[str] | None) -> Targets:
    """Make the address of a layer, a channel or a unit definite for each picture."""
    if target is None:
        first = next((row for row in graph.rows if not row.functional and row.kernel is not None and row.macs), None)
        if first is None:
            raise NetworkError("no layer of this network is a convolution. Name a dense layer, such as LAYER:0.")
        target = first.address
    wanted: list[str | int | None] = []
    for one in [target] * len(batch) if isinstance(target, str) else list(target):
        address = parse(str(one))
        if address.label is not None:
            address = parse(_unit_of_class(network, graph, address.label))
        maps = graph.layer(address.place).map_size is not None
        if address.channel is not None and (address.position is not None or not maps):
            wanted.append(str(address))
        elif address.channel is not None:
            wanted.append(f"{address}@max")
        else:
            output = activations(network, batch[len(wanted) : len(wanted) + 1], [address.place]).outputs[address.place]
            strongest = int(output[0].flatten(1).amax(1).argmax()) if maps else int(output[0].argmax())
            wanted.append(f"{address.place}:{strongest}" + ("@max" if maps else ""))
    return settle(network, batch, resolve(network, wanted, batch))[0]


def _unit_of_class(network: Network, graph: Graph, label: str) -> str:
    """Address the unit of the dense layer whose value is the score of a class."""
    index = network.class_index(label, graph.classes)
    last = graph.rows[graph.ends[0]] if len(graph.ends) == 1 else None
    if last is None or last.kind != "Linear" or last.functional or last.shape[1:] != (graph.classes,):
        raise AddressError(
            f"class:{label} is a class, and here no dense layer gives its score as it is. "
            "Name a unit of a convolution: LAYER:CHANNEL@ROW,COLUMN."
        )
    return f"{last.address}:{index}"


@dataclass(frozen=True)
class _Chain:
    """The layer that a value comes from, and what follows it up to the layer that was asked for.

    Attributes:
        window: a convolution, dense layer or pooling.
        normalisation: a batch normalisation to be folded into it, or None.
        steps: functions of single values after that, in their order.
    """

    window: Layer
    normalisation: nn.Module | None = None
    steps: tuple[nn.Module, ...] = ()


def _chain(network: Network, graph: Graph, layer: Layer) -> _Chain:
    """Follow a layer back to the convolution that it takes its values from, through what works on single values."""
    steps: list[nn.Module] = []
    normalisation: nn.Module | None = None
    index = layer.row
    while index is not None and index >= 0:
        row = graph.rows[index]
        part = network.module.get_submodule(row.address.partition("~")[0])
        if not row.functional and (row.kernel is not None or row.macs):
            return _Chain(graph.layer(row.address), normalisation, tuple(reversed(steps)))
        if _normalises(part) and normalisation is None:
            normalisation = part
        elif not row.functional and _acts(part) and not normalisation:
            steps.append(part)
        elif row.functional or not isinstance(part, nn.Identity | nn.Dropout):
            break
        index = row.inputs[0] if len(row.inputs) == 1 else None
    if normalisation is None and not steps:
        return _Chain(layer)  # a pooling, or nothing that could be worked out
    before = next((row.address for row in graph.rows[: layer.row][::-1] if row.macs and not row.functional), "")
    raise NetworkError(
        f"{layer.address!r} does not take its values straight from one convolution. "
        f"Name a convolution{', such as ' + before if before else ''}."
    )


def _acts(part: nn.Module) -> bool:
    """Tell whether a module is an activation function: PyTorch's, timm's, or LeNet's own."""
    return isinstance(part, ScaledTanh) or type(part).__module__.split(".")[-1].startswith("activation")


def _normalises(part: nn.Module) -> bool:
    """Tell whether a module is a batch normalisation with numbers of its own."""
    return all(isinstance(getattr(part, name, None), Tensor) for name in ("running_mean", "running_var"))


def _working(network: Network, piece: Tensor, layer: Layer, chain: _Chain) -> Working:
    """Capture the window, find what is to be folded, and set what the network made of it in the end."""
    operation = capture(network, piece, chain.window.address)
    scale = shift = None
    if chain.window is not layer:
        output = activations(network, piece, [layer.address]).outputs[layer.address]
        operation = replace(operation, output=output if output.dim() == 4 else output[:, :, None, None])
    if chain.normalisation is not None:
        if operation.weight is None:
            raise NetworkError(
                f"{layer.address!r} normalises a {chain.window.kind}, which has no kernel to fold it into. "
                f"Name {chain.window.address}."
            )
        scale, shift = _scale_and_shift(chain.normalisation)
    return Working(
        operation=operation,
        kind=chain.window.kind,
        folded=None if chain.normalisation is None else chain.window.address,
        scale=scale,
        shift=shift,
        steps=chain.steps,
        colour=_in_colour(network, network.graph(*piece.shape[2:]), chain),
    )


def _in_colour(network: Network, graph: Graph, chain: _Chain) -> bool:
    """Tell whether the window reads the colours of the picture."""
    row = chain.window.row
    return row is not None and graph.rows[row].inputs == (-1,) and network.spec.channels == 3


def _scale_and_shift(part: nn.Module) -> tuple[Tensor, Tensor]:
    """Return what a batch normalisation in evaluation does to each channel, as scale * x + shift, in float64.

    Source: Ioffe and Szegedy 2015, arXiv:1502.03167, algorithm 2, line 11.
    """
    mean, variance = (getattr(part, name).double() for name in ("running_mean", "running_var"))
    scale = (variance + float(getattr(part, "eps", 0.0))).rsqrt()
    weight, bias = getattr(part, "weight", None), getattr(part, "bias", None)
    if isinstance(weight, Tensor):
        scale = scale * weight.detach().double()
    shift = -mean * scale
    return scale, shift if not isinstance(bias, Tensor) else shift + bias.detach().double()


def _after(
    network: Network, chain: _Chain, reading: Reading, channel: int, count: int
) -> tuple[tuple[str, float], ...]:
    """Return the value after each step, with the step's name."""
    value, found = reading.total, []
    with undisturbed(network.module), torch.no_grad():
        for part in chain.steps:
            given = torch.zeros(1, count, 1, 1, dtype=network.dtype, device=network.device)
            given[0, channel] = value
            value = float(part(given)[0, channel])
            found.append((type(part).__name__, value))
    return tuple(found)
