"""One patch on one picture, and what the network says then: for whoever points at a place. Knows no lens."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from striate.errors import OptionError
from striate.geometry import Box
from striate.network import Network
from striate.perturbation.fills import Baseline, fill
from striate.tap import activations
from striate.targets import Target, resolve

__all__ = ["Covered", "cover_patch"]


@dataclass(frozen=True)
class Covered:
    """What a network says with a patch, and without.

    Attributes:
        box: what was covered: top, left, bottom, right, in pixels of the input, the last two exclusive.
        before: (K,), logits of the picture.
        after: (K,), logits with the patch.
        target: address whose score is followed.
        score_before: its score of the picture.
        score_after: with the patch.
    """

    box: Box
    before: Tensor
    after: Tensor
    target: str
    score_before: float
    score_after: float

    @property
    def drop(self) -> float:
        """How far the score falls; below zero where it rises."""
        return self.score_before - self.score_after

    def chances(self, k: int) -> list[tuple[int, float, float]]:
        """Return the k classes most probable before: index, probability before, probability after."""
        before, after = (logits.softmax(0) for logits in (self.before, self.after))
        chosen = before.topk(min(k, len(before))).indices.tolist()
        return [(index, float(before[index]), float(after[index])) for index in chosen]


def cover_patch(
    network: Network,
    image: Tensor,
    place: tuple[float, float],
    target: Target = None,
    *,
    size: int = 32,
    baseline: Baseline = "grey",
) -> Covered:
    """Cover a square around a place, and ask again.

    Picture and covered picture go through the network side by side, in one pass.

    Args:
        network: that is asked.
        image: (1, C, H, W), normalised.
        place: row and column of the middle, pixels of the input from its upper left corner.
        target: class, channel or unit; the top class of the picture unless given.
        size: side of the square, pixels; what stands out over the edge is cut off.
        baseline: what covers, as for the lens `occlusion`.

    Raises:
        OptionError: the size is below 1, or the square lies outside the picture.
        AddressError: no such target.
    """
    batch = network.batch(image)
    height, width = batch.shape[2:]
    if size < 1:
        raise OptionError(f"size must be at least 1 pixel, got {size}.")
    top, left = (round(middle - size / 2) for middle in place)
    box = max(top, 0), max(left, 0), min(top + size, height), min(left + size, width)
    if box[0] >= box[2] or box[1] >= box[3]:
        raise OptionError(
            f"the patch around row {place[0]:.0f}, column {place[1]:.0f} lies outside the {height} x {width} pixels "
            "that the network sees. Choose a place inside."
        )
    covered = batch.clone()
    part = (slice(None), slice(None), slice(box[0], box[2]), slice(box[1], box[3]))
    covered[part] = fill(network, batch, baseline)[part]
    targets = resolve(network, target, batch)
    tapped = activations(
        network, torch.cat([batch, covered]), [] if targets.place is None else [targets.place], logits=True
    )
    assert tapped.logits is not None  # they were asked for
    output = tapped.logits if targets.place is None else tapped.outputs[targets.place]
    targets = targets.settle(output[:1], network)
    before, after = targets.pick([0, 0]).scores(output).tolist()
    logits = tapped.logits.float().cpu()
    return Covered(box, logits[0], logits[1], targets.labels[0], before, after)
