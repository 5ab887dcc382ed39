"""The lens `fooling`: pictures that a network is sure of, and that show nothing of the kind."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from striate.errors import OptionError
from striate.lenses._lens import lens
from striate.network import Images, Network
from striate.progress import finishing
from striate.results import Fooling, Recipe
from striate.synthesis.classes import Classes, chosen_classes, say
from striate.synthesis.deceiving import deceive, noise

__all__ = ["fooling"]

_APART = 1e-3  # of a level: beyond it, a start was no picture of 8 bits


@lens
def fooling(
    network: Network,
    target: str | int | Sequence[str | int],
    images: Images | None = None,
    *,
    confidence: float = 0.99,
    step_size: float = 0.25,
    steps: int = 100,
    seed: int = 0,
    chunk: int | None = None,
) -> Fooling:
    """Make pictures that the network is sure of, and that show nothing of the kind.

    From noise: a picture that still looks like noise, and is taken for the class with great confidence. From a
    photograph: the same photograph but for a change too small to see, whose size is told. What is checked is the
    picture of 8 bits, as it would be saved.

    Args:
        network: to be fooled.
        target: the class, or several: one picture for each.
        images: photographs to start from, one for all classes or one for each; noise unless given.
        confidence: probability of the class that is to be exceeded.
        step_size: how far the first step moves every number of a picture, in levels of 255; later ones go further.
        steps: at most so many; a picture is left as soon as it is good enough.
        seed: of the noise.
        chunk: pictures in one pass; chosen by the device unless given, halved when memory runs out.

    Returns:
        The pictures before and after, what the network says of each, and how large the change is. When asked to
        stop, as far as they had come.

    Raises:
        AddressError: no such class, or a unit.
        OptionError: a confidence, step size or number of steps that makes no sense, or not as many photographs as
            classes.
        NetworkError: the network's answer is not finite, or depends on the picture by no gradient.

    Source: Szegedy et al. 2013, arXiv:1312.6199, section 4; Nguyen, Yosinski and Clune 2014, arXiv:1412.1897 (from
        noise); Goodfellow et al. 2014, arXiv:1412.6572 (steps by the gradient's sign).
    """
    classes = chosen_classes(network, target, "fooling")
    notes: list[str] = []
    if images is None:
        generators = _generators(classes, seed)
        starts = noise(network.spec.channels, *network.spec.size, generators)
    else:
        starts, notes = _levels(network, network.batch(images))
        if len(classes) == 1:
            classes = Classes(classes.indices * len(starts), classes.labels * len(starts))
        if len(starts) not in (1, len(classes)):
            raise OptionError(
                f"{len(starts)} photographs for {len(classes)} classes: give one for all classes, or one for each."
            )
        starts = starts.expand(len(classes), -1, -1, -1)
    found = deceive(
        network, starts, classes.indices, confidence=confidence, step_size=step_size, steps=steps, chunk=chunk
    )
    before, after = starts.numpy(), found.pictures.numpy()
    with finishing():
        said = say(network, before, classes.indices)
        says = say(network, after, classes.indices)
    return Fooling(
        starts=before,
        pictures=after,
        target=classes.labels,
        confidence=confidence,
        before=said.probabilities,
        after=says.probabilities,
        named_before=said.names,
        best_before=said.best,
        named_after=says.names,
        steps=found.steps.numpy(),
        from_noise=images is None,
        recipe=Recipe(notes=(*notes, *found.notes)),
    )


def _generators(classes: Classes, seed: int) -> list[torch.Generator]:
    """Return random numbers made of the seed and the class, so that a picture starts alike alone and in a batch."""
    seen: Counter[int] = Counter()
    generators = []
    for index in classes.indices:
        words = f"{seed}/{index}/{seen[index]}"
        seen[index] += 1
        number = int.from_bytes(hashlib.blake2b(words.encode(), digest_size=8).digest(), "little")
        generators.append(torch.Generator().manual_seed(number >> 1))
    return generators


def _levels(network: Network, images: Tensor) -> tuple[Tensor, list[str]]:
    """Return normalised pictures as the levels of 8 bits, uint8 on the CPU, and what is to be said of that."""
    exact = network.spec.denormalise(images.float()).cpu() * 255
    levels = exact.round().clamp(0, 255)
    apart = float((levels - exact).abs().max())
    notes = [f"The photographs were no pictures of 8 bits: they were rounded, by up to {apart:.2g} levels."]
    return levels.to(torch.uint8).contiguous(), notes if apart > _APART else []
