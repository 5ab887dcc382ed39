"""Pictures kept in a file after they are decoded once, which the next run finds again. Changes nothing."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.errors import OutputError
from striate.files import shown, write_text
from striate.learn.pictures.decoding import Piece, Reader, Waiting
from striate.learn.pictures.storage import InMemory, Store, readable, shares

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["OnDisk", "key_of"]

_FORMAT = 1  # of files on disk; another number, another key


class OnDisk(Store):
    """A file of all pictures, mapped into memory."""

    def __init__(self, path: Path, *, owned: Path | None = None) -> None:
        """Open a file that `read` wrote.

        Args:
            path: of the array.
            owned: a folder to be removed in the end.
        """
        super().__init__()
        beside = json.loads(_beside(path).read_text("utf-8"))
        self.path = path
        self.reasons = {int(place): reason for place, reason in beside["broken"]}
        self.values: NDArray[Any] | None = np.load(path, mmap_mode="r", allow_pickle=False)
        self._good = readable(len(self.values), self.reasons)
        self._owned = owned
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="striate-fetching")

    @classmethod
    def found(cls, folder: Path | None, key: str | None) -> Path | None:
        """Return the file of these very pictures, if an earlier run left it whole."""
        if folder is None or key is None:
            return None
        path = folder / f"pictures-{key}.npy"
        try:
            expected = json.loads(_beside(path).read_text("utf-8"))["bytes"]
            return path if path.stat().st_size == expected else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @classmethod
    def read(cls, reader: Reader, folder: Path | None, key: str | None) -> OnDisk:
        """Decode all pictures into a file, or open that of an earlier run.

        Args:
            reader: of the pictures.
            folder: where files are kept for later runs; None keeps none.
            key: of the pictures; without one the file goes when the store is closed.

        Raises:
            OutputError: it cannot be written.
            Stopped: the user asked to stop.
        """
        owned: Path | None = None
        if (there := cls.found(folder, key)) is not None:  # also in a folder that may only be read
            reader.close()
            return cls(there)
        try:
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
            if folder is None or key is None:
                owned = folder = Path(tempfile.mkdtemp(prefix=".pictures-", dir=folder))
                key = "once"
            path = folder / f"pictures-{key}.npy"
            with _only_one(path):
                if cls.found(folder, key) is None:
                    _write(reader, path)
        except BaseException as error:
            if owned is not None:
                _remove(owned)
            if isinstance(error, OSError) and not isinstance(error, OutputError):
                raise OutputError(
                    f"Cannot keep pictures in {shown(folder or tempfile.gettempdir())}: {error.strerror or error}. "
                    "Make room there, choose another folder (cache), or read them in every epoch (storage stream)."
                ) from error
            raise
        finally:
            reader.close()
        return cls(path, owned=owned)

    def begin(self, places: NDArray[np.int64], rows: Tensor) -> Waiting:
        """Begin to fetch pictures, in a thread: the disk may be slow."""
        good = None if self._good is None else self._good[places]
        if good is not None and good.all():
            good = None
        if good is not None:
            places = places[good]
        work = self._pool.submit(self._fetch, places)
        return lambda: Piece(work.result(), good)

    def _fetch(self, places: NDArray[np.int64]) -> Tensor:
        assert self.values is not None
        flat = self.values.reshape(len(self.values), -1)
        return torch.from_numpy(np.take(flat, places, axis=0)).view(-1, *self.values.shape[1:])

    def in_memory(self, device: torch.device) -> InMemory:
        """Read the whole file into memory, and close it."""
        assert self.values is not None
        values = torch.from_numpy(np.array(self.values)).to(device)
        self.close()
        return InMemory(values, self.reasons)

    def close(self) -> None:
        """Let go of the file, and remove it if it is no later run's."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self.values = None
        if self._owned is not None:
            _remove(self._owned)
            self._owned = None


def key_of(reader: Reader) -> str:
    """Return sixteen hexadecimal digits of these pictures at this size: their files' names, times and sizes."""
    spec = reader.spec
    rule = (_FORMAT, str(reader.kind), spec.channels, spec.size, spec.resize, spec.interpolation, spec.crop)
    digest = hashlib.blake2b(f"{rule} {reader.pictures.identity} ".encode(), digest_size=8)
    digest.update(np.ascontiguousarray(reader.indices, dtype="<i8").tobytes())
    return digest.hexdigest()


def _write(reader: Reader, path: Path) -> None:
    """Write all pictures to a hidden file, in order, that takes its name when it is whole.

    It is written, not mapped: on a disk that is full writing fails with an error, a map with the process's death.
    """
    for old in path.parent.glob(f".{path.stem}.*.part"):  # of a run that was killed
        old.unlink(missing_ok=True)
    count = len(reader.indices)
    kind = "|u1"
    while True:
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=".part", dir=path.parent)
        try:
            with open(handle, "wb") as stream:
                reasons = _pour(reader, stream, count, kind)
                if reasons is None:
                    kind = "<f4"
                    continue
                stream.flush()
                os.fsync(stream.fileno())
                size = stream.tell()
            os.replace(name, path)
            break
        finally:
            with contextlib.suppress(OSError):
                os.unlink(name)
    write_text(_beside(path), json.dumps({"bytes": size, "broken": sorted(reasons.items())}))


def _pour(reader: Reader, stream: Any, count: int, kind: str) -> dict[int, str] | None:
    """Write header and pictures; None where one holds numbers and the file was begun for bytes."""
    header = {"descr": kind, "fortran_order": False, "shape": (count, *reader.shape)}
    np.lib.format.write_array_header_1_0(stream, header)
    reasons: dict[int, str] = {}
    for start, piece in reader.all():
        reasons.update((start + place, reason) for place, reason in piece.reasons)
        if kind == "|u1" and piece.values.dtype != torch.uint8 and len(piece.values):
            return None
        new = piece.values if kind == "|u1" else shares(piece.values)
        if piece.good is not None:
            room = torch.zeros((len(piece.good), *reader.shape), dtype=new.dtype)
            room[torch.from_numpy(piece.good)] = new
            new = room
        stream.write(new.contiguous().numpy().data)
    return reasons


def _beside(path: Path) -> Path:
    return path.with_suffix(".json")


@contextlib.contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """Let other processes that want the same file wait until it is there."""
    lock = path.with_suffix(".lock")
    while True:
        with open(lock, "w", encoding="ascii") as stream:
            if fcntl is not None:
                fcntl.flock(stream, fcntl.LOCK_EX)
                if not _still(stream, lock):  # whoever held it has removed it: another may have made a new one
                    continue
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)
            return


def _still(stream: IO[str], path: Path) -> bool:
    """Whether an open file still has its name."""
    try:
        return os.path.samestat(os.fstat(stream.fileno()), os.stat(path))
    except OSError:
        return False


def _remove(folder: Path) -> None:
    with contextlib.suppress(OSError):
        for file in folder.iterdir():
            file.unlink(missing_ok=True)
        folder.rmdir()
