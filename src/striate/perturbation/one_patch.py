"""One patch on one picture, and what the network says then: for whoever points at a place. Knows no lens."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from striate.errors import OptionError
from striate.geometry import Box
from striate.network import Network
from striate.perturbation.fills import Baseline, fill
from striate.perturbation.patches import Patches, Trial
from striate.perturbation.precision import tolerance
from striate.running import undisturbed
from striate.tap import activations
from striate.targets import Target, Targets, resolve

__all__ = ["Covered", "Covering", "cover_patch"]


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


class Covering:
    """A picture that is covered again and again: what the network says of it without a patch is worked out once.

    After `prepare` only what a patch changes is worked out, where that is faster: the same numbers but for rounding.
    Safe for many threads.

    Args:
        network: that is asked.
        image: (1, C, H, W), normalised.
    """

    def __init__(self, network: Network, image: Tensor) -> None:
        self.network, self.image = network, network.batch(image)
        begun = time.perf_counter()
        tapped = activations(network, self.image, [], logits=True)
        self.seconds = time.perf_counter() - begun  # that one pass takes
        assert tapped.logits is not None  # they were asked for
        self._logits = tapped.logits
        self._trial: Trial | None = None
        self._guard = threading.Lock()

    @property
    def on_windows(self) -> bool:
        """Whether only what a patch changes is worked out."""
        return self._trial is not None

    def prepare(self) -> str:
        """Find out whether following what a patch changes gives the same scores sooner, and do so from then on.

        This takes about as long as a few passes, and as much memory as all maps of the picture.

        Returns:
            Why it is not done; nothing where it is.
        """
        if self.network.one_by_one:
            return "the network takes one picture at a time"
        height, width = self.image.shape[2:]
        box = height // 2 - height // 14, width // 2 - width // 14, height // 2 + height // 14, width // 2 + width // 14
        targets = resolve(self.network, None, self.image).settle(self._logits, self.network)
        trial = Trial(self.network, self.image, self._patches(box, "grey"), targets)
        probe = np.zeros(1, dtype=np.int64)
        with undisturbed(self.network.module), torch.no_grad():
            if why := trial.follow_from(probe, tolerance(self.network, "float32")):
                return why
            plain = _seconds(lambda: trial.plainly(probe))
            followed = _seconds(lambda: trial.follow(probe))
        if followed > plain:
            return "windows alone are no faster"
        self._trial = trial
        return ""

    def cover(
        self, place: tuple[float, float], target: Target = None, *, size: int = 32, baseline: Baseline = "grey"
    ) -> Covered:
        """Cover a square around a place, and ask again; see `cover_patch`."""
        box = _box(self.image, place, size)
        targets = resolve(self.network, target, self.image)
        if targets.place is not None:
            return _side_by_side(self.network, self.image, box, targets, baseline)
        targets = targets.settle(self._logits, self.network)
        trial = self._trial
        if trial is None:
            covered = self._patches(box, baseline).pictures(self.image)
            tapped = activations(self.network, covered, [], logits=True)
            assert tapped.logits is not None  # they were asked for
            after = tapped.logits
        else:
            with self._guard, undisturbed(self.network.module), torch.no_grad():
                after = trial.logits(self._patches(box, baseline))
        output = torch.cat([self._logits, after])
        scores = targets.pick([0, 0]).scores(output).tolist()
        logits = output.float().cpu()
        return Covered(box, logits[0], logits[1], targets.labels[0], *scores)

    def _patches(self, box: Box, baseline: Baseline) -> Patches:
        return Patches(torch.tensor([box]), fill(self.network, self.image, baseline)[0])


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
    box = _box(batch, place, size)
    return _side_by_side(network, batch, box, resolve(network, target, batch), baseline)


def _box(batch: Tensor, place: tuple[float, float], size: int) -> Box:
    """Return what a square around a place covers of the picture."""
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
    return box


def _side_by_side(network: Network, batch: Tensor, box: Box, targets: Targets, baseline: Baseline) -> Covered:
    """Run the picture with a patch and without in one pass."""
    covered = Patches(torch.tensor([box]), fill(network, batch, baseline)[0]).pictures(batch)
    tapped = activations(
        network, torch.cat([batch, covered]), [] if targets.place is None else [targets.place], logits=True
    )
    assert tapped.logits is not None  # they were asked for
    output = tapped.logits if targets.place is None else tapped.outputs[targets.place]
    targets = targets.settle(output[:1], network)
    before, after = targets.pick([0, 0]).scores(output).tolist()
    logits = tapped.logits.float().cpu()
    return Covered(box, logits[0], logits[1], targets.labels[0], before, after)


def _seconds(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun
