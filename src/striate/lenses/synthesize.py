"""The lens `synthesize`: pictures that make units answer as strongly as they can."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from striate.address import parse
from striate.atlas.opened import Atlas
from striate.errors import AddressError, NetworkError, OptionError, Stopped
from striate.lenses._atlas import Source, Unit, find_units, opened
from striate.lenses._lens import lens
from striate.network import Images, Network
from striate.results import Made, Recipe, Synthesis
from striate.synthesis.ascent import Ascent, ascend
from striate.synthesis.objectives import Objective, objective
from striate.synthesis.observing import Precision
from striate.synthesis.recipes import recipe_of
from striate.synthesis.sizing import Sized, checked, sized

__all__ = ["synthesize"]

Asked = str | int | Objective


@lens
def synthesize(
    network: Network,
    target: str | int | Objective | Sequence[str | int | Objective],
    images: Images | None = None,
    *,
    recipe: str = "lucid",
    size: int | Sequence[int] | None = None,
    steps: int | None = None,
    start: Literal["noise", "grey", "mean"] | None = None,
    several: int = 1,
    diversity: float = 1.0,
    seed: int = 0,
    atlas: Source | None = None,
    precision: Precision = "auto",
    chunk: int | None = None,
) -> Synthesis:
    """Make pictures to which units answer as strongly as they can.

    All units move together in one job, each from its own random numbers; of each the best picture on the way is
    kept, with the value that it reaches. A whole layer gives a sheet of all its channels. Such a picture shows what a
    unit answers to most, which need not be what it answers to in photographs: compare with an atlas.

    Args:
        network: that is asked.
        target: a channel (layer3:17), a unit (layer3:17@6,6), a class (its logit), or a whole layer: all its
            channels. Sums with weights are one picture: "class:281 - 0.5*class:282".
        images: photographs to start from; one for all targets, or one for each. The middle of them where the size
            that is asked for has other proportions.
        recipe: lucid, yosinski-1 to yosinski-4, simonyan or pixels.
        size: of the pictures in pixels, or height and width. Unless given, 128 for the shorter side, less where a
            unit sees less, or that of the photographs.
        steps: how many; as many as the recipe says unless given.
        start: noise, grey or mean (the mean colour), where there is no photograph; as the recipe says unless given.
        several: pictures for each target, which are kept apart.
        diversity: how much these are to differ; 0 for seeds alone.
        seed: of start and warps.
        atlas: of this network: the best that its pictures reach is told beside.
        precision: of the way: float32, bfloat16, or auto (bfloat16 on devices that are faster with it). Values are
            always worked out in float32.
        chunk: pictures in one pass; chosen by the device unless given, halved when memory runs out.

    Returns:
        The pictures with what they reach. When asked to stop, the best so far.

    Raises:
        AddressError: no such unit or layer, or a layer without channels to choose from.
        OptionError: no such recipe, a size that the network cannot take, or steps or several below 1.
        NetworkError: a value is no finite number from the start, or the network cuts the gradient.
        AtlasError: the atlas is of another network.

    Source: Erhan et al. 2009; Simonyan et al. 2013, arXiv:1312.6034; Yosinski et al. 2015, arXiv:1506.06579;
        Olah, Mordvintsev and Schubert 2017, "Feature Visualization" (each recipe by its name).
    """
    chosen = recipe_of(recipe)
    if several < 1:
        raise OptionError(f"several must be at least 1, got {several}.")
    if images is not None and start is not None:
        raise OptionError(f"start={start!r} and photographs to start from: give one of them.")
    known = None if atlas is None else opened(network, atlas)
    photographs = None if images is None else network.spec.denormalise(network.batch(images).float()).clamp(0, 1)
    wanted = _whole_size(network, size)
    jobs = _jobs(network, target, photographs, wanted, several, diversity)
    made: list[Made] = []
    notes: list[str] = []
    worked_out = ""
    for job in jobs:
        try:
            ascent = ascend(
                network,
                job.objectives,
                recipe=chosen,
                size=(job.sized.height, job.sized.width),
                steps=steps,
                seed=seed,
                start=start if job.start is None else job.start,
                chunk=chunk,
                precision=precision,
                task=f"synthesize {job.title}",
            )
        except Stopped:
            if not made:
                raise
            left = sum(len(one.objectives) for one in jobs[len(made) :])
            begun = "picture was" if left == 1 else "pictures were"
            notes.append(f"Stopped, as asked, before {left} more {begun} begun.")
            break
        worked_out = ascent.precision
        real, missing = _real(network, known, job.objectives)
        notes += [note for note in (*ascent.notes, *missing) if note not in notes]
        made.append(_made(job, ascent, real))
    return Synthesis(
        made=tuple(made),
        method=chosen.name,
        precision=worked_out,
        real_pictures=0 if known is None else len(known.pictures),
        recipe=Recipe(notes=tuple(notes)),
    )


@dataclass(frozen=True)
class _Job:
    """Pictures of one size at one place, made in one run."""

    title: str
    objectives: list[Objective]
    numbers: list[str]
    sized: Sized
    start: Tensor | None
    whole: bool


def _whole_size(network: Network, size: int | Sequence[int] | None) -> tuple[int, int] | None:
    if size is None:
        return None
    sides = (size, size) if isinstance(size, int) else tuple(size)
    if len(sides) == 1:
        sides = (*sides, *sides)
    if len(sides) != 2:
        raise OptionError(f"size is one number of pixels, or height and width; got {size}.")
    return checked(network, sides[0], sides[1])


def _jobs(
    network: Network,
    target: Asked | Sequence[Asked],
    photographs: Tensor | None,
    size: tuple[int, int] | None,
    several: int,
    diversity: float,
) -> list[_Job]:
    """Sort what is asked for into runs."""
    asked = [target] if isinstance(target, str | int | Objective) else list(target)
    if not asked:
        raise AddressError("no unit was named. Write LAYER:CHANNEL, such as layer4.1.conv2:17, or class:NAME.")
    starts = _paired(asked, photographs, network, size)
    if len(starts) > len(asked):
        asked = asked * len(starts)
    jobs: list[_Job] = []
    single: dict[tuple[str | None, Sized], list[tuple[Objective, Tensor | None]]] = {}
    for one, start in zip(asked, starts, strict=True):
        place = _layer_of(network, one)
        here = None if start is None else Sized(*start.shape[2:])
        here = here if size is None else Sized(*size)
        if place is not None:
            fit = here or sized(network, place)
            channels = network.graph(fit.height, fit.width).layer(place).channels
            goals = [objective(network, f"{place}:{index}", (fit.height, fit.width)) for index in range(channels)]
            jobs.append(_job(network, place, [(goal, start) for goal in goals], fit, several, diversity, whole=True))
            continue
        goal, fit = _single(network, one, here)
        single.setdefault((goal.terms[0].place, fit), []).append((goal, start))
    for (place, fit), found in single.items():
        jobs.append(_job(network, place or "classes", found, fit, several, diversity, whole=False))
    return jobs


def _single(network: Network, asked: Asked, here: Sized | None) -> tuple[Objective, Sized]:
    """Return the objective of one target, and the size of its picture."""
    if isinstance(asked, Objective):
        return asked, here or sized(network, asked.places[-1])
    if here is not None:
        return objective(network, asked, (here.height, here.width)), here
    usual = sized(network, None)  # addresses of single units count on the size
    goal = objective(network, asked, (usual.height, usual.width))
    if any(term.kind == "unit" for term in goal.terms) or len(goal.terms) > 1:
        return goal, usual
    return goal, sized(network, goal.terms[0].place)


def _job(
    network: Network,
    title: str,
    found: list[tuple[Objective, Tensor | None]],
    fit: Sized,
    several: int,
    diversity: float,
    *,
    whole: bool,
) -> _Job:
    objectives, numbers, starts = [], [], []
    for goal, start in found:
        if several > 1 and diversity:
            goal = goal.diverse(_compared_at(network, goal), diversity)
        objectives += [goal] * several
        short = goal.label.removeprefix(f"{title}:").removeprefix("class:")
        numbers += [short] * several
        starts += [start] * several
    given = [start for start in starts if start is not None]
    return _Job(title, objectives, numbers, fit, torch.cat(given) if given else None, whole)


def _compared_at(network: Network, goal: Objective) -> str:
    """Return the layer at which pictures of the same objective are to differ: its own, of a class the last map."""
    place = goal.terms[0].place
    if place is not None:
        return place
    try:
        return network.graph().last_map().address
    except NetworkError as error:
        raise OptionError(
            f"{network.name} has no layer with a map at which pictures of {goal.label} could be kept apart. "
            "Give diversity=0: then they differ by their seeds alone."
        ) from error


def _layer_of(network: Network, asked: Asked) -> str | None:
    """Return the place of a whole layer; None for anything else."""
    if not isinstance(asked, str) or " " in asked.strip() or "*" in asked or asked.strip().startswith("-"):
        return None
    address = parse(asked)
    if address.label is not None or address.channel is not None:
        return None
    return network.graph().layer(address.place).address


def _paired(
    asked: list[Asked], photographs: Tensor | None, network: Network, size: tuple[int, int] | None
) -> list[Tensor | None]:
    """Return the photograph that each target starts from, (1, C, H, W) each."""
    if photographs is None:
        return [None] * len(asked)
    if size is not None and size != tuple(photographs.shape[2:]):
        photographs = _resized(photographs, size)
    parts = [photographs[index : index + 1] for index in range(len(photographs))]
    if len(parts) == 1:
        return [parts[0]] * len(asked)
    if len(asked) not in (1, len(parts)):
        raise OptionError(
            f"{len(parts)} photographs to start from for {len(asked)} targets: give one for all, or one for each."
        )
    return [*parts]


def _resized(photographs: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring photographs to a size, the middle of them where it has other proportions."""
    height, width = photographs.shape[2:]
    factor = min(height / size[0], width / size[1])
    rows, columns = (max(1, round(side * factor)) for side in size)
    top, left = (height - rows) // 2, (width - columns) // 2
    middle = photographs[..., top : top + rows, left : left + columns]
    return F.interpolate(middle, size, mode="bilinear", antialias=True).clamp(0, 1)


def _real(network: Network, atlas: Atlas | None, objectives: list[Objective]) -> tuple[NDArray[np.float32], list[str]]:
    """Return the best that the real pictures of an atlas reach for each objective, and what is to be said."""
    found = np.full(len(objectives), np.nan, dtype=np.float32)
    if atlas is None:
        return found, []
    missing = ""
    for index, goal in enumerate(objectives):
        term = goal.terms[0]
        if len(goal.terms) > 1 or term.weight <= 0 or term.kind in ("layer", "direction"):
            continue
        try:
            (unit,) = find_units(network, atlas, term.channel if term.place is None else f"{term.place}:{term.channel}")
        except AddressError as error:
            missing = f"No real pictures beside {goal.label}: {error}"
            continue
        assert isinstance(unit, Unit)
        found[index] = atlas.layer(unit.place).top_values[unit.channel, 0]
    return found, [missing] if missing else []


def _made(job: _Job, ascent: Ascent, real: NDArray[np.float32]) -> Made:
    return Made(
        title=job.title,
        labels=tuple(goal.label for goal in job.objectives),
        numbers=tuple(job.numbers),
        pictures=(ascent.pictures * 255).round().byte().numpy(),
        reached=ascent.reached.numpy(),
        peaks=ascent.peaks.numpy(),
        start=ascent.start_values.numpy(),
        best_steps=ascent.best_steps.numpy(),
        curve=ascent.curve.numpy(),
        curve_steps=ascent.curve_steps,
        frames=ascent.frames.numpy(),
        frame_steps=ascent.frame_steps,
        real=real,
        size_note=job.sized.why,
        whole=job.whole,
    )
