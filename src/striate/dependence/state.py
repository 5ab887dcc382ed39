"""What the elements of a tensor have seen of the picture. Data only; the rules are in the files beside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from torch import Tensor

from striate import geometry
from striate.geometry import Span

__all__ = ["Atom", "Axis", "Call", "Dependence", "Rule", "along", "first_input", "of_picture", "plain", "unknown"]

Atom = tuple[int | None, int]  # (0 rows, 1 columns, None anything else; length)
Axis = tuple[Atom, ...]  # a dimension: its atoms in row-major order; atoms of length 1 need not be listed


@dataclass(frozen=True)
class Dependence:
    """What the elements of a tensor have seen of the picture.

    Attributes:
        axes: for each dimension the atoms that it is made of: a flattened map is ((0, H), (1, W)).
        spans: vertical and horizontal span; without jump where no dimension runs along them.
    """

    axes: tuple[Axis, ...]
    spans: tuple[Span, Span]

    def dimension(self, label: int) -> int | None:
        """Return the dimension that runs along the rows (0) or columns (1) and along nothing else."""
        for index, axis in enumerate(self.axes):
            if [atom[0] for atom in axis] == [label]:
                return index
        return None

    def mixed(self, label: int) -> bool:
        """Tell whether rows (0) or columns (1) run along dimensions together with something else."""
        return self.dimension(label) is None and any(name == label for axis in self.axes for name, _ in axis)

    def length(self, label: int) -> int:
        """Return the number of units along the rows (0) or columns (1)."""
        return prod(size for axis in self.axes for name, size in axis if name == label)

    def with_span(self, label: int, span: Span) -> Dependence:
        """Return the same axes with another span."""
        spans = (span, self.spans[1]) if label == 0 else (self.spans[0], span)
        return replace(self, spans=spans)


@dataclass(frozen=True)
class Call:
    """One operation with its arguments by name, and what is known of its tensors."""

    name: str
    arguments: dict[str, Any]
    outputs: tuple[Tensor, ...]
    seen: Callable[[Tensor], Dependence | None]
    pointwise: bool

    def tensors(self) -> list[Tensor]:
        """Return all tensor arguments, lists included, in order."""
        found: list[Tensor] = []
        for value in self.arguments.values():
            if isinstance(value, Tensor):
                found.append(value)
            elif isinstance(value, list | tuple):
                found += [item for item in value if isinstance(item, Tensor)]
        return found


def of_picture(images: Tensor) -> Dependence:
    """Return the dependence of a batch of pictures (N, C, H, W) on itself."""
    count, channels, height, width = images.shape
    return Dependence(
        axes=(((None, count),), ((None, channels),), ((0, height),), ((1, width),)),
        spans=(geometry.input_span(height), geometry.input_span(width)),
    )


Rule = Callable[[Call], Dependence | Sequence[Dependence] | None]


def unknown(output: Tensor) -> Dependence:
    """Return the dependence of a tensor about which nothing can be said."""
    axes = tuple(((None, size),) for size in output.shape)
    return Dependence(axes, (geometry.unknown_span(), geometry.unknown_span()))


def first_input(call: Call) -> tuple[Tensor, Dependence] | None:
    """Return the operation's main input, when it depends on the picture."""
    main = next(iter(call.arguments.values()))
    known = call.seen(main) if isinstance(main, Tensor) else None
    return None if known is None else (main, known)


def plain(length: int) -> Axis:
    """Return a dimension that runs along no axis of the picture."""
    return ((None, length),)


def along(label: int | None, length: int) -> Axis:
    """Return a dimension that runs along the rows (0) or columns (1) of the picture."""
    return ((label, length),)
