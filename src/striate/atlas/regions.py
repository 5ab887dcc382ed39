"""What some pictures of an atlas have in common, against all the others. Arithmetic only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.atlas.opened import Atlas
from striate.errors import OptionError
from striate.results.words import count

__all__ = ["Common", "Leaning", "Share", "common"]

ROWS = 4096  # of features that are read at a time


@dataclass(frozen=True)
class Share:
    """How often a class is among the chosen pictures.

    Attributes:
        index: of the class.
        count: chosen pictures of it.
        share: of the chosen pictures with a known class, in [0, 1].
        everywhere: its share of all pictures of the atlas with a known class, in [0, 1].
    """

    index: int
    count: int
    share: float
    everywhere: float


@dataclass(frozen=True)
class Leaning:
    """A channel that answers to the chosen pictures otherwise than to the others.

    Attributes:
        channel: of the layer whose features were kept.
        inside: mean over the chosen pictures.
        outside: mean over all others.
        effect: their difference in standard deviations of all pictures.
    """

    channel: int
    inside: float
    outside: float
    effect: float


@dataclass(frozen=True)
class Common:
    """What some pictures have in common.

    Attributes:
        pictures: how many were chosen.
        of: pictures in the atlas.
        labels: the classes that they are of, the most frequent first; empty without labels.
        predictions: the classes that the network says, likewise.
        layer: whose channels are compared; None where the atlas holds no features.
        stronger: the channels that answer most above the others, the largest effect first; those with no effect
            above 0 are left out.
    """

    pictures: int
    of: int
    labels: tuple[Share, ...]
    predictions: tuple[Share, ...]
    layer: str | None
    stronger: tuple[Leaning, ...]

    def sentence(self, label: str = "", said: str = "") -> str:
        """Say in words what is most common.

        Args:
            label: name of the first of `labels`.
            said: name of the first of `predictions`.
        """
        text = f"{count(self.pictures, 'picture')} of {self.of:,}."
        for name, shares, verb in ((label, self.labels, "are of"), (said, self.predictions, "are taken for")):
            if not shares or not name:
                continue
            first = shares[0]
            if first.count > 1:
                text += f" {first.count} {verb} {name} ({_percent(first.share)}, {_percent(first.everywhere)} of all)."
            elif self.pictures > 1:
                text += f" No two {verb} one class."
        return text


def common(atlas: Atlas, indices: Sequence[int], *, layer: str | None = None, most: int = 6) -> Common:
    """Say what some pictures have in common: their classes, and the channels that answer to them above all others.

    An effect is (mean of the chosen - mean of the others) / standard deviation of all, per channel of the features
    that the atlas keeps (averages over the map). It is a description of these pictures, no test: pictures that were
    chosen because they lie together in the features have large effects by that choice alone.

    Args:
        atlas: open.
        indices: of the chosen pictures, in any order; doubles count once.
        layer: whose features are compared; the deepest kept unless given.
        most: classes and channels of each kind at most.

    Raises:
        OptionError: none or all were chosen, or a number that is no picture.
        AddressError: no features were kept of that layer.
    """
    chosen = np.unique(np.asarray(list(indices), dtype=np.int64))
    total = len(atlas)
    if not len(chosen):
        raise OptionError("no pictures were chosen.")
    if chosen[0] < 0 or chosen[-1] >= total:
        wrong = chosen[0] if chosen[0] < 0 else chosen[-1]
        raise OptionError(f"no picture {wrong} in the atlas: it has {total:,}, 0 to {total - 1:,}.")
    inside = np.zeros(total, dtype=bool)
    inside[chosen] = True
    place: str | None = None
    stronger: tuple[Leaning, ...] = ()
    if layer is not None or atlas.feature_places:
        features = atlas.averaged(layer)  # says what there is where there is not this
        place = atlas.feature_places[-1] if layer is None else layer
        if len(chosen) < total:
            stronger = _stronger(features, inside, most)
    return Common(
        pictures=len(chosen),
        of=total,
        labels=() if atlas.labels is None else _shares(np.asarray(atlas.labels), inside, most),
        predictions=_shares(np.asarray(atlas.predictions), inside, most) if atlas.predicts else (),
        layer=place,
        stronger=stronger,
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.1f} %"


def _shares(classes: NDArray[np.int64], inside: NDArray[np.bool_], most: int) -> tuple[Share, ...]:
    """Count the classes of the chosen pictures; -1 is not known."""
    known = classes >= 0
    here, counts = np.unique(classes[inside & known], return_counts=True)
    order = np.argsort(-counts, kind="stable")[:most]
    few, many = int(counts.sum()), int(known.sum())
    return tuple(
        Share(int(here[one]), int(counts[one]), float(counts[one] / few), float((classes == here[one]).sum() / many))
        for one in order
    )


def _stronger(features: NDArray[Any], inside: NDArray[np.bool_], most: int) -> tuple[Leaning, ...]:
    """Compare the means of the features, (N, D), inside and outside; in blocks, for they lie on disk."""
    total, width = features.shape
    sums, squares, own = np.zeros(width), np.zeros(width), np.zeros(width)
    centre = np.asarray(features[:ROWS], dtype=np.float64).mean(0)  # near the mean, so that squares keep their digits
    for start in range(0, total, ROWS):
        part = np.asarray(features[start : start + ROWS], dtype=np.float64) - centre
        sums += part.sum(0)
        squares += (part**2).sum(0)
        own += part[inside[start : start + ROWS]].sum(0)
    few = int(inside.sum())
    spread = np.sqrt(np.maximum(squares / total - (sums / total) ** 2, 0))
    means, others = own / few + centre, (sums - own) / (total - few) + centre
    with np.errstate(divide="ignore", invalid="ignore"):
        effect = np.where(spread > 1e-9 * np.maximum(np.abs(centre), 1e-30), (means - others) / spread, 0.0)
    effect = np.nan_to_num(effect, nan=0.0, posinf=0.0, neginf=0.0)
    order = np.argsort(-effect, kind="stable")[:most]
    return tuple(
        Leaning(int(one), float(means[one]), float(others[one]), float(effect[one])) for one in order if effect[one] > 0
    )
