"""What was found in pictures before, by the marks of their files, so that only new ones are read. Looks at none."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from numpy.typing import NDArray

from striate.files import write_bytes
from striate.learn.checking.inspecting import RECORD

__all__ = ["Memory", "usual_place"]

FORMAT = f"striate-check-1 {PIL.__version__}"
Seen = NDArray[Any] | str  # a record, or the reason why there is none


def usual_place(root: Path) -> Path:
    """Return where a check of a folder is kept: in the user's folder for caches, not beside the pictures.

    That is ``$XDG_CACHE_HOME/striate/check``, ``~/.cache`` where the variable is not set.
    """
    real = os.path.realpath(root)
    name = hashlib.blake2b(real.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base, "striate", "check", f"{name}.npz")


class Memory:
    """Findings by name and mark of a file; what was read from disk, and what is added."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[str, Seen]] = {}

    def __len__(self) -> int:
        return len(self._found)

    def recall(self, name: str, mark: str) -> Seen | None:
        """Return what was found in a file, None where it is new or was changed."""
        before = self._found.get(name)
        return before[1] if before is not None and before[0] == mark else None

    def keep(self, name: str, mark: str, found: Seen) -> None:
        """Keep what was found in a file."""
        self._found[name] = (mark, found)

    @classmethod
    def read(cls, path: Path) -> Memory:
        """Read what `write` wrote; empty where there is nothing, or nothing that this version can use."""
        made = cls()
        try:
            with np.load(path, allow_pickle=False) as arrays:
                about = json.loads(bytes(arrays["about"]))
                records = arrays["records"]
            if about["format"] != FORMAT or records.dtype != RECORD or len(records) != len(about["good"]):
                return made
            for (name, mark), record in zip(about["good"], records, strict=True):
                made._found[name] = (mark, record)
            for name, mark, reason in about["broken"]:
                made._found[name] = (mark, reason)
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
            return cls()
        return made

    def write(self, path: Path) -> None:
        """Write everything into one file, whole or not at all.

        Raises:
            OutputError: it cannot be written.
        """
        good = [(name, mark, seen) for name, (mark, seen) in self._found.items() if not isinstance(seen, str)]
        about = {
            "format": FORMAT,
            "good": [(name, mark) for name, mark, _ in good],
            "broken": [(name, mark, seen) for name, (mark, seen) in self._found.items() if isinstance(seen, str)],
        }
        records = np.array([seen for *_, seen in good], dtype=RECORD)
        buffer = io.BytesIO()
        text = np.frombuffer(json.dumps(about).encode("ascii"), dtype=np.uint8)
        np.savez(buffer, allow_pickle=False, about=text, records=records)
        write_bytes(path, buffer.getvalue())
