"""Which network a name stands for: one of ours, of a library, or a file. Builds nothing."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
from pathlib import Path

from striate import nets
from striate.errors import NetworkError, OptionError
from striate.nets.wrapped import PREFIX, is_ours
from striate.zoo import BUILT_IN

__all__ = ["LIBRARIES", "brings_weights", "is_own", "named", "smallest_side"]

LIBRARIES = ("torchvision", "timm")


def named(text: str, pretrained: bool) -> tuple[str, list[str]]:
    """Return "striate:NAME", "LIBRARY:NAME", code of the user's own or the path of a file, and what is to be said."""
    library, colon, name = text.partition(":")
    if is_own(text):
        if pretrained:
            raise NetworkError(
                f"{text} is code of your own: it brings the weights that it has. Leave pretrained out, or take timm: "
                "or torchvision:."
            )
        return text, []
    if is_ours(text):
        if pretrained:
            raise NetworkError(f"{text} has no trained weights. Leave pretrained out, or take timm: or torchvision:.")
        return text, []
    if colon and library in LIBRARIES:
        plain, *more = (part.strip() for part in name.split(","))
        if ignored := [part for part in more if not part.startswith("classes=")]:  # those are the pictures'
            raise OptionError(
                f"{text}: {', '.join(ignored)} would be ignored. Channels and size are said by themselves (channels=, "
                "size=, --channels, --size)."
            )
        return f"{library}:{plain}", []
    if text in BUILT_IN:
        return f"timm:{text}", []
    ours = None if pretrained else _ours(text)
    there = os.path.exists(text)
    if there and (ours is None or os.sep in text or Path(text).suffix):
        return text, []
    beside = [f"There is a file or folder {text!r} too; for that, write {os.path.join('.', text)}."] if there else []
    if ours is not None:
        spelt = [] if ours == text.lower() else [f"{text} is {ours}, one of Striate's own networks."]
        return f"{PREFIX}{ours}", [*spelt, *beside]
    for library in LIBRARIES:
        if text in _known(library):
            return f"{library}:{text}", [
                f"Striate has no {text} of its own{' with trained weights' * pretrained}: it is {library}'s.",
                *beside,
            ]
    return _refuse(text, pretrained)


def is_own(text: str) -> bool:
    """Tell whether a text names code of the user's own, "package.module:function" or "file.py:Class"."""
    if is_ours(text) or text.partition(":")[0] in LIBRARIES or os.path.exists(text):
        return False
    return re.fullmatch(r"(.+\.py|[A-Za-z_][\w.]*):[A-Za-z_][\w.]*", text) is not None


def _refuse(text: str, pretrained: bool) -> tuple[str, list[str]]:
    if os.sep in text or Path(text).suffix in (".safetensors", ".pt", ".pth", ".pt2", ".ckpt", ".bin"):
        raise NetworkError(f"{text}: there is no such file. Give a saved network, the folder of a run, or a name.")
    missing = [library for library in LIBRARIES if importlib.util.find_spec(library) is None]
    hint = f" ({' and '.join(missing)} not installed: pip install 'striate[zoo]')" if missing else ""
    if pretrained:
        raise NetworkError(f"neither torchvision nor timm has a network {text!r}{hint}. Leave pretrained out?")
    try:
        nets.design(text)
    except NetworkError as error:
        raise NetworkError(f"{error} Neither torchvision nor timm has it{hint}, and there is no such file.") from None
    raise AssertionError("a name of ours was not taken for one")


def _ours(text: str) -> str | None:
    """Return the name of the network of ours that a name stands for, if there is one."""
    plain = text.strip().lower().replace("_", "-")
    for name in nets.names():
        if plain == name:
            return name
    return next((name for name in nets.names() if plain in nets.design(name).also), None)


def _known(library: str) -> list[str]:
    try:
        found = importlib.import_module("torchvision.models" if library == "torchvision" else "timm")
    except ImportError:
        return []
    names: list[str] = found.list_models(module=found) if library == "torchvision" else found.list_models()
    return names


def brings_weights(net: str | os.PathLike[str], *, pretrained: bool = False) -> bool:
    """Tell whether a network would come with weights that have learned something: from a file, or a library's."""
    text, _ = named(os.fspath(net), pretrained)
    code = is_own(text) or text.startswith((PREFIX, *(f"{library}:" for library in LIBRARIES)))
    return pretrained or not code


def smallest_side(net: str | os.PathLike[str]) -> int:
    """Return the side in pixels below which a network cannot be built; 1 where that is not known."""
    text, _ = named(os.fspath(net), pretrained=False)
    name = text.removeprefix(PREFIX).partition(",")[0]
    return nets.design(name).smallest if is_ours(text) and name != "sequential" else 1
