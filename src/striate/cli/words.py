"""Tell pictures from addresses among the words after SOURCE. Runs nothing, and imports no torch."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from striate.address import parse
from striate.errors import AddressError, OptionError
from striate.registry import LensInfo

if TYPE_CHECKING:
    from striate.network import Network

__all__ = ["Words", "check_layers", "sort_words"]

_ENDING = re.compile(r"\.(jpe?g|png|gif|bmp|tiff?|webp|npy|avif|heic|pdf|svg|txt|json|npz)", re.IGNORECASE)
_TERM = re.compile(r"\s[-+]\s|\*")  # what joins the terms of a sum: "layer3:17 + layer3:20", "2 * class:tabby"


@dataclass(frozen=True)
class Words:
    """The words after SOURCE, sorted.

    Attributes:
        pictures: files and folders, and what looks like their names.
        addresses: the others, as they were typed.
        layers: those addresses that name a whole layer, or several, or are nothing at all: the network knows.
    """

    pictures: tuple[Path, ...]
    addresses: tuple[str, ...]
    layers: tuple[str, ...]


def sort_words(info: LensInfo, words: Sequence[str]) -> Words:
    """Tell pictures from addresses.

    A file or folder that is there is a picture. Of the other words those with a channel or a class are addresses,
    those with the ending of a file or a folder in them are pictures that are missing, and the rest may be layers.

    Raises:
        OptionError: a picture for a lens that takes none, or a lens without the pictures that it needs.
    """
    if info.target is None:
        return Words(tuple(map(Path, words)), (), ())
    pictures: list[Path] = []
    addresses: list[str] = []
    layers: list[str] = []
    for word in words:
        if os.path.exists(word):
            pictures.append(Path(word))
        elif _is_address(word):
            addresses.append(word)
        elif "images" in info.needs and (_ENDING.fullmatch(Path(word).suffix) or "/" in word or os.sep in word):
            pictures.append(Path(word))
        else:
            addresses.append(word)
            layers.append(word)
    if pictures and "images" not in info.needs:
        raise OptionError(f"{info.name} takes no pictures, and {pictures[0]} is one. Leave it out; it takes addresses.")
    if addresses and not pictures and "images" in info.required:
        which = f"{addresses[0]} is no file" if layers else f"{addresses[0]} is an address"
        raise OptionError(f"{which}, and there is no picture beside it. Name one before it.")
    return Words(tuple(pictures), tuple(addresses), tuple(layers))


def check_layers(network: Network, words: Sequence[str]) -> None:
    """Refuse words that are neither files nor layers of a network, nor stand for several of them ("stages").

    Raises:
        AddressError: one is neither; the text proposes the nearest.
    """
    from striate.choosing import is_word  # imports torch, as whoever has a network has done

    for word in words:
        if is_word(network, word):
            continue  # a lens that takes no such words says so
        try:
            network.graph().layer(parse(word).place)
        except AddressError as error:
            raise AddressError(f"{word!r} is no file and no address: {error}{_as_class(network, word)}") from error


def _is_address(word: str) -> bool:
    """Whether a word names a channel, a unit or a class, or several in a sum."""
    if _TERM.search(word):
        return True
    try:
        address = parse(word)
    except AddressError:
        return ":" in word and word[1:3] != ":\\"  # misspelt, but not the drive of a path
    return address.channel is not None or address.label is not None


def _as_class(network: Network, word: str) -> str:
    """Propose the class of that name, if there is one."""
    try:
        network.class_index(word, network.graph().classes)
    except AddressError:
        return ""
    return f" There is a class of that name: class:{word}."
