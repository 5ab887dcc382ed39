"""The one grammar by which layers, channels, units and classes are named. Only text: knows no network.

    layer4.1.conv2          a layer, by its name in named_modules()
    layer4.1.relu~1         the first call of a layer that is called several times (without ~k: the last)
    layer4.1.conv2:17       channel 17 of it
    layer4.1.conv2:17@6,5   the unit of channel 17 in row 6, column 5
    layer4.1.conv2:17@max   the unit of channel 17 that answers most, in each picture its own
    class:tabby  class:281  a class, by name or index

All characters stand unescaped in a shell word and in the path of a URL (names with blanks need quotes there).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache

from striate.errors import AddressError

__all__ = ["GRAMMAR", "Address", "class_name", "find_class", "find_layer", "parse"]

GRAMMAR = "LAYER, LAYER:CHANNEL, LAYER:CHANNEL@ROW,COLUMN, LAYER:CHANNEL@max, class:NAME or class:INDEX"

_SYNONYMS = 1000  # classes from which on a comma in their names parts synonyms
_INDEX = re.compile(r"-?\d{1,9}")
_LAYER = re.compile(
    r"(?P<layer>[^:~]+)(~(?P<call>[1-9]\d{0,8}))?(:(?P<channel>\d{1,9})(@((?P<row>\d{1,9}),(?P<column>\d{1,9})|(?P<max>max)))?)?"
)


@dataclass(frozen=True)
class Address:
    """A place in a network.

    Attributes:
        layer: name in ``named_modules()``; empty for a class.
        call: which call of a layer used several times, from 1; None means the last.
        channel: index of the channel, or None for the whole layer.
        position: row and column of the unit, "max" for the strongest, or None for the whole map.
        label: name or index of a class, or None.
    """

    layer: str = ""
    call: int | None = None
    channel: int | None = None
    position: tuple[int, int] | str | None = None
    label: str | None = None

    @property
    def place(self) -> str:
        """The layer with its call: what the tap captures."""
        return self.layer if self.call is None else f"{self.layer}~{self.call}"

    def __str__(self) -> str:
        if self.label is not None:
            return f"class:{self.label}"
        text = self.place
        if self.channel is not None:
            text += f":{self.channel}"
        if isinstance(self.position, tuple):
            text += f"@{self.position[0]},{self.position[1]}"
        elif self.position is not None:
            text += f"@{self.position}"
        return text


def parse(text: str) -> Address:
    """Read an address.

    Args:
        text: as in the module's grammar; blanks around it are ignored.

    Raises:
        AddressError: the text is not of the grammar.
    """
    text = text.strip()
    if text.startswith("class:"):
        label = text.removeprefix("class:").strip()
        if not label:
            raise AddressError("'class:' names no class. Write class:NAME or class:INDEX, such as class:tabby.")
        return Address(label=label)
    match = _LAYER.fullmatch(text)
    if match is None:
        raise AddressError(f"{text!r} is no address. Write {GRAMMAR}, such as layer4.1.conv2:17@6,5.")
    part = match.groupdict()
    position: tuple[int, int] | str | None = part["max"]
    if part["row"] is not None:
        position = (int(part["row"]), int(part["column"]))
    return Address(
        layer=part["layer"],
        call=int(part["call"]) if part["call"] else None,
        channel=int(part["channel"]) if part["channel"] else None,
        position=position,
    )


def find_layer(name: str, valid: Iterable[str]) -> str:
    """Return `name` if it is one of the valid layers.

    Raises:
        AddressError: it is not; the text proposes the nearest and lists the valid ones.
    """
    names = list(valid)
    if name in names:
        return name
    shown = ", ".join(names[:12]) + (f", ... ({len(names)} in all)" if len(names) > 12 else "")
    raise AddressError(f"no layer {name!r} in this network.{_nearest(name, names)} Layers: {shown}.")


def find_class(label: str, class_names: Sequence[str] | None, count: int) -> int:
    """Return the index of a class given by its index or by its name.

    A name may be any of the synonyms that a class name lists ("tabby, tabby cat"), in any case, with
    blanks or underscores. An index wins over a class whose name is that number, unless it lies outside.

    Args:
        label: index or name.
        class_names: names by index, or None when the network has none.
        count: number of classes.

    Raises:
        AddressError: no such class, or the name stands for several.
    """
    if _INDEX.fullmatch(label) and (0 <= int(label) < count):
        return int(label)
    if class_names is None:
        if _INDEX.fullmatch(label):
            raise AddressError(f"no class {label}: this network has {count} classes, 0 to {count - 1}.")
        raise AddressError(f"no class {label!r}: this network has no class names. Give an index, 0 to {count - 1}.")
    wanted = _plain(label)
    full = [index for index, name in enumerate(class_names) if _plain(name) == wanted]
    part = [index for index, name in enumerate(class_names) if wanted in [_plain(word) for word in name.split(",")]]
    found = full or part
    if len(found) == 1:
        return found[0]
    if found:
        raise AddressError(
            f"{label!r} stands for {len(found)} classes ({', '.join(map(str, found))}). "
            f"Give the index, such as class:{found[0]}."
        )
    if _INDEX.fullmatch(label):
        raise AddressError(f"no class {label}: this network has {count} classes, 0 to {count - 1}.")
    words = {_plain(word): word.strip() for name in class_names for word in name.split(",")}
    nearest = _nearest(wanted, list(words), words)
    shown = ", ".join(class_names[:6]) + (f", ... ({count} in all)" if count > 6 else "")
    raise AddressError(f"no class {label!r} in this network.{nearest} Classes: {shown}.")


def class_name(names: Sequence[str], index: int) -> str:
    """Return what to call a class: the first of the synonyms of ImageNet's names, else the whole name.

    A comma parts synonyms ("tabby, tabby cat") where the names are those of ImageNet: a thousand or more. In the name
    of a folder it parts nothing ("dogs, small"). Nor is a name cut down to what another class is called as well.

    Args:
        names: by index.
        index: of the class, below their number.
    """
    whole = names[index]
    first = whole.partition(",")[0].strip()
    if first == whole or not first or len(names) < _SYNONYMS:
        return whole
    return first if _beginnings(tuple(names))[first] == 1 else whole


@lru_cache(maxsize=8)
def _beginnings(names: tuple[str, ...]) -> Counter[str]:
    return Counter(name.partition(",")[0].strip() for name in names)


def _plain(name: str) -> str:
    return name.strip().lower().replace("_", " ")


def _nearest(name: str, names: list[str], shown: dict[str, str] | None = None) -> str:
    close = get_close_matches(name, names, n=3, cutoff=0.55)
    if not close:
        close = [other for other in names if name.lower() in other.lower()][:3]
    if not close:
        return ""
    return f" Did you mean {' or '.join((shown or {}).get(word, word) for word in close)}?"
