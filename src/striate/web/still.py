"""A folder of static files that is a page without a server: its pictures, answers and scripts. Asks nothing.

Browsers load neither modules nor JSON from files beside a page that is opened as a file. So the page's modules stand in
the page itself (an import map of data addresses), and answers come as scripts; the same files work from a server.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import secrets
import shutil
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.errors import OutputError
from striate.files import shown

__all__ = ["MARK", "Still", "check_place", "page_without_server"]

MARK = "striate-export.json"  # that a folder is an export, and may be replaced by a newer one
_PAGE = Path(__file__).parent / "page"
_SHEETS = ("style.css", "panels.css")
_START = '<script type="module" src="modules/main.js"></script>'
_POLICY = (  # what the page may do: no connection to anywhere
    "default-src 'none'; script-src 'self' 'unsafe-inline' data: file:; style-src 'self' 'unsafe-inline' file:; "
    "img-src 'self' data: blob: file:; connect-src 'none'; base-uri 'none'; form-action 'none'"
)


class Still:
    """Writes such a folder: beside its place, until all of it is there; then it takes the name.

    Args:
        out: the folder.

    Raises:
        OutputError: there is something else by this name.
    """

    def __init__(self, out: Path) -> None:
        check_place(out)
        self.out = out = out.resolve()  # "." has no name that could be given
        self._part = out.parent / f".{out.name}.{secrets.token_hex(4)}.part"
        self._files: dict[str, str] = {}
        self._packs: dict[str, int] = {}
        self._refused: dict[str, str] = {}
        self._pack: dict[str, Any] = {}
        self._count = 0
        self.bytes = self.written = 0

    def __enter__(self) -> Still:
        """Make the folder."""
        try:
            self._part.mkdir(parents=True)
        except OSError as error:
            raise _unwritable(self.out, error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it its name, or take it away where something went wrong."""
        try:
            if kind is None:
                self._name()
        except OSError as failed:
            raise _unwritable(self.out, failed) from failed
        finally:
            shutil.rmtree(self._part, ignore_errors=True)

    def answer(self, question: str, answer: Any) -> None:
        """Keep an answer (JSON) for a question."""
        self._pack[question] = answer
        self._packs[question] = self._count

    def refuse(self, question: str, sentence: str) -> None:
        """Keep why there is no answer."""
        self._refused[question] = sentence

    def has(self, question: str) -> bool:
        """Whether there is an answer."""
        return question in self._packs

    def numbers(self, values: NDArray[np.floating[Any]]) -> str:
        """Keep numbers as they are, bit by bit, once however often they come.

        Their bytes are put in order of weight (all first ones, all second ones, ...), packed (deflate) and written as
        a script, for a page that is a file may read nothing else.

        Args:
            values: float16 or float32.

        Returns:
            What to ask for them by.
        """
        size = values.dtype.itemsize
        plain = np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<"), copy=False)
        data = plain.reshape(-1).view(np.uint8).reshape(-1, size).T.tobytes()
        name = hashlib.blake2b(data, digest_size=10).hexdigest()
        path = f"numbers/{name}.js"
        if not (self._part / path).exists():
            text = base64.b64encode(zlib.compress(data, 6)).decode()
            self._write(path, f'exported.hold("{name}", "{text}");\n'.encode())
        return name

    def picture(self, data: bytes, question: str | None = None, suffix: str = "png") -> str:
        """Keep a picture, once however often it comes.

        Args:
            data: the bytes of its file.
            question: that it answers.
            suffix: of the file.

        Returns:
            Where it is, from the page.
        """
        name = f"images/{hashlib.blake2b(data, digest_size=10).hexdigest()}.{suffix}"
        if not (self._part / name).exists():
            self._write(name, data)
        if question is not None:
            self._files[question] = name
        return name

    def close_pack(self) -> None:
        """Write the answers so far into a file of their own; those that come later go into the next."""
        if self._pack:
            text = json.dumps(self._pack, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
            self._write(f"answers/{self._count}.js", f"exported.take({self._count}, {text});\n".encode())
            self._pack = {}
            self._count += 1

    def finish(self, about: Mapping[str, Any]) -> None:
        """Write the page, and the list of all that is there.

        Args:
            about: what was exported, ready for JSON; kept in the page and beside it.
        """
        self.close_pack()
        index = {"files": self._files, "packs": self._packs, "refused": self._refused, "about": dict(about)}
        text = json.dumps(index, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        self._write("index.js", f"globalThis.exported = {text};\n".encode())
        for name in _SHEETS:
            self._write(name, (_PAGE / name).read_bytes())
        self._write("index.html", page_without_server().encode())
        self._write(MARK, json.dumps(dict(about), indent=2, ensure_ascii=False).encode())

    def _write(self, name: str, data: bytes) -> None:
        path = self._part / name
        try:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)  # the whole folder is named at once
        except OSError as error:
            raise _unwritable(self.out, error) from error
        self.bytes += len(data)
        self.written += 1

    def _name(self) -> None:
        old = None
        if self.out.exists():
            old = self.out.with_name(f".{self.out.name}.{secrets.token_hex(4)}.old")
            os.replace(self.out, old)
        os.replace(self._part, self.out)
        if old is not None:
            shutil.rmtree(old, ignore_errors=True)


def check_place(out: Path) -> None:
    """Say before the work whether a folder may be written.

    Raises:
        OutputError: there is something by this name that is neither empty nor an export.
    """
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise OutputError(f"{shown(out)} is there, and no folder. Give --out another name.")
    if out.is_dir() and any(out.iterdir()) and not (out / MARK).is_file():
        raise OutputError(
            f"{shown(out)} holds other files, and no export of before that could be replaced. Give --out another name."
        )


def page_without_server() -> str:
    """Return the page with its modules inside; in the place of `api.js` stands what reads the files."""
    modules = {}
    for path in sorted((_PAGE / "modules").glob("*.js")):
        source = path.read_text(encoding="utf-8")
        # ./x.js leads nowhere from a data address: a name of the map does, in static and dynamic imports
        source = re.sub(r"""(["`])\./([\w${}]+)\.js\1""", r"\1striate/\2\1", source)
        data = base64.b64encode(source.encode()).decode()
        modules[f"striate/{path.stem}"] = f"data:text/javascript;base64,{data}"
    modules["striate/api"] = modules.pop("striate/exported")
    start = (
        '<script src="index.js"></script>\n'
        f'<script type="importmap">{json.dumps({"imports": modules})}</script>\n'
        '<script type="module">import "striate/main";</script>'
    )
    page = (_PAGE / "index.html").read_text(encoding="utf-8")
    assert _START in page
    policy = f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    return page.replace(_START, start).replace('<meta charset="utf-8">', f'<meta charset="utf-8">\n{policy}')


def _unwritable(out: Path, error: OSError) -> OutputError:
    return OutputError(
        f"Cannot write {shown(out)}: {error.strerror or error}. Choose another place for it, or make room or get the "
        "right there."
    )
