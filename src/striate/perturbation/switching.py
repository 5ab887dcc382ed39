"""Switch the superpixels of pictures on and off, and take the scores. Knows no lens and no surrogate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor

from striate.network import Network
from striate.perturbation.fills import Baseline, fill
from striate.perturbation.masks import Score, mask_scores, superpixel_masks
from striate.perturbation.precision import Precision
from striate.perturbation.readout import Scored, grouped
from striate.perturbation.superpixels import Method, given, segment
from striate.targets import Targets

__all__ = ["Switched", "switched"]


@dataclass(frozen=True)
class Switched:
    """One picture with its superpixels on and off.

    Attributes:
        rows: of the batch that show this picture, T of them, each with a target of its own.
        labels: (H, W), int64, 0 to S - 1.
        design: (M, S), bool: which superpixels each mask keeps.
        scored: scores (M, T) under each mask.
    """

    rows: list[int]
    labels: Tensor
    design: Tensor
    scored: Scored


def switched(
    network: Network,
    images: Tensor,
    targets: Targets,
    design: Callable[[int], Tensor],
    *,
    superpixels: Method,
    segments: int,
    labels: Tensor | None,
    baseline: Baseline,
    score: Score,
    seed: int,
    precision: Precision,
    chunk: int | None,
    task: str,
) -> Iterator[Switched]:
    """Take the scores of each different picture of a batch under masks of its superpixels.

    Args:
        network: that is asked.
        images: (N, C, H, W), normalised; a picture that stands in several rows is worked through once.
        targets: settled, one for each row.
        design: gives the masks (M, S), bool, for S superpixels.
        superpixels: how a picture is cut.
        segments: into about how many.
        labels: superpixels of the user's own instead, (H, W) or (N, H, W).
        baseline: what hides a superpixel; see `fills.fill`.
        score: see `masks.mask_scores`.
        seed: of a baseline of noise.
        precision: see `masks.mask_scores`.
        chunk: see `masks.mask_scores`.
        task: what to call it where progress is shown.

    Raises:
        OptionError: superpixels or baseline do not fit the pictures.
        NetworkError: the network gives a score that is not a finite number.
    """
    own = None if labels is None else given(labels, images)
    covers = fill(network, images, baseline) if isinstance(baseline, Tensor) else None
    for first, rows in grouped(images, own, covers):
        image = images[first : first + 1]
        parts = segment(network.spec.pixels(image)[0], superpixels, segments) if own is None else own[first]
        masks = design(int(parts.max()) + 1)
        scored = mask_scores(
            network,
            image,
            superpixel_masks(masks, parts, image.device),
            len(masks),
            fill(network, image, baseline, seed, labels=parts[None])[0] if covers is None else covers[first],
            targets.pick(rows),
            score=score,
            chunk=chunk,
            precision=precision,
            task=task,
        )
        yield Switched(rows, parts, masks, scored)
