"""The lens `class_picture`: what a network takes for a class most of all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from striate.errors import OptionError
from striate.lenses._lens import lens
from striate.network import Network
from striate.progress import finishing
from striate.results import ClassPictures, Recipe
from striate.synthesis.ascent import ascend
from striate.synthesis.classes import chosen_classes, say
from striate.synthesis.objectives import objective
from striate.synthesis.observing import Precision
from striate.synthesis.recipes import Name
from striate.synthesis.recipes import Recipe as Method

__all__ = ["class_picture"]


@lens
def class_picture(
    network: Network,
    target: str | int | Sequence[str | int],
    *,
    recipe: Name | Method = "lucid",
    size: int | Sequence[int] | None = None,
    steps: int = 128,
    start: Literal["noise", "grey", "mean"] | None = None,
    seed: int = 0,
    precision: Precision = "auto",
    chunk: int | None = None,
) -> ClassPictures:
    """Make pictures in which the network sees as much of a class as it can.

    What is made large is the score of the class before softmax: a probability could also be raised by whatever speaks
    against all other classes. All classes move together in one job, each from its own random numbers. Then the
    network says what it takes the picture (of 8 bits, at its own input size) for.

    Args:
        network: that is asked.
        target: the class, or several: one picture for each.
        recipe: how pictures are made, named after where it comes from; in Python also one of one's own.
        size: of the pictures in pixels, or height and width; the network's own unless given.
        steps: how many.
        start: noise, grey or mean (the mean colour); as the recipe says unless given.
        seed: of start and warps.
        precision: of the way: float32, bfloat16, or auto (bfloat16 on devices that are faster with it). Values are
            always worked out in float32.
        chunk: pictures in one pass; chosen by the device unless given, halved when memory runs out.

    Returns:
        The pictures, with the score and the probability that they reach. When asked to stop, the best so far.

    Raises:
        AddressError: no such class, or a unit.
        OptionError: no such recipe, a size that the network cannot take, or steps below 1.
        NetworkError: a score is not finite from the start, or the network cuts the gradient.

    Source: Simonyan, Vedaldi and Zisserman 2013, arXiv:1312.6034, section 2 (the unnormalised score); the recipes
        name their own.
    """
    classes = chosen_classes(network, target, "class_picture")
    sides = network.spec.size if size is None else (size, size) if isinstance(size, int) else tuple(size)
    if len(sides) != 2 or min(sides) < 1:
        raise OptionError(f"size is one number of pixels, or height and width, at least 1; got {size}.")
    shape = (sides[0], sides[1])
    found = ascend(
        network,
        [objective(network, index, shape) for index in classes.indices],
        recipe=recipe,
        size=shape,
        steps=steps,
        seed=seed,
        start=start,
        chunk=chunk,
        precision=precision,
        task="class pictures",
    )
    pictures = (found.pictures * 255).round().byte().numpy()
    with finishing():
        said = say(network, pictures, classes.indices)
    return ClassPictures(
        pictures=pictures,
        target=classes.labels,
        scores=said.logits,
        begun=found.start_values.numpy(),
        probabilities=said.probabilities,
        named=said.names,
        best=said.best,
        best_steps=found.best_steps.numpy(),
        method=found.recipe.name,
        recipe=Recipe(notes=found.notes),
    )
