"""How a run lies on disk: names of its files, who may write there, what is in its settings.json. Trains nothing.

    RUN/network.safetensors                  the best network so far; `striate.load(RUN)` loads it
    RUN/settings.json                        how it is trained, and on what
    RUN/split.csv                            which pictures it is trained on, and which it is validated on
    RUN/history.csv                          a line for each epoch
    RUN/skipped.csv                          pictures that could not be read, with reasons, where there are any
    RUN/checkpoints/epoch-0000.safetensors   the first weights, and a few more networks over the course
    RUN/last/state.safetensors               all that is needed to go on
    RUN/lock                                 while it is trained

An epoch counts from the moment in which last/state.safetensors is replaced. The best network of that epoch is written
before it as last/best-NNNN.safetensors, and renamed to network.safetensors afterwards: so at every moment there is a
whole state, and the best network that belongs to it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from striate.errors import OutputError, TrainingError
from striate.files import shown, write_text
from striate.locking import locked
from striate.marked import read_marked

__all__ = ["FORMAT", "Folder"]

FORMAT = "striate-run-1"
_CHECKPOINT = re.compile(r"epoch-(\d{4,})\.safetensors")
_BEST = re.compile(r"best-(\d{4,})\.safetensors")


class Folder:
    """The files of one run.

    Attributes:
        path: of the folder.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    @property
    def network(self) -> Path:
        """The best network."""
        return self.path / "network.safetensors"

    @property
    def settings(self) -> Path:
        """How it is trained."""
        return self.path / "settings.json"

    @property
    def split(self) -> Path:
        """Which pictures are for what."""
        return self.path / "split.csv"

    @property
    def history(self) -> Path:
        """A line for each epoch."""
        return self.path / "history.csv"

    @property
    def skipped(self) -> Path:
        """What could not be read."""
        return self.path / "skipped.csv"

    @property
    def state(self) -> Path:
        """All that is needed to go on."""
        return self.path / "last" / "state.safetensors"

    @property
    def tensorboard(self) -> Path:
        """Where TensorBoard looks."""
        return self.path / "tensorboard"

    def checkpoint(self, epoch: int) -> Path:
        """The network as it was after an epoch; 0 is the start."""
        return self.path / "checkpoints" / f"epoch-{epoch:04d}.safetensors"

    def waiting(self, epoch: int) -> Path:
        """The best network, before its epoch counts."""
        return self.path / "last" / f"best-{epoch:04d}.safetensors"

    def checkpoints(self) -> dict[int, Path]:
        """Find the networks that were kept over the course, by epoch."""
        return dict(sorted(_numbered(self.path / "checkpoints", _CHECKPOINT).items()))

    def best(self, epoch: int | None) -> Path:
        """Find the best network, given in which epoch of the state it was made."""
        waiting = None if epoch is None else self.waiting(epoch)
        return waiting if waiting is not None and waiting.exists() else self.network

    def settle(self, epoch: int | None) -> None:
        """Give the best network its name, and remove what an interrupted epoch left."""
        for number, file in _numbered(self.path / "last", _BEST).items():
            if number == epoch:
                os.replace(file, self.network)
            else:
                file.unlink()
        for hidden in (*self.path.glob(".*.part"), *self.path.glob("*/.*.part")):
            with contextlib.suppress(OSError):
                hidden.unlink()

    # --- what it is

    def exists(self) -> bool:
        """Whether there is a run, however far it came."""
        return self.settings.is_file()

    def unborn(self) -> bool:
        """Whether there is a training of which no epoch was ever over, so that there is nothing to lose or to go on.

        Of a run whose weights were taken away to save room, the history still says what it reached: that one is kept.
        """
        if not self.exists() or self.state.exists() or self.network.exists() or any(self.checkpoints()):
            return False
        try:
            return len(self.history.read_bytes().splitlines()) < 2  # a line of titles at most
        except FileNotFoundError:
            return True
        except OSError:
            return False

    def clear_unborn(self) -> None:
        """Remove what people would read of such a training; the rest is written over when the next one begins."""
        for file in (self.history, self.skipped):
            file.unlink(missing_ok=True)

    def about(self) -> dict[str, Any]:
        """Read settings.json.

        Raises:
            TrainingError: there is no run, or it is broken or of another version.
        """
        return read_marked(
            self.settings, FORMAT, thing="a run", maker="striate train", anew="train anew", error=TrainingError
        )

    def write_about(self, about: Mapping[str, Any]) -> None:
        """Write settings.json."""
        write_text(self.settings, json.dumps({"format": FORMAT, **about}, indent=1, ensure_ascii=False) + "\n")

    def check_free(self) -> None:
        """Make sure that a new run overwrites nothing.

        Raises:
            OutputError: there is something in the folder, or it is a file.
        """
        if self.path.exists() and not self.path.is_dir():
            raise OutputError(f"{shown(self.path)} is a file; a run needs a folder. Give another name.")
        if self.unborn():
            return
        if self.exists():
            raise OutputError(
                f"there is a run in {shown(self.path)} already; it is not overwritten. Go on with it (resume=True, "
                "--resume), or give another folder."
            )
        others = sorted(entry.name for entry in self._entries() if entry.name != "lock" and entry.name[0] != ".")
        if others:
            raise OutputError(
                f"{shown(self.path)} is not empty ({', '.join(others[:3])}{', ...' * (len(others) > 3)}). A run needs "
                "a folder of its own: name one that is empty, or not there yet."
            )

    def _entries(self) -> list[Path]:
        try:
            return list(self.path.iterdir()) if self.path.is_dir() else []
        except OSError as error:
            raise OutputError(f"{shown(self.path)} cannot be looked into: {error.strerror or error}.") from error

    # --- one at a time

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes from training here; the system lets go when this one ends, however it ends.

        Raises:
            TrainingError: another process trains here.
            OutputError: nothing can be written here.
        """

        def busy(who: str) -> TrainingError:
            return TrainingError(
                f"another process{who} trains in {shown(self.path)}. Wait for it, stop it, or train into another "
                "folder."
            )

        with locked(self.path, "the run", busy):
            yield


def _numbered(folder: Path, pattern: re.Pattern[str]) -> dict[int, Path]:
    if not folder.is_dir():
        return {}
    return {int(found[1]): file for file in folder.iterdir() if (found := pattern.fullmatch(file.name))}
