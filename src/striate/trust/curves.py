"""Deletion and insertion: does the score follow the pixels that a map marks, as they go and as they come?"""

from __future__ import annotations

import time
from collections.abc import Mapping

import torch
from torch import Tensor

from striate.errors import OptionError
from striate.network import Images, Network
from striate.perturbation.fills import Baseline, fill
from striate.perturbation.masks import Score, mask_scores
from striate.results import DeletionCurves, Heatmap
from striate.targets import Targets, resolve
from striate.trust._recipe import recipe

__all__ = ["curves", "order", "together"]


def curves(
    network: Network,
    images: Images,
    heatmaps: Heatmap | Mapping[str, Heatmap],
    *,
    steps: int = 50,
    deletion: Baseline = "mean",
    insertion: Baseline = "blur",
    score: Score = "probability",
    seed: int = 0,
    chunk: int | None = None,
) -> DeletionCurves:
    """Take pixels away from each picture, and bring them back, in the order of a map.

    Deletion replaces the pixels of the highest values first: if they matter, the score falls at once and the area
    under its curve is small. Insertion starts from a blurred picture and brings the same pixels back: a large area
    is good. What is hidden is not what the network was trained on, so the areas compare maps of one picture rather
    than prove one; speckled maps delete well because scattered holes disturb any network.

    Args:
        network: that is asked.
        images: (N, C, H, W), normalised, or paths: the pictures that the maps are of.
        heatmaps: one, or several by name; all of the same pictures and targets.
        steps: points of a curve after the first; each takes the same number of pixels, the last what is left.
        deletion: what stands in for a deleted pixel, named by what it looks like (see `perturbation.fill`).
        insertion: the picture to begin with.
        score: "probability" of a class, or its "logit"; units and channels count with their value.
        seed: of the order among pixels of equal value.
        chunk: pictures in one pass; chosen by the device unless given.

    Returns:
        The curves of all maps, with their areas.

    Raises:
        OptionError: `steps` below 1, maps of other pictures or targets, values that are not finite.
        NetworkError: a score is not a finite number.

    Source: Petsiuk, Das and Saenko 2018, arXiv:1806.07421, section 4.2 (area by the trapezoidal rule). As in their
        code a deleted pixel becomes the mean colour and insertion begins with a blurred picture; their blur is half
        as wide.
    """
    started = time.perf_counter()
    batch = network.batch(images)
    named = {heatmaps.recipe.lens or "map": heatmaps} if isinstance(heatmaps, Heatmap) else dict(heatmaps)
    batch, labels = together(named, batch)
    if steps < 1:
        raise OptionError(f"steps must be at least 1, got {steps}.")
    targets = resolve(network, list(labels), batch)
    pixels = batch.shape[2] * batch.shape[3]
    taken = torch.arange(0, pixels + (size := -(-pixels // steps)), size).clamp(max=pixels)  # (S + 1,)
    blanks = (fill(network, batch, deletion, seed), fill(network, batch, insertion, seed))
    found = torch.empty(2, len(named), len(batch), len(taken))
    for index in range(len(batch)):
        image, target = batch[index : index + 1], targets.pick([index])
        for place, heatmap in enumerate(named.values()):
            places = order(heatmap.scores[index], seed).to(batch.device)
            for way, blank in enumerate(blanks):
                found[way, place, index] = _curve(
                    network, image, places, taken, blank[index], target, score, chunk, inserted=way == 1
                )
    options = {
        "steps": steps,
        "deletion": _plain(deletion),
        "insertion": _plain(insertion),
        "score": score,
        "seed": seed,
    }
    return DeletionCurves(
        names=tuple(named),
        fractions=taken.double() / pixels,
        deletion=found[0],
        insertion=found[1],
        target=labels,
        measure="probability" if score == "probability" and targets.place is None else "score",
        baselines=(_plain(deletion), _plain(insertion)),
        pictures=network.spec.pixels(batch),
        recipe=recipe("curves", network, labels, options, started),
    )


def together(heatmaps: Mapping[str, Heatmap], images: Tensor) -> tuple[Tensor, tuple[str, ...]]:
    """Return the pictures, one for each row of the maps, and what is explained in each.

    Args:
        heatmaps: by name.
        images: (N, C, H, W); a single one is repeated for maps of several targets.

    Raises:
        OptionError: there are none, or they are not of these pictures, or not of the same targets, or not finite.
    """
    if not heatmaps:
        raise OptionError("no heatmap was given to be judged.")
    first_name, first = next(iter(heatmaps.items()))
    if len(images) == 1:
        images = images.expand(len(first), -1, -1, -1)
    for name, heatmap in heatmaps.items():
        if heatmap.scores.shape != (len(images), *images.shape[2:]):
            found, wanted = (" x ".join(map(str, shape)) for shape in (heatmap.scores.shape, images.shape))
            raise OptionError(f"{name} holds maps of {found} for pictures of {wanted} (N x C x H x W).")
        for index, (target, other) in enumerate(zip(heatmap.target, first.target, strict=True)):
            if target != other:
                raise OptionError(
                    f"in picture {index + 1} {name} explains {target}, but {first_name} explains {other}. "
                    "Make all maps for the same target to compare them."
                )
        if bad := int((~torch.isfinite(heatmap.scores)).sum()):
            raise OptionError(
                f"{bad:,} values of {name} are NaN or infinite, so its pixels have no order. "
                "Look at the map, and at the network's weights."
            )
    return images, first.target


def order(scores: Tensor, seed: int) -> Tensor:
    """Return the place of each pixel in the order of removal, from 0: the highest value first.

    Pixels of equal value come in random order: line by line, a flat map would be read as one that points up.

    Args:
        scores: (H, W).
        seed: of the random order.

    Returns:
        Shape (H, W), int64.
    """
    flat = scores.flatten()
    shuffled = torch.randperm(len(flat), generator=torch.Generator().manual_seed(seed))
    sequence = shuffled[flat[shuffled].argsort(descending=True, stable=True)]
    places = torch.empty_like(sequence)
    places[sequence] = torch.arange(len(flat))
    return places.view(scores.shape)


def _curve(
    network: Network,
    image: Tensor,
    places: Tensor,
    taken: Tensor,
    blank: Tensor,
    target: Targets,
    score: Score,
    chunk: int | None,
    *,
    inserted: bool,
) -> Tensor:
    """Return the score after each number of pixels, (S + 1,); the picture as it is costs no pass of its own."""
    asked = taken[:-1] if inserted else taken[1:]  # at the other end stands the clean picture
    counts = asked.to(places.device)[:, None, None]

    def masks(start: int, stop: int) -> Tensor:
        early = places < counts[start:stop]  # (m, H, W)
        return (early if inserted else ~early).to(image.dtype)

    task = "insertion" if inserted else "deletion"
    scored = mask_scores(network, image, masks, len(asked), blank, target, score=score, chunk=chunk, task=task)
    ends = scored.values[:, 0], scored.clean
    return torch.cat(ends if inserted else ends[::-1])


def _plain(baseline: Baseline) -> str:
    return baseline if isinstance(baseline, str) else f"a tensor {' x '.join(map(str, baseline.shape))}".rstrip()
