"""Fit a head on features, its settings chosen and its accuracy estimated by cross-validation. Runs no network."""

from __future__ import annotations

import importlib
import pkgutil
import time
import warnings
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
from numpy.typing import ArrayLike, NDArray

from striate import progress
from striate.errors import DataError, OptionError
from striate.learn.transferring.heads._comparing import compared
from striate.learn.transferring.heads._folds import few, folds_of
from striate.learn.transferring.heads._rule import Rule
from striate.nets.heads import Head
from striate.results.words import count

__all__ = ["HEADS", "FittedHead", "fit_head"]

_MOST = 10_000  # rows by which settings are chosen
_CUT_OFF = "lbfgs failed to converge"  # scikit-learn's warning


def _rules() -> dict[str, Rule]:
    package = __name__.rpartition(".")[0]
    folder = importlib.import_module(package).__path__
    names = [entry.name for entry in pkgutil.iter_modules(folder)]
    parts = [importlib.import_module(f"{package}.{name}") for name in names if name[0] != "_" and name != "fitting"]
    rules: list[Rule] = sorted((part.RULE for part in parts), key=lambda rule: rule.order)
    return {rule.name: rule for rule in rules}


_RULES = _rules()
HEADS: tuple[str, ...] = tuple(_RULES)
"""The kinds of heads that can be fitted."""


@dataclass(frozen=True)
class FittedHead:
    """A head that was fitted.

    Attributes:
        name: one of `HEADS`.
        words: what it is.
        module: from features (N, D) to logits (N, K); frozen, in evaluation mode, on the CPU.
        setting: what was chosen by cross-validation: {"C": 0.01}.
        accuracy: share of right pictures, mean over the folds, in [0, 1]: of the setting that was best on these very
            folds, so a little too good; not a number where there was nothing to hold back.
        spread: standard deviation of the accuracy over the folds.
        seconds: that everything took.
        weights: numbers that the head holds.
        folds: accuracy in each fold.
        tried: each setting with its mean accuracy.
        notes: what should be known, in sentences.
    """

    name: str
    words: str
    module: Head
    setting: Mapping[str, float]
    accuracy: float
    spread: float
    seconds: float
    weights: int
    folds: tuple[float, ...]
    tried: tuple[tuple[Mapping[str, float], float], ...]
    notes: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """The kind of its module: "linear" for all that `with_head` can put into a network."""
        return self.module.kind

    def caption(self) -> str:
        """Say what it is, what was chosen, and how well it does."""
        chosen = ", ".join(f"{name} = {value:.3g}" for name, value in self.setting.items())
        tried = f", the best of {count(len(self.tried), 'setting')}" if len(self.tried) > 1 else ""
        return (
            f"{self.words[0].upper()}{self.words[1:]} ({chosen}{tried}): {self.accuracy:.1%} ± {self.spread:.1%} right "
            f"in {count(len(self.folds), 'fold')}."
        )


def fit_head(
    name: str,
    X: ArrayLike,
    y: ArrayLike,
    *,
    classes: int,
    seed: int = 0,
    folds: int = 5,
    groups: ArrayLike | None = None,
) -> FittedHead:
    """Fit a head on features.

    A few settings (how strongly weights are penalised, how wide a kernel is) are compared by cross-validation, and the
    head is then fitted with the best of them on all rows. Features are brought to one scale first, which the module
    undoes: it takes them as they are. Of equally good settings the most cautious is taken.

    The accuracy is that of the best setting on the very folds that it was chosen by (it is not nested), which is a
    little too good: by less than the spread, for the few settings there are. Ask other pictures where it matters.

    Args:
        name: one of `HEADS`.
        X: features, (N, D), any number type; finite.
        y: classes, (N,), from 0 to `classes` - 1; at least two rows of each.
        classes: K, at least 2.
        seed: of the folds, and of what a head draws.
        folds: in cross-validation, at least 2; fewer where no class has as many rows.
        groups: (N,), rows of one group stay in one fold: pictures of one person, of one plant.

    Raises:
        OptionError: no such head, or fewer than two folds.
        DataError: a class with fewer than two rows, features that are not finite or alike in all rows, numbers of rows
            that differ.
        Stopped: the user asked to stop.
    """
    began = time.monotonic()
    rule = _rule(name)
    if folds < 2:
        raise OptionError(f"folds must be at least 2, got {folds}: one part is learned from, the other asked about.")
    features, labels = _checked(X, y, classes)
    together = None if groups is None else np.asarray(groups)
    if together is not None and together.shape != labels.shape:
        raise DataError(f"{len(together):,} groups for {len(labels):,} pictures. Give one for each.")
    notes = []
    if rule.most is not None and len(labels) > rule.most:
        notes.append(f"Learned from {rule.most:,} of {len(labels):,} pictures: the time grows with their square.")
        rows = few(labels, rule.most, seed)
        features, labels = features[rows], labels[rows]
        together = None if together is None else together[rows]
    chosen = few(labels, _MOST, seed) if len(labels) > _MOST else np.arange(len(labels))
    if len(chosen) < len(labels):
        notes.append(f"Settings were compared, and accuracy estimated, on {len(chosen):,} of {len(labels):,} pictures.")
    problem = rule(features, labels, classes, seed)
    parts = [
        (chosen[learned], chosen[asked])
        for learned, asked in folds_of(labels[chosen], folds, seed, None if together is None else together[chosen])
    ]
    steps = len(parts) * len(problem.settings) + 1
    right = np.empty((len(parts), len(problem.settings)))
    ended = True
    # the filters of warnings belong to all threads: so they are set here, once
    with warnings.catch_warnings(), closing(compared(problem, parts, labels, threads=rule.threads)) as answers:
        warnings.filterwarnings("ignore", message=_CUT_OFF)  # said in the notes
        for done, (fold, index, share, ending) in enumerate(answers, 1):
            right[fold, index] = share
            ended &= ending
            progress.report(progress.Event(rule.name, done, steps, f"fold {fold + 1} of {len(parts)}"))
            progress.check_stop(rule.name)
    # folds differ by a row at most: the mean over rows
    sizes = np.array([len(asked) for _, asked in parts])
    means = (right * sizes[:, None]).sum(0) / sizes.sum()
    best = int(means.argmax())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=_CUT_OFF)
        final = next(iter(problem.learn(np.arange(len(labels)), [problem.settings[best]])))
    progress.report(progress.Event(rule.name, steps, steps))
    if not (ended and final.done):
        notes.append("A search for the best weights was cut off before its end; with more rounds they would change.")
    if len(parts) < folds:
        notes.append(f"{count(len(parts), 'fold')} instead of {folds}: no class has more pictures.")
    module = final.head()
    return FittedHead(
        name=rule.name,
        words=rule.words,
        module=module,
        setting=dict(problem.settings[best]),
        accuracy=float(means[best]),
        spread=float(right[:, best].std(ddof=1)) if len(parts) > 1 else 0.0,
        seconds=time.monotonic() - began,
        weights=module.numbers,
        folds=tuple(right[:, best].tolist()),
        tried=tuple((dict(one), float(mean)) for one, mean in zip(problem.settings, means, strict=True)),
        notes=tuple(notes),
    )


def _rule(name: str) -> Rule:
    if name not in _RULES:
        close = get_close_matches(name, HEADS, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise OptionError(f"there is no head {name!r}.{hint} There are {', '.join(HEADS)}.")
    return _RULES[name]


def _checked(X: ArrayLike, y: ArrayLike, classes: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return features and labels as they are fitted.

    Raises:
        DataError: they cannot be.
    """
    features, given = np.asarray(X), np.asarray(y)
    if features.ndim != 2 or given.shape != features.shape[:1]:
        raise DataError(
            f"features must be (N, D) and classes (N,), got {' x '.join(map(str, features.shape))} and "
            f"{' x '.join(map(str, given.shape))}."
        )
    if classes < 2:
        raise DataError(f"{count(classes, 'class', 'classes')}: there is nothing to tell apart. Give at least two.")
    if not np.issubdtype(given.dtype, np.integer) or (len(given) and not (0 <= given.min() <= given.max() < classes)):
        raise DataError(f"classes must be whole numbers from 0 to {classes - 1}.")
    sizes = np.bincount(given, minlength=classes)
    if len(small := np.flatnonzero(sizes < 2)):
        raise DataError(
            f"{len(small)} of {classes} classes have fewer than two pictures (class {small[0]} has {sizes[small[0]]}), "
            "where one is learned from while another is asked about. Add pictures, or leave those classes out."
        )
    features = np.ascontiguousarray(features, dtype=np.float32)
    wrong = ~np.isfinite(features).all(1)
    if wrong.any():
        raise DataError(
            f"the features of {int(wrong.sum()):,} of {len(features):,} pictures are NaN or infinite (first: row "
            f"{int(wrong.argmax())}). Leave those out, or keep features as float32."
        )
    if not (features != features[:1]).any():
        raise DataError(
            f"all {features.shape[1]:,} features are the same for all {len(features):,} pictures: nothing can be "
            "learned from them. Choose another layer."
        )
    return features, given.astype(np.int64)
