"""Everything that decides how a training goes, in one record that is kept with it. Trains nothing, reads no disk."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any

import numpy as np

from striate.errors import OptionError
from striate.learn.descent.optimizers import rule
from striate.learn.descent.schedules import make_schedule
from striate.learn.pictures import weights
from striate.learn.pictures.augment import Augment
from striate.learn.pictures.choosing import TOGETHER
from striate.learn.pictures.standardize import KINDS as STANDARDS
from striate.learn.precision import PRECISIONS

__all__ = ["Settings"]

_MONITORS = ("auto", "accuracy", "loss", "train_loss", "last")
_SHARE = 0.2
_NUMBERS = ("rate", "momentum", "weight_decay", "warmup", "smoothing", "average", "share", "clip", "time_limit")


@dataclass(frozen=True)
class Settings:
    """How a network is trained; the same settings, data and seed give the same numbers.

    Attributes:
        epochs: times that the training pictures are shown; those left over from whole batches, drawn anew each time,
            are not.
        batch: pictures in one step, of all processes together; None for 128 up to 64 x 64 pixels and 32 above.
        optimizer: one of `striate.learn.descent.optimizers.OPTIMIZERS`.
        rate: the learning rate, at its largest; None for the optimiser's usual one.
        momentum: None for the optimiser's usual one.
        weight_decay: None for the optimiser's usual one; never on biases and normalisations.
        optimizer_options: more of its settings, by name: decay, least, initial.
        groups: factors of the rate for parts of the network: {"layer1": 0.1}.
        schedule: one of `striate.learn.descent.schedules.SCHEDULES`.
        warmup: steps, or share of all steps below 1, in which the rate rises first; None for the schedule's own.
        schedule_options: more of its settings, by name: first, last, drop, at, patience, threshold.
        smoothing: share of the truth that is spread over all classes, in [0, 1).
        class_weights: "none"; "balanced" weighs each class by the inverse of its pictures, "effective" by the inverse
            of what they are worth (Cui et al. 2019); or a weight for each class.
        clip: largest norm of the gradient, None for no limit.
        average: decay of an exponential moving average of the weights, such as 0.999, which is validated and kept
            instead of the weights themselves; None for none.
        augment: how training pictures are varied: an `Augment`, or what its `parse` takes.
        standardize: "model" (what the network's specification says), "channel", "pixel" or "none".
        share: of the pictures that is set aside for validation where nothing else says which; 0 for none; None for 0.2.
        together: what then lies on one side: "near", pictures that look nearly the same; "copies", nothing but copies.
        frozen: names of layers, or of weights, that do not learn; their batch norm keeps its statistics too.
        precision: "float32", "bfloat16", or "auto" (see `striate.learn.precision`); of validation as well.
        compile: let torch.compile make the network: takes minutes at the start, for long runs on a GPU. On a processor
            the networks that were measured (cnn2, ResNet-18) were slower with it. That a run which goes on gives the
            same bits is promised without it only.
        validate_every: epochs between two validations; the last epoch always has one.
        monitor: what makes an epoch the best: "accuracy" (at the same accuracy the loss) or "loss" of the validation
            pictures, "train_loss", or "last" for the last epoch, whatever it gave; "auto" is "accuracy" where there are
            validation pictures, and else "train_loss".
        patience: epochs without a better one after which training ends; None for never.
        time_limit: seconds; no epoch is begun that would probably exceed them, counted from the call of `fit`.
        keep: how many networks over the course are kept, at equal distances, the first weights among them; 0 for none.
        seed: of everything that is drawn by lot.

    Raises:
        OptionError: a value makes no sense, or would be ignored; the text says which.
    """

    epochs: int = 20
    batch: int | None = None
    optimizer: str = "adamw"
    rate: float | None = None
    momentum: float | None = None
    weight_decay: float | None = None
    optimizer_options: Mapping[str, float] = field(default_factory=dict)
    groups: Mapping[str, float] = field(default_factory=dict)
    schedule: str = "one-cycle"
    warmup: int | float | None = None
    schedule_options: Mapping[str, Any] = field(default_factory=dict)
    smoothing: float = 0.0
    class_weights: str | tuple[float, ...] = "none"
    clip: float | None = None
    average: float | None = None
    augment: Augment = field(default_factory=Augment)
    standardize: str = "model"
    share: float | None = None
    together: str = "near"
    frozen: tuple[str, ...] = ()
    precision: str = "auto"
    compile: bool = False
    validate_every: int = 1
    monitor: str = "auto"
    patience: int | None = None
    time_limit: float | None = None
    keep: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        self._make_plain()
        for name in _NUMBERS:
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
                raise OptionError(f"{name} must be a number, got {value!r}.")
        for options in (self.optimizer_options, self.groups):
            for name, value in options.items():
                if isinstance(value, bool) or not isinstance(value, int | float):
                    raise OptionError(f"{name} must be a number, got {value!r}.")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int):
            raise OptionError(f"seed must be a whole number, got {self.seed!r}.")
        for name, least in (("epochs", 1), ("batch", 1), ("validate_every", 1), ("patience", 1), ("keep", 0)):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
                raise OptionError(f"{name} must be a whole number from {least} on, got {value!r}.")
        for name, low, high, words in (
            ("smoothing", 0.0, 1.0, "from 0 up to (not including) 1"),
            ("average", 0.0, 1.0, "from 0 up to (not including) 1"),
            ("share", 0.0, 1.0, "from 0 up to (not including) 1"),
        ):
            value = getattr(self, name)
            if value is not None and not low <= value < high:
                raise OptionError(f"{name} must be {words}, got {value!r}.")
        for name in ("clip", "time_limit"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise OptionError(f"{name} must be above 0, got {value!r}. Leave it out for no limit.")
        for name, known in (("precision", PRECISIONS), ("standardize", STANDARDS), ("monitor", _MONITORS),
                            ("together", TOGETHER)):  # fmt: skip
            _one_of(name, getattr(self, name), known)
        if isinstance(self.class_weights, str):
            _one_of("class_weights", self.class_weights, ("none", *weights.KINDS))
        elif not all(math.isfinite(weight) and weight >= 0 for weight in self.class_weights):
            raise OptionError(f"class_weights must be 0 or more, got {self.class_weights}.")
        if self.share == 0 and (self.monitor in ("accuracy", "loss") or self.validate_every > 1):
            raise OptionError(
                "share=0 sets no pictures aside for validation: there is no validation accuracy or loss to go by. "
                "Leave out monitor and validate_every, or give a share."
            )
        if self.monitor == "last" and self.patience is not None:
            raise OptionError("patience would be ignored: with monitor='last' every epoch is the best so far.")
        # both say themselves what they do not have
        rule(self.optimizer).settings(
            rate=self.rate, momentum=self.momentum, weight_decay=self.weight_decay, **self.optimizer_options
        )
        make_schedule(self.schedule, steps=1_000_000, warmup=self.warmup, **self._schedule_options())

    def _make_plain(self) -> None:
        """Bring what may be given in several ways to one."""
        for one in fields(self):  # numbers of NumPy are numbers; JSON knows Python's only
            value: Any = getattr(self, one.name)
            if isinstance(value, np.integer | np.floating):
                object.__setattr__(self, one.name, value.item())
        augment: Any = self.augment
        if isinstance(augment, str):
            augment = Augment.parse(augment)
        elif isinstance(augment, Mapping):
            augment = Augment.from_dict(dict(augment))
        elif augment is None:
            augment = Augment()
        if not isinstance(augment, Augment):
            raise OptionError(f"augment must be an Augment, or a text such as 'rotation=10,flip', got {augment!r}.")
        object.__setattr__(self, "augment", augment)
        frozen: Any = self.frozen
        object.__setattr__(self, "frozen", (frozen,) if isinstance(frozen, str) else tuple(map(str, frozen)))
        given: Any = self.class_weights
        if not isinstance(given, str):
            try:
                weighed: Any = "none" if given is None else tuple(float(weight) for weight in given)
            except (TypeError, ValueError) as error:
                raise OptionError(
                    f"class_weights must be {', '.join(('none', *weights.KINDS))}, or a number for each class, got "
                    f"{given!r}."
                ) from error
            object.__setattr__(self, "class_weights", weighed)
        for name in ("optimizer_options", "groups", "schedule_options"):
            options = {str(key): list(value) if isinstance(value, tuple) else value
                       for key, value in dict(getattr(self, name)).items()}  # fmt: skip
            object.__setattr__(self, name, options)

    def _schedule_options(self) -> dict[str, Any]:
        known = ("first", "last", "drop", "at", "patience", "threshold")
        for name in self.schedule_options:
            _one_of("schedule_options", name, known)
        return dict(self.schedule_options)

    @property
    def validation_share(self) -> float:
        """Share of the pictures for validation, where nothing else says which."""
        return _SHARE if self.share is None else self.share

    def batch_for(self, height: int, width: int, count: int, ranks: int = 1) -> int:
        """Return how many pictures go into a step.

        Args:
            height: of the network's pictures, in pixels.
            width: likewise.
            count: training pictures; a step cannot have more.
            ranks: processes that share it evenly.

        Raises:
            OptionError: they cannot.
        """
        own = self.batch or (128 if height * width <= 64 * 64 else 32)
        found = own if own <= count else count - count % ranks
        if found < 1 or found % ranks:
            raise OptionError(
                f"a batch of {found or own} cannot be shared evenly by {ranks} processes. Give a multiple of {ranks} "
                "(batch), and no more processes than training pictures."
            )
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON-able values; `Settings(**values)` and `fit(..., **values)` take them again."""
        found = {one.name: getattr(self, one.name) for one in fields(self)}
        found["augment"] = self.augment.to_dict()
        return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Settings:
        """Read what `to_dict` wrote.

        Raises:
            OptionError: there is something in it that this version does not know.
        """
        if unknown := sorted(set(values) - {one.name for one in fields(cls)}):
            raise OptionError(
                f"unknown settings: {', '.join(unknown)}. They were written by another version of Striate."
            )
        return cls(**{"together": "copies", **values})  # what was written before there was a choice held copies only

    def differences(self, other: Settings) -> list[str]:
        """Say in words where another training is otherwise: "epochs: 4, not 8" (what `other` has comes second)."""
        mine, theirs = self.to_dict(), other.to_dict()
        return [f"{name}: {mine[name]!r}, not {theirs[name]!r}" for name in mine if mine[name] != theirs[name]]


def _one_of(name: str, value: Any, known: tuple[str, ...]) -> None:
    if value not in known:
        close = get_close_matches(str(value), known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise OptionError(f"{name}: there is no {value!r}.{hint} There are {', '.join(known)}.")
