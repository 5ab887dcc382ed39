"""What is known of a network's structure: its steps, its layers, their shapes, fields and costs. Data only."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from torch import Tensor

from striate.address import find_layer
from striate.errors import NetworkError
from striate.geometry import Field

__all__ = ["Graph", "Layer", "Row", "keeps"]


@dataclass(frozen=True)
class Row:
    """One step of the network: a call of a module without parts, or an operation between modules.

    Attributes:
        address: of the module, with ``~k`` when it is called several times; for an operation, that of
            the module whose forward method makes it (empty for the network itself).
        kind: class of the module ("Conv2d"), or name of the operation ("add", "relu", "cat").
        functional: True for an operation that no module of its own stands for.
        shape: of the output, for one picture.
        kernel, stride, padding, dilation, groups: of the window operation in it, or None.
        parameters: numbers learned in it, each counted where it is first used.
        macs: multiply-adds for one picture.
        field: receptive field of its output.
        inputs: rows that it reads from, as indices; the picture itself is -1.
    """

    address: str
    kind: str
    functional: bool
    shape: tuple[int, ...]
    field: Field
    inputs: tuple[int, ...]
    kernel: tuple[int, ...] | None = None
    stride: tuple[int, ...] | None = None
    padding: tuple[int, ...] | None = None
    dilation: tuple[int, ...] | None = None
    groups: int | None = None
    parameters: int = 0
    macs: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return every number as JSON-able values; `inputs` are positions in the list of rows."""
        return {
            "address": self.address,
            "kind": self.kind,
            "functional": self.functional,
            "shape": list(self.shape),
            "kernel": self.kernel,
            "stride": self.stride,
            "padding": self.padding,
            "dilation": self.dilation,
            "groups": self.groups,
            "parameters": self.parameters,
            "multiply_adds": self.macs,
            "inputs": list(self.inputs),
            "field": self.field.to_dict(),
        }


@dataclass(frozen=True)
class Layer:
    """One call of a module that returns a tensor: a place that can be tapped.

    Attributes:
        name: as in ``named_modules()``.
        call: from 1; `calls` in all.
        calls: how often the module is called in one run.
        kind: class of the module.
        shape: of its output for one picture, as the module returns it.
        channel_axis: dimension of the channels in that output.
        spatial: dimensions of rows and columns, or None when it is no map.
        field: receptive field of its units.
        keeps: it ends with a step that adds nothing of its own (pooling, dropout).
        row: the step that gives its output, as an index; None when it is not known.
    """

    name: str
    call: int
    calls: int
    kind: str
    shape: tuple[int, ...]
    channel_axis: int
    spatial: tuple[int, int] | None
    field: Field
    keeps: bool = False
    row: int | None = None

    @property
    def address(self) -> str:
        """The name, with the call where there are several."""
        return self.name if self.calls == 1 else f"{self.name}~{self.call}"

    @property
    def channels(self) -> int:
        """Number of channels (of features where there is no map)."""
        return self.shape[self.channel_axis]

    @property
    def map_size(self) -> tuple[int, int] | None:
        """Height and width of the map, or None."""
        return None if self.spatial is None else (self.shape[self.spatial[0]], self.shape[self.spatial[1]])

    def arranged(self, output: Tensor, count: int) -> Tensor:
        """Return an output of this layer for `count` pictures as (N, C, H, W), or (N, C) when it is no map.

        Raises:
            NetworkError: it is neither (tokens of a transformer, say), or holds windows of pictures.
        """
        if len(output) == count:
            if self.spatial is not None and output.dim() == 4:
                return output.permute(0, self.channel_axis, *self.spatial)
            if output.dim() == 2:
                return output
        shape = " x ".join(map(str, output.shape))
        raise NetworkError(
            f"layer {self.address!r} gives {shape}, neither a feature map (N x C x H x W) nor a vector (N x C). "
            "Choose a layer with maps; `striate layers` lists them."
        )


@dataclass(frozen=True)
class Graph:
    """What one run of a network shows.

    Attributes:
        rows: all steps in the order of execution.
        layers: all calls of modules with a tensor output, in the order in which they finish.
        picture: (C, H, W) of the picture it was run on.
        parameters: numbers learned in the whole network.
        classes: number of logits.
        ends: rows that the logits come from.
        unfollowed: operations that no receptive field could be carried through, with counts.
        note: why structure or fields are missing, or empty.
    """

    rows: tuple[Row, ...]
    layers: tuple[Layer, ...]
    picture: tuple[int, int, int]
    parameters: int
    classes: int = 0
    ends: tuple[int, ...] = ()
    unfollowed: Mapping[str, int] = field(default_factory=dict)
    note: str = ""

    @property
    def macs(self) -> int:
        """Multiply-adds of one run on one picture."""
        return sum(row.macs for row in self.rows)

    @property
    def names(self) -> list[str]:
        """Names of all layers that can be addressed, in the order in which they first finish."""
        return list(dict.fromkeys(layer.name for layer in self.layers))

    def to_dict(self) -> dict[str, Any]:
        """Return every number as JSON-able values."""
        return {
            "picture": list(self.picture),
            "parameters": self.parameters,
            "multiply_adds": self.macs,
            "unfollowed": dict(self.unfollowed),
            "note": self.note,
            "layers": [row.to_dict() for row in self.rows],
        }

    def layer(self, place: str) -> Layer:
        """Return the layer at "name" (its last call) or "name~k".

        Raises:
            AddressError: there is none; the text proposes the nearest.
        """
        name, _, call = place.partition("~")
        find_layer(name, self.names)
        calls = [layer for layer in self.layers if layer.name == name]
        if not call:
            return calls[-1]
        find_layer(place, [f"{name}~{layer.call}" for layer in calls])
        return calls[int(call) - 1]

    def maps(self) -> list[Layer]:
        """Return the layers whose output is a map of more than one unit, in order."""
        return [layer for layer in self.layers if (size := layer.map_size) is not None and size[0] * size[1] > 1]

    def stages(self) -> list[Layer]:
        """Return the last layer at each resolution, from fine to coarse: a few depths that stand for all.

        The first convolution of a block that will go on to a coarser map is passed over for the block before.
        """
        found: dict[tuple[int, int] | None, Layer] = {}
        for layer in self.maps():
            size = layer.map_size
            passing = any(_differs(block, size) for block in self._blocks(layer.name))
            if not layer.keeps and not (passing and size in found):
                found[size] = layer
        return sorted(found.values(), key=lambda layer: layer.map_size or (0, 0), reverse=True)

    def _blocks(self, name: str) -> Iterator[set[tuple[int, int] | None]]:
        """Yield, for each module around a layer that works at two resolutions, the one that it ends with."""
        parts = name.split(".")
        for depth in range(1, len(parts)):
            around = ".".join(parts[:depth])
            if len(self._sizes.get(around, ())) <= 2:
                yield {layer.map_size for layer in self.layers if layer.name == around}

    @cached_property
    def _sizes(self) -> dict[str, set[tuple[int, int] | None]]:
        """Resolutions of all layers inside each module."""
        sizes: dict[str, set[tuple[int, int] | None]] = {}
        for layer in self.maps():
            parts = layer.name.split(".")
            for depth in range(1, len(parts) + 1):
                sizes.setdefault(".".join(parts[:depth]), set()).add(layer.map_size)
        return sizes

    def last_map(self) -> Layer:
        """Return the deepest map before the classifier: where Grad-CAM looks unless told otherwise.

        All ways from the picture to the classes lead through it, where there is such a map. Pooling,
        dropout and the like are passed over, also at the end of a container. Of a container and its last
        part, whose outputs are the same, the container is named.

        Raises:
            NetworkError: no layer has a map.
        """
        if self._last_map is None:
            raise NetworkError("no layer of this network gives a feature map (N x C x H x W with more than one unit).")
        return self._last_map

    @cached_property
    def _last_map(self) -> Layer | None:
        candidates = [layer for layer in self.maps() if not layer.keeps][::-1]
        used = [layer for layer in candidates if layer.row is None or self._leads_to_classes(layer.row, None)]
        through = (layer for layer in used if layer.row is not None and not self._leads_to_classes(-1, layer.row))
        return next(through, next(iter(used or candidates), None))

    def _leads_to_classes(self, start: int, without: int | None) -> bool:
        """Tell whether the classes depend on row `start` by a way that avoids row `without`."""
        seen, stack = {without}, list(self.ends)
        while stack:
            row = stack.pop()
            if row == start and row != without:
                return True
            if row not in seen and row >= 0:
                seen.add(row)
                stack.extend(self.rows[row].inputs)
        return False


def _differs(ends: set[tuple[int, int] | None], size: tuple[int, int] | None) -> bool:
    return bool(ends) and size not in ends


_KEEPING = re.compile(
    r"\w*Pool(ing)?([123]d)?|\w*Dropout([123]d)?|Drop(Path|Block2d)|Identity|Flatten|\w*_pool[123]d|mean"
)


def keeps(kind: str) -> bool:
    """Tell whether a kind of step adds nothing of its own to what it is given: pooling, dropout."""
    return _KEEPING.fullmatch(kind) is not None
