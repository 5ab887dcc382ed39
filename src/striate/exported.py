"""Exported programs (.pt2): opened with their layers' names, after a check that nothing in them is run as code.

`torch.export.load` trusts its file: it unpickles some entries, evaluates shape expressions and calls
functions by name. So the archive is read through first, and refused where it holds more than tensors,
arithmetic of sizes, and calls of PyTorch's own operations.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from striate.errors import NetworkError
from striate.network import Network
from striate.spec import InputSpec

__all__ = ["NOT_STORED", "load_exported"]

NOT_STORED = (
    "An exported program does not say how pictures are normalised: values from 0 to 1 are assumed. "
    "Give mean and std (spec=, or --mean and --std)."
)

_SIZES = "add sub mul floordiv truediv mod pow neg pos abs eq ne lt le gt ge and_ or_ not_ getitem index".split()
_CALLS = re.compile(
    rf"torch\.ops\.[a-z]\w*\.\w+(\.\w+)*|torch\.sym_\w+|_operator\.({'|'.join(_SIZES)})|math\.(ceil|floor|trunc)"
)
_NAMES = re.compile(
    r"[su]\d+|Min|Max|Mod|PythonMod|FloorDiv|CleanDiv|CeilToInt|Abs|Pow|Add|Mul|Integer"
    r"|Eq|Ne|Lt|Le|Gt|Ge|And|Or|Not|True|False|oo|int_oo"
)
_SYMBOL = re.compile(r"Symbol\('([su]\d+)'(?:, \w+=(?:True|False))*\)")  # a size, written out
_LARGEST_JSON = 512 * 2**20  # bytes; the graph of the largest networks takes a few MB


def load_exported(path: Path) -> Network:
    """Open an exported program as a network with the layer names of the module it was made from.

    Channels, height and width come from the input it was exported with; mean and standard deviation
    are not stored in such a file.

    Raises:
        NetworkError: broken, of another kind, or holding what would be run as code.
    """
    _check(path)
    try:
        program = torch.export.load(path)
        module = torch.export.unflatten(program)
    except Exception as error:  # a broken archive fails anywhere
        first = str(error).splitlines()[0] if str(error) else ""
        raise NetworkError(
            f"{path}: cannot be opened as an exported program ({type(error).__name__}: {first})."
        ) from error
    inputs = [name for name in program.graph_signature.user_inputs if isinstance(name, str)]
    shapes = [
        node.meta["val"].shape for node in program.graph.nodes if node.op == "placeholder" and node.name in inputs
    ]
    if len(shapes) != 1 or len(shapes[0]) != 4:
        raise NetworkError(f"{path}: takes {len(shapes)} inputs, where one batch of pictures N x C x H x W is needed.")
    batch, channels, height, width = shapes[0]
    notes = [NOT_STORED]
    if isinstance(batch, int):
        notes.append(
            f"It was exported for batches of exactly {batch}. To look at several pictures at once, export it with a "
            "dynamic batch dimension."
        )
    spec = InputSpec(int(channels), int(height), int(width))
    return Network(module, spec, name=path.stem, notes=notes)


def _check(path: Path) -> None:
    """Refuse an archive in which anything would be unpickled, evaluated or called that is not PyTorch's."""
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if entry.filename.endswith(".json"):
                    if entry.file_size > _LARGEST_JSON:
                        raise NetworkError(
                            f"{path}: {entry.filename} is {entry.file_size:,} bytes, too large for a graph."
                        )
                    _check_json(path, entry.filename, json.loads(archive.read(entry)))
                elif entry.filename.endswith((".pt", ".pth", ".pkl")):
                    _check_tensors(path, entry.filename, archive.read(entry))
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        if isinstance(error, NetworkError):
            raise
        raise NetworkError(f"{path}: is no exported program ({error}).") from error


def _check_tensors(path: Path, name: str, content: bytes) -> None:
    if not content:
        return
    try:
        torch.load(io.BytesIO(content), weights_only=True)
    except Exception as error:  # torch reports by many types
        raise _refused(path, f"{name} holds pickled objects other than tensors") from error


def _check_json(path: Path, name: str, content: Any) -> None:
    for key, value in _pairs(content):
        if key == "use_pickle" and value:
            raise _refused(path, f"{name} asks for pickled values")
        if key == "tensor_meta" and value is None:
            raise _refused(path, f"{name} names a constant that is no tensor")
        if key == "target" and isinstance(value, str) and "." in value and not _CALLS.fullmatch(value.lstrip("#")):
            raise _refused(path, f"{name} calls {value!r}")
        if key == "expr_str" and isinstance(value, str):
            plain = _SYMBOL.sub(r"\1", value)
            strange = re.search(r"[^\w\s+\-*/%(),.<>=&|~]|__|\.\D", plain)
            words = [word for word in re.findall(r"[A-Za-z_]\w*", plain) if not _NAMES.fullmatch(word)]
            if strange or words:
                raise _refused(path, f"{name} holds the expression {value!r}")


def _pairs(content: Any) -> Iterator[tuple[str, Any]]:
    stack = [content]
    while stack:
        part = stack.pop()
        if isinstance(part, dict):
            yield from part.items()
            stack.extend(part.values())
        elif isinstance(part, list):
            stack.extend(part)


def _refused(path: Path, why: str) -> NetworkError:
    return NetworkError(
        f"{path}: refused, for opening it would run what is in it as code ({why}). Export the network anew."
    )
