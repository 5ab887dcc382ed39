"""All that a data set tells of one unit, on one sheet: data and words. Draws by `_card`; runs no network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from striate.results import _card
from striate.results.base import Json, Result
from striate.results.drawn import Drawing
from striate.results.patches import Beside, Patch, patch_arrays, percent
from striate.results.words import count, number

__all__ = ["ClassAnswer", "KernelPart", "SimilarUnit", "UnitCard"]

_FEW = 10  # pictures of a class: the mean of fewer says little


@dataclass(frozen=True)
class ClassAnswer:
    """How a unit answers to one class.

    Args:
        index: of the class.
        name: of the class.
        mean: of the unit's map over all pictures of the class.
        pictures: of the class in the atlas.
    """

    index: int
    name: str
    mean: float
    pictures: int


@dataclass(frozen=True, eq=False)
class KernelPart:
    """The weights by which a unit reads what is before it.

    Args:
        address: of the convolution or linear layer whose weights they are.
        weights: (n, h, w) float32, of the inputs that count most, by their norm; in colour red, green and blue.
        channels: numbers of these inputs, n of them.
        inputs: how many inputs the unit reads in all.
        colour: the inputs are the picture's red, green and blue.
        largest: the largest absolute weight of the unit: the end of the symmetric scale.
    """

    address: str
    weights: NDArray[np.float32]
    channels: tuple[int, ...]
    inputs: int
    colour: bool
    largest: float


@dataclass(frozen=True, eq=False)
class SimilarUnit:
    """A unit like the one in question.

    Args:
        address: of the unit.
        likeness: correlation of the answers, or cosine of the weights.
        patch: what it answers to most; None where no picture is known.
        called: the class whose logit it is, or empty.
    """

    address: str
    likeness: float
    patch: Patch | None
    called: str = ""


@dataclass(frozen=True, eq=False)
class UnitCard(Result):
    """Everything known of a unit.

    Args:
        address: of the unit.
        called: the class whose logit it is; else empty.
        place: sentences on where it stands, what it sees and what follows.
        top: the patches that it answers to most, the strongest first.
        bottom: those that it answers to least.
        strip: at even steps of its answers, from the least to the most.
        beside: the backward rule for what is beside the top patches, or "none".
        total: pictures in the atlas.
        counts: pictures by their answer, (B,).
        edges: borders of these bins, (B + 1,), ascending.
        rectified: a rectifier follows, or the layer rectifies itself: to fire is to be above 0 for what comes after.
        fires: share of the pictures in which it fires, in [0, 1]; NaN where that is not known.
        border: the value above which it fires: 0, or what a batch normalisation turns into 0; NaN where not known.
        mean: over all positions of all pictures.
        std: likewise.
        classes: the classes to which it answers most, the strongest first; empty without labels.
        others: mean over all other classes than the strongest; NaN without labels.
        selectivity: (strongest - others) / (strongest + others), from 0 to 1; None where means are below 0 or unknown.
        kernel: its weights; None where it has none of its own.
        alike: units that answer like it.
        chance: correlation that the best of so many unrelated units would reach.
        parallel: units of its layer whose weights point in its direction.
    """

    address: str
    called: str
    place: tuple[str, ...]
    top: tuple[Patch, ...]
    bottom: tuple[Patch, ...]
    strip: tuple[Patch, ...]
    beside: Beside
    total: int
    counts: NDArray[np.int64]
    edges: NDArray[np.float64]
    rectified: bool
    fires: float
    border: float
    mean: float
    std: float
    classes: tuple[ClassAnswer, ...]
    others: float
    selectivity: float | None
    kernel: KernelPart | None
    alike: tuple[SimilarUnit, ...]
    chance: float
    parallel: tuple[SimilarUnit, ...]
    by_picture: ClassVar[bool] = False

    @property
    def target(self) -> tuple[str, ...]:
        """The unit, as it goes into the recipe."""
        return (self.address,)

    @property
    def smallest(self) -> float:
        """Its answer in the picture where that is least."""
        return float(self.edges[0])

    @property
    def largest(self) -> float:
        """Its answer in the picture where that is largest."""
        return float(self.edges[-1])

    def answers(self) -> str:
        """Say how it answers to the pictures."""
        if self.smallest == self.largest:
            return f"It answers {number(self.smallest)} to every one of {count(self.total, 'picture')}."
        has_map = any(patch.position is not None for patch in self.top)
        text = (
            f"Its answers to {count(self.total, 'picture')} run from {number(self.smallest)} to {number(self.largest)}"
        )
        text += " (the largest of its map in each)" if has_map else ""
        text += f"; over all{' positions' if has_map else ''} the mean is {number(self.mean)}, the standard deviation "
        text += f"{number(self.std)}. "
        if np.isnan(self.fires):
            return text + "How often it fires is not known: the normalisation after it turns its sign around."
        if not self.rectified:
            return text + f"It is above 0 in {percent(self.fires)} of the pictures."
        if self.fires == 0:
            return text + "It fires in none of the pictures: it is dead."
        above = "" if self.border == 0 else f" (above {number(self.border)}, of which a batch normalisation makes 0)"
        exact = self.border == 0 or self.fires == 1  # else read off a histogram
        share = percent(self.fires) if exact else f"about {number(100 * self.fires, 2)} %"
        return text + f"It fires{above} in {share} of the pictures."

    def selects(self) -> str:
        """Say to which class it answers most, and how far that sets it apart; empty without labels."""
        if not self.classes:
            return ""
        best = self.classes[0]
        text = f"It answers most to {best.name}: {number(best.mean)} on average, {number(self.others)} to the others"
        if self.selectivity is None:
            text += ". Averages below 0 have no selectivity index."
        else:
            text += f"; its class selectivity is {self.selectivity:.2f} (0: none, 1: answers to one class alone)."
        few = min(answer.pictures for answer in self.classes)
        if few < _FEW:
            text += f" Some of these classes have {count(few, 'picture')} only: that says little."
        return text

    def caption(self) -> str:
        """Say what is known in a few sentences."""
        return " ".join(filter(None, (*self.place, self.answers(), self.selects())))

    def numbers(self) -> dict[str, Json]:
        """Return every number behind the drawings, ready for JSON."""
        return {
            "address": self.address,
            "called": self.called,
            "place": list(self.place),
            "pictures_in_atlas": self.total,
            "smallest": self.smallest,
            "largest": self.largest,
            "mean": self.mean,
            "std": self.std,
            "rectified": self.rectified,
            "fires": self.fires,
            "fires_above": self.border,
            "histogram": {"counts": self.counts.tolist(), "edges": self.edges.tolist()},
            "top": [patch.to_dict() for patch in self.top],
            "bottom": [patch.to_dict() for patch in self.bottom],
            "strip": [patch.to_dict() for patch in self.strip],
            "classes": [vars(answer) for answer in self.classes],
            "other_classes": self.others,
            "selectivity": self.selectivity,
            "kernel": None
            if self.kernel is None
            else {
                "layer": self.kernel.address,
                "channels": list(self.kernel.channels),
                "inputs": self.kernel.inputs,
                "weights": self.kernel.weights.tolist(),
            },
            "alike": [{"address": one.address, "correlation": one.likeness} for one in self.alike],
            "chance": self.chance,
            "parallel": [{"address": one.address, "cosine": one.likeness} for one in self.parallel],
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the raw arrays by name; rows 0, 1 and 2 of the patches are top, bottom and strip."""
        arrays: dict[str, NDArray[Any]] = {
            "counts": self.counts,
            "edges": self.edges,
            "class_indices": np.array([answer.index for answer in self.classes], dtype=np.int64),
            "class_means": np.array([answer.mean for answer in self.classes], dtype=np.float64),
            "alike": np.array([one.address for one in self.alike], dtype=np.str_),
            "correlations": np.array([one.likeness for one in self.alike], dtype=np.float64),
            **patch_arrays([self.top, self.bottom, self.strip]),
        }
        if self.kernel is not None:
            arrays["kernel"] = self.kernel.weights
        return arrays

    def drawings(self) -> list[Drawing]:
        """Return the card."""
        title = f"{self.address} ({self.called})" if self.called else self.address
        return [
            Drawing(
                title,
                "What it answers to, how often, by class, by which weights, and which units are like it.",
                _card.pixels(self),
            )
        ]

    def figure(self) -> Figure:
        """Draw the card with its words."""
        return _card.figure(self, heading=self.recipe.lens)
