"""The lens `synthesize`: pictures that make units answer as strongly as they can."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from striate.atlas.opened import Atlas
from striate.errors import AddressError, OptionError, Stopped
from striate.lenses._atlas import Source, Unit, find_units, opened
from striate.lenses._lens import lens
from striate.lenses._making import made_of
from striate.network import Images, Network
from striate.results import Made, Recipe, Synthesis
from striate.synthesis.ascent import ascend
from striate.synthesis.asking import jobs_of
from striate.synthesis.objectives import Objective
from striate.synthesis.observing import Precision
from striate.synthesis.recipes import Name, recipe_of
from striate.synthesis.recipes import Recipe as Method

__all__ = ["synthesize"]


@lens
def synthesize(
    network: Network,
    target: str | int | Objective | Sequence[str | int | Objective],
    images: Images | None = None,
    *,
    recipe: Name | Method = "lucid",
    per_layer: int | None = None,
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
    kept, with the value that it reaches. A whole layer gives a sheet of its channels, and several whole layers one
    sheet, from the first to the last. Such a picture shows what a unit answers to most, which need not be what it
    answers to in photographs: compare with an atlas.

    Args:
        network: that is asked.
        target: a channel (layer3:17), a unit (layer3:17@6,6), a class (its logit), a whole layer, or a word for several
            layers: stages (the last at each resolution), convolutions, rectifiers, all. Sums with weights are one
            picture: "class:281 - 0.5*class:282".
        images: photographs to start from; one for all targets, or one for each. The middle of them where the size
            that is asked for has other proportions.
        recipe: how pictures are made, named after where it comes from; in Python also one of one's own.
        per_layer: channels of a whole layer at most, evenly spread over it; all unless given.
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
        OptionError: no such recipe, a size that the network cannot take, or steps, several or per_layer below 1.
        NetworkError: a value is no finite number from the start, the network cuts the gradient, or a word stands for
            no layer of this network.
        AtlasError: the atlas is of another network.

    Source: Erhan et al. 2009; Simonyan et al. 2013, arXiv:1312.6034; Yosinski et al. 2015, arXiv:1506.06579;
        Olah, Mordvintsev and Schubert 2017, "Feature Visualization" (each recipe by its name).
    """
    chosen = recipe_of(recipe)
    if images is not None and start is not None:
        raise OptionError(f"start={start!r} and photographs to start from: give one of them.")
    known = None if atlas is None else opened(network, atlas)
    photographs = None if images is None else network.spec.denormalise(network.batch(images).float()).clamp(0, 1)
    jobs = jobs_of(network, target, photographs, size=size, several=several, diversity=diversity, per_layer=per_layer)
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
        made.append(made_of(job, ascent, real))
    return Synthesis(
        made=tuple(made),
        method=chosen.name,
        precision=worked_out,
        real_pictures=0 if known is None else len(known.pictures),
        recipe=Recipe(notes=tuple(notes)),
    )


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
