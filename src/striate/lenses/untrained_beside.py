"""The lens `untrained_beside`: what units answer to, and what they would answer to if they had learned nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from striate.errors import Stopped
from striate.lenses._lens import lens
from striate.lenses._making import made_of
from striate.nets.untrained import learned_nothing, untrained
from striate.network import Images, Network
from striate.results import Made, Recipe
from striate.results.untrained_beside import WHOSE, UntrainedBeside
from striate.results.words import count
from striate.synthesis.ascent import ascend
from striate.synthesis.asking import jobs_of
from striate.synthesis.objectives import Objective
from striate.synthesis.observing import Precision
from striate.synthesis.recipes import Name, recipe_of
from striate.synthesis.recipes import Recipe as Method

__all__ = ["untrained_beside"]

_ENOUGH = 32  # pictures by which batch norms are measured


@lens
def untrained_beside(
    network: Network,
    target: str | int | Objective | Sequence[str | int | Objective],
    images: Images | None = None,
    *,
    recipe: Name | Method = "lucid",
    per_layer: int | None = 8,
    size: int | Sequence[int] | None = None,
    steps: int | None = None,
    initial: Literal["he-normal", "he-uniform", "glorot-normal", "glorot-uniform", "lecun-normal"] = "he-normal",
    seed: int = 0,
    precision: Precision = "auto",
    chunk: int | None = None,
) -> UntrainedBeside:
    """Make pictures for the same units of a network and of a copy with random weights, side by side.

    What is alike in both comes from the architecture: a layer that convolves and pools answers most to a grating of
    some frequency and direction whatever its weights are. What is in the pictures of a trained network alone was
    learned; where a network is known to have learned nothing itself, that is said. Both start from the same noise and
    go through the same warps; values are of two different scales, and cannot be compared with one another.

    Args:
        network: that is asked; left as it is.
        target: a channel (layer3:17), a unit, a class, a whole layer, or a word for several layers: as for synthesize.
        images: photographs by which the batch norms of the copy are measured, as training would; of many the first 32.
            Without any they have mean 0 and variance 1, as in a network that has just been built.
        recipe: how pictures are made, named after where it comes from; in Python also one of one's own.
        per_layer: channels of a whole layer at most, evenly spread over it.
        size: of the pictures in pixels, or height and width; by what a unit sees unless given.
        steps: how many; as many as the recipe says unless given.
        initial: how the copy's weights are drawn.
        seed: of the copy's weights, of the start and of the warps.
        precision: of the way: float32, bfloat16, or auto (bfloat16 on devices that are faster with it).
        chunk: pictures in one pass; chosen by the device unless given, halved when memory runs out.

    Returns:
        The pictures of both with what they reach, those of the network as it is first. When asked to stop, the best so
        far.

    Raises:
        AddressError: no such unit or layer.
        OptionError: no such recipe, or a size that the network cannot take.
        NetworkError: the network cannot be copied, has weights that are not known how to draw, or a value is no finite
            number from the start.

    Source: Saxe et al. 2011, "On random weights and unsupervised feature learning", ICML, section 2; the recipes name
        their own.
    """
    chosen = recipe_of(recipe)
    shown = None if images is None else network.batch(images)[:_ENOUGH]
    copy = untrained(network, initial=initial, seed=seed, images=shown)
    notes = [f"The random weights on the right were drawn by {initial}, seed {seed}."]
    if any("running_mean" in name for name, _ in copy.module.named_buffers()):
        notes.append(
            "Its batch norms have mean 0 and variance 1, as in a network just built: give photographs to measure them."
            if shown is None
            else f"Its batch norms were measured on {count(len(shown), 'photograph')}."
        )
    wanted: dict[str, Any] = {"size": size, "several": 1, "diversity": 0.0, "per_layer": per_layer}
    asked, again = (jobs_of(one, target, None, **wanted) for one in (network, copy))
    work = [
        turn
        for job, other in zip(asked, again, strict=True)
        for turn in ((WHOSE[0], network, job), (WHOSE[1], copy, other))
    ]
    made: list[Made] = []
    worked_out = ""
    for whose, one, job in work:
        try:
            found = ascend(
                one,
                job.objectives,
                recipe=chosen,
                size=(job.sized.height, job.sized.width),
                steps=steps,
                seed=seed,
                chunk=chunk,
                precision=precision,
                task=f"synthesize {job.title}, {whose}",
            )
        except Stopped:
            if not made:
                raise
            notes.append(f"Stopped, as asked, with {len(work) - len(made)} of {len(work)} runs not begun.")
            break
        worked_out = found.precision
        notes += [note for note in found.notes if note not in notes]
        unknown = np.full(len(job.objectives), np.nan, dtype=np.float32)
        made.append(made_of(job, found, unknown, whose=whose))
    return UntrainedBeside(
        made=tuple(made),
        method=chosen.name,
        precision=worked_out,
        real_pictures=0,
        recipe=Recipe(notes=tuple(notes)),
        blank=learned_nothing(network),
    )
