"""The page as static files: asks the application what the page would ask of the given pictures, and keeps the answers.

What is asked stands here and in `exporting_atlas`, the numbers behind the pictures in `exporting_numbers`, how all of
it is kept in `still`; what is answered is what a server answers. Computes nothing.
"""

from __future__ import annotations

import datetime
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from striate import __version__, progress, registry
from striate.errors import AddressError, OptionError
from striate.files import byte_count
from striate.layer_map import layer_map
from striate.network import Network
from striate.results.words import count
from striate.web.app import application
from striate.web.asking import Asking, question_of
from striate.web.exporting_atlas import AtlasPart
from striate.web.exporting_keeper import Keeper
from striate.web.exporting_numbers import Numbers, Planned, Question
from striate.web.exporting_view import View, read_view
from striate.web.house import House
from striate.web.routes.fields import seen_by
from striate.web.still import Still
from striate.web.store import Picture

__all__ = ["GUIDED", "LENSES", "PLACES", "ROOM", "Exported", "every_layer", "export", "usual_layers"]

LENSES = ("saliency", "input_x_gradient", "grad_cam")
PLACES = 14  # places in a row that a cover is tried at
ROOM = 64 * 10**6  # bytes of numbers, unless asked otherwise
GUIDED = 64  # units from which on guided patches are made where they are asked for alone
SIZES = (640, 320, 96)  # pixels of the longer side that the page shows pictures in
PATCH = 32  # side of a cover, pixels of the input
_TOP = 5  # classes that the page names
_SIGNALS, _CARD, _PICTURE = 45_000, 10_000, 20_000  # bytes of a unit's guided patches, its card, a picture in it, about
_IN_CARD = 30  # pictures of a card


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        path: of the folder.
        files: in it.
        bytes: of them.
        pictures: how many were looked at.
        layers: that can be looked into.
        left_out: what could not be answered, in sentences.
    """

    path: Path
    files: int
    bytes: int
    pictures: int
    layers: tuple[str, ...]
    left_out: tuple[str, ...]


def export(
    house: House,
    out: str | Path,
    *,
    view: str | None = None,
    layers: Sequence[str] | None = None,
    lenses: Sequence[str] | None = None,
    classes: int = 3,
    covers: bool = True,
    cards: bool = True,
    guided: bool | None = None,
    room: int = ROOM,
    tell: Callable[[str], None] | None = None,
) -> Exported:
    """Write the page of a house as a folder that opens without a server.

    A folder written before is replaced, in one step at the end: whoever looks at it sees the old one or the new one.

    Args:
        house: what the page shows: networks, pictures, atlas, training.
        out: the folder.
        view: an address of the page (`http://.../#/LAYER/UNIT?picture=...`): only what that shows is written.
        layers: addresses of those that can be looked into; those of `usual_layers` unless given.
        lenses: that explain, by their usual options; saliency, input_x_gradient and grad_cam unless given, or those
            of the view.
        classes: how many are explained, those that the network names first.
        covers: what covering a patch changes is worked out for 14 x 14 places of every picture.
        cards: with an atlas, the cards of all units of its layers, and the pictures that these show.
        guided: what counts in the best patches of every unit that has a card; unless given where these are no more
            than 64, for it takes a backward pass for each patch.
        room: bytes of numbers at most, before they are packed: of the maps, for the column of all units at a place,
            and of what the windows read, for the arithmetic of a value; the smallest layers come first.
        tell: is told before the work, in sentences, how much of what can be large there will be.

    Raises:
        AddressError: a layer or unit that the network does not have.
        OptionError: no such lens, or one that explains no picture; fewer than one class; no pictures; a view of what
            is not there.
        OutputError: the folder cannot be written, or holds something else.
    """
    if not len(house.pictures):
        raise OptionError("there are no pictures to export a page of. Give some: --pictures FOLDER.")
    if classes < 1:
        raise OptionError(f"classes must be at least 1, got {classes}.")
    if view is not None and layers is not None:
        raise OptionError("an address shows one layer: give the address of a view, or layers.")
    seen = None if view is None else read_view(view, house)
    chosen_lenses = _lenses(lenses, seen)
    with Still(Path(out)) as still, Asking(application(house)) as asking:
        work = _Export(Keeper(house, still, asking), chosen_lenses, classes, seen)
        chosen = work.begin(layers)
        planned = work.plan(chosen, room)
        with_cards = work.cards(chosen) if cards else {}
        units = sum(map(len, with_cards.values()))
        guided = units <= GUIDED if guided is None else guided
        if tell is not None:
            known = 0 if house.atlas is None else len(house.atlas.pictures)
            for sentence in _sentences(planned, units, min(known, _IN_CARD * units), guided):
                tell(sentence)
        work.introduce(chosen, planned, guided and units > 0)
        for step in progress.track(work.steps(chosen, planned, covers, with_cards, guided), "export the page"):
            step()
        still.finish(work.about(chosen))
        written, size = still.written, still.bytes
    return Exported(Path(out), written, size, len(work.pictures), tuple(chosen), tuple(work.keeper.left_out))


def usual_layers(network: dict[str, Any]) -> list[str]:
    """Choose what an export shows of a network: its beginning, both ends of every stage, the deepest map, the classes.

    Args:
        network: as `GET network` answers.
    """
    with_units = [one["address"] for one in network["layers"] if one["units"]]
    rectified = [one["address"] for one in network["layers"] if one["units"] and "relu" in one["kind"].lower()]
    wanted = {*with_units[:1], *rectified[:1], *with_units[-1:], network["last_map"]}
    for stage in network["stages"]:
        wanted |= {stage["first"], stage["last"]}
    return [address for address in with_units if address in wanted]


def every_layer(network: Network) -> list[str]:
    """Return the addresses of all layers that can be looked into."""
    return [node.address for node in layer_map(network.graph()).nodes if node.units]


def _lenses(asked: Sequence[str] | None, view: View | None) -> tuple[str, ...]:
    """Return the names of the lenses that explain."""
    if view is not None and view.view != "explain" and asked is None:
        return ()
    named = asked if asked is not None else LENSES if view is None or not view.lenses else view.lenses
    for lens in named:
        info = registry.describe(lens)
        free = view is None or asked is not None  # of options that could be given
        if (
            "images" not in info.needs
            or "atlas" in info.required
            or (free and any(one.required for one in info.options))
        ):
            raise OptionError(f"{info.name} cannot be exported: it does not explain one picture by its usual options.")
    return tuple(registry.describe(lens).name for lens in named)


def _sentences(planned: Planned, units: int, pictures: int, guided: bool) -> list[str]:
    """Say how much there will be of what can be large."""
    found = [planned.sentence()]
    if units:
        found.append(
            f"Cards of {count(units, 'unit')}: about {byte_count(units * _CARD)}, with {count(pictures, 'picture')} of "
            f"the atlas at most, about {byte_count(pictures * _PICTURE)} (--no-cards)."
        )
    if units and guided:
        found.append(f"Guided patches of {count(units, 'unit')}: about {byte_count(units * _SIGNALS)} (--no-guided).")
    elif units:
        found.append(
            f"Guided patches of {count(units, 'unit')} are left out: about {byte_count(units * _SIGNALS)}, and a "
            "backward pass for each patch (--guided)."
        )
    return found


class _Export:
    """Asks what the page would ask, of the whole page or of one view."""

    def __init__(self, keeper: Keeper, lenses: tuple[str, ...], classes: int, view: View | None) -> None:
        self.keeper, self.lenses, self.classes, self.view = keeper, lenses, classes, view
        house = self.house = keeper.house
        self.pictures = house.pictures.all() if view is None else [view.picture]
        both = [Question(), *([] if house.other is None else [Question(other=True)])]
        self.asked = both if view is None else view.asked
        self.numbers = Numbers(house, keeper.still, self._live())
        self.atlas = None if house.atlas is None else AtlasPart(keeper, house.atlas)
        self.top: dict[str, list[int]] = {}  # classes that are explained, by picture
        self.exported: dict[str, Any] = {}  # what the page is told of its being one

    def begin(self, layers: Sequence[str] | None) -> list[str]:
        """Keep the structure of the network; return the layers to be shown."""
        network = self.keeper.keep("network")
        assert network is not None
        known = [one["address"] for one in network["layers"] if one["units"]]
        house = self.house
        if self.view is not None:
            layers = [self.view.layer]
        if layers is None:
            chosen = usual_layers(network)
            if house.atlas is not None:
                chosen = [one for one in known if one in {*chosen, *map(house.called, house.atlas.layers)}]
            return chosen
        layers = [house.called(layer) for layer in layers]
        for layer in layers:
            if layer not in known:
                house.network.graph().layer(layer)  # says what is close to it
                raise AddressError(f"{layer} gives neither maps nor a vector: there is nothing to export of it.")
        return [one for one in known if one in set(layers)]

    def plan(self, layers: Sequence[str], room: int) -> Planned:
        """Choose the layers whose numbers are kept."""
        return self.numbers.plan(layers, self.pictures, self.asked, room)

    def cards(self, layers: Sequence[str]) -> dict[str, Sequence[int]]:
        """Return the units whose cards are kept, by layer."""
        if self.atlas is None or self.house.atlas is None:
            return {}
        held = [layer for layer in dict.fromkeys(map(self.house.called, self.house.atlas.layers)) if layer in layers]
        if self.view is None:
            return {layer: range(self.atlas.units(layer)) for layer in held}
        return {} if self.view.unit is None else {layer: [self.view.unit] for layer in held}

    def introduce(self, layers: Sequence[str], planned: Planned, guided: bool) -> None:
        """Keep what the page asks first."""
        view, still = self.view, self.keeper.still
        lenses = self.keeper.asking.get("lenses").json()
        still.answer("lenses", [one for one in lenses if one["name"] in self.lenses])
        session = self.keeper.asking.get("session").json()
        shown = {given.id for given in self.pictures}
        session["pictures"] = [one for one in session["pictures"] if one["id"] in shown]
        self.exported = {
            **self.about(layers),
            "numbers": list(planned.layers),
            "guided": guided,
            "start": None if view is None else view.address,
            "views": None if view is None else ["units", *([view.view] if view.view != "units" else [])],
            "scale": "shared" if view is None else view.scale,
            "options": {} if view is None else dict(view.options),
        }
        if view is not None:
            self.exported["classes"] = 0 if view.target else 1
            if not view.other:
                session["other"] = None
        session["exported"] = self.exported
        still.answer("session", session)
        for given in self.pictures:
            for side in SIZES:
                self.keeper.draw(f"pictures/{given.id}.png", {"side": side})
            if planned.layers:
                for asked in self.asked:
                    self.keeper.draw(f"pictures/{given.id}/input.png", {"other": asked.other})
        still.close_pack()

    def steps(
        self, layers: Sequence[str], planned: Planned, covers: bool, cards: dict[str, Sequence[int]], guided: bool
    ) -> list[Callable[[], None]]:
        """Return all that is to be done, in steps of about the same length."""
        steps: list[Callable[[], None]] = [lambda: None, self.said]
        steps += [partial(self.layer, layer, planned) for layer in layers]
        if self.lenses:
            steps += [partial(self.explained, given) for given in self.pictures]
        if covers:
            steps += [partial(self.covered, given, row) for given in self.pictures for row in range(PLACES)]
        if self.atlas is not None and self.house.atlas is not None:
            known = set(map(self.house.called, self.house.atlas.layers))
            steps += [partial(self.atlas.patches, layer) for layer in layers if layer in known]
            for layer, units in cards.items():
                # of guided patches each unit takes a while
                pieces = [[unit] for unit in units] if guided else [units]
                steps += [partial(self.atlas.cards, layer, piece, guided) for piece in pieces]
            if self.view is None or self.view.view == "map":
                steps.append(partial(self.atlas.map, self.pictures, self.numbers))
            steps.append(self.atlas.pictures)
        return steps

    def _live(self) -> str:
        return f"striate serve {shlex.quote(self.house.network.name)}"

    def about(self, layers: Sequence[str]) -> dict[str, Any]:
        """Say what this export is."""
        return {
            "network": self.house.network.name,
            "weights": self.house.network.weights_hash,
            "version": __version__,
            "date": f"{datetime.date.today():%Y-%m-%d}",
            "layers": list(layers),
            "classes": self.classes,
            "places": PLACES,
            "live": self._live(),
            **{name: self.exported[name] for name in ("classes", "options") if name in self.exported},
        }

    def said(self) -> None:
        """Keep what the networks say of every picture, those of a training's epochs too."""
        epochs: tuple[int, ...] = ()
        if self.house.run is not None and (self.view is None or self.view.view == "run"):
            self.keeper.keep("runs")
            epochs = tuple(self.house.run.checkpoints)
        for given in self.pictures:
            for asked in self.asked:
                found = self.keeper.keep("predictions", {"picture": given.id, "top": _TOP, **asked.words})
                if found is not None and not asked.other:
                    count = self.exported["classes"]
                    self.top[given.id] = [one["index"] for one in found["classes"][:count]]
            for epoch in epochs:
                self.keeper.keep("predictions", {"picture": given.id, "epoch": epoch, "top": 10})
                self.keeper.keep("predictions", {"picture": given.id, "epoch": epoch, "top": _TOP})
        self.keeper.still.close_pack()

    def layer(self, layer: str, planned: Planned) -> None:
        """Keep the maps of a layer, its kernels, what its units see of the pictures, and its numbers."""
        keeper = self.keeper
        scale = "own" if self.view is not None and self.view.scale == "own" else None
        for asked in self.asked:
            for given in self.pictures:
                question = {"layer": layer, "picture": given.id, "scale": scale, **asked.words}
                if keeper.keep("activations", question, quietly=asked.other) is None:
                    continue
                keeper.draw("activations.png", question)
                self._fields(layer, given, asked)
                if layer in planned.layers:
                    self.numbers.keep(layer, given, asked)
            kernels = {"layer": layer, "scale": scale, **asked.words}
            if keeper.keep("filters", kernels, quietly=True) is not None:
                keeper.draw("filters.png", kernels)
        if layer not in planned.layers:
            self.numbers.leave_out(layer, self.pictures, planned)
        if self.house.sheets is not None and layer in map(self.house.called, self.house.sheets.layers):
            keeper.keep("synthesised", {"layer": layer})
            keeper.draw("synthesised.png", {"layer": layer})
        keeper.still.close_pack()

    def _fields(self, layer: str, given: Picture, asked: Question) -> None:
        """Keep what the units of a map see: rows and columns apart, for they do not depend on each other."""
        network = self.house.asked(asked.other, asked.epoch)
        size = network.graph().layer(layer).map_size
        if size is None:
            return
        height, width = size
        rows = [seen_by(network, given, layer, row, width // 2) for row in range(height)]
        columns = [seen_by(network, given, layer, height // 2, col) for col in range(width)]
        self.keeper.still.answer(
            question_of("fields", {"layer": layer, "picture": given.id, "other": asked.other}),
            {
                "status": rows[0][1],
                "rows": [None if box is None else [box.top, box.bottom] for box, _ in rows],
                "columns": [None if box is None else [box.left, box.right] for box, _ in columns],
            },
        )

    def explained(self, given: Picture) -> None:
        """Keep what the lenses show of a picture."""
        wanted = [f"class:{index}" for index in self.top.get(given.id, [])]
        if self.view is not None and self.view.target:
            wanted = [self.view.target]
        for lens in self.lenses:
            info = registry.describe(lens)
            for target in wanted if info.target is not None else [""]:
                for asked in self.asked:
                    ask = {
                        "lens": lens,
                        "pictures": [given.id],
                        "target": [target] if target else [],
                        "options": {} if self.view is None else self.view.options_of(info),
                        "other": asked.other,
                        "epoch": asked.epoch,
                    }
                    words = {"lens": lens, "picture": given.id, "target": target, **asked.words}
                    self.keeper.look(question_of("run", words), ask, f"{lens} of {given.name}")
        self.keeper.still.close_pack()

    def covered(self, given: Picture, row: int) -> None:
        """Keep what covering the places of one row changes."""
        epoch = self.asked[0].epoch
        question: dict[str, object] = {"picture": given.id, "size": PATCH, "epoch": epoch}
        if self.view is not None:
            question["target"] = self.view.target
        places: list[Any] = []
        for col in range(PLACES):
            answer = self.keeper.asking.get(
                "occlude", {**question, "x": (col + 0.5) / PLACES, "y": (row + 0.5) / PLACES}
            )
            found = answer.json() if answer.good else None
            kept = ("before", "after", "target", "box", "drop")
            places.append(None if found is None else {key: found[key] for key in kept})
        self.keeper.still.answer(question_of("covers", {"picture": given.id, "row": row, "epoch": epoch}), places)
        if row == PLACES - 1:
            self.keeper.still.close_pack()
