"""One view of the page, read from its address: `#/LAYER/UNIT?picture=ID&lens=NAME,...`, as `address.js` writes it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

from striate import registry
from striate.errors import AddressError, OptionError
from striate.files import shown
from striate.registry import LensInfo
from striate.web.exporting_numbers import Question
from striate.web.house import House
from striate.web.store import Picture

__all__ = ["View", "read_view"]

_VIEWS = ("units", "explain", "map", "run")
_SHOWS = ("activations", "patches", "synthesised", "filters")
_NUMBER = re.compile("[0-9]{1,9}")


@dataclass(frozen=True)
class View:
    """What one address shows.

    Attributes:
        address: of it, from the # on.
        layer: as the page calls it.
        unit: that is chosen, or None.
        picture: that is looked at.
        view: units, explain, map or run.
        show: what the cells hold.
        scale: "shared", or each unit its "own".
        lenses: that explain; empty for the usual ones.
        target: that is explained; empty for the class that the network names first.
        other: the second network stands beside the first.
        epoch: of the training that is looked at, or None.
        options: of the lenses, as they are written in the address.
    """

    address: str
    layer: str
    unit: int | None
    picture: Picture
    view: str
    show: str
    scale: str
    lenses: tuple[str, ...]
    target: str
    other: bool
    epoch: int | None
    options: Mapping[str, str]

    @property
    def asked(self) -> list[Question]:
        """The networks that are looked at."""
        return [Question(epoch=self.epoch), *([Question(other=True)] if self.other else [])]

    def options_of(self, lens: LensInfo) -> dict[str, Any]:
        """Return the options of one lens, as the page sends them."""
        found: dict[str, Any] = {}
        for option in lens.options:
            text = self.options.get(f"{lens.name}.{option.name}", self.options.get(option.name))
            if text is not None:
                found[option.name] = [one.strip() for one in text.split(",")] if option.many else text.strip()
        return found


def read_view(address: str, house: House) -> View:
    """Read an address of the page; what stands before its # may be any server.

    Raises:
        AddressError: a layer or unit that the network does not have.
        OptionError: it is no address of the page, or shows what is not there: a picture, a network, an epoch.
    """
    _, mark, place = address.partition("#")
    place = place if mark else address
    path, _, query = place.partition("?")
    words = dict(parse_qsl(query))
    layer, _, unit = path.lstrip("/").partition("/")
    layer = unquote(layer)
    if not layer or not path.startswith("/"):
        raise OptionError(
            f"{shown(address)} names no layer. Copy the whole address of the page, such as "
            "http://127.0.0.1:8765/#/LAYER/UNIT?picture=ID, and put it between quotes."
        )
    found = house.network.graph().layer(house.called(layer))
    channel = int(unit) if _NUMBER.fullmatch(unit) else None
    if channel is not None and channel >= found.channels:
        raise AddressError(f"no unit {channel} in {found.address}: it has {found.channels}, 0 to {found.channels - 1}.")
    lenses = dict.fromkeys(registry.describe(name).name for name in words.get("lens", "").split(",") if name)
    view = words.get("view", _VIEWS[0])
    show = words.get("show", _SHOWS[0])
    if view not in _VIEWS or show not in _SHOWS:
        raise OptionError(f"{shown(address)} is no address of the page: its views are {', '.join(_VIEWS)}.")
    if view == "map" and house.atlas is None:
        raise OptionError("the address shows the map of an atlas. Name the same one: --atlas FOLDER.")
    epoch = words.get("epoch", "")
    if (epoch and not _NUMBER.fullmatch(epoch)) or (view == "run" and house.run is None):
        raise OptionError("the address shows a training, and there is none: SOURCE is its folder.")
    other = words.get("other") == "1"
    if other:
        house.asked(other=True)  # says how a second network is named
    if epoch:
        house.asked(epoch=int(epoch))
    return View(
        address="#" + place,
        layer=house.called(layer),
        unit=channel,
        picture=_picture(words.get("picture"), house),
        view=view,
        show=show,
        scale="own" if words.get("scale") == "own" else "shared",
        lenses=tuple(lenses),
        target=words.get("target", ""),
        other=other,
        epoch=int(epoch) if epoch else None,
        options={name.removeprefix("option."): text for name, text in words.items() if name.startswith("option.")},
    )


def _picture(name: str | None, house: House) -> Picture:
    held = house.pictures.all()
    found = next((one for one in held if name is None or one.id == name), None)
    if found is None:
        names = ", ".join(one.name for one in held[:5]) + (", ..." if len(held) > 5 else "")
        raise OptionError(
            f"the address shows a picture ({shown(str(name))}) that is none of these: {names or 'there are none'}. "
            "Name its file: --pictures FILE."
        )
    return found
