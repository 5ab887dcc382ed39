"""A network's run as a list of operations that can be run again: from the middle, on other values, on more pictures.

Knows shapes and order; nothing of what is done with them. Who writes one down is `recording`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor

from striate.errors import StriateError

__all__ = ["Program", "Ref", "Sized", "Step", "Unwritten", "leaves"]


class Unwritten(StriateError):
    """A run that cannot be written down as a list of operations; the text says why."""


@dataclass(frozen=True)
class Ref:
    """One of the values of a program, by its number; 0 is the picture."""

    index: int


@dataclass(frozen=True)
class Sized:
    """A whole number that grows with the batch: `each` for a picture."""

    each: int


@dataclass(frozen=True)
class Step:
    """One operation.

    Attributes:
        name: of the operation, without its namespace and without the mark of one that writes in place.
        op: what is called. As it is written down, it writes into none of its arguments.
        args: in the order of its schema; values of the program are `Ref`, everything else is as it was.
        kwargs: likewise, by name.
        outs: numbers of the values that it gives; None for what is no tensor.
        single: it gives a tensor, not a tuple of them.
    """

    name: str
    op: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    outs: tuple[int | None, ...]
    single: bool

    @cached_property
    def arguments(self) -> Mapping[str, Any]:
        """All arguments by name, those with their default value included."""
        schema = self.op._schema.arguments  # type: ignore[attr-defined]  # every operation of torch has one
        given: dict[str, Any] = {argument.name: argument.default_value for argument in schema}
        given |= {argument.name: value for argument, value in zip(schema, self.args, strict=False)}
        return given | dict(self.kwargs)

    @cached_property
    def inputs(self) -> tuple[int, ...]:
        """Numbers of the values that it reads."""
        return tuple(found.index for found in leaves((self.args, self.kwargs)) if isinstance(found, Ref))

    def run(self, value: Callable[[int], Tensor], count: int) -> list[Tensor | None]:
        """Do it for `count` pictures.

        Args:
            value: gives the tensor of a number.
            count: pictures in the batch.

        Returns:
            What belongs to `outs`, in order.
        """

        def fill(item: Any) -> Any:
            if isinstance(item, Ref):
                return value(item.index)
            if isinstance(item, Sized):
                return item.each * count
            if isinstance(item, list | tuple):
                return type(item)(fill(part) for part in item)
            return item

        result = self.op(*fill(self.args), **{name: fill(item) for name, item in self.kwargs.items()})
        return [result] if self.single else list(result)


@dataclass(frozen=True)
class Program:
    """One run of a network, operation by operation.

    Attributes:
        steps: in order.
        values: what each gave for one picture, by number, as far as tensors go.
        output: number of the value in which the logits are.
        places: numbers of the outputs of layers that were asked for.
        batched: numbers of the values whose first dimension counts pictures.
    """

    steps: tuple[Step, ...]
    values: tuple[Tensor, ...]
    output: int
    places: Mapping[str, int]
    batched: frozenset[int]

    def needed(self, start: int, end: int) -> list[int]:
        """Return the steps, in order, that lead from the value `start` to the value `end`."""
        if (start, end) not in self._ways:
            self._ways[start, end] = self._way(start, end)
        return self._ways[start, end]

    @cached_property
    def _ways(self) -> dict[tuple[int, int], list[int]]:
        return {}

    def _way(self, start: int, end: int) -> list[int]:
        reached = {start}
        forward = []
        for at, step in enumerate(self.steps):
            if any(index in reached for index in step.inputs):
                reached.update(out for out in step.outs if out is not None and out != start)
                forward.append(at)
        wanted = {end}
        chosen = []
        for at in reversed(forward):
            if any(out in wanted for out in self.steps[at].outs):
                chosen.append(at)
                wanted.update(self.steps[at].inputs)
        return chosen[::-1]

    def leading(self, ends: Collection[int], given: Collection[int] = (0,)) -> list[int]:
        """Return the steps, in order, without which the values `ends` cannot be worked out from those `given`.

        Raises:
            Unwritten: a value is neither given nor worked out by any step.
        """
        wanted = set(ends) - set(given)
        chosen = []
        for at in range(len(self.steps) - 1, -1, -1):
            step = self.steps[at]
            outs = wanted.intersection(out for out in step.outs if out is not None)
            if outs:
                chosen.append(at)
                wanted -= outs
                wanted.update(index for index in step.inputs if index not in given)
        if wanted:
            raise Unwritten(f"value {min(wanted)} does not come from what is given")
        return chosen[::-1]

    def run(self, given: Mapping[int, Tensor], ends: Collection[int], count: int) -> dict[int, Tensor]:
        """Work values out for other pictures, forgetting each that nothing reads any more.

        Args:
            given: the values to begin with, 0 the pictures.
            ends: numbers of the values that are asked for.
            count: pictures in the batch.

        Raises:
            Unwritten: a value is neither given nor worked out by any step.
        """
        key = frozenset(given), frozenset(ends)
        if key not in self._runs:
            chosen = self.leading(ends, given)
            last = {out: at for at in chosen for out in self.steps[at].outs if out is not None}
            last |= {index: at for at in chosen for index in self.steps[at].inputs}
            done_with: dict[int, list[int]] = {at: [] for at in chosen}
            for index in last.keys() - {*ends, *given}:
                done_with[last[index]].append(index)
            self._runs[key] = [(self.steps[at], done_with[at]) for at in chosen]
        values = dict(given)
        for step, over in self._runs[key]:
            for out, value in zip(step.outs, step.run(values.__getitem__, count), strict=True):
                if out is not None and value is not None:
                    values[out] = value
            for index in over:
                del values[index]
        return {index: values[index] for index in ends}

    @cached_property
    def _runs(self) -> dict[tuple[frozenset[int], frozenset[int]], list[tuple[Step, list[int]]]]:
        return {}

    def waist(self, start: int, end: int) -> int | None:
        """Return the first value between `start` and `end` that is a vector, (1, C), and that all ways lead through.

        What comes after it is cheap for each picture, but reads many weights: best done for many at once.
        """
        steps = self.needed(start, end)
        last = {index: at for at in steps for index in self.steps[at].inputs}
        alive = {start}
        for at in steps:
            alive |= {out for out in self.steps[at].outs if out is not None and last.get(out, -1) > at}
            alive = {index for index in alive if last.get(index, -1) > at}
            if len(alive) == 1 and self._is_vector(only := next(iter(alive))):
                return only
        return None

    def _is_vector(self, index: int) -> bool:
        """Tell whether a value is one vector a picture: (1, C), not (H W, C)."""
        value = self.values[index]
        return value.dim() == 2 and len(value) == 1 and index in self.batched


def leaves(item: Any) -> Iterator[Any]:
    """Yield what lies in dicts, lists and tuples, however deep."""
    if isinstance(item, dict):
        for part in item.values():
            yield from leaves(part)
    elif isinstance(item, list | tuple):
        for part in item:
            yield from leaves(part)
    else:
        yield item
