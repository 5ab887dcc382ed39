"""Learned kernels and half a single layer on disk: what lies where, and whether it belongs to what is asked.

A single layer is a folder, and when it is finished a source of every command:

    OUT/network.safetensors    the whole network; `striate.load(OUT)` loads it
    OUT/single-layer.json      settings, seconds, what is right of the pictures that it learned from
    OUT/kernels.npz            the kernels
    OUT/work/features.npy      codes of the pictures so far, until the network is there
    OUT/work/state.json        how many, and the settings that they belong to
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.errors import OutputError, TrainingError
from striate.files import byte_count, shown, write_bytes, write_text
from striate.kernels.learned.learning import LearnedKernels
from striate.locking import locked
from striate.results.base import Recipe

__all__ = ["Folder", "read_kernels", "write_kernels"]

ARRAYS = ("centroids", "mean", "whitening", "counts")
STEP = 2048  # pictures between two times that how far it is goes to the disk


def write_kernels(kernels: LearnedKernels, path: str | os.PathLike[str]) -> Path:
    """Write kernels as `.npz`, whole or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    about = {"contrast": kernels.contrast, "spread": kernels.spread, "recipe": kernels.recipe.to_dict()}
    buffer = io.BytesIO()
    arrays = {name: getattr(kernels, name) for name in ARRAYS}
    np.savez_compressed(buffer, allow_pickle=False, about=np.array(json.dumps(about)), **arrays)
    return write_bytes(path, buffer.getvalue())


def read_kernels(path: str | os.PathLike[str]) -> LearnedKernels:
    """Read what `write_kernels` wrote.

    Raises:
        TrainingError: there is no such file, or it is of another kind.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as held:
            about = json.loads(str(held["about"]))
            arrays = {name: held[name] for name in ARRAYS}
        recipe = Recipe.from_dict(about["recipe"])
        return LearnedKernels(
            **arrays, contrast=about["contrast"], spread=about["spread"], notes=recipe.notes, recipe=recipe
        )
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise TrainingError(
            f"{shown(path)} holds no learned kernels ({type(error).__name__}: {error}). Learn them anew."
        ) from error


class Folder:
    """The files of one single layer, from the first step to the last.

    Attributes:
        path: of the folder.
    """

    def __init__(self, path: str | os.PathLike[str], settings: Mapping[str, Any]) -> None:
        """Take a folder for a job with these settings (numbers, texts, lists)."""
        self.path = Path(path)
        self._settings = json.loads(json.dumps(settings))

    @property
    def network(self) -> Path:
        """The network, when it is done."""
        return self.path / "network.safetensors"

    @property
    def kernels(self) -> Path:
        """The kernels, when they are learned."""
        return self.path / "kernels.npz"

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder's lock.

        Raises:
            TrainingError: another process has it, or it holds something else.
            OutputError: nothing can be written there.
        """

        def busy(who: str) -> TrainingError:
            return TrainingError(f"another process{who} is learning in {shown(self.path)}. Wait for it, or stop it.")

        if self.path.is_dir():
            there = {entry.name for entry in self.path.iterdir()} - {"lock"}
            if there and not self._found("single-layer.json") and not self._found("work/state.json"):
                raise TrainingError(
                    f"{shown(self.path)} holds something else than a single layer ({sorted(there)[0]}). "
                    "Choose another folder."
                )
        with locked(self.path, "the network", busy):
            yield

    def finished(self) -> dict[str, Any] | None:
        """Return what is known of a finished network, or None.

        Raises:
            TrainingError: it was made with other settings.
        """
        found = self._found("single-layer.json")
        return self._same(found) if found and self.network.is_file() else None

    def going(self) -> bool:
        """Tell whether the job was interrupted after its kernels were learned.

        Raises:
            TrainingError: it was begun with other settings.
        """
        found = self._found("work/state.json")
        return found is not None and bool(self._same(found))

    def begun(self, shape: tuple[int, int]) -> tuple[NDArray[np.float32], int]:
        """Open the codes (M, D), mapped, and say how many rows are there.

        Raises:
            TrainingError: they were begun with other settings.
            OutputError: the disk has no room for them.
        """
        file = self.path / "work" / "features.npy"
        found = self._found("work/state.json")
        try:
            if found and self._same(found) and file.is_file() and found["done"]:
                features = np.load(file, mmap_mode="r+", allow_pickle=False)
                if features.shape == shape:
                    return features, int(found["done"])
            free = shutil.disk_usage(self.path).free
            if 4 * shape[0] * shape[1] > free:
                raise OutputError(
                    f"{shape[0]:,} codes of {shape[1]:,} numbers take {byte_count(4 * shape[0] * shape[1])}, and "
                    f"{shown(self.path)} has room for {byte_count(free)}. Make room, or ask for fewer kernels."
                )
            return np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=shape), 0
        except (OSError, ValueError) as error:
            if isinstance(error, OutputError | TrainingError):
                raise
            raise OutputError(f"Cannot keep codes in {shown(file)}: {error}. Choose another place.") from error

    def note(self, done: int, features: NDArray[np.float32] | None = None) -> None:
        """Keep how many codes are there; from time to time, where their array is given."""
        if isinstance(features, np.memmap):
            if done % STEP and done < len(features):
                return
            features.flush()
        (self.path / "work").mkdir(parents=True, exist_ok=True)
        write_text(self.path / "work" / "state.json", json.dumps({"settings": self._settings, "done": done}))

    def finish(self, network: bytes, known: Mapping[str, Any]) -> None:
        """Write the network and what is known of it, and remove the codes."""
        write_text(self.path / "single-layer.json", json.dumps({"settings": self._settings, **known}, indent=1))
        write_bytes(self.network, network)
        shutil.rmtree(self.path / "work", ignore_errors=True)

    def _found(self, name: str) -> dict[str, Any] | None:
        try:
            found = json.loads((self.path / name).read_text("utf-8"))
            return found if isinstance(found, dict) and "settings" in found else None
        except (OSError, ValueError):
            return None

    def _same(self, found: dict[str, Any]) -> dict[str, Any]:
        other = [key for key, value in self._settings.items() if found["settings"].get(key) != value]
        if other:
            key = other[0]
            raise TrainingError(
                f"{shown(self.path)} was begun with {key} {found['settings'].get(key)!r}, not {self._settings[key]!r}. "
                "Ask for the same, or choose another folder."
            )
        return found
