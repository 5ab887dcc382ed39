"""What is served: a network (and another beside it), an atlas, pictures, jobs and answers. Speaks no HTTP."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from striate import __version__
from striate.atlas import Atlas
from striate.atlas import open as open_atlas
from striate.errors import OptionError
from striate.layer_map import aliases
from striate.perturbation.one_patch import Covering
from striate.registry import function
from striate.web.answers import Answers
from striate.web.jobs import Jobs
from striate.web.sheets import Sheets
from striate.web.store import Store

if TYPE_CHECKING:
    from torch import Tensor

    from striate.learn import Run
    from striate.network import Network
    from striate.results import Activations
    from striate.results.sprite import Scale, Sprite
    from striate.web.looking import Kept

__all__ = ["House", "Limits"]

_MAPS = 256 * 2**20  # bytes of feature maps that are kept
_SHEETS = 32 * 2**20  # bytes of sheets that were told about, and will be asked for
_COVERED = 2  # pictures that are kept ready to be covered: they hold all of their maps
_SLOW = 0.06  # seconds of a pass from which preparing one is worth it
_READ = 64 * 2**20  # bytes of pictures that are kept ready for the network


@dataclass(frozen=True)
class Limits:
    """How much one may ask for, so that no request takes the machine.

    Attributes:
        upload: bytes of one picture.
        pixels: of one picture.
        uploads: pictures kept at a time; the one not looked at for the longest goes first.
        room: bytes of all uploads together.
        body: bytes of any other request.
        answers: bytes of the answers that are kept.
        results: bytes of the lenses' results that are kept.
        waiting: jobs that may wait or run at a time.
        networks: networks of a training's epochs that are kept open.
    """

    upload: int = 32 * 2**20
    pixels: int = 50_000_000
    uploads: int = 64
    room: int = 256 * 2**20
    body: int = 2**20
    answers: int = 256 * 2**20
    results: int = 512 * 2**20
    waiting: int = 32
    networks: int = 3


class House:
    """All that one page looks at.

    Attributes:
        network: that is looked into.
        other: a second one to compare with, or None.
        atlas: what `network` saw in a data set, or None.
        run: the training that `network` came from, or None.
        sheets: pictures that were made for units of `network` before, or None.
        pictures: by id.
        jobs: what takes long.
        answers: encoded answers (bytes) by question.
        results: of lenses, by id.
        limits: see `Limits`.
        seconds: that lenses took, by name and options.
        mark: changes with whatever makes answers other ones: versions, weights, the atlas.
    """

    def __init__(
        self,
        network: Network,
        *,
        other: Network | None = None,
        atlas: Atlas | None = None,
        run: Run | None = None,
        sheets: Sheets | None = None,
        pictures: Sequence[Path] = (),
        limits: Limits | None = None,
    ) -> None:
        """Take what is served as it is.

        Args:
            network: that is looked into.
            other: a second network.
            atlas: of `network`.
            run: the training that `network` came from.
            sheets: pictures that were made for its units.
            pictures: sample pictures: files, the only ones on the disk that are ever shown.
            limits: the usual unless given.

        Raises:
            AtlasError: the atlas is of another network, or keeps features only.
        """
        if atlas is not None:
            atlas.check(network)
            atlas.check_units()
        self.network, self.other, self.atlas, self.run, self.sheets = network, other, atlas, run, sheets
        self.limits = limits or Limits()
        self.pictures = Store(pictures, self.limits, network.spec.channels)
        self.jobs = Jobs(self.limits.waiting)
        self.answers: Answers[bytes] = Answers(self.limits.answers, len)
        self.results: Answers[Kept] = Answers(self.limits.results, lambda kept: kept.bytes)
        marks = [__version__, network.weights_hash, "" if other is None else other.weights_hash]
        marks.append("" if atlas is None else str(atlas.manifest.get("data", "")) + str(atlas.path.stat().st_mtime_ns))
        marks.append("" if sheets is None else sheets.mark)
        self.mark = ":".join(marks)
        self.seconds: dict[str, float] = {}
        self._maps: Answers[Activations] = Answers(_MAPS, _size)
        self._sheets: Answers[Sprite] = Answers(_SHEETS, lambda made: int(made.pixels.nbytes))
        self._read: Answers[Tensor] = Answers(_READ, lambda image: int(image.nbytes))
        self._coverings: OrderedDict[tuple[str, str], Covering] = OrderedDict()
        self._epochs: OrderedDict[int, Network] = OrderedDict()
        self._twins: OrderedDict[int, tuple[Network, Network]] = OrderedDict()
        self._guard = threading.Lock()
        for one in (network, other):  # traced before the first question comes
            if one is not None:
                one.graph()

    @classmethod
    def open(
        cls,
        source: Network | str | Path,
        *,
        atlas: Atlas | str | Path | None = None,
        pictures: Sequence[str | Path] = (),
        compare: Network | str | Path | None = None,
        run: Run | str | Path | None = None,
        sheets: str | Path | None = None,
        limits: Limits | None = None,
    ) -> House:
        """Open what is named.

        Args:
            source: a network, or what `striate.load` takes; the folder of a training run brings its epochs along.
            atlas: of that network, or its folder.
            pictures: files and folders of sample pictures.
            compare: a second network.
            run: the training that the network came from; found by itself where `source` is its folder.
            sheets: folder of what `striate synthesize SOURCE LAYER --out LAYER.npz` has made.
            limits: the usual unless given.

        Raises:
            NetworkError: a network cannot be loaded.
            AtlasError: the atlas cannot be opened, or is of another network.
            ImageError: there are no pictures in those folders.
            OptionError: there is nothing in `sheets` that was made for this network.
        """
        from striate.images import find_images
        from striate.sources import load

        # a picture of other kinds of networks is an array
        files = find_images(pictures, suffixes=(*_suffixes(), ".npy")) if pictures else []
        network = load(source) if isinstance(source, str | Path) else source
        return cls(
            network,
            other=load(compare) if isinstance(compare, str | Path) else compare,
            atlas=open_atlas(atlas) if isinstance(atlas, str | Path) else atlas,
            run=_run(source if run is None else run),
            sheets=None if sheets is None else Sheets(Path(sheets), network),
            pictures=files,
            limits=limits,
        )

    def asked(self, other: bool = False, epoch: int | None = None) -> Network:
        """Return the network that a question is about.

        Args:
            other: the second one.
            epoch: of the training, as a checkpoint was kept of it.

        Raises:
            OptionError: there is no second network, no training, or no such epoch.
        """
        if other:
            if epoch is not None:
                raise OptionError("an epoch is one of the first network's training: leave out epoch, or other.")
            if self.other is None:
                raise OptionError("there is no second network here. Start with: striate serve SOURCE --compare OTHER.")
            return self.other
        return self.network if epoch is None else self._at(epoch)

    def looked_at(self, picture: str | Sequence[str], network: Network) -> Tensor:
        """Return a picture, or several, as a network takes them, (N, C, H, W).

        Raises:
            UnknownError: no picture has this id.
            ImageError: one is not what the network takes.
        """
        ids = (picture,) if isinstance(picture, str) else tuple(picture)
        spec = network.spec

        def read() -> Tensor:
            found = [self.pictures.get(one).decoded(spec.channels, spec.short_side) for one in ids]
            return network.prepare(found)

        return self._read.get((ids, spec), read)

    def activations(self, picture: str, layer: str, network: Network) -> Activations:
        """Return what a layer answers to a picture: worked out once for all questions about it.

        Raises:
            UnknownError: no picture has this id.
            AddressError: no such layer.
            NetworkError: the layer gives neither maps nor a vector.
        """

        def ask() -> Activations:
            found: Activations = function("activations")(network, self.looked_at(picture, network), layers=[layer])
            return found

        return self._maps.get((picture, layer, network.weights_hash), ask)

    def sheet(self, picture: str, layer: str, scale: Scale, network: Network) -> Sprite:
        """Return the maps of a layer on one sheet; raises what `activations` does."""
        question = (picture, layer, scale, network.weights_hash)
        return self._sheets.get(
            question, lambda: self.activations(picture, layer, network).sprite(layer, 0, scale=scale)
        )

    @cached_property
    def aliases(self) -> dict[str, str]:
        """The address that the page has for layers of the first network which end where others do."""
        return aliases(self.network.graph())

    def called(self, layer: str) -> str:
        """Return the address by which the page knows a layer."""
        return self.aliases.get(layer, layer)

    def own(self, layer: str, known: Sequence[str]) -> str:
        """Return the one of some addresses that means a layer of the page; the layer itself where none does."""
        return (
            layer if layer in known else next((one for one in known if self.called(one) == self.called(layer)), layer)
        )

    def made_before(self) -> Sheets:
        """Return the pictures that were made for units before.

        Raises:
            OptionError: there are none.
        """
        if self.sheets is None:
            raise OptionError(
                "there are no pictures that were made before. Make some (striate synthesize SOURCE LAYER --out "
                "FOLDER/LAYER.npz), and start with: striate serve SOURCE --sheets FOLDER."
            )
        return self.sheets

    def made_sheet(self, layer: str) -> Sprite:
        """Return what was made for the units of a layer on one sheet; raises what `Sheets.sheet` does."""
        sheets, channels = self.made_before(), self.network.graph().layer(layer).channels
        layer = self.own(layer, sheets.layers)
        return self._sheets.get((layer, sheets.mark), lambda: sheets.sheet(layer, channels))

    def covering(self, picture: str, network: Network) -> Covering:
        """Return a picture ready to be covered; where the network is slow, what makes that faster begins beside it.

        Raises what `looked_at` does.
        """
        question = picture, network.weights_hash
        with self._guard:
            found = self._coverings.get(question)
            if found is not None:
                self._coverings.move_to_end(question)
                return found
        made = Covering(network, self.looked_at(picture, network))
        with self._guard:
            found = self._coverings.setdefault(question, made)
            while len(self._coverings) > _COVERED:
                self._coverings.popitem(last=False)
        if found is made and made.seconds > _SLOW:
            threading.Thread(target=made.prepare, name="striate covering", daemon=True).start()
        return found

    def twin(self, network: Network) -> Network:
        """Return the network for long jobs: the same weights in other modules, so that short ones need not wait."""
        with self._guard:
            found = self._twins.get(id(network))
            if found is None:
                found = network, network.twin()
                self._twins[id(network)] = found
                while len(self._twins) > self.limits.networks + 2:
                    self._twins.popitem(last=False)
            return found[1]

    def _at(self, epoch: int) -> Network:
        if self.run is None:
            raise OptionError("there are no epochs here: what is served is no folder of a training run.")
        with self._guard:
            if epoch in self._epochs:
                self._epochs.move_to_end(epoch)
                return self._epochs[epoch]
            kept = self.run.checkpoints
            if epoch not in kept:
                raise OptionError(f"no network of epoch {epoch} was kept; there are {', '.join(map(str, kept))}.")
            self._epochs[epoch] = self.run.network(epoch)
            while len(self._epochs) > self.limits.networks:
                self._epochs.popitem(last=False)
            return self._epochs[epoch]


def _size(found: Activations) -> int:
    return sum(int(maps.nbytes) for maps in found.maps.values())


def _suffixes() -> tuple[str, ...]:
    from striate.images import SUFFIXES

    return SUFFIXES


def _run(source: Network | Run | str | Path) -> Run | None:
    """Open the training that a source is the folder of, or return None."""
    if not isinstance(source, str | Path):
        from striate.network import Network

        return None if isinstance(source, Network) else source
    if not (Path(source) / "settings.json").is_file():
        return None
    from striate.learn import Run

    return Run.open(source)
