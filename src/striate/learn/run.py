"""What a training left in its folder: settings, history, split, networks. Reads it; trains nothing."""

from __future__ import annotations

import copy
import csv
import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from striate.errors import DataError, OptionError, TrainingError
from striate.files import shown
from striate.learn import state
from striate.learn.folder import Folder
from striate.learn.pictures.split import Split
from striate.learn.settings import Settings
from striate.network import Network
from striate.sources import load

__all__ = ["Epoch", "Run"]


@dataclass(frozen=True)
class Epoch:
    """One line of the history.

    Attributes:
        epoch: from 1.
        step: steps since the beginning, at the end of the epoch.
        seconds: of training and validation since the beginning; interruptions are left out.
        rate: learning rate of its last step.
        train_loss: mean over its steps, each before the weights were changed: augmented, smoothed and weighted.
        train_accuracy: likewise, in [0, 1]; of mixed pictures, for the first of the two.
        validation_loss: mean cross entropy over the validation pictures; None where the epoch was not validated.
        validation_accuracy: in [0, 1], or None.
        pictures_per_second: of training alone.
        best: whether it was better than all before; the last such epoch is the best of the run.
    """

    epoch: int
    step: int
    seconds: float
    rate: float
    train_loss: float
    train_accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    pictures_per_second: float
    best: bool

    def row(self) -> tuple[Any, ...]:
        """Return it as it stands in history.csv."""
        values = [getattr(self, column) for column in COLUMNS]
        return tuple(
            "" if value is None else int(value) if isinstance(value, bool | int) else f"{value:.6g}" for value in values
        )


COLUMNS = tuple(one.name for one in fields(Epoch))


class Run:
    """A training that is over, goes on, or was interrupted.

    Attributes:
        path: its folder.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        trained: Network | None = None,
        notes: Sequence[str] = (),
        parts: Split | None = None,
        train: Any = None,
        validation: Any = None,
    ) -> None:
        """Read the folder of a run; `Run.open` says it shorter.

        Args:
            path: the folder.
            trained: the network that was trained, from which its others can be made.
            notes: more to say about it.
            parts: the pictures that it was trained on just now.
            train: where its pictures are now, if not where they were: a set, or what `striate.dataset.open` takes.
                What was in memory only has to be given.
            validation: likewise, where they are of another source.

        Raises:
            TrainingError: there is no run, or it cannot be read.
        """
        self.path = Path(path)
        self._folder = Folder(path)
        self._trained = trained
        self._notes = tuple(notes)
        self._parts, self._train, self._validation = parts, train, validation
        self.about: dict[str, Any] = self._folder.about()
        there = self._folder.state.exists()
        self._record: dict[str, Any] = state.record_of(self._folder.state) if there else {}

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, train: Any = None, validation: Any = None) -> Run:
        """Open the folder of a run.

        Args:
            path: the folder.
            train: where its pictures are now, if not where they were; what was in memory only has to be given, as
                `striate.dataset.open(images, labels=labels)`.
            validation: likewise, where they are of another source.

        Raises:
            TrainingError: there is no run, or it cannot be read.
        """
        return cls(path, train=train, validation=validation)

    def __repr__(self) -> str:
        return f"Run({shown(self.path)}, {self.sentence()})"

    # --- how it went

    @property
    def settings(self) -> Settings:
        """How it was trained."""
        return Settings.from_dict(self.about["settings"])

    @property
    def history(self) -> list[Epoch]:
        """The epochs, in order."""
        return [Epoch(**row) for row in self._record.get("history", ())]

    @property
    def best(self) -> Epoch | None:
        """The best epoch so far; None before the first is over."""
        number = self._record.get("best")
        return next((row for row in self.history if row.epoch == number), None)

    @property
    def ended(self) -> str | None:
        """Why it ended: "epochs", "patience" or "time"; None where it goes on, or was interrupted."""
        return self._record.get("ended")

    @property
    def finished(self) -> bool:
        """Whether it came to its end: all epochs, or none better for as long as `patience` says."""
        return self.transferred or self.ended in ("epochs", "patience")

    @property
    def transferred(self) -> bool:
        """Whether it is what `striate.learn.transfer` left: the best of several ways, without epochs of its own."""
        return "transfer" in self.about

    @property
    def notes(self) -> list[str]:
        """Sentences on what was decided, left out or noticed."""
        return [*self.about.get("notes", ()), *self._record.get("notes", ()), *self._notes]

    @property
    def skipped(self) -> list[tuple[str, str, str]]:
        """Pictures that could not be read: part ("train" or "validation"), name and reason."""
        try:
            text = self._folder.skipped.read_text("utf-8")
        except FileNotFoundError:
            return []
        return [(part, name, reason) for part, name, reason in list(csv.reader(io.StringIO(text)))[1:]]

    def sentence(self) -> str:
        """Say in one line how far it came."""
        history, best = self.history, self.best
        if self.transferred:
            return str(self.about["transfer"])
        if not history or best is None:
            return "no epoch is over yet"
        ended = {"epochs": "", "patience": ", ended early", "time": ", ended by its time limit", None: ", not finished"}
        monitor = self.settings.monitor
        which = f"the last counts, epoch {best.epoch}" if monitor == "last" else f"best is epoch {best.epoch}"
        what = f"{len(history)} of {self.settings.epochs} epochs{ended[self.ended]}; {which}"
        if best.validation_accuracy is None or best.validation_loss is None:
            return f"{what} (training loss {best.train_loss:.3g})"
        # the loss alone may be lowest in another epoch: by what this one is the best belongs to it
        by = {"last": "", "loss": " by validation loss", "train_loss": " by training loss"}.get(monitor, " by accuracy")
        return f"{what}{by} (validation {100 * best.validation_accuracy:.1f} %, loss {best.validation_loss:.3g})"

    # --- on what

    @property
    def split(self) -> Split:
        """Which pictures it is trained on, and which it is validated on; they are looked for where they were.

        Raises:
            DataError: they are not there any more, or were in memory only; `Run.open` takes them again.
        """
        if self._parts is None:
            try:
                self._parts = Split.load(self._folder.split, self._train, self._validation)
            except DataError as error:
                if self._train is not None:
                    raise
                raise DataError(f"{error} In Python: striate.learn.Run.open({str(self.path)!r}, train=...).") from error
        return self._parts

    @property
    def split_path(self) -> Path:
        """The table of these pictures; `Split.load` finds them in another place too."""
        return self._folder.split

    # --- the networks

    @property
    def checkpoints(self) -> dict[int, Path]:
        """Files of the networks that were kept over the course, by epoch; 0 is the start."""
        return self._folder.checkpoints()

    def network(
        self, which: str | int = "best", *, factory: str | Callable[[], nn.Module] | None = None, device: Any = None
    ) -> Network:
        """Load a network of the run.

        Args:
            which: "best", "last", or the epoch of one of `checkpoints` (0 is the start).
            factory: what makes the module, where Striate cannot make it by itself; as for `striate.load`.
            device: where it goes.

        Raises:
            TrainingError: there is none yet, or no such checkpoint.
            OptionError: `which` is none of these.
            NetworkError: it cannot be made; the text says what to give.
        """
        if isinstance(which, int):
            if which not in self.checkpoints:
                there = ", ".join(map(str, self.checkpoints)) or "none"
                raise TrainingError(
                    f"the network after epoch {which} was not kept in {shown(self.path)}. Kept were: {there}; and "
                    "'best' and 'last'."
                )
            return self._loaded(self.checkpoints[which], factory, device)
        if which not in ("best", "last"):
            raise OptionError(f"which network: 'best', 'last' or the number of an epoch, got {which!r}.")
        if self.transferred:
            return self._loaded(self._folder.network, factory, device)
        if not self._record:
            raise TrainingError(
                f"no epoch of {shown(self.path)} is over yet, so that there is no {which} network. Wait for it, or go "
                "on with it if it was interrupted (resume=True, --resume)."
            )
        found = self._loaded(self._folder.best(self._record["best"]), factory, device)
        if which == "last":
            saved = state.unpack(self._folder.state)
            state.fill(found.module, saved.network)
            state.fill(found.module, _means(saved))  # by itself: a weight that is tied has one of its names here
        return found

    def _loaded(self, path: Path, factory: str | Callable[[], nn.Module] | None, device: Any) -> Network:
        if self._trained is None or factory is not None:
            return load(path, factory=factory, device=device)
        like = self._trained  # its module may be one that nothing else can make
        module = copy.deepcopy(like.module).eval().requires_grad_(False)
        state.fill(module, load_file(path))
        made = Network(module, like.spec, like.class_names, name=like.name, factory=like.factory)
        return made if device is None else made.to(torch.device(device))


def _means(saved: state.Saved) -> dict[str, Tensor]:
    """Return the averaged weights, which are those that count where there are any."""
    prefix = "mean."
    return {name.removeprefix(prefix): value for name, value in saved.average.items() if name.startswith(prefix)}
