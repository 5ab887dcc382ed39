"""What is known of a network's structure: its steps, its layers, their shapes, fields and costs. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from striate.address import find_layer
from striate.errors import NetworkError
from striate.geometry import Field

__all__ = ["Graph", "Layer", "Row"]


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
    """

    name: str
    call: int
    calls: int
    kind: str
    shape: tuple[int, ...]
    channel_axis: int
    spatial: tuple[int, int] | None
    field: Field

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

    def arranged(self, output: Tensor) -> Tensor:
        """Return an output of this layer as (N, C, H, W), or (N, C) when it is no map.

        Raises:
            NetworkError: it is neither (tokens of a transformer, say).
        """
        if self.spatial is not None and output.dim() == 4:
            return output.permute(0, self.channel_axis, *self.spatial)
        if output.dim() == 2 or (output.dim() == 4 and self.channel_axis == 1):
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
        unfollowed: operations that no receptive field could be carried through, with counts.
        note: why structure or fields are missing, or empty.
    """

    rows: tuple[Row, ...]
    layers: tuple[Layer, ...]
    picture: tuple[int, int, int]
    parameters: int
    classes: int = 0
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
        """Return the last layer at each resolution, from fine to coarse: a few depths that stand for all."""
        last = {layer.map_size: layer for layer in self.maps() if layer.name and not _keeps(layer.kind)}
        return list(last.values())

    def last_map(self) -> Layer:
        """Return the deepest map before the classifier: where Grad-CAM looks unless told otherwise.

        Pooling, dropout and the like are passed over. Of a container and its last part, whose outputs
        are the same, the container is named.

        Raises:
            NetworkError: no layer has a map.
        """
        found = [layer for layer in self.maps() if layer.name and not _keeps(layer.kind)]
        if not found:
            raise NetworkError("no layer of this network gives a feature map (N x C x H x W with more than one unit).")
        return found[-1]


def _keeps(kind: str) -> bool:
    """Tell whether a kind of module adds nothing of its own to what it is given."""
    return any(word in kind for word in ("Pool", "Dropout", "Identity", "Flatten", "DropPath"))
