"""The numbers behind an export: maps, kernels and features, exactly as the network has them.

From them the page reads the column of all units at a place, works out the arithmetic of a value, and says what a
region of the map has in common (`exported_numbers.js`, `exported_region.js`). Computes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.atlas import Atlas
from striate.errors import StriateError
from striate.files import byte_count
from striate.lenses.arithmetic import Working, working
from striate.network import Network
from striate.results.words import count
from striate.web.asking import question_of
from striate.web.house import House
from striate.web.still import Still
from striate.web.store import Picture

__all__ = ["FUNCTIONS", "Numbers", "Planned", "Question"]

Floats = NDArray[np.float32]

# Functions of single values that the page knows as well, with the attributes that they depend on.
FUNCTIONS: dict[str, tuple[str, ...]] = {
    "ReLU": (),
    "ReLU6": (),
    "LeakyReLU": ("negative_slope",),
    "ELU": ("alpha",),
    "Hardtanh": ("min_val", "max_val"),
    "Sigmoid": (),
    "Tanh": (),
    "ScaledTanh": (),
    "SiLU": (),
    "Swish": (),
    "Hardsigmoid": (),
    "HardSigmoid": (),
    "Hardswish": (),
    "HardSwish": (),
}

_FEATURES = 32 * 10**6  # bytes of features that are kept for the regions of a map


@dataclass(frozen=True)
class Question:
    """Of which network something is asked.

    Attributes:
        other: the second one.
        epoch: of the training; the network that was kept where this is None.
    """

    other: bool = False
    epoch: int | None = None

    @property
    def words(self) -> dict[str, object]:
        """As the page asks it."""
        return {"other": self.other, "epoch": None if self.epoch is None else str(self.epoch)}


@dataclass(frozen=True)
class Planned:
    """Of which layers numbers are kept.

    Attributes:
        layers: the smallest first, as many as there is room for.
        bytes: that they take at most, before they are packed.
        left: bytes that each of the others would take.
    """

    layers: tuple[str, ...]
    bytes: int
    left: dict[str, int]

    def sentence(self) -> str:
        """Say it before the work."""
        if not self.layers and not self.left:
            return "No numbers of maps: the column at a place and the arithmetic of a value stay with the server."
        layers = count(len(self.layers), "layer")
        text = f"Numbers of {layers}: {byte_count(self.bytes)} at most (--numbers 0 leaves them out)."
        if self.left:
            most = byte_count(sum(self.left.values()))
            text += (
                f" For those of {', '.join(self.left)} there is no room: they would take {most} more (--numbers MB)."
            )
        return text


class Numbers:
    """Keeps the numbers of layers.

    Args:
        house: that is exported.
        still: where they go.
        live: how the microscope itself is started, for sentences.
    """

    def __init__(self, house: House, still: Still, live: str) -> None:
        self._house, self._still, self._live = house, still, live

    def plan(self, layers: Sequence[str], pictures: Sequence[Picture], asked: Sequence[Question], room: int) -> Planned:
        """Choose layers, the smallest first, whose numbers together take no more than so many bytes.

        Args:
            layers: addresses.
            pictures: that are exported.
            asked: networks that are exported.
            room: bytes; nothing is chosen where there is none.
        """
        if room <= 0 or not pictures:
            return Planned((), 0, {})
        sizes: dict[str, int] = {}
        for layer in layers:
            for one in asked:
                try:
                    network = self._house.asked(one.other, one.epoch)
                    each, once = self._size(network, pictures[0], layer)
                except StriateError:
                    continue  # the other network has no such layer
                sizes[layer] = sizes.get(layer, 0) + each * len(pictures) + once
        chosen: list[str] = []
        total = 0
        for layer in sorted(sizes, key=lambda name: sizes[name]):
            if total + sizes[layer] > room:
                break
            total += sizes[layer]
            chosen.append(layer)
        return Planned(
            tuple(chosen), total, {name: sizes[name] for name in layers if name in sizes.keys() - set(chosen)}
        )

    def _size(self, network: Network, given: Picture, layer: str) -> tuple[int, int]:
        """Return bytes for each picture, and once."""
        each, once = int(np.prod(network.graph().layer(layer).shape)) * 4, 0
        try:
            held = working(network, self._house.looked_at(given.id, network), layer)
        except StriateError:
            return each, once  # there is no arithmetic of it
        operation = held.operation
        each += int(np.prod(operation.given.shape[1:])) * 4
        return each, 0 if operation.weight is None else int(np.prod(operation.weight.shape)) * 4

    def leave_out(self, layer: str, pictures: Sequence[Picture], planned: Planned) -> None:
        """Say in place of a layer's numbers why they are not there."""
        size = planned.left.get(layer)
        why = "" if size is None else f" (they would take {byte_count(size)}; striate export --numbers makes room)"
        sentence = f"The numbers of {layer} were not exported{why}. The microscope itself shows them: {self._live}."
        for given in pictures:
            self._still.refuse(question_of("numbers", {"layer": layer, "picture": given.id}), sentence)
        self._still.refuse(question_of("window", {"layer": layer}), sentence)

    def keep(self, layer: str, given: Picture, asked: Question) -> None:
        """Keep a layer's maps for a picture, and what its window reads.

        Raises:
            StriateError: the layer gives neither maps nor a vector.
        """
        network = self._house.asked(asked.other, asked.epoch)
        found = self._house.activations(given.id, layer, network)
        maps = found.grid(layer)[0].float().numpy()
        answer: dict[str, Any] = {"maps": self._still.numbers(maps), "shape": list(maps.shape)}
        spec, size = network.spec, (given.height, given.width)
        answer |= {"size": size, "part": spec.seen(*size), "input": spec.size, "axes": _axes(network, layer)}
        window = question_of("window", {"layer": layer, **asked.words})
        try:
            held = working(network, self._house.looked_at(given.id, network), layer)
        except StriateError as error:
            self._still.refuse(window, str(error))
        else:
            unknown = next((type(part).__name__ for part in held.steps if type(part).__name__ not in FUNCTIONS), None)
            if unknown is None:
                answer |= self._read(held)
                if not self._still.has(window):
                    self._keep_window(window, self._window(network, layer, held), layer)
            else:
                self._still.refuse(
                    window,
                    f"The arithmetic of {layer} ends in {unknown}, which this page cannot work out. The microscope "
                    f"itself can: {self._live}.",
                )
        self._still.answer(question_of("numbers", {"layer": layer, "picture": given.id, **asked.words}), answer)

    def _keep_window(self, question: str, window: dict[str, Any], layer: str) -> None:
        try:
            json.dumps(window, allow_nan=False)
        except ValueError:
            sentence = (
                f"The arithmetic of {layer} has numbers without end, which files cannot hold. The microscope itself"
            )
            self._still.refuse(question, f"{sentence} shows it: {self._live}.")
        else:
            self._still.answer(question, window)

    def _read(self, held: Working) -> dict[str, Any]:
        """Keep what the window reads: without its border where that is zeros, so that a map is kept once."""
        operation = held.operation
        operand, given = (one[0].float().cpu().numpy() for one in (operation.operand, operation.given))
        top, left = operation.origin
        height, width = given.shape[1:]
        inner = np.zeros_like(operand)
        inner[:, top : top + height, left : left + width] = given
        framed = np.array_equal(inner, operand)
        return {
            "reads": self._still.numbers(given if framed else operand),
            "readShape": list((given if framed else operand).shape),
            "frame": [top, left] if framed else [0, 0],
        }

    def _window(self, network: Network, layer: str, held: Working) -> dict[str, Any]:
        operation, found = held.operation, network.graph().layer(layer)
        folded = held.with_normalisation()
        fields = None
        if found.map_size is not None:
            rows, columns = found.map_size
            boxes = (
                [found.field.box(row, 0) for row in range(rows)],
                [found.field.box(0, col) for col in range(columns)],
            )
            fields = {
                "rows": [[box[0], box[2]] for box in boxes[0]],
                "columns": [[box[1], box[3]] for box in boxes[1]],
            }
        return {
            "kind": held.kind,
            "layerKind": found.kind,
            "folded": held.folded,
            "colour": held.colour,
            "operation": operation.kind,
            "given": list(operation.given.shape[1:]),
            "operand": list(operation.operand.shape[1:]),
            "origin": list(operation.origin),
            "kernel": list(operation.kernel),
            "stride": list(operation.stride),
            "padding": list(operation.padding),
            "dilation": list(operation.dilation),
            "groups": operation.groups,
            "adaptive": operation.adaptive,
            "divisor": operation.divisor,
            "countsPadding": operation.counts_padding,
            "weight": None if operation.weight is None else self._still.numbers(_floats(operation.weight)),
            "weightShape": None if operation.weight is None else list(operation.weight.shape),
            "scale": None if held.scale is None else held.scale.double().cpu().tolist(),
            "bias": None if folded.bias is None else folded.bias.double().cpu().tolist(),
            "steps": [
                {"name": type(part).__name__, **{name: getattr(part, name) for name in FUNCTIONS[type(part).__name__]}}
                for part in held.steps
            ],
            "mapped": found.map_size is not None,
            "fields": fields,
        }

    # --- regions of the map

    def features(self, atlas: Atlas, layer: str) -> str | None:
        """Keep what is needed to say what pictures of the atlas have in common; return what is left out, or None.

        Args:
            atlas: of the house.
            layer: by whose features the map is laid out.
        """
        kept = atlas.averaged(layer)
        size, answer = int(np.prod(kept.shape)) * kept.dtype.itemsize, self._classes(atlas)
        answer |= {"layer": layer, "called": self._house.called(layer), "shape": list(kept.shape), "half": False}
        why = None
        if size > _FEATURES:
            why = f"Which units answer to a region needs {byte_count(size)} of features, more than an export takes."
        else:
            half = kept.dtype == np.float16
            answer |= {"features": self._still.numbers(np.ascontiguousarray(kept)), "half": half}
        answer["missing"] = None if why is None else f"{why} The microscope itself shows them: {self._live}."
        self._still.answer(question_of("region", {"layer": layer}), answer)
        return why

    def _classes(self, atlas: Atlas) -> dict[str, Any]:
        """Say how often each class is among all pictures."""
        found: dict[str, Any] = {"total": len(atlas), "labels": None, "predictions": None, "features": None}
        for name, classes in (
            ("labels", atlas.labels),
            ("predictions", atlas.predictions if atlas.predicts else None),
        ):
            if classes is not None:
                known, counts = np.unique(np.asarray(classes)[np.asarray(classes) >= 0], return_counts=True)
                found[name] = dict(zip(map(str, known.tolist()), counts.tolist(), strict=True))
        return found


def _axes(network: Network, layer: str) -> list[Any]:
    """Say how a place of the input is brought to a row, and to a column: [middle, jump], or null as shares."""
    field = network.graph().layer(layer).field
    if field.status == "unknown":
        return [None, None]
    return [[float(span.low + span.high) / 2 + 0.5, float(span.jump)] for span in field.spans]


def _floats(values: Any) -> Floats:
    found: Floats = values.detach().float().cpu().numpy()
    return found
