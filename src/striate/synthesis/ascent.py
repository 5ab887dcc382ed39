"""Make pictures for objectives: the loop that shows them, goes uphill, and keeps the best. Knows no lens.

    goals = [objective(network, f"layer3:{channel}", 128) for channel in range(64)]
    pictures = ascend(network, goals, recipe="lucid", size=128).pictures

All pictures move together, a piece of them at a time, each by itself: its own random numbers, its own best.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod

import torch
from torch import Tensor

from striate import drawing, progress
from striate.errors import NetworkError, OptionError, Stopped
from striate.network import Network
from striate.synthesis.arranging import arranged_start, by_place, families, generators_of, pixels_seen, size_of
from striate.synthesis.canvas import Canvas, Fourier, Pixels
from striate.synthesis.folding import folded
from striate.synthesis.keeping import Keeper
from striate.synthesis.objectives import Objective
from striate.synthesis.observing import Precision, arithmetic, measured, uphill
from striate.synthesis.reading import Reading
from striate.synthesis.recipes import Recipe, recipe_of

__all__ = ["EVERY", "Ascent", "ascend", "mean_colour"]

EVERY = 16  # steps, at most, from one look at the pictures without a warp to the next; a look is half a step's work
WAKING = 0.25  # of the steps, from the start, in which a silent unit is woken each time: slow recipes need long
FRAMES = 6  # small pictures kept of each run, the start among them
_LEVELS = 255  # of a saved picture, above 0
_SHOWN = 64  # pictures in the sheet that is streamed, at most


@dataclass(frozen=True, eq=False)
class Ascent:
    """What `ascend` made.

    Attributes:
        pictures: (B, C, H, W), float32 on the CPU, values from 0 to 1: the best iterate of each, rounded to the 256
            levels of a saved picture.
        reached: (B,), the objective of these very pictures, without warp or penalties, worked out in the network's
            own number type; NaN where there is none. Of a channel it is what the recipe climbs, see `Recipe.focus`.
        peaks: (B,), the largest value that the objective's channel has anywhere in them (of a class its logit); NaN
            for objectives that are not one channel, unit or class.
        start_values: (B,), the objective of the start pictures.
        best_steps: (B,), steps made before the best picture, int64.
        curve: (B, k), the objective of the pictures at some steps, without warp.
        curve_steps: (k,), steps made before them.
        frames: uint8, (B, f, C, h, w), small pictures on the way.
        frame_steps: (f,), steps made before them.
        steps: made in all.
        recipe: as it was run.
        notes: sentences on what happened on the way.
        precision: number type that the convolutions were worked out in on the way; `reached` is not.
    """

    pictures: Tensor
    reached: Tensor
    peaks: Tensor
    start_values: Tensor
    best_steps: Tensor
    curve: Tensor
    curve_steps: tuple[int, ...]
    frames: Tensor
    frame_steps: tuple[int, ...]
    steps: int
    recipe: Recipe
    notes: tuple[str, ...]
    precision: str = ""


def ascend(
    network: Network,
    objectives: Sequence[Objective],
    *,
    recipe: str | Recipe = "lucid",
    size: int | tuple[int, int] | None = None,
    steps: int | None = None,
    seed: int = 0,
    start: Tensor | str | None = None,
    chunk: int | None = None,
    precision: Precision = "auto",
    task: str = "synthesis",
) -> Ascent:
    """Make a picture for each objective.

    The network is run as far as the deepest layer that a piece asks for, and back to the pictures; weights get no
    gradient. Every few steps (every step where the recipe has no warp) the pictures are looked at as they are, and
    the best of each is kept. A picture comes out alike alone and in a batch, up to the rounding of other batch sizes.

    A request to stop (`progress.stoppable`) after the first step ends the run with the best so far, and a note.
    A picture whose value or gradient is no finite number is left at that step, with what was best before.

    Args:
        network: that the objectives are of.
        objectives: one for each picture, B.
        recipe: name, or a recipe of one's own.
        size: height and width of the pictures, or one number for both; the network's own unless given.
        steps: how many; the recipe's unless given.
        seed: of start and warps. Every picture draws from its own numbers, made of the seed and its objective.
        start: "noise", "grey", "mean", or pictures (B, C, H, W) or (1, C, H, W) with values from 0 to 1; the
            recipe's unless given.
        chunk: pictures in one piece; chosen by the device unless given, halved when memory runs out.
        precision: of the convolutions on the way: float32, bfloat16, or "auto" (bfloat16 on devices that are faster
            with it). Values are always told in float32.
        task: what to call it where progress is shown.

    Raises:
        OptionError: no such recipe, start or precision, a size that the network cannot take, or steps or chunk
            below 1.
        NetworkError: the objective of a start picture is no finite number.
        Stopped: before the first step was made.

    Source: Erhan et al. 2009, "Visualizing Higher-Layer Features of a Deep Network"; each recipe names its own.
    """
    chosen = recipe_of(recipe)
    if not objectives:
        raise OptionError("nothing to make a picture for: give at least one objective.")
    height, width = size_of(network, size, start)
    total = chosen.steps if steps is None else steps
    if total < 1:
        raise OptionError(f"steps must be at least 1, got {total}.")
    if chunk is not None and chunk < 1:
        raise OptionError(f"chunk must be at least 1, got {chunk}.")
    order = by_place(objectives)
    told = _Settings(
        network=network,
        objectives=[objectives[row] for row in order],
        recipe=chosen,
        size=(height, width),
        steps=total,
        seed=seed,
        start=arranged_start(start, order, network, (height, width)) if isinstance(start, Tensor) else start,
        chunk=chunk,
        kind=arithmetic(network, precision),
        task=task,
    )
    with torch.inference_mode(False):
        run = _Run(told, torch.tensor(order).argsort())
        run.climb()
        return run.result()


def mean_colour(network: Network) -> Tensor:
    """Return what counts as nothing in a picture, (C, 1, 1): the network's mean colour, mid-grey where it has none."""
    mean = network.spec.mean if any(network.spec.mean) else (0.5,) * network.spec.channels
    return torch.tensor(mean, device=network.device).view(-1, 1, 1)


@dataclass
class _Settings:
    """What a run is told."""

    network: Network
    objectives: list[Objective]
    recipe: Recipe
    size: tuple[int, int]
    steps: int
    seed: int
    start: Tensor | str | None
    chunk: int | None
    kind: torch.dtype | None
    task: str


class _Run:
    """One ascent: pictures sorted by what they ask the network for, and where they are."""

    def __init__(self, told: _Settings, back: Tensor) -> None:
        self.network, self.objectives, self.recipe, self.steps = told.network, told.objectives, told.recipe, told.steps
        self.kind, self.task, self.back = told.kind, told.task, back
        self.made = 0
        self.notes: list[str] = []
        self.readings: dict[tuple[int, int], Reading] = {}
        self.bounds = families(self.objectives)
        widest = max(later - earlier for bounds in self.bounds for earlier, later in pairwise(bounds))
        piece = self.network.piece(told.chunk)
        if told.chunk is None and not self.network.one_by_one:  # as many pixels as in a piece of the network's own size
            piece = max(piece, piece * prod(self.network.spec.size) // prod(told.size))
        self.families = max(1, piece // widest)
        count = len(self.objectives)
        self.moved, self.broken = torch.zeros(count, dtype=torch.bool), torch.zeros(count, dtype=torch.bool)
        self.broken_at: dict[int, int] = {}
        self.centre = mean_colour(self.network)
        make = Fourier if self.recipe.canvas == "fourier" else Pixels
        self.canvas: Canvas = make(self.network.spec.channels, *told.size)
        generators = generators_of(self.objectives, told.seed)
        with torch.no_grad():
            self.parameters = self._begin(generators, told.start, told.size)
            self.maps = self._maps(generators, told.size)
            self.keeper = Keeper(self.canvas.render(self.parameters))
            places = [place for goal in self.objectives for place in goal.places]
            seen = told.size if self.recipe.warp is None else self.recipe.warp.view(*told.size)
            self.lean = folded(self.network, seen, places, kind=self.kind)

    def _maps(self, generators: list[torch.Generator], size: tuple[int, int]) -> Tensor | None:
        """Draw the warps of all steps, (B, steps, 2, 3); None for none."""
        drawn = []
        for objective, generator in zip(self.objectives, generators, strict=True):
            warp = self.recipe.fitted(*size, pixels_seen(self.network, objective, size))
            if warp is None:
                return None
            drawn.append(warp.draw(self.steps, *size, generator))
        return torch.stack(drawn).to(self.network.device)

    def _begin(self, generators: list[torch.Generator], start: Tensor | str | None, size: tuple[int, int]) -> Tensor:
        """Return the start's parameters."""
        if isinstance(start, Tensor):
            return self.canvas.of(start.to(self.network.device))
        start = self.recipe.start if start is None else start
        if start == "noise":
            return self.canvas.noise(generators, self.recipe.deviation, self.centre)
        if start not in ("grey", "mean"):
            raise OptionError(f"no start {start!r}; there are noise, grey, mean, and pictures.")
        level = self.centre if start == "mean" else torch.full_like(self.centre, 0.5)
        return self.canvas.of(level.expand(len(self.objectives), -1, *size))

    def climb(self) -> None:
        """Make the steps; ends early when asked to, or when no picture has a value any more."""
        recipe = self.recipe
        looks = range(0, self.steps, min(EVERY, max(1, self.steps // 4)))
        frames = {round(frame * self.steps / (FRAMES - 1)) for frame in range(FRAMES - 1)}
        # where neither warp nor rounding lies between, what is climbed is what is kept
        plain = self.maps is None and self.kind is None
        step_of = recipe.climb.begin(self.parameters, self.centre)
        images = before = self.keeper.best
        try:
            for step in range(self.steps):
                progress.check_stop(self.task)
                if step in frames:
                    self.keeper.frame(images, step)
                self._show(images if step in looks else None, step)
                if not plain and step in looks:
                    self.keeper.look(images, self._values(images), step, ~self.broken)
                values, gradient, slope = self._gradient(step)
                if plain:
                    self.keeper.look(images, values, step, ~self.broken)
                self._leave_broken(values, gradient, before, step)
                if bool(self.broken.all()):
                    break
                with torch.no_grad():
                    moved = step_of(self.parameters, gradient)
                    if recipe.projection is not None:
                        moved = recipe.projection.apply(moved - self.centre, slope, step) + self.centre
                    self.parameters = self.canvas.inside(moved)
                    before, images = images, self.canvas.render(self.parameters)
                self.made = step + 1
        except Stopped:
            if not self.made:
                raise
            self.notes.append(f"Stopped at step {self.made} of {self.steps}, as asked: the best so far is kept.")
        if not bool(self.broken.all()):
            self.keeper.look(images, self._values(images), self.made, ~self.broken)
            self.keeper.frame(images, self.made)
        self._show(self.keeper.best, self.steps)

    def result(self) -> Ascent:
        """Put together what was made.

        Raises:
            NetworkError: no picture has a value.
        """
        keeper = self.keeper
        if not bool(keeper.values.isfinite().any()):
            raise NetworkError(
                f"{self.objectives[0].label} is {keeper.start[0].item()} for the picture that the ascent starts from, "
                "so there is no way up. Check the weights of the network, and its mean and std."
            )
        back = self.back
        best = (keeper.best.clamp(0, 1) * _LEVELS).round() / _LEVELS
        reached, peaks = (values.masked_fill(~keeper.values.isfinite(), torch.nan) for values in self._measured(best))
        for row, at in sorted(self.broken_at.items()):
            kept = f"the picture of step {int(keeper.steps[row])} is kept" if at else "there is no picture"
            self.notes.append(f"{self.objectives[row].label}: no finite number at step {at}; {kept}.")
        still = [self.objectives[row].label for row in (~(self.moved | self.broken)).nonzero().flatten().tolist()]
        if still:
            self.notes.append(
                f"No gradient reached the picture of {', '.join(still[:6])}{' and others' if len(still) > 6 else ''}: "
                "nothing moved it."
            )
        return Ascent(
            pictures=best.float().cpu().contiguous()[back],
            reached=reached[back],
            peaks=peaks[back],
            start_values=keeper.start[back],
            best_steps=keeper.steps[back],
            curve=torch.stack(keeper.curve, 1)[back],
            curve_steps=tuple(keeper.curve_steps),
            frames=torch.stack(keeper.frames, 1)[back],
            frame_steps=tuple(keeper.frame_steps),
            steps=self.made,
            recipe=self.recipe,
            notes=tuple(self.notes),
            precision=str(self.kind or self.network.dtype).removeprefix("torch."),
        )

    def _gradient(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return values (B,) on the CPU, and gradients with respect to the parameters and to the pixels."""
        values = torch.empty(len(self.objectives), device=self.parameters.device)
        gradient = torch.empty_like(self.parameters)
        # what stays silent for long costs a second run at every step: it is tried again from time to time only
        wake = step < WAKING * self.steps or step % EVERY == 0
        slopes = torch.empty_like(self.keeper.best) if self.recipe.projection is not None else gradient

        def run(start: int, stop: int) -> None:
            part = slice(start, stop)
            leaf = self.parameters[part].detach().requires_grad_()
            with torch.enable_grad():
                rendered = self.canvas.render(leaf)
                seen = rendered
                if self.maps is not None:
                    assert self.recipe.warp is not None
                    seen = self.recipe.warp.apply(rendered, self.maps[part, step])
                costs = [penalty.cost(rendered, self.centre) for penalty in self.recipe.penalties]
            reading = self._reading(start, stop)
            found, slope = uphill(self.network, seen, reading, kind=self.kind, wake=wake, lean=self.lean)
            if seen is leaf and not costs:
                gradient[part] = slope
            else:
                # a sum, for given slopes make torch load its compiler (seconds)
                with torch.enable_grad():
                    risen = torch.stack([(seen * slope).sum(), *(-cost.sum() for cost in costs)]).sum()
                (gradient[part],) = torch.autograd.grad(risen, leaf)
            values[part] = found - torch.stack([cost.detach() for cost in costs]).sum(0) if costs else found
            if slopes is not gradient:
                slopes[part] = slope

        self._in_pieces(run, stoppable=True)
        return values.cpu(), gradient, slopes

    def _values(self, images: Tensor) -> Tensor:
        """Return the objectives of pictures as they are, less their penalties, (B,) on the CPU."""
        values, _ = self._measured(images)
        for penalty in self.recipe.penalties:
            values -= penalty.cost(images, self.centre).cpu()
        return values

    def _measured(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the objectives of pictures as they are, and their channels' largest values, (B,) on the CPU."""
        found = torch.empty(2, len(self.objectives), device=images.device)

        def run(start: int, stop: int) -> None:
            found[:, start:stop] = torch.stack(measured(self.network, images[start:stop], self._reading(start, stop)))

        with torch.no_grad():
            self._in_pieces(run, stoppable=False)
        values, peaks = found.cpu()
        return values, peaks

    def _in_pieces(self, run: Callable[[int, int], None], *, stoppable: bool) -> None:
        """Call ``run(start, stop)`` over all pictures; a piece asks for the same layers, and cuts no family apart."""
        for bounds in self.bounds:
            family = 0
            while family < len(bounds) - 1:
                if stoppable:
                    progress.check_stop(self.task)
                last = min(family + self.families, len(bounds) - 1)
                try:
                    run(bounds[family], bounds[last])
                except torch.OutOfMemoryError:
                    if last - family == 1:
                        raise
                    self.families = (last - family) // 2  # for all steps to come
                    continue
                family = last

    def _leave_broken(self, values: Tensor, gradient: Tensor, before: Tensor, step: int) -> None:
        """Leave alone from now on what has no finite value or gradient, with the picture before at least."""
        total = gradient.flatten(1).abs().sum(1).cpu()
        self.moved |= total > 0
        new = ~(values.isfinite() & total.isfinite()) & ~self.broken
        if bool(new.any()):
            if step:
                self.keeper.look(before, self._values(before), step - 1, new)
            self.broken |= new
            self.broken_at.update(dict.fromkeys(new.nonzero().flatten().tolist(), step))
        if bool(self.broken.any()):
            gradient[self.broken.to(gradient.device)] = 0

    def _show(self, images: Tensor | None, step: int) -> None:
        """Tell whoever listens how far it is, with a sheet of the pictures so far where there are new ones."""
        sheet = None
        if images is not None:
            shown = images[self.back[:_SHOWN].to(images.device)].detach().clamp(0, 1)
            shown = shown[:, :3] if shown.shape[1] >= 3 else shown[:, :1].expand(-1, 3, -1, -1)
            sheet = drawing.sheet((shown.permute(0, 2, 3, 1) * 255).round().byte().cpu().numpy())
        progress.report(progress.Event(self.task, step, self.steps, picture=sheet))

    def _reading(self, start: int, stop: int) -> Reading:
        if (start, stop) not in self.readings:
            self.readings[start, stop] = Reading(self.objectives[start:stop], self.network.device, self.recipe.focus)
        return self.readings[start, stop]
