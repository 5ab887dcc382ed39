"""How much there is to learn from, and how like what a network knows: numbers in words. Measures nothing."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Final

from striate.results.words import count, number

__all__ = ["FAR", "FEW", "FEW_A_CLASS", "Amount", "Depth", "Likeness"]

FEW: Final = 1000
"""Pictures to learn from below which there are few."""

FEW_A_CLASS: Final = 50
"""Pictures of the middle class below which there are few."""

FAR: Final = 0.5
"""Shift of the features (see `Likeness.shift`) from which on pictures are as noise to the network."""


@dataclass(frozen=True)
class Amount:
    """How many pictures there are to learn from.

    Attributes:
        pictures: in all.
        classes: of them.
        fewest: pictures of the smallest class.
        middle: of the class in the middle (the median).
        most: of the largest.
    """

    pictures: int
    classes: int
    fewest: int
    middle: float
    most: int

    @property
    def much(self) -> bool:
        """Whether there is enough to change weights by: 1,000 pictures, and 50 of the middle class.

        A convention, as any such bound. On twelve sets of pictures Kornblith et al. found logistic regression on
        features as good as fine-tuning or better as long as there were 47 to 800 pictures in all, and worse above.

        Source: Kornblith, Shlens and Le 2019, arXiv:1805.08974, the section on the size of data sets.
        """
        return self.pictures >= FEW and self.middle >= FEW_A_CLASS

    def sentence(self) -> str:
        """Say how much there is."""
        spread = "each" if self.fewest == self.most else f"a class ({self.fewest:,} to {self.most:,})"
        many = f"{number(self.middle)} {spread}"
        words = "much" if self.much else "little"
        return (
            f"{count(self.pictures, 'picture')} of {count(self.classes, 'class', 'classes')} to learn from, {many}: "
            f"{words} (from {FEW:,} pictures and {FEW_A_CLASS} a class on it is much)."
        )


@dataclass(frozen=True)
class Depth:
    """How well the features of one layer tell the classes apart.

    Attributes:
        address: of the layer.
        channels: numbers for each picture.
        field: longer side of its receptive field in pixels, at most that of the picture; None where it is not known.
        accuracy: of the nearest class mean, cross-validated, in [0, 1].
        error: standard error of it.
    """

    address: str
    channels: int
    field: float | None
    accuracy: float
    error: float


@dataclass(frozen=True)
class Likeness:
    """How like pictures are to what a network knows.

    Attributes:
        depths: layers from the first to the deepest.
        chance: accuracy of whoever always says the largest class.
        pictures: that this was measured on.
        shift: how far the features lie from those that the network learned from, in their standard deviations; None
            where it keeps no statistics of these (see `striate.learn.transferring.likeness.shift_of`).
        confidence: mean of the largest probability that it gives to one of its own classes; None where it has none.
        classes: of its own.
    """

    depths: tuple[Depth, ...]
    chance: float
    pictures: int
    shift: float | None
    confidence: float | None
    classes: int

    @property
    def best(self) -> Depth:
        """The depth whose features tell the classes apart best."""
        return max(self.depths, key=lambda depth: depth.accuracy)

    @property
    def deepest(self) -> Depth:
        """The last of them, from which the network's own classes are read."""
        return self.depths[-1]

    @property
    def alike(self) -> bool:
        """Whether what the network learned last is still of use here.

        So it is where its deepest features tell these classes apart as well as those of any earlier layer (within two
        standard errors), and where they do not lie as far away as those of noise do.
        """
        return self.deep and (self.shift is None or self.shift < FAR)

    @property
    def deep(self) -> bool:
        """Whether the deepest features tell the classes apart as well as any, within two standard errors."""
        margin = 2 * math.hypot(self.best.error, self.deepest.error)
        return self.deepest.accuracy >= self.best.accuracy - margin

    def sentences(self) -> list[str]:
        """Say what was found, one thing after the other."""
        depths = ", ".join(f"{_percent(depth.accuracy)} at {depth.address}" for depth in self.depths)
        said = [
            f"By the nearest class mean alone {depths} of {count(self.pictures, 'picture')} are right (always saying "
            f"the largest class: {_percent(self.chance)})."
        ]
        if self.shift is not None:
            said.append(
                f"The features lie {number(self.shift, 2)} standard deviations from those that the network learned "
                f"from (for scale, of EfficientNet-Lite0: photographs 0.14, noise 0.54)."
            )
        if self.confidence is not None:
            said.append(
                f"It is {number(self.confidence, 2)} sure on average which of its own "
                f"{count(self.classes, 'class', 'classes')} they are."
            )
        return said

    def to_dict(self) -> dict[str, Any]:
        """Return every number, ready for JSON."""
        return {**asdict(self), "depths": [asdict(depth) for depth in self.depths], "alike": self.alike}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Likeness:
        """Read what `to_dict` wrote."""
        known = {name: plain[name] for name in ("chance", "pictures", "shift", "confidence", "classes")}
        return cls(depths=tuple(Depth(**depth) for depth in plain["depths"]), **known)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
