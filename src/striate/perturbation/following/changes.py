"""What a rule may ask, what it gives, and the small things that rules share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from torch import Tensor

from striate.perturbation.filling import Norm
from striate.perturbation.parts import Part
from striate.perturbation.regions import Region, Starts
from striate.program import Step

__all__ = ["NCHW", "Changes", "Found", "Rule", "alike", "called", "from_end", "of_one", "of_planes", "only", "together"]


class Changes(Protocol):
    """What a rule may ask of the run that it belongs to."""

    count: int  # changed pictures

    def part(self, index: int) -> Part | None:
        """Return what has changed of a value; None where nothing has."""

    def clean(self, index: int) -> Tensor:
        """Return the unchanged value, (1, ...)."""

    def windows(
        self,
        index: int,
        part: Part,
        begin: tuple[Starts, Starts],
        size: tuple[int, int],
        padding: tuple[int, int, int, int] = (0, 0, 0, 0),
        value: float = 0.0,
    ) -> Tensor:
        """Return windows of a changed value, in its own order of dimensions, with the unchanged map around it."""

    def filled(self, out: int, region: Region, pieces: Sequence[int], norm: Norm) -> Tensor:
        """Return windows of a value, (M, C, h, w): maps put together by their channels, and what changes normalised.

        Args:
            out: number of the value.
            region: its windows.
            pieces: numbers of the maps.
            norm: what is done to each number.
        """

    def constant(self, tensor: Tensor, region: Region, dims: tuple[int, int]) -> Tensor:
        """Return windows of what is the same for all pictures, (1, ...), as (M, ...); itself where all places are."""

    def too_large(self, region: Region) -> bool:
        """Tell whether windows cover so much of the map that all of it is worked out sooner."""


Found = Part | list[Part | None] | Tensor | None
NCHW = (-2, -1)


Rule = Callable[[Step, Changes], Found]
_RuleOfOne = Callable[[Step, Changes, int, Part], Found]


def only(step: Step, changes: Changes) -> tuple[int, Part] | None:
    """Return the number of the value that a step reads first, and what has changed of it."""
    index = step.inputs[0]
    part = changes.part(index)
    return None if part is None or part.merged else (index, part)


def of_one(rule: _RuleOfOne) -> Rule:
    """Make a rule that is given what has changed of the value that its step reads first."""

    @functools.wraps(rule)
    def run(step: Step, changes: Changes) -> Found:
        found = only(step, changes)
        return None if found is None else rule(step, changes, *found)

    return run


def of_planes(rule: _RuleOfOne) -> Rule:
    """Do as `of_one`, where rows and columns are the last two dimensions."""

    @functools.wraps(rule)
    def run(step: Step, changes: Changes) -> Found:
        found = only(step, changes)
        return None if found is None or found[1].dims != NCHW else rule(step, changes, *found)

    return run


def together(parts: Iterable[Part]) -> Region:
    """Return windows that hold those of all parts."""
    return functools.reduce(Region.joined, (part.region for part in parts))


def alike(step: Step, changes: Changes, part: Part) -> Part:
    """Run a step that leaves every value in its place."""
    return Part(called(step, changes, lambda _: part.tensor), part.region, part.dims)


def called(
    step: Step,
    changes: Changes,
    value: Callable[[int], Tensor],
    fixed: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Run a step on windows in the place of maps."""
    changed = step if fixed is None else _with_constants(step, fixed)
    found = changed.run(value, changes.count)[0]
    assert found is not None
    return found


def _with_constants(step: Step, fixed: Callable[[Tensor], Tensor]) -> Step:
    args = tuple(fixed(item) if isinstance(item, Tensor) else item for item in step.args)
    kwargs = {name: fixed(item) if isinstance(item, Tensor) else item for name, item in step.kwargs.items()}
    return Step(step.name, step.op, args, kwargs, step.outs, step.single)


def from_end(dim: int, tensor: Tensor) -> int:
    """Count a dimension from the end."""
    return dim if dim < 0 else dim - tensor.dim()
