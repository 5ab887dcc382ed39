"""The one operation inside a layer: what its window reads, with which kernel, and what the network made of it.

A layer is run once more on what it was given while the operations below autograd are watched, so that convolutions
of any class are understood by what they do: padding of their own, standardised weights, groups, dilation. Knows
networks; knows no lens and draws nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from striate.errors import NetworkError
from striate.graph import Graph, Layer
from striate.network import Network
from striate.running import Watcher, first_tensor, run, undisturbed
from striate.sizes import pair

__all__ = ["Operation", "Reading", "capture", "folded"]

Kind = Literal["convolution", "linear", "maximum", "average"]


@dataclass(frozen=True)
class Reading:
    """What one output value is made of, for one picture.

    Attributes:
        values: what the window reads, (C, kh, kw), float64; padding included.
        kernel: what it is multiplied with, (C, kh, kw), float64; None for a maximum.
        padding: (kh, kw), True where the window lies on padding.
        rows: of the window in the map that the layer is given; negative or too large on padding.
        columns: likewise.
        channels: of that map, which the window reads.
        bias: what is added in the end; None where nothing is.
        own: the network's own value.
    """

    values: Tensor
    kernel: Tensor | None
    padding: Tensor
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    channels: tuple[int, ...]
    bias: float | None
    own: float

    @property
    def products(self) -> Tensor | None:
        """Values times kernel, (C, kh, kw), float64; None for a maximum."""
        return None if self.kernel is None else self.values * self.kernel

    @property
    def total(self) -> float:
        """What the products and the bias add up to, or the largest value."""
        products = self.products
        if products is None:
            return float(self.values.where(~self.padding, -torch.inf).max())
        return float(products.sum()) + (self.bias or 0.0)


@dataclass(frozen=True)
class Operation:
    """One call of a layer, and the one operation in it.

    Attributes:
        kind: convolution, linear (a convolution without neighbours), maximum or average.
        given: what the layer was given, (N, C, H, W).
        output: what the network made of it, (N, K, h, w).
        operand: `given` with the padding that the layer laid around it before its operation.
        origin: row and column of `given` in `operand`.
        weight: (K, C / groups, kh, kw), or (h, w, K, C, kh, kw) where each place has its own; None for pooling.
        bias: (K,), or (h, w, K), or None.
        kernel, stride, padding, dilation: of the operation, down and across.
        groups: of channels.
        adaptive: windows are nearly equal parts of the map (adaptive pooling).
        divisor: what an average divides by; None for the number of places.
        counts_padding: an average counts the places on its own padding.
    """

    kind: Kind
    given: Tensor
    output: Tensor
    operand: Tensor
    origin: tuple[int, int] = (0, 0)
    weight: Tensor | None = None
    bias: Tensor | None = None
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    adaptive: bool = False
    divisor: int | None = None
    counts_padding: bool = True

    def read(self, picture: int, channel: int, row: int, column: int) -> Reading:
        """Read the window of one unit, with what it is multiplied with."""
        operand = self.operand[picture]
        taps = [self._taps(axis, unit) for axis, unit in ((0, row), (1, column))]
        inside = [
            torch.tensor([0 <= tap < size for tap in one]) for one, size in zip(taps, operand.shape[1:], strict=True)
        ]
        index = [torch.tensor(one).clamp(0, size - 1) for one, size in zip(taps, operand.shape[1:], strict=True)]
        channels = self._channels(channel)
        device = operand.device
        values = operand[channels.to(device)][:, index[0].to(device)][:, :, index[1].to(device)].double().cpu()
        held = inside[0][:, None] & inside[1]  # (kh, kw); elsewhere the operation pads with nothing
        values = values.where(held, 0.0)
        places = [tuple(tap - first for tap in one) for one, first in zip(taps, self.origin, strict=True)]
        on_map = [
            torch.tensor([0 <= place < size for place in one])
            for one, size in zip(places, self.given.shape[2:], strict=True)
        ]
        kernel, bias = None, None
        if self.weight is not None:
            place = (row, column, channel) if self.weight.dim() == 6 else (channel,)
            kernel = self.weight[place].double().cpu()
            bias = None if self.bias is None else float(self.bias[place])
        elif self.kind == "average":
            kernel = self._shares(taps, held).expand_as(values)
        return Reading(
            values=values,
            kernel=kernel,
            padding=~(on_map[0][:, None] & on_map[1]),
            rows=places[0],
            columns=places[1],
            channels=tuple(channels.tolist()),
            bias=bias,
            own=float(self.output[picture, channel, row, column]),
        )

    def _taps(self, axis: int, unit: int) -> list[int]:
        """Return the places along one axis that a unit reads in `operand`; outside it lies padding."""
        if self.adaptive:
            length, outputs = self.operand.shape[2 + axis], self.output.shape[2 + axis]
            return list(range(unit * length // outputs, -(-(unit + 1) * length // outputs)))
        first = unit * self.stride[axis] - self.padding[axis]
        return [first + self.dilation[axis] * tap for tap in range(self.kernel[axis])]

    def _channels(self, channel: int) -> Tensor:
        """Return the input channels that an output channel reads."""
        if self.weight is None:  # pooling keeps channels apart
            return torch.tensor([channel])
        if self.weight.dim() == 6:
            return torch.arange(self.weight.shape[3])
        depth = self.weight.shape[1]
        group = channel // (self.weight.shape[0] // self.groups)
        return torch.arange(group * depth, (group + 1) * depth)

    def _shares(self, taps: Sequence[Sequence[int]], held: Tensor) -> Tensor:
        """Return what each place of an average counts for, (kh, kw), float64."""
        counted = [
            torch.tensor([-pad <= tap < size + pad for tap in one])
            for one, pad, size in zip(taps, self.padding, self.operand.shape[2:], strict=True)
        ]
        counting = counted[0][:, None] & counted[1] if self.counts_padding else held
        shared = self.divisor or int(counting.sum())
        return counting.double() / shared


def folded(operation: Operation, scale: Tensor, shift: Tensor, output: Tensor) -> Operation:
    """Fold what follows channel by channel, ``scale * x + shift``, into the kernel and the bias.

    Args:
        operation: a convolution or a linear layer.
        scale: (K,).
        shift: (K,).
        output: what the network made of it, (N, K, h, w).
    """
    assert operation.weight is not None
    weight = operation.weight.double() * scale.double()[:, None, None, None]
    bias = shift.double().expand(weight.shape[:-3])
    if operation.bias is not None:
        bias = bias + operation.bias.double() * scale.double()
    return replace(operation, weight=weight, bias=bias, output=output)


def capture(network: Network, images: Tensor, place: str) -> Operation:
    """Run a network as far as a layer, and understand what the layer does.

    Args:
        network: that is run.
        images: (N, C, H, W), as `Network.batch` gives them.
        place: the layer, "name" (its last call) or "name~k".

    Raises:
        AddressError: no such layer.
        NetworkError: the layer is none that makes its values from a window, or was not reached.
    """
    graph = network.graph(*images.shape[2:])
    layer = graph.layer(place)
    part = network.module.get_submodule(layer.name)
    if next(part.children(), None) is not None:
        raise NetworkError(f"{layer.address!r} ({layer.kind}) is made of several layers. {_offer(graph, layer)}")
    with undisturbed(network.module), torch.no_grad():
        args, kwargs, output = _call(network, images, layer.name, layer.call)
        watched = _Watch()
        with watched:
            part(*args, **kwargs)
    given = first_tensor(args) if args else first_tensor(kwargs)
    assert given is not None  # it was traced with a picture
    found = watched.operation(part, given, output) or _unshared(part, given, output)
    if found is None:
        raise NetworkError(
            f"the values of {layer.address!r} ({layer.kind}) are no sum over a window. {_offer(graph, layer)}"
        )
    return replace(found, output=layer.arranged(output, len(images))) if found.kind != "linear" else found


def _offer(graph: Graph, layer: Layer) -> str:
    """Name layers that can be taken instead: those inside this one, or those before it."""
    windows = {
        index: row.address
        for index, row in enumerate(graph.rows)
        if not row.functional and (row.kernel is not None or row.macs or "Pool" in row.kind)
    }
    inside = [address for address in windows.values() if address.startswith(f"{layer.name}.")]
    before = [address for index, address in windows.items() if layer.row is not None and index <= layer.row]
    offered = inside[:4] or before[-1:] or list(windows.values())[:4]
    return f"Name a convolution, a dense layer or a pooling, such as {', '.join(offered)}." if offered else ""


class _Reached(BaseException):
    """Ends a run early. No Exception, so that a network's own error handling lets it through."""


def _call(network: Network, images: Tensor, name: str, call: int) -> tuple[Any, Any, Tensor]:
    """Run as far as one call of a module, and return what it was given and what it gave."""
    calls: Counter[str] = Counter()
    taken: list[Any] = []

    def before(_module: nn.Module, args: Any, kwargs: Any) -> None:
        calls[name] += 1
        if calls[name] == call:  # copied, since the module or one after it may write into it
            taken.extend(torch.utils._pytree.tree_map_only(Tensor, torch.clone, (args, kwargs)))

    def after(_module: nn.Module, _args: Any, output: Any) -> None:
        if calls[name] == call:
            tensor = first_tensor(output)
            assert tensor is not None  # it was traced
            taken.append(tensor.clone())
            raise _Reached

    part = network.module.get_submodule(name)
    handles = [part.register_forward_pre_hook(before, with_kwargs=True), part.register_forward_hook(after)]
    try:
        run(network.module, images)
    except _Reached:
        pass
    finally:
        for handle in handles:
            handle.remove()
    if len(taken) < 3:
        raise NetworkError(f"layer {name!r} was not reached on these pictures: the network takes another way for them.")
    return taken[0], taken[1], taken[2]


class _Watch(Watcher):
    """Notes the windows and the padding of one layer."""

    def __init__(self) -> None:
        super().__init__()
        self.windows: list[tuple[str, dict[str, Any], Tensor]] = []
        self.pads: list[list[int]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        schema = func._schema
        name = schema.name.split("::")[1]
        arguments = {argument.name: argument.default_value for argument in schema.arguments}
        arguments |= {one.name: value for one, value in zip(schema.arguments, args, strict=False)} | (kwargs or {})
        if name in _KINDS:
            self.windows.append((name, arguments, first_tensor(result)))  # type: ignore[arg-type]
        elif name in ("constant_pad_nd", "reflection_pad2d", "replication_pad2d"):
            self.pads.append(list(arguments["pad" if name == "constant_pad_nd" else "padding"]))
        return result

    def operation(self, part: nn.Module, given: Tensor, output: Tensor) -> Operation | None:
        """Put together what was seen; None where it is not one window."""
        if len(self.windows) != 1:
            return None
        name, arguments, _ = self.windows[0]
        if name in ("addmm", "mm"):
            return _linear(part, given, output)
        operand = arguments["self"] if "self" in arguments else arguments["input"]
        if given.dim() != 4 or operand.dim() != 4:
            return None
        origin = self._origin(part, given, operand)
        if origin is None:
            return None
        found = Operation(_KINDS[name], given, output, operand.detach(), origin)
        if name == "convolution":
            weight, bias = arguments["weight"], arguments["bias"]
            if arguments["transposed"] or weight.dim() != 4:
                return None
            kernel = (weight.shape[2], weight.shape[3])
            return replace(
                found,
                weight=weight.detach(),
                bias=None if bias is None else bias.detach(),
                kernel=kernel,
                stride=pair(arguments["stride"]),
                padding=pair(arguments["padding"]),
                dilation=pair(arguments["dilation"]),
                groups=arguments["groups"],
            )
        if name in ("_adaptive_avg_pool2d", "adaptive_max_pool2d"):
            return replace(found, adaptive=True)
        if name == "mean":
            whole = sorted(dim % 4 for dim in arguments["dim"] or ()) == [2, 3] and output.shape[2:] == (1, 1)
            return replace(found, adaptive=True) if whole else None
        kernel = pair(arguments["kernel_size"])
        return replace(
            found,
            kernel=kernel,
            stride=pair(arguments["stride"] or kernel),
            padding=pair(arguments["padding"]),
            dilation=pair(arguments.get("dilation") or 1),
            divisor=arguments.get("divisor_override"),
            counts_padding=bool(arguments.get("count_include_pad", True)),
        )

    def _origin(self, part: nn.Module, given: Tensor, operand: Tensor) -> tuple[int, int] | None:
        """Return where the layer's input lies in its padded copy; None where that cannot be told."""
        pads = list(self.pads)
        if getattr(part, "padding_mode", "zeros") == "circular":  # torch copies strips for it, and names no padding
            pads = [list(part._reversed_padding_repeated_twice)]  # type: ignore[arg-type]
        total = [sum(pad[side] for pad in pads if len(pad) > side) for side in range(4)]  # left, right, top, bottom
        added = [operand.shape[2] - given.shape[2], operand.shape[3] - given.shape[3]]
        return (total[2], total[0]) if added == [total[2] + total[3], total[0] + total[1]] else None


_KINDS: dict[str, Kind] = {
    "convolution": "convolution",
    "addmm": "linear",
    "mm": "linear",
    "max_pool2d_with_indices": "maximum",
    "adaptive_max_pool2d": "maximum",
    "avg_pool2d": "average",
    "_adaptive_avg_pool2d": "average",
    "mean": "average",
}


def _linear(part: nn.Module, given: Tensor, output: Tensor) -> Operation | None:
    """Understand a dense layer as a convolution of one place; of maps with channels last too."""
    weight, bias = getattr(part, "weight", None), getattr(part, "bias", None)
    if not isinstance(weight, Tensor) or weight.dim() != 2 or weight.shape != (output.shape[-1], given.shape[-1]):
        return None
    if given.dim() == 2:
        given, output = given[:, :, None, None], output[:, :, None, None]
    elif given.dim() == 4:
        given, output = given.permute(0, 3, 1, 2), output.permute(0, 3, 1, 2)
    else:
        return None
    bias = bias.detach() if isinstance(bias, Tensor) else None
    return Operation("linear", given, output, given, weight=weight.detach()[:, :, None, None], bias=bias)


def _unshared(part: nn.Module, given: Tensor, output: Tensor) -> Operation | None:
    """Understand a locally connected layer by its weights (h, w, K, C, kh, kw): each place has a kernel of its own."""
    weight, bias = getattr(part, "weight", None), getattr(part, "bias", None)
    stride, padding = getattr(part, "stride", None), getattr(part, "padding", None)
    if not isinstance(weight, Tensor) or weight.dim() != 6 or given.dim() != 4 or output.dim() != 4:
        return None
    maps = (*output.shape[2:], output.shape[1], given.shape[1])
    if weight.shape[:4] != maps or not isinstance(stride, tuple) or not isinstance(padding, tuple):
        return None
    return Operation(
        "convolution",
        given,
        output,
        given,
        weight=weight.detach(),
        bias=bias.detach() if isinstance(bias, Tensor) else None,
        kernel=(weight.shape[4], weight.shape[5]),
        stride=pair(stride),
        padding=pair(padding),
    )
