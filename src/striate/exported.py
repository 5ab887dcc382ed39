"""Exported programs (.pt2): opened with their layers' names, after a check that nothing in them is run as code.

`torch.export.load` trusts its file: it unpickles some entries, evaluates shape expressions, calls
functions and imports classes by name. So the archive is read through first and refused where it holds
more than tensors, arithmetic of sizes, and calls of PyTorch's own operations; and what is then loaded is
a new archive of just the entries that were checked.
"""

from __future__ import annotations

import io
import json
import re
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from striate.errors import NetworkError
from striate.network import Network
from striate.spec import UNKNOWN_NORMALISATION, InputSpec

__all__ = ["load_exported"]

_SIZES = "add sub mul floordiv truediv mod pow neg pos abs eq ne lt le gt ge and_ or_ not_ getitem index".split()
_CALLS = re.compile(
    rf"torch\.ops\.[a-z]\w*\.\w+(\.\w+)*|torch\.sym_\w+|_operator\.({'|'.join(_SIZES)})|math\.(ceil|floor|trunc)"
)
_NAMES = re.compile(
    r"[su]\d+|Min|Max|Mod|PythonMod|FloorDiv|CleanDiv|CeilToInt|Abs|Pow|Add|Mul|Integer"
    r"|Eq|Ne|Lt|Le|Gt|Ge|And|Or|Not|True|False|oo|int_oo"
)
_SYMBOL = re.compile(r"Symbol\('([su]\d+)'(?:, \w+=(?:True|False))*\)")  # a size, written out
_ENTRIES = re.compile(  # as written by torch 2.6 to 2.15, below a folder of any name
    r"([^/]+/)?(archive_format|archive_version|version|byteorder|\.data/\w+"
    r"|models/model\.json|data/weights/(weight_\d+|model_weights_config\.json|model\.pt)"
    r"|data/constants/(tensor_\d+|model_constants_config\.json|model\.pt)|data/sample_inputs/model\.pt"
    r"|serialized_exported_program\.json|serialized_(state_dict|constants|example_inputs)\.(pt|json))"
)
_LARGEST_JSON = 512 * 2**20  # bytes; the graph of the largest networks takes a few MB


def load_exported(path: Path) -> Network:
    """Open an exported program as a network with the layer names of the module it was made from.

    Channels, height and width come from the input it was exported with; mean and standard deviation
    are not stored in such a file.

    Raises:
        NetworkError: broken, of another kind, or holding what would be run as code.
    """
    notes = [UNKNOWN_NORMALISATION]
    try:
        program = _opened(path)
        module = _with_layers(program, notes)
    except NetworkError:
        raise
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
    if isinstance(batch, int) and batch != 1:
        raise NetworkError(
            f"{path}: was exported for batches of exactly {batch} pictures. Export it with a dynamic batch dimension "
            "(torch.export.Dim), or for a single picture."
        )
    spec = InputSpec(int(channels), int(height), int(width))
    return Network(module, spec, name=path.stem, notes=notes, one_by_one=isinstance(batch, int))


def _with_layers(program: torch.export.ExportedProgram, notes: list[str]) -> nn.Module:
    """Give a program its tree of modules back; where torch cannot, only pictures and classes can be looked at."""
    try:
        return torch.export.unflatten(program)
    except Exception as error:  # torch gives up in many ways
        first = str(error).splitlines()[0] if str(error) else ""
        why = f"{type(error).__name__}: {first}"
        notes.append(f"Its layers could not be restored ({why}), so only classes have addresses.")
        return program.module()


def _checked(path: Path) -> dict[str, bytes]:
    """Return the entries of an archive, or refuse it where anything in it would be run that is not PyTorch's own."""
    entries: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                name = entry.filename
                if name.endswith(".json") and entry.file_size > _LARGEST_JSON:
                    raise NetworkError(f"{path}: {name} is {entry.file_size:,} bytes, too large for a graph.")
                content = archive.read(entry)
                if not _ENTRIES.fullmatch(name):
                    raise _refused(path, f"{name} is no entry of an exported program")
                if name.endswith(".json"):
                    _check_json(path, name, json.loads(content))
                elif name.endswith(".pt"):
                    _check_tensors(path, name, content)
                entries[name] = content
    except (zipfile.BadZipFile, OSError, ValueError, RecursionError, NotImplementedError) as error:
        if isinstance(error, NetworkError):
            raise
        raise NetworkError(f"{path}: is no exported program ({error}).") from error
    return entries


def _opened(path: Path) -> torch.export.ExportedProgram:
    """Load a new archive of the checked entries: the old one might read otherwise to another reader."""
    entries = _checked(path)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "checked.pt2"
        with zipfile.ZipFile(copy, "w", zipfile.ZIP_STORED) as archive:
            for name, content in entries.items():
                archive.writestr(name, content)
        return torch.export.load(copy)


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
        if key == "path_name" and not re.fullmatch(r"(weight|tensor)_\d+", str(value)):
            raise _refused(path, f"{name} names the entry {value!r}")
        if key == "guards_code" and value:
            raise _refused(path, f"{name} holds guards in code")
        if key in ("in_spec", "out_spec") and isinstance(value, str) and value:
            _check_tree(path, name, json.loads(value))
        if key == "target" and isinstance(value, str) and "." in value and not _CALLS.fullmatch(value.lstrip("#")):
            raise _refused(path, f"{name} calls {value!r}")
        if key == "expr_str" and isinstance(value, str):
            plain = _SYMBOL.sub(r"\1", value)
            strange = re.search(r"[^\w\s+\-*/%(),.<>=&|~]|__|\.\D", plain)
            words = [word for word in re.findall(r"[A-Za-z_]\w*", plain) if not _NAMES.fullmatch(word)]
            if strange or words:
                raise _refused(path, f"{name} holds the expression {value!r}")


def _check_tree(path: Path, name: str, content: Any) -> None:
    """Check how arguments are nested: torch imports the classes that are named there."""
    for key, value in _pairs(content):
        known = value is None or value in ("builtins.tuple", "builtins.list", "builtins.dict")
        if (key == "type" and not known) or key.startswith("__"):
            raise _refused(path, f"{name} nests its arguments in {value!r}")


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
