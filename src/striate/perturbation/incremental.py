"""The scores of a picture under many patches, worked out from what each patch changes alone.

A patch changes a window of the picture; each layer widens it, and outside it the values of the unchanged
picture hold. The windows are followed through the program of the network. Where they cover most of a map,
or an operation cannot be followed, whole maps take over from there.

Source: Nakandala, Kumar and Papakonstantinou 2019 (Krypton), doi:10.1145/3299869.3319874, section 4.1
(incremental inference for convolutions and pooling along a chain).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from striate.perturbation.filling import Norm, fill
from striate.perturbation.following import follow
from striate.perturbation.parts import Around, Part, gathered, pasted
from striate.perturbation.regions import Region, Starts
from striate.program import Program, Step

__all__ = ["Unfollowable", "Watch", "respond_to_patches", "respond_to_values"]

COVERED = 0.95  # share of a map from which on all of it is worked out


class Unfollowable(Exception):
    """The values of one picture do not tell those of many; the text says where."""


@dataclass
class Watch:
    """What was done, for the curious.

    Attributes:
        followed: steps done on windows.
        whole: steps done on whole maps or vectors.
        opened: names of the operations at which whole maps took over, with counts.
    """

    followed: int = 0
    whole: int = 0
    opened: Counter[str] = field(default_factory=Counter)


def respond_to_patches(
    program: Program,
    end: int,
    pictures: Tensor,
    region: Region,
    watch: Watch,
    around: dict[Any, Around],
    *,
    compiled: bool = False,
) -> Tensor:
    """Return a value of the program for M pictures that differ from its own within windows.

    Args:
        program: of the unchanged picture.
        end: number of the value that is asked for.
        pictures: (M, C, h, w), the windows as they are now.
        region: where they lie.
        watch: notes what was done.
        around: keeps unchanged maps between calls.
        compiled: put windows together in machine code, where `filling.can_fill`.

    Raises:
        Unfollowable: a step mixes pictures.
    """
    run = _Run(program, len(pictures), watch, around, compiled=compiled)
    run.parts[0] = Part(pictures, region, (-2, -1))
    return run.until(end)


def respond_to_values(program: Program, start: int, end: int, values: Tensor) -> Tensor:
    """Return a value of the program where an earlier one, `start`, has become `values` (M, ...).

    Raises:
        Unfollowable: a step mixes pictures.
    """
    run = _Run(program, len(values), Watch(), {})
    if start == end:
        return values
    run.full[start] = values
    return run.until(end, start)


class _Run:
    """One run over M changed pictures."""

    def __init__(
        self, program: Program, count: int, watch: Watch, around: dict[Any, Around], *, compiled: bool = False
    ) -> None:
        self.program = program
        self.compiled = compiled
        self.count = count
        self.watch = watch
        self.around = around
        self.parts: dict[int, Part] = {}
        self.full: dict[int, Tensor] = {}
        self.last: dict[int, int] = {}  # the step that reads a value last

    def until(self, end: int, start: int = 0) -> Tensor:
        needed = self.program.needed(start, end)
        self.last = {index: at for at in needed for index in self.program.steps[at].inputs}
        self.last[end] = len(self.program.steps)
        for at in needed:
            step = self.program.steps[at]
            self._do(step)
            for index in {*step.inputs, *(out for out in step.outs if out is not None)}:
                if self.last.get(index, -1) <= at:
                    self.parts.pop(index, None)
                    self.full.pop(index, None)
        return self._whole(end)

    def _do(self, step: Step) -> None:
        found = None
        if not any(index in self.full for index in step.inputs):
            found = self._followed(step)
            if found is None:
                self.watch.opened[step.name] += 1
        if found is None:
            self.watch.whole += 1
            for out, value in zip(step.outs, step.run(self._whole, self.count), strict=True):
                if out is not None and value is not None:
                    self.full[out] = value
            return
        self.watch.followed += 1
        for out, one in zip(step.outs, found, strict=False):
            if out is not None and one is not None:
                if isinstance(one, Tensor):
                    self.full[out] = one
                else:
                    self.parts[out] = one

    def _followed(self, step: Step) -> list[Part | Tensor | None] | None:
        """Return what changes in each output of a step; None where that is not known of one that is read."""
        read = [(place, out) for place, out in enumerate(step.outs) if out in self.last]
        if any(out not in self.program.batched for _, out in read):  # pictures lie side by side in another dimension
            return None
        found = follow(step, self)
        each: list[Part | Tensor | None] = [*found] if isinstance(found, list) else [found]
        missing = any(place >= len(each) or each[place] is None for place, _ in read)
        return None if missing else each

    def _whole(self, index: int) -> Tensor:
        """Return a value for all M pictures."""
        if index in self.full:
            return self.full[index]
        if index in self.parts:
            self.full[index] = self._completed(index, self.parts[index])
            return self.full[index]
        clean = self.program.values[index]
        if index not in self.program.batched or len(clean) != 1:
            raise Unfollowable(f"value {index} does not count pictures in its first dimension")
        return clean.expand(self.count, *clean.shape[1:])

    def _completed(self, index: int, part: Part) -> Tensor:
        if part.merged:
            rows, columns = part.region.rows, part.region.columns
            clean = self.program.values[index]
            channels = clean.shape[-1]
            laid = Part(part.tensor.reshape(self.count, rows.size, columns.size, channels), part.region, (-3, -2))
            around = Around.of(clean.view(1, rows.length, columns.length, channels), (-3, -2), (0, 0, 0, 0), 0.0)
            return _set_in(around, laid, *part.region.all().place).reshape(-1, channels)
        return self.windows(index, part, *part.region.all().place)

    # --- what the rules ask for

    def part(self, index: int) -> Part | None:
        return self.parts.get(index)

    def clean(self, index: int) -> Tensor:
        return self.program.values[index]

    def too_large(self, region: Region) -> bool:
        return region.share > COVERED

    def windows(
        self,
        index: int,
        part: Part,
        begin: tuple[Starts, Starts],
        size: tuple[int, int],
        padding: tuple[int, int, int, int] = (0, 0, 0, 0),
        value: float = 0.0,
    ) -> Tensor:
        tops, lefts = begin
        rows, columns = part.region.rows, part.region.columns
        if (
            (rows.size, columns.size) == size
            and np.array_equal(rows.starts, tops)
            and np.array_equal(columns.starts, lefts)
        ):
            return part.tensor
        around = self._around(index, part.dims, padding, value)
        if not self.compiled or part.tensor.dtype != torch.float32:
            return _set_in(around, part, begin, size)
        changed = part.rows_first()
        changed = changed.reshape(*changed.shape[:3], -1)
        start = tops + around.top, lefts + around.left
        piece = changed, rows.starts - tops, columns.starts - lefts
        return _arranged(fill(around.rows, start, size, [piece]), around)

    def filled(self, out: int, region: Region, pieces: Sequence[int], norm: Norm) -> Tensor:
        around = self._around(out, (-2, -1), (0, 0, 0, 0), 0.0)
        begin, size = region.place
        none = np.zeros_like(begin[0])
        given = []
        for index in pieces:
            if index in self.parts:
                part = self.parts[index]
                offset = part.region.rows.starts - begin[0], part.region.columns.starts - begin[1]
                given.append((part.rows_first(), *offset))
            else:
                channels = self.program.values[index].shape[1]
                given.append((around.rows.new_empty(self.count, 0, 0, channels), none, none))
        return fill(around.rows, begin, size, given, norm).permute(0, 3, 1, 2)

    def _around(self, index: int, dims: tuple[int, int], padding: tuple[int, int, int, int], value: float) -> Around:
        key = (index, dims, padding, value)
        if key not in self.around:
            self.around[key] = Around.of(self.program.values[index], dims, padding, value)
        return self.around[key]

    def constant(self, tensor: Tensor, region: Region, dims: tuple[int, int]) -> Tensor:
        if all(tensor.dim() < -dim or tensor.shape[dim] == 1 for dim in dims):
            return tensor  # the same at all places
        length = (region.rows.length, region.columns.length)
        shape = list(tensor.shape)
        shape[dims[0]], shape[dims[1]] = length
        around = Around.of(tensor.expand(shape), dims, (0, 0, 0, 0), 0.0)
        (tops, lefts), size = region.place
        return _arranged(gathered(around, tops, lefts, *size), around)


def _set_in(around: Around, part: Part, begin: tuple[Starts, Starts], size: tuple[int, int]) -> Tensor:
    """Return windows of the unchanged map with what has changed set into them."""
    target = gathered(around, *begin, *size)
    pasted(target, *begin, part)
    return _arranged(target, around)


def _arranged(windows: Tensor, around: Around) -> Tensor:
    """Return windows (M, h, w, rest) in the order of dimensions of the map that they are of."""
    return windows.view(*windows.shape[:3], *around.rest).movedim((1, 2), around.dims)
