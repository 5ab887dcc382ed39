"""The lens `dream`: what a layer sees in a picture, made stronger until it shows (DeepDream)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from striate.errors import NetworkError, OptionError, StriateError
from striate.lenses._lens import lens
from striate.network import Images, Network
from striate.progress import finishing
from striate.results import Dream, Recipe
from striate.streaming import in_chunks
from striate.synthesis.depths import middle
from striate.synthesis.objectives import Objective, objective
from striate.synthesis.observing import uphill
from striate.synthesis.octaves import Slope, dream_on, octave_sizes
from striate.synthesis.reading import Reading
from striate.synthesis.showing import opened, shown
from striate.tap import activations
from striate.targets import Target

__all__ = ["dream"]

_GREY, _DEVIATION = 0.5, 0.04  # of the noise that is dreamt into where there is no picture


@lens
def dream(
    network: Network,
    images: Images | None = None,
    target: Target = None,
    *,
    octaves: int = 4,
    octave_scale: float = 1.4,
    steps: int = 30,
    step_size: float = 1.5,
    jitter: int = 32,
    seed: int = 0,
    chunk: int | None = None,
) -> Dream:
    """Let the network dream: change pictures towards more of what it sees in them (DeepDream).

    A picture is made small, pushed uphill for some steps, and what it has gained is added to the next larger size,
    so that shapes of all sizes come up. Pictures may have any size that the network can be run on; larger ones
    (--height and --width) have more room. Without a picture it dreams into noise.

    Args:
        network: that dreams.
        images: (N, C, H, W), normalised, or paths; one picture of noise unless given.
        target: what is to grow: a whole layer (half its squared length), a channel, a class, or a sum of them; one
            for all pictures or one for each. The last layer at the coarsest resolution but one unless given.
        octaves: sizes that are dreamt in, at least 1; those too small for the network are left out.
        octave_scale: factor from one size to the next, above 1.
        steps: in each octave. 30 is strong; the first dreams took 10.
        step_size: what the mean pixel changes by in a step, of 255 levels.
        jitter: pixels that the picture is rolled by at most in each step, so that no grid shows.
        seed: of the rolls and the noise.
        chunk: pictures in one pass; chosen by the device unless given, halved when memory runs out.

    Returns:
        The dreams, with the value of the target before and after.

    Raises:
        AddressError: no such target.
        OptionError: an option that makes no sense.
        NetworkError: the network cannot be run on pictures of this size, or gives no finite number for them.

    Source: Mordvintsev, Olah and Tyka 2015, "Inceptionism: Going Deeper into Neural Networks"; google/deepdream,
        dream.ipynb (10 steps, one layer).
    """
    for name, value, least in (("octaves", octaves, 1), ("steps", steps, 1), ("jitter", jitter, 0)):
        if value < least:
            raise OptionError(f"{name} must be at least {least}, got {value}.")
    if not 1 < octave_scale < math.inf or not 0 < step_size < math.inf:
        raise OptionError(
            f"octave_scale must be above 1, step_size above 0, and both finite, got {octave_scale} and {step_size}."
        )
    generator = torch.Generator().manual_seed(seed)
    if images is None:
        level = torch.randn(1, network.spec.channels, *network.spec.size, generator=generator) * _DEVIATION + _GREY
        images = network.spec.normalise(level.clamp(0, 1))
    batch = network.batch(images)
    size = (batch.shape[2], batch.shape[3])
    goals = _goals(network, target, len(batch), size)
    before = _values(network, batch, goals, chunk)
    if not bool(before.isfinite().any()):
        raise NetworkError(
            f"{goals[0].label} is {before[0].item()} for the first picture, so there is nothing that could grow. "
            "Check the weights of the network, and its mean and std."
        )
    chosen, left = _octaves(network, target, goals, octave_sizes(*size, octaves, octave_scale), chunk)
    with torch.inference_mode(False), torch.no_grad():
        pixels, cut = opened(network.spec, batch)
        found = dream_on(pixels, chosen, steps=steps, step_size=step_size, jitter=jitter, generator=generator)
        with finishing():
            after = _values(network, network.batch(network.spec.normalise(found.pictures)), goals, chunk)
    return Dream(
        pictures=shown(pixels),
        dreams=found.pictures.cpu().contiguous(),
        shown=shown(found.pictures),
        target=tuple(goal.label for goal in goals),
        before=before,
        after=after,
        frames=tuple(shown(frame) for frame in found.frames),
        steps=steps,
        recipe=Recipe(notes=(*cut, *left, *found.notes)),
    )


def _goals(network: Network, target: Target, count: int, size: tuple[int, int]) -> list[Objective]:
    """Return what is to grow in each picture of a size."""
    if target is None:
        target = middle(network.graph(*size)).address
    asked = target.tolist() if isinstance(target, Tensor) else target
    if isinstance(asked, str | int):
        return [objective(network, asked, size)] * count
    found = {one: objective(network, one, size) for one in asked if one is not None}
    if len(asked) != count or len(found) != len(set(asked)):
        raise OptionError(
            f"{len(asked)} targets for {count} picture{'s' * (count != 1)}. Give one, or one for each picture."
        )
    return [found[one] for one in asked if one is not None]


def _octaves(
    network: Network, target: Target, goals: list[Objective], sizes: list[tuple[int, int]], chunk: int | None
) -> tuple[list[tuple[tuple[int, int], Slope]], tuple[str, ...]]:
    """Return the sizes that the network can be run on, each with its gradient; and a note on the others."""
    chosen = []
    left: dict[tuple[int, int], str] = {}
    for size in sizes:
        try:
            here = goals if size == sizes[-1] else _goals(network, target, len(goals), size)
        except StriateError as error:
            left[size] = str(error)
            continue
        chosen.append((size, _slope(network, here, chunk)))
    if not left:
        return chosen, ()
    names = ", ".join(f"{height} x {width}" for height, width in left)
    return chosen, (f"Octaves that it cannot be run on were left out, {names} pixels: {next(iter(left.values()))}",)


def _slope(network: Network, goals: list[Objective], chunk: int | None) -> Slope:
    """Return what finds the gradient of pictures, in pieces that fit into memory."""

    def slope(pictures: Tensor) -> Tensor:
        gradient = torch.empty_like(pictures)

        def run(start: int, stop: int) -> None:
            reading = Reading(goals[start:stop], network.device)
            with torch.enable_grad():
                gradient[start:stop] = uphill(network, pictures[start:stop], reading)[1]

        in_chunks(len(pictures), run, size=network.piece(chunk), task="dream, pictures")
        return gradient

    return slope


def _values(network: Network, batch: Tensor, goals: list[Objective], chunk: int | None) -> Tensor:
    """Return what has been reached in normalised pictures, (N,), on the CPU."""
    values = torch.empty(len(batch))

    def run(start: int, stop: int) -> None:
        reading = Reading(goals[start:stop], network.device)
        tapped = activations(network, batch[start:stop], reading.places, logits=reading.logits)
        values[start:stop] = reading.values(tapped).detach().float().cpu()

    in_chunks(len(batch), run, size=network.piece(chunk), task="dream, values")
    return values
