"""What a way to fit a head gives the others: the settings that are tried, and heads learned from some of the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from striate.nets.heads import Head

__all__ = ["Learned", "Problem", "Rows", "Rule", "Setting"]

Setting = Mapping[str, float]
Rows = NDArray[np.int64]  # indices of rows


class Learned(Protocol):
    """What one fit gave."""

    def decide(self, rows: Rows) -> NDArray[np.int64]:
        """Return the class that some rows of the problem are taken for."""

    def head(self) -> Head:
        """Return it as a module on the features as they were given."""

    @property
    def done(self) -> bool:
        """Whether the search came to its end."""


class Problem(Protocol):
    """Features with their classes, prepared once for all fits of one kind."""

    @property
    def settings(self) -> Sequence[Setting]:
        """What is tried, from the most to the least cautious."""

    def learn(self, rows: Rows, settings: Sequence[Setting]) -> Iterator[Learned]:
        """Fit some rows with one setting after the other; each may begin where the one before ended."""


@dataclass(frozen=True)
class Rule:
    """A kind of head that can be fitted.

    A file here with a `RULE` adds one.

    Attributes:
        name: as users write it.
        words: what it is, in a few words.
        order: place among the others, from cheap to dear.
        problem: prepares features (N, D), float32, and classes (N,), for K classes; and a seed for what is drawn.
        most: rows that are learned from at most; None for all.
        threads: that folds may be learned in beside each other, as many as there are processors; else one after the
            other, for what keeps all processors busy by itself.
    """

    name: str
    words: str
    order: int
    problem: Callable[[NDArray[np.float32], NDArray[np.int64], int, int], Problem]
    most: int | None = None
    threads: bool = False

    def __call__(self, X: NDArray[Any], y: NDArray[Any], classes: int, seed: int) -> Problem:
        """Prepare a problem."""
        return self.problem(X, y, classes, seed)
