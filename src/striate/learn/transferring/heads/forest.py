"""A random forest: trees of questions about single features, each grown on other pictures; their shares averaged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from striate import progress
from striate.learn.seeds import number
from striate.learn.transferring.heads._rule import Rows, Rule, Setting
from striate.nets import heads
from striate.nets.heads import Head

__all__ = ["RULE", "Forest"]

_TREES = 100
_FEW = 2000  # rows up to which several settings are tried


@dataclass(frozen=True, eq=False)
class Trees:
    """A grown forest.

    Attributes:
        values: features of the problem, (N, D).
        forest: scikit-learn's.
        done: always.
    """

    values: NDArray[np.float32]
    forest: Any
    done: bool = True

    def decide(self, rows: Rows) -> NDArray[np.int64]:
        """Return the class with the largest mean share."""
        found: NDArray[np.int64] = self.forest.predict(self.values[rows])
        return found

    def head(self) -> Head:
        """Return it as tensors of indices."""
        trees = [one.tree_ for one in self.forest.estimators_]
        starts = np.cumsum([0, *(tree.node_count for tree in trees)])
        ways, feature, threshold, leaf, shares = [], [], [], [], []
        leaves = 0
        for start, tree in zip(starts, trees, strict=False):
            own = np.arange(tree.node_count)
            ends = tree.children_left < 0
            both = np.stack([np.where(ends, own, side) for side in (tree.children_left, tree.children_right)], 1)
            ways.append(both + start)
            feature.append(np.where(ends, 0, tree.feature))
            threshold.append(_not_above(np.where(ends, 0, tree.threshold)))
            leaf.append(np.where(ends, leaves + np.cumsum(ends) - 1, 0))
            counts = tree.value[ends, 0, :]
            shares.append(counts / counts.sum(1, keepdims=True))
            leaves += int(ends.sum())
        state = {
            "roots": starts[:-1], "ways": np.concatenate(ways), "feature": np.concatenate(feature),
            "threshold": np.concatenate(threshold), "leaf": np.concatenate(leaf),
            "shares": np.concatenate(shares).astype(np.float32),
        }  # fmt: skip
        return heads.filled(
            "forest",
            {name: torch.from_numpy(np.ascontiguousarray(held)) for name, held in state.items()},
            features=self.values.shape[1],
            trees=len(trees),
            nodes=int(starts[-1]),
            leaves=leaves,
            depth=max(1, *(int(tree.max_depth) for tree in trees)),
            classes=state["shares"].shape[1],
        )


def _not_above(threshold: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the largest float32 that is not above each threshold: float32 features answer the same to both."""
    near = threshold.astype(np.float32)
    return np.where(near > threshold, np.nextafter(near, np.float32(-np.inf)), near)


class Forest:
    """Grows scikit-learn's `RandomForestClassifier`: 100 trees, each question the best of sqrt(D) features.

    Of up to 2,000 rows it is tried whether leaves should hold one picture at least or three; of more, three.
    """

    def __init__(self, X: NDArray[np.float32], y: NDArray[np.int64], classes: int, seed: int) -> None:
        self.values, self.labels, self.seed = X, y, seed
        self.settings: tuple[Setting, ...] = tuple(
            {"trees": _TREES, "leaf": least} for least in ((3, 1) if len(X) <= _FEW else (3,))
        )

    def learn(self, rows: Rows, settings: Sequence[Setting]) -> Iterator[Trees]:
        """Grow on some rows."""
        from sklearn.ensemble import RandomForestClassifier

        for setting in settings:
            progress.check_stop("forest")
            forest = RandomForestClassifier(
                int(setting["trees"]),
                min_samples_leaf=int(setting["leaf"]),
                n_jobs=torch.get_num_threads(),  # the trees are the same for any number
                random_state=number(self.seed, "forest") % 2**32,
            )
            yield Trees(self.values, forest.fit(self.values[rows], self.labels[rows]))


RULE = Rule("forest", f"a random forest of {_TREES} trees", 3, Forest)
