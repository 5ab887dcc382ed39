"""How far a layer's map moves with the picture, as curves over the amount of movement. Runs no network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from striate.results import _movements
from striate.results.base import Json, Result
from striate.results.drawn import Drawing, Pixels
from striate.results.words import count, number, probability

__all__ = ["Equivariance", "Movement"]

_KINDS = {"shift": "pixels", "scale": "times", "rotation": "degrees"}


@dataclass(frozen=True, eq=False)
class Movement:
    """What one kind of movement does to L layers, for N pictures and T amounts.

    Attributes:
        amounts: T of them: pixels, factors, or degrees.
        errors: (L, N, T), moved and run against run and moved: 0 the same, 1 nothing in common; NaN where no unit
            shows the same content in both.
        changes: (L + 1, N, T), the same measure against the unmoved map at the same units; first of the picture.
        shares: (L + 1, N, T), share of the values that change at all, in [0, 1]; first of the picture.
        probabilities: (N, T), of the class that each picture had unmoved.
        clean: for each layer, whether only units are compared that see neither padding nor the moved border.
        units: (L, T), how many units are compared.
    """

    amounts: tuple[float, ...]
    errors: Tensor
    changes: Tensor
    shares: Tensor
    probabilities: Tensor
    clean: tuple[bool, ...]
    units: Tensor


@dataclass(frozen=True, eq=False)
class Equivariance(Result):
    """How far the maps of some layers move with N pictures.

    Args:
        layers: addresses, in the order of execution.
        strides: pixels between neighbouring units of each, in the direction of the shift.
        curves: by kind of movement: "shift", "scale", "rotation".
        direction: in which the pictures were shifted.
        classes: what each picture shows, unmoved.
        pictures: uint8, shape (N, H, W, 3), as the network saw them.
        examples: for each kind an amount, and the first picture moved by it.
    """

    layers: tuple[str, ...]
    strides: tuple[float, ...]
    curves: Mapping[str, Movement]
    direction: str
    classes: tuple[str, ...]
    pictures: Pixels
    examples: Mapping[str, tuple[float, Pixels]] = field(default_factory=dict)
    by_picture: ClassVar[bool] = False

    def __len__(self) -> int:
        return len(self.pictures)

    def error(self, kind: str, layer: str) -> NDArray[np.float64]:
        """Return a layer's error for each amount, mean over the pictures: (T,)."""
        return self._mean(self.curves[kind].errors[self.layers.index(layer)])

    def change(self, kind: str, layer: str | None) -> NDArray[np.float64]:
        """Return how far a layer (None: the picture) changes where it stands, mean over the pictures: (T,)."""
        return self._mean(self.curves[kind].changes[0 if layer is None else self.layers.index(layer) + 1])

    def share(self, kind: str, layer: str | None) -> NDArray[np.float64]:
        """Return the share of values of a layer (None: the picture) that change, mean over the pictures: (T,)."""
        return self._mean(self.curves[kind].shares[0 if layer is None else self.layers.index(layer) + 1])

    @staticmethod
    def _mean(values: Tensor) -> NDArray[np.float64]:
        return np.asarray(values.mean(0).numpy(), dtype=np.float64)

    def caption(self) -> str:
        """Say what is measured, and how to read it."""
        text = (
            f"{count(len(self), 'picture')}, {count(len(self.layers), 'layer')}. How far moving the picture moves a "
            "layer's map with it: 0 is all the way, 1 is nothing in common."
        )
        if any(not clean for curves in self.curves.values() for clean in curves.clean):
            text += " Broken lines: the borders of the picture count too, since no unit of the layer is clear of them."
        return text

    def numbers(self) -> dict[str, Json]:
        """Return every number behind the drawings, ready for JSON."""
        return {
            "layers": list(self.layers),
            "strides": list(self.strides),
            "direction": self.direction,
            "classes": list(self.classes),
            "movements": {
                kind: {
                    "unit": _KINDS[kind],
                    "amounts": list(curves.amounts),
                    "probabilities": curves.probabilities.tolist(),
                    "picture": self._numbers(curves, 0),
                    "layers": {
                        layer: {
                            "clean": curves.clean[index],
                            "units": curves.units[index].tolist(),
                            "errors": curves.errors[index].tolist(),
                            **self._numbers(curves, index + 1),
                        }
                        for index, layer in enumerate(self.layers)
                    },
                }
                for kind, curves in self.curves.items()
            },
        }

    @staticmethod
    def _numbers(curves: Movement, index: int) -> dict[str, Json]:
        return {"changes": curves.changes[index].tolist(), "shares": curves.shares[index].tolist()}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the raw arrays by name."""
        arrays: dict[str, NDArray[Any]] = {"layers": np.array(self.layers), "pictures": self.pictures}
        for kind, curves in self.curves.items():
            arrays[f"{kind}_amounts"] = np.array(curves.amounts)
            for name in ("errors", "changes", "shares", "probabilities", "units"):
                arrays[f"{kind}_{name}"] = getattr(curves, name).numpy()
        return arrays

    def sentence(self, kind: str) -> str:
        """Say what one kind of movement does to each layer."""
        curves = self.curves[kind]
        parts = []
        for index, layer in enumerate(self.layers):
            errors = self.error(kind, layer)
            if np.isnan(errors).all():
                parts.append(f"{layer}: nothing to compare")
                continue
            worst = int(np.nanargmax(errors))
            text = f"{layer}: {number(float(errors[worst]), 2)} at most, at {_amount(kind, curves.amounts[worst])}"
            if kind == "shift" and self.strides[index] > 1:
                exact = [errors[at] for at, one in enumerate(curves.amounts) if one and one % self.strides[index] == 0]
                if exact and not np.isnan(exact).all():
                    steps = number(self.strides[index])
                    text += f" ({number(float(np.nanmax(exact)), 2)} at multiples of its {steps} pixels)"
            parts.append(text)
        says = [
            f"{name} with {probability(float(row.min()))} at least"
            for name, row in zip(self.classes, curves.probabilities, strict=True)
        ]
        text = f"{_title(kind, self.direction)}. {'; '.join(parts)}. The answer: {', '.join(says[:4])}."
        if kind == "shift" and 1.0 in curves.amounts:
            at = curves.amounts.index(1.0)
            named = (("the picture", None), *((layer, layer) for layer in self.layers))
            shares = [f"{number(100 * float(self.share(kind, layer)[at]), 2)} % in {name}" for name, layer in named]
            text += f" Values that one pixel changes where they stand: {', '.join(shares)}."
        return text

    def drawings(self) -> list[Drawing]:
        """Return one drawing of curves for each kind of movement."""
        return [Drawing(kind, self.sentence(kind), _movements.pixels(self._columns([kind]))) for kind in self.curves]

    def figure(self) -> Figure:
        """Draw the kinds of movement side by side, on one scale."""
        return _movements.figure(self._columns(list(self.curves)), heading=self.recipe.lens, caption=self.caption())

    def _columns(self, kinds: list[str]) -> list[_movements.Column]:
        columns = []
        for kind in kinds:
            curves = self.curves[kind]
            example, picture = self.examples.get(kind, (0.0, self.pictures[0]))
            columns.append(
                _movements.Column(
                    title=_title(kind, self.direction),
                    unit=_KINDS[kind],
                    amounts=curves.amounts,
                    layers=self.layers,
                    strides=self.strides,
                    broken=tuple(not clean for clean in curves.clean),
                    errors=tuple(self.error(kind, layer) for layer in self.layers),
                    changes=tuple(self.change(kind, layer) for layer in (None, *self.layers)),
                    probabilities=curves.probabilities.numpy(),
                    classes=self.classes,
                    picture=picture,
                    example=_amount(kind, example),
                )
            )
        return columns


def _title(kind: str, direction: str) -> str:
    return {"shift": f"Shifted {direction}", "scale": "Scaled", "rotation": "Rotated"}[kind]


def _amount(kind: str, value: float) -> str:
    if kind == "shift":
        return count(int(value), "pixel")
    return f"{value:g} times" if kind == "scale" else f"{value:g} degrees"
