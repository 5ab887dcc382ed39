"""What an export holds of an atlas: best patches, the cards of units, the map and its regions, their pictures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from striate.atlas import Atlas
from striate.errors import StriateError
from striate.images import encode_jpeg
from striate.web.asking import question_of
from striate.web.exporting_keeper import Keeper
from striate.web.exporting_numbers import Numbers
from striate.web.store import Picture

__all__ = ["AtlasPart"]

SIGNALS = 96  # pixels of a guided patch, as the card asks for them
_PIECE, _SIDE = 256, 32  # thumbnails on a sheet, and their side, as the map asks for them
_NEIGHBOURS = 1000  # pictures of an atlas from which their neighbours are left out


class AtlasPart:
    """Keeps what the page asks of an atlas.

    Args:
        keeper: that asks and keeps.
        atlas: of the house.
    """

    def __init__(self, keeper: Keeper, atlas: Atlas) -> None:
        self._keeper, self._atlas = keeper, atlas
        self._shown: dict[int, set[int | None]] = {}  # pictures of the atlas that are shown, in these sizes

    def units(self, layer: str) -> int:
        """Return how many units the atlas knows of a layer."""
        return self._atlas.layer(self._keeper.house.own(layer, self._atlas.layers)).channels

    def patches(self, layer: str) -> None:
        """Keep the best patches of a layer's units."""
        if self._keeper.keep("patches", {"layer": layer}) is not None:
            self._keeper.draw("patches.png", {"layer": layer})
        self._keeper.still.close_pack()

    def cards(self, layer: str, units: Iterable[int], guided: bool) -> None:
        """Keep the cards of units, and what counts in their best patches."""
        for unit in units:
            card = self._keeper.keep("unit", {"layer": layer, "unit": unit})
            if card is None:
                continue
            self._show(card)
            if guided and card["top"]:
                self._keeper.draw("unit/signals.png", {"layer": layer, "unit": unit, "side": SIGNALS}, photographs=True)
        self._keeper.still.close_pack()

    def _show(self, card: dict[str, Any]) -> None:
        shown = [*card["top"], *card["bottom"], *card["strip"]]
        shown += [one["patch"] for one in (*card["similar"], *card["parallel"]) if one["patch"]]
        for patch in shown:
            self._shown.setdefault(patch["picture"], set()).add(None)

    def map(self, pictures: Iterable[Picture], numbers: Numbers) -> None:
        """Keep the map, what its regions have in common, and the neighbours of the pictures of the page."""
        found = self._keeper.keep("map", {"method": "pca"})
        if found is None:
            return
        for start in sorted({picture // _PIECE * _PIECE for picture in found["pictures"]}):
            self._keeper.draw("map/thumbnails.png", {"from": start or None, "count": _PIECE, "side": _SIDE})
        missing = numbers.features(self._atlas, found["layer"])
        if missing is not None:
            self._keeper.tell(missing)
        asked: list[dict[str, object]] = [{"picture": given.id} for given in pictures]
        if len(found["pictures"]) <= _NEIGHBOURS:
            asked += [{"index": picture} for picture in found["pictures"]]
            for picture in found["pictures"]:
                self._shown.setdefault(picture, set()).update((None, 64))
        for question in asked:
            near = self._keeper.keep("neighbours", {**question, "layer": found["layer"]})
            for one in [] if near is None else near["neighbours"]:
                self._shown.setdefault(one["picture"], set()).add(96)
        self._keeper.still.close_pack()

    def pictures(self) -> None:
        """Keep the pictures of the atlas that cards and map show: photographs, so as JPEG."""
        still = self._keeper.still
        for index in sorted(self._shown):
            for side in sorted(self._shown[index], key=lambda one: one or 0):
                question = question_of(f"atlas/pictures/{index}.png", {"side": side})
                try:
                    data = encode_jpeg(self._atlas.pictures.shown(index, side))
                except StriateError as error:
                    still.refuse(question, str(error))
                    self._keeper.tell(str(error))
                else:
                    still.picture(data, question, "jpg")
