"""Runs pictures through a network for an atlas: each map is read once, for its statistics and for what comes next.

Behind a convolution the network itself reads and writes the map twice more, for batch norm and the rectifier. Where
the statistics are taken by compiled operations, the network's run is written down (`program`), and what stands behind
a layer is done in the pass that takes its statistics. The network's numbers do not depend on which layers are asked
for. Where the run cannot be written down, hooks do it (`reaching`). The first maps, which are the largest, are made for
a few pictures at a time (`piecing`). Keeps nothing of the pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from striate import lean
from striate.atlas.chaining import chain_at
from striate.atlas.compiled import Onward
from striate.atlas.piecing import Cut, cut_of, parted
from striate.atlas.reaching import Places, run_to, short_of_memory
from striate.atlas.tally import Tally
from striate.errors import StriateError
from striate.folding import folded
from striate.fusing import fused
from striate.memory import relieve
from striate.network import Network
from striate.program import Program, Ref, Step
from striate.recording import record
from striate.running import undisturbed

__all__ = ["FEWEST", "Passing"]

FEWEST = 256
"""Pictures of a job from which on its run is written down: to do so, and to try it, takes as long as some ten."""

See = Callable[[str, Tensor], None]


class Passing:
    """A network's run for one job."""

    def __init__(
        self,
        network: Network,
        places: Places,
        tally: Tally,
        merged: Collection[str],
        *,
        pictures: int,
        logits: bool,
    ) -> None:
        """Take note of what is wanted.

        Args:
            network: that is run.
            places: what is watched.
            tally: takes the statistics.
            merged: places that nobody but the tally looks at.
            pictures: of the whole job.
            logits: run to the end; else the run ends at the deepest place.
        """
        self._worth = tally.is_compiled and pictures >= FEWEST
        self._pictures = pictures
        self._network = network
        self._places = places
        self._logits = logits
        self._watch = _Watch(tally, frozenset(merged))
        self._written: dict[tuple[int, ...], _Written | None] = {}

    def run(self, images: Tensor, see: See) -> Tensor | None:
        """Run a batch; call ``see(place, output)`` when a layer gives its output.

        Which way is taken depends on the network, the job and the pictures' size, never on the pictures.

        Args:
            images: (n, C, H, W), as `Network.batch` gives them.
            see: gets the very output, which the next operation may write into; nothing of the places that are merged,
                whose statistics are in the tally when the run ends.

        Returns:
            The logits, (n, K), or None.

        Raises:
            NetworkError, OptionError: as `reaching.run_to`.
        """
        with short_of_memory(self._network, len(images)), torch.inference_mode(False), torch.no_grad():
            written = self._ready(images) if self._worth else None
            if written is not None:
                self._watch.begin(see, len(images))
                try:
                    found = written.run(images)  # the module itself is not run: there is nothing to hold still
                    relieve()
                    return self._network.logits(found[written.output]) if self._logits else None
                except (StriateError, torch.OutOfMemoryError):
                    raise
                except Exception:  # so many pictures the network takes in another way, or not at all
                    self._written[tuple(images.shape)] = None

        def look(place: str, output: Tensor) -> None:
            if place in self._watch.merged:
                self._watch.tally.see(place, output, len(images))
            else:
                see(place, output)

        return run_to(self._network, images, self._places, look, logits=self._logits)

    def _ready(self, images: Tensor) -> _Written | None:
        """Return the run for pictures of a size; None where hooks are to be used."""
        size = tuple(images.shape)
        if size not in self._written:
            with undisturbed(self._network.module):
                self._written[size] = self._write_down(images) if lean.pays(self._network.module, images) else None
        return self._written[size]

    def _write_down(self, images: Tensor) -> _Written | None:
        places = {f"{name}~{call}": found for name, ways in self._places.items() for call, found in ways.items()}
        # other pictures than those at hand: what goes on with a job takes the same way
        drawn = torch.rand((1, *images.shape[1:]), generator=torch.Generator().manual_seed(0))
        try:
            few = self._network.batch(lean.few_of(self._network.spec.normalise(drawn)))
            program = record(self._network.module, few[:1], few[1:2], list(places))
            asked: dict[int, tuple[str, ...]] = {}
            for place, index in program.places.items():
                asked[index] = (*asked.get(index, ()), *places[place])
            cut = cut_of(program, len(images), torch.get_num_threads())
            sparing = self._network.spares(images.shape[2:], self._pictures)
            written = _written(program, asked, self._watch, cut, logits=self._logits, sparing=sparing)
            return written if self._is_right(written, few) else None
        except Exception:
            return None

    def _is_right(self, written: _Written, few: Tensor) -> bool:
        """Tell whether a run gives what the network gives, for pictures of which it was not written down."""
        expected: dict[str, Tensor] = {}
        same: dict[str, bool] = {}

        def keep(place: str, output: Tensor) -> None:
            expected[place] = output.clone()

        def compare(place: str, output: Tensor) -> None:
            same[place] = _alike(output, expected[place])

        logits = run_to(self._network, few, self._places, keep, logits=self._logits)
        self._watch.begin(compare, len(few), checking=True)
        found = written.run(few, piece=2)
        if logits is not None and not _alike(self._network.logits(found[written.output]), logits):
            return False
        return same.keys() == expected.keys() and all(same.values())


@dataclass
class _Watch:
    """Who looks at the layers of the batch that is being run."""

    tally: Tally
    merged: frozenset[str]
    see: See = lambda place, output: None
    checking: bool = False  # the tally is to see nothing
    row: int = 0  # of the first picture that is being run
    count: int = 0  # how many are
    more: bool = False  # others of the batch are still to come
    parts: dict[str, list[Tensor]] = field(default_factory=dict)  # what pictures before gave

    def begin(self, see: See, count: int, *, checking: bool = False) -> None:
        self.see, self.checking = see, checking
        self.at(0, count)

    def at(self, row: int, count: int, *, more: bool = False) -> None:
        """Say which pictures of the batch come next."""
        self.row, self.count, self.more = row, count, more
        if not row:
            self.parts.clear()

    def look(self, places: Sequence[str], output: Tensor) -> None:
        for place in places:
            if place in self.merged and not self.checking:
                self.tally.see(place, output, self.count, row=self.row)
            elif not self.row and not self.more:
                self.see(place, output)
            else:
                parts = self.parts.setdefault(place, [])
                parts.append(output.clone())  # what comes next may write into it
                if not self.more:
                    self.see(place, torch.cat(self.parts.pop(place)))

    def look_and_pass_on(self, places: Sequence[str], output: Tensor, onward: Onward, added: Tensor | None) -> None:
        if len(places) == 1 and places[0] in self.merged and not self.checking:
            self.tally.see_and_pass_on(places[0], output, self.count, onward, added, row=self.row)
            return
        self.look(places, output)
        onward(output, added)


@dataclass(frozen=True)
class _Written:
    """A run in which those who ask see what they asked for.

    Attributes:
        program: whose steps show it on the way.
        ends: values that lead past all that is asked for.
        output: number of the logits' value, which is among them where logits are wanted.
        watch: to whom it is shown.
        cut: where the program is cut; None for nowhere.
        parts: the program before and behind that.
    """

    program: Program
    ends: tuple[int, ...]
    output: int
    watch: _Watch
    cut: Cut | None
    parts: tuple[Program, Program] | None

    def run(self, images: Tensor, *, piece: int | None = None) -> dict[int, Tensor]:
        """Run pictures; return the values at the ends.

        Args:
            images: (n, C, H, W).
            piece: how many are run at a time before the cut, unless it is as many as the cut says.
        """
        count = len(images)
        piece = count if self.cut is None else piece or self.cut.piece
        if self.cut is None or self.parts is None or count <= piece:
            return self.program.run({0: images}, self.ends, count)
        first, then = self.parts
        made = {out for step in first.steps for out in step.outs}
        wanted = {*self.ends, self.cut.value} & made
        whole: dict[int, Tensor] = {}
        for row in range(0, count, piece):
            part = images[row : row + piece]
            self.watch.at(row, len(part), more=row + piece < count)
            for index, value in first.run({0: part}, wanted, len(part)).items():
                if index not in whole:
                    order = torch.channels_last if value.dim() == 4 else torch.contiguous_format
                    whole[index] = torch.empty((count, *value.shape[1:]), dtype=value.dtype, memory_format=order)
                whole[index][row : row + piece] = value
        self.watch.at(0, count)
        behind = [index for index in self.ends if index not in made]
        if behind:
            whole |= then.run({self.cut.value: whole[self.cut.value]}, behind, count)
        return {index: whole[index] for index in self.ends}


def _written(
    program: Program,
    asked: Mapping[int, tuple[str, ...]],
    watch: _Watch,
    cut: Cut | None,
    *,
    logits: bool,
    sparing: bool,
) -> _Written:
    """Return a run that shows what is asked for, and does together what stands behind a map.

    Args:
        program: the network's.
        asked: places by the value that they give.
        watch: to whom it is shown.
        cut: as far as where it is done in pieces.
        logits: they are wanted too.
        sparing: see `fusing.fused`.
    """
    wanted = {*asked, program.output} if logits else {*asked}
    given = {out for step in program.steps if step.name == "convolution" for out in step.outs if out is not None}
    # batch norm is not folded into convolutions, so that the numbers are the same whatever is asked for
    short = fused(folded(program, wanted | given), wanted, sparing=sparing)
    short = replace(short, steps=tuple(short.steps[at] for at in short.leading(wanted)))
    steps: list[Step] = []
    known, done = {0}, set[int]()
    kept = frozenset({program.output}) if logits else frozenset[int]()
    for at, step in enumerate(short.steps):
        if at in done:
            continue
        chain = chain_at(short, at, asked, kept, known)
        if chain is not None:
            done |= chain.steps
            stages = tuple((asked.get(index, ()), onward) for index, onward in chain.stages)
            op = _Staged(step.op, len(step.args), stages, asked.get(chain.end, ()), watch)
            args = (*step.args, *(Ref(index) for index in chain.added))
            step = replace(step, op=op, args=args, outs=(chain.end,), single=True)
        elif any(out in asked for out in step.outs):
            shown = tuple(() if out is None else asked.get(out, ()) for out in step.outs)
            step = replace(step, op=_Shown(step.op, shown, watch))
        known.update(out for out in step.outs if out is not None)
        steps.append(step)
    read = {index for step in steps for index in step.inputs}
    ends = (known & wanted) - read | kept
    made = replace(short, steps=tuple(steps), values=())
    parts = None if cut is None else parted(made, cut.value)
    return _Written(made, tuple(sorted(ends)), program.output, watch, cut, parts)


def _alike(found: Tensor, expected: Tensor) -> bool:
    """Tell whether two tensors are the same up to rounding; NaN and infinity are like nothing."""
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return False
    return bool((found - expected).abs().max() <= lean.ALIKE * expected.abs().max())


# --- operations that show what they give


@dataclass(frozen=True)
class _Shown:
    """An operation whose results are looked at."""

    op: Callable[..., Any]
    places: tuple[tuple[str, ...], ...]  # of each result
    watch: _Watch

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        found = self.op(*args, **kwargs)
        for places, output in zip(self.places, [found] if isinstance(found, Tensor) else found, strict=True):
            if places:
                self.watch.look(places, output)
        return found


@dataclass(frozen=True)
class _Staged:
    """An operation, and what is done with its map in its place, pass by pass.

    Attributes:
        op: gives the map, alone or first of several things.
        count: of its arguments; behind them come the maps that are added.
        stages: what is done, and which places give the map as it is before.
        last: places that give it as it is at the end.
        watch: looks at them.
    """

    op: Callable[..., Any]
    count: int
    stages: tuple[tuple[tuple[str, ...], Onward], ...]
    last: tuple[str, ...]
    watch: _Watch

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        found = self.op(*args[: self.count], **kwargs)
        output: Tensor = found if isinstance(found, Tensor) else found[0]
        output = output.contiguous(memory_format=torch.channels_last)
        others = iter(args[self.count :])
        for places, onward in self.stages:
            self.watch.look_and_pass_on(places, output, onward, next(others) if onward.adds else None)
        self.watch.look(self.last, output)
        return output
