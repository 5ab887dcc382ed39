"""The page as static files: asks the application what the page would ask of the given pictures, and keeps the answers.

What is asked stands here, how it is kept in `still`; what is answered is what a server answers. Computes nothing.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from striate import __version__, progress, registry
from striate.errors import AddressError, OptionError, StriateError
from striate.images import encode_jpeg
from striate.layer_map import layer_map
from striate.network import Network
from striate.web.app import application
from striate.web.asking import Answer, Asking, question_of
from striate.web.house import House
from striate.web.routes.fields import seen_by
from striate.web.still import Still
from striate.web.store import Picture

__all__ = ["LENSES", "PLACES", "Exported", "every_layer", "export", "usual_layers"]

LENSES = ("saliency", "input_x_gradient", "grad_cam")
PLACES = 14  # places in a row that a cover is tried at
SIZES = (640, 96)  # pixels of the longer side that the page shows pictures in
PATCH = 32  # side of a cover, pixels of the input
_TOP = 5  # classes that the page names
_MAPPED = 6400  # pictures on the map at most
_PIECE, _SIDE = 256, 32  # thumbnails on a sheet, and their side, as the map asks for them
_NEIGHBOURS = 1000  # pictures of an atlas from which their neighbours are left out
_PAUSE = 0.02  # seconds between two looks at a job


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
    layers: Sequence[str] | None = None,
    lenses: Sequence[str] = LENSES,
    classes: int = 3,
    covers: bool = True,
    cards: bool = True,
) -> Exported:
    """Write the page of a house as a folder that opens without a server.

    A folder written before is replaced, in one step at the end: whoever looks at it sees the old one or the new one.

    Args:
        house: what the page shows: networks, pictures, atlas, training.
        out: the folder.
        layers: addresses of those that can be looked into; those of `usual_layers` unless given.
        lenses: that explain, by their usual options.
        classes: how many are explained, those that the network names first.
        covers: what covering a patch changes is worked out for 14 x 14 places of every picture.
        cards: with an atlas, the cards of all units of its layers, and the pictures that these show.

    Raises:
        AddressError: a layer that the network does not have.
        OptionError: no such lens, or one that explains no picture; fewer than one class; no pictures.
        OutputError: the folder cannot be written, or holds something else.
    """
    if not len(house.pictures):
        raise OptionError("there are no pictures to export a page of. Give some: --pictures FOLDER.")
    if classes < 1:
        raise OptionError(f"classes must be at least 1, got {classes}.")
    for lens in lenses:
        info = registry.describe(lens)
        if "images" not in info.needs or "atlas" in info.required or any(one.required for one in info.options):
            raise OptionError(f"{info.name} cannot be exported: it does not explain one picture by its usual options.")
    with Still(Path(out)) as still, Asking(application(house)) as asking:
        work = _Export(house, still, asking, tuple(registry.describe(lens).name for lens in lenses), classes)
        chosen = work.begin(layers)
        steps: list[Callable[[], None]] = [lambda: None, work.said]
        steps += [lambda layer=layer: work.layer(layer) for layer in chosen]  # type: ignore[misc]
        pictures = house.pictures.all()
        steps += [lambda given=given: work.explained(given) for given in pictures]  # type: ignore[misc]
        if covers:
            steps += [
                lambda given=given, row=row: work.covered(given, row)  # type: ignore[misc]
                for given in pictures
                for row in range(PLACES)
            ]
        if house.atlas is not None:
            held = [layer for layer in dict.fromkeys(map(house.called, house.atlas.layers)) if layer in chosen]
            steps += [lambda layer=layer: work.patches(layer, cards) for layer in held]  # type: ignore[misc]
            steps += [work.map, work.atlas_pictures]
        for step in progress.track(steps, "export the page"):
            step()
        still.finish(work.about(chosen))
        written, size = still.written, still.bytes
    return Exported(Path(out), written, size, len(pictures), tuple(chosen), tuple(work.left_out))


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


class _Export:
    """Asks, and keeps; `left_out` says what was not answered."""

    def __init__(self, house: House, still: Still, asking: Asking, lenses: tuple[str, ...], classes: int) -> None:
        self.house, self.still, self.asking, self.lenses, self.classes = house, still, asking, lenses, classes
        self.left_out: list[str] = []
        self.others = [False] if house.other is None else [False, True]
        self.top: dict[str, list[int]] = {}  # classes that are explained, by picture
        self.seen: dict[int, set[int | None]] = {}  # pictures of the atlas that are shown, in these sizes

    def begin(self, layers: Sequence[str] | None) -> list[str]:
        """Keep what the page asks first; return the layers to be shown."""
        network = self.keep("network")
        assert network is not None
        known = [one["address"] for one in network["layers"] if one["units"]]
        if layers is None:
            chosen = usual_layers(network)
            if self.house.atlas is not None:
                chosen = [one for one in known if one in {*chosen, *map(self.house.called, self.house.atlas.layers)}]
        else:
            layers = [self.house.called(layer) for layer in layers]
            for layer in layers:
                if layer not in known:
                    self.house.network.graph().layer(layer)  # says what is close to it
                    raise AddressError(f"{layer} gives neither maps nor a vector: there is nothing to export of it.")
            chosen = [one for one in known if one in set(layers)]
        lenses = self.asking.get("lenses").json()
        self.still.answer("lenses", [one for one in lenses if one["name"] in self.lenses])
        session = self.asking.get("session").json()
        session["exported"] = self.about(chosen)
        self.still.answer("session", session)
        for given in self.house.pictures.all():
            for side in SIZES:
                self.draw(f"pictures/{given.id}.png", {"side": side})
        self.still.close_pack()
        return chosen

    def about(self, layers: Sequence[str]) -> dict[str, Any]:
        """Say what this export is."""
        name = self.house.network.name
        return {
            "network": name,
            "weights": self.house.network.weights_hash,
            "version": __version__,
            "date": f"{datetime.date.today():%Y-%m-%d}",
            "layers": list(layers),
            "classes": self.classes,
            "places": PLACES,
            "live": f"striate serve {name}",
        }

    def said(self) -> None:
        """Keep what the networks say of every picture, those of a training's epochs too."""
        epochs: tuple[int, ...] = ()
        if self.house.run is not None:
            self.keep("runs")
            epochs = tuple(self.house.run.checkpoints)
        for given in self.house.pictures.all():
            for other in self.others:
                found = self.keep("predictions", {"picture": given.id, "top": _TOP, "other": other})
                if found is not None and not other:
                    self.top[given.id] = [one["index"] for one in found["classes"][: self.classes]]
            for epoch in epochs:
                self.keep("predictions", {"picture": given.id, "epoch": epoch, "top": 10})
                self.keep("predictions", {"picture": given.id, "epoch": epoch, "top": _TOP})
        self.still.close_pack()

    def layer(self, layer: str) -> None:
        """Keep the maps of a layer, its kernels, and what its units see of the pictures."""
        for other in self.others:
            for given in self.house.pictures.all():
                question = {"layer": layer, "picture": given.id, "other": other}
                if self.keep("activations", question, quietly=other) is not None:
                    self.draw("activations.png", question)
            kernels = {"layer": layer, "other": other}
            if self.keep("filters", kernels, quietly=True) is not None:
                self.draw("filters.png", kernels)
        if self.house.sheets is not None and layer in map(self.house.called, self.house.sheets.layers):
            self.keep("synthesised", {"layer": layer})
            self.draw("synthesised.png", {"layer": layer})
        size = self.house.network.graph().layer(layer).map_size
        if size is not None:
            for given in self.house.pictures.all():
                self.still.answer(
                    question_of("fields", {"layer": layer, "picture": given.id}), self._fields(layer, given, size)
                )
        self.still.close_pack()

    def _fields(self, layer: str, given: Picture, size: tuple[int, int]) -> dict[str, Any]:
        """Say what the units of a map see: rows and columns apart, for they do not depend on each other."""
        network, (height, width) = self.house.network, size
        rows = [seen_by(network, given, layer, row, width // 2) for row in range(height)]
        columns = [seen_by(network, given, layer, height // 2, col) for col in range(width)]
        return {
            "status": rows[0][1],
            "rows": [None if box is None else [box.top, box.bottom] for box, _ in rows],
            "columns": [None if box is None else [box.left, box.right] for box, _ in columns],
        }

    def explained(self, given: Picture) -> None:
        """Keep what the lenses show of a picture."""
        for lens in self.lenses:
            needs = registry.describe(lens).target is not None
            targets = [f"class:{index}" for index in self.top.get(given.id, [])] if needs else [""]
            for target in targets:
                for other in self.others:
                    ask = {
                        "lens": lens,
                        "pictures": [given.id],
                        "target": [target] if target else [],
                        "options": {},
                        "other": other,
                        "epoch": None,
                    }
                    words = {"lens": lens, "picture": given.id, "target": target, "other": other}
                    self._look(question_of("run", words), ask, f"{lens} of {given.name}")
        self.still.close_pack()

    def _look(self, question: str, ask: dict[str, Any], words: str) -> None:
        answer = self.asking.post("run", ask)
        if answer.status == 202:
            found = self.wait(answer.json()["job"], words)
            if found is None:
                self.still.refuse(question, self.left_out[-1])
                return
        elif answer.good:
            found = answer.json()
        else:
            self._left_out(question, words, answer)
            return
        found.pop("numbers", None)
        for one in found["drawings"] if not found["overlays"] else ():
            one["url"] = self._file(one["url"])
        for one in found["overlays"]:
            one["picture"], one["map"] = self._file(one["picture"]), self._file(one["map"])
            one.pop("alone")
        if found["overlays"]:
            found["drawings"] = []
        self.still.answer(question, found)

    def covered(self, given: Picture, row: int) -> None:
        """Keep what covering the places of one row changes."""
        places: list[Any] = []
        for col in range(PLACES):
            answer = self.asking.get(
                "occlude",
                {"picture": given.id, "x": (col + 0.5) / PLACES, "y": (row + 0.5) / PLACES, "size": PATCH},
            )
            found = answer.json() if answer.good else None
            places.append(None if found is None else {key: found[key] for key in ("before", "after", "target", "box")})
        self.still.answer(question_of("covers", {"picture": given.id, "row": row}), places)
        if row == PLACES - 1:
            self.still.close_pack()

    # --- the atlas

    def patches(self, layer: str, cards: bool) -> None:
        """Keep the best patches of a layer's units, and the cards of these."""
        assert self.house.atlas is not None
        found = self.keep("patches", {"layer": layer})
        if found is None:
            return
        self.draw("patches.png", {"layer": layer})
        self.still.close_pack()
        for unit in range(found["channels"] if cards else 0):
            card = self.keep("unit", {"layer": layer, "unit": unit})
            if card is None:
                continue
            shown = [*card["top"], *card["bottom"], *card["strip"]]
            shown += [one["patch"] for one in (*card["similar"], *card["parallel"]) if one["patch"]]
            for patch in shown:
                self.seen.setdefault(patch["picture"], set()).add(None)
        self.still.close_pack()

    def map(self) -> None:
        """Keep the map, and the neighbours of the pictures of the page."""
        found = self.keep("map", {"method": "pca"})
        if found is None:
            return
        for start in sorted({picture // _PIECE * _PIECE for picture in found["pictures"]}):
            self.draw("map/thumbnails.png", {"from": start or None, "count": _PIECE, "side": _SIDE})
        asked: list[dict[str, object]] = [{"picture": given.id} for given in self.house.pictures.all()]
        if len(found["pictures"]) <= _NEIGHBOURS:
            asked += [{"index": picture} for picture in found["pictures"]]
            for picture in found["pictures"]:
                self.seen.setdefault(picture, set()).add(None)
        for question in asked:
            near = self.keep("neighbours", {**question, "layer": found["layer"]})
            for one in [] if near is None else near["neighbours"]:
                self.seen.setdefault(one["picture"], set()).add(96)
        self.still.close_pack()

    def atlas_pictures(self) -> None:
        """Keep the pictures of the atlas that cards and map show: photographs, so as JPEG."""
        atlas = self.house.atlas
        assert atlas is not None
        for index in sorted(self.seen):
            for side in sorted(self.seen[index], key=lambda one: one or 0):
                question = question_of(f"atlas/pictures/{index}.png", {"side": side})
                try:
                    data = encode_jpeg(atlas.pictures.shown(index, side))
                except StriateError as error:
                    self.still.refuse(question, str(error))
                    self.left_out.append(str(error))
                else:
                    self.still.picture(data, question, "jpg")

    # --- asking

    def keep(self, path: str, parameters: dict[str, object] | None = None, quietly: bool = False) -> Any:
        """Ask, and keep what is answered; None where nothing is."""
        question, answer = question_of(path, parameters), self.asking.get(path, parameters)
        if answer.status == 202:
            if self.wait(answer.json()["job"], path) is None:
                self.still.refuse(question, self.left_out[-1])
                return None
            answer = self.asking.get(path, parameters)
        if not answer.good:
            self._left_out(question, "" if quietly else path, answer)
            return None
        found = answer.json()
        self.still.answer(question, found)
        return found

    def draw(self, path: str, parameters: dict[str, object]) -> None:
        """Ask for a picture, and keep it."""
        question, answer = question_of(path, parameters), self.asking.get(path, parameters)
        if answer.good:
            self.still.picture(answer.body, question)
        else:
            self._left_out(question, path, answer)

    def wait(self, job: str, words: str) -> Any:
        """Wait for a job; its result, or None where it failed."""
        held = self.house.jobs.get(job)
        try:
            while not held.over.wait(_PAUSE):
                progress.check_stop(words)
        except BaseException:
            held.stop()
            raise
        if held.state == "done":
            return held.result
        self.left_out.append(f"{words}: {held.error}")
        return None

    def _file(self, url: str) -> str:
        answer = self.asking.get(url.removeprefix("/api/").split("?")[0])
        return self.still.picture(answer.body) if answer.good else ""

    def _left_out(self, question: str, words: str, answer: Answer) -> None:
        self.still.refuse(question, answer.error)
        if words and len(self.left_out) < 100:
            self.left_out.append(f"{words}: {answer.error}")
