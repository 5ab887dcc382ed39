"""The pass itself: pictures through the network, shares onto the disk. Plans nothing and merges nothing."""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate import dataset, progress
from striate.atlas.passing import Passing
from striate.atlas.reaching import filled, places_of
from striate.atlas.shares import Share, write_share
from striate.atlas.tally import Tally
from striate.dataset.pictures import PictureSet
from striate.errors import NetworkError
from striate.graph import Layer
from striate.network import Network

__all__ = ["TASK", "Job", "scan"]

TASK = "atlas"
Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Job:
    """What is to be done with which pictures.

    Attributes:
        layers: whose units are tallied, in the order of the network.
        features: layers whose features are kept for every picture.
        indices: of the pictures in their set, (M,) int64.
        first: what the first of them is numbered; the others follow.
        labels: (M,) int64, -1 where unknown; None where there are none.
        shares: of these pictures.
        sample: which of them are in the sample whose every value is kept, (M,) bool.
        vectors: which of them give a vector of a single position, (M,) bool.
        lots: decide which position that is, (M,) uint64.
        settings: options of the atlas: batch, top, histograms, classes, logits, dtype, pool.
        new: the pictures are not in the atlas yet, so that one can be set aside.
        outputs: keep predictions, losses and logits too; else the network is run no further than the layers are.
        losses: the labels are classes of the network.
    """

    layers: tuple[Layer, ...]
    features: tuple[Layer, ...]
    indices: NDArray[np.int64]
    first: int
    labels: NDArray[np.int64] | None
    shares: tuple[Share, ...]
    sample: NDArray[np.bool_]
    vectors: NDArray[np.bool_]
    lots: NDArray[np.uint64]
    settings: dict[str, Any]
    new: bool
    outputs: bool
    losses: bool


def scan(
    network: Network,
    source: PictureSet,
    job: Job,
    mine: Sequence[Share],
    work: Path,
    *,
    workers: int | None = None,
    watch: Callable[[], None] = lambda: None,
) -> None:
    """Send the pictures of some shares through the network, and write each share when it is done.

    Args:
        network: that is run.
        source: has the pictures.
        job: what is to be done.
        mine: shares of the job, ascending, that are to be done here.
        work: where they are written.
        workers: decoding threads; see `dataset.stream`.
        watch: called before each batch; may raise to end the pass.

    Pictures for which the network gives NaN or infinity are set aside like those that cannot be read, and the others
    of their batch run again without them.

    Raises:
        NetworkError: the network cannot be run, a layer gives what has no value, or the numbers of all of the first
            pictures are not finite.
        OptionError: the memory of the device does not hold a batch.
        OutputError: a share cannot be written.
        Stopped: the user asked to stop; finished shares are kept.
    """
    if not mine:
        return
    batch = int(job.settings["batch"])
    tally = Tally(
        job.layers,
        batch=batch,
        top=max(job.settings["top"], 1),  # 0 where there are no units to rank
        device=network.device,
        histograms=job.settings["histograms"],
        classes=job.settings["classes"] and job.labels is not None,
        pictures=len(job.indices),
    )
    tallied, pooled = set(tally.places), {layer.address for layer in job.features}
    wanted = places_of((*job.layers, *job.features))
    passing = Passing(network, wanted, tally, tallied - pooled, pictures=len(job.indices), logits=job.outputs)
    places = np.concatenate([np.arange(share.start, share.stop) for share in mine])
    batches = dataset.stream(
        source, network.spec, job.indices[places], batch=batch, workers=workers, device=network.device
    )
    # every share but the last of all is a whole number of batches, so that no batch is of two shares
    total, done, started = len(places), 0, time.monotonic()
    with contextlib.closing(batches):
        for share in mine:
            tally.begin(job.first + share.start)
            pass_ = _Pass(network, source, job, tally, passing.run)
            for start in range(share.start, share.stop, batch):
                progress.report(progress.Event(TASK, done, total, _rate(done, time.monotonic() - started)))
                watch()
                pass_.take(next(batches), start)
                done += min(batch, share.stop - start)
            if job.first + share.start == 0:
                pass_.check_some()
            write_share(work, share, pass_.finish())
    progress.report(progress.Event(TASK, total, total))


def _rate(pictures: int, seconds: float) -> str:
    """Say how fast it goes, once there is something to say."""
    if not pictures or seconds <= 0:
        return ""
    rate = pictures / seconds
    return f"{rate:,.0f} pictures/s" if rate >= 10 else f"{rate:.1f} pictures/s"


class _Pass:
    """One share on its way."""

    def __init__(
        self,
        network: Network,
        source: PictureSet,
        job: Job,
        tally: Tally,
        run: Callable[[Tensor, Callable[[str, Tensor], None]], Tensor | None],
    ) -> None:
        self.network = network
        self.source = source
        self.job = job
        self.tally = tally
        self.run = run
        self.pooled = {layer.address: layer for layer in job.features}
        self.tallied = frozenset(tally.places)
        self.kept: dict[str, list[Array]] = defaultdict(list)
        self.broken: list[tuple[int, str]] = []
        self.unusable: list[str] = []
        self.whole = job.settings.get("pool") == "whole"

    def take(self, batch: dataset.Batch, start: int) -> None:
        """Run a batch whose first picture stands at `start` among those of the job."""
        job, count = self.job, len(batch.indices)
        asked = job.indices[start : start + batch.asked]
        reasons = dict(batch.broken)
        good = np.array([index not in reasons for index in asked.tolist()], np.bool_)
        self.broken += [(start + place, reasons[int(asked[place])]) for place in np.flatnonzero(~good).tolist()]
        if not count:
            return
        places, images = start + np.flatnonzero(good), self.network.batch(batch.images)
        while True:
            self.tally.expect(job.sample[places].tolist())
            kept, wrong = self._run(filled(images, int(job.settings["batch"])), places)
            if not wrong:
                break
            self._set_aside({int(places[row]): why for row, why in wrong.items()})
            rows = [row for row in range(len(places)) if row not in wrong]
            if not rows:
                return
            # as if they had been broken from the beginning
            places, images = places[rows], images[rows]
        self.tally.settle(job.first + places, None if job.labels is None else job.labels[places])
        for name, part in kept.items():
            self.kept[name].append(part)

    def _set_aside(self, wrong: dict[int, str]) -> None:
        """List pictures of the job as unusable, with the reasons.

        Raises:
            NetworkError: they are in the atlas already, which new layers cannot leave.
        """
        for place, why in sorted(wrong.items()):
            reason = f"{self.source.name(int(self.job.indices[place]))}: {why}"
            if not self.job.new:
                raise NetworkError(f"{reason} The picture is in the atlas. Leave the layer out.")
            self.broken.append((place, reason))
            self.unusable.append(reason)

    def check_some(self) -> None:
        """Make sure that there is a picture to go on with.

        Raises:
            NetworkError: there would be, but for what the network gives.
        """
        if self.unusable and "places" not in self.kept:
            raise NetworkError(
                f"{self.unusable[0]} None of the first {len(self.unusable):,} pictures can be used, so it is hardly "
                "the pictures: look for NaN among the weights, or leave the layer out."
            )

    def _run(self, images: Tensor, places: NDArray[np.int64]) -> tuple[dict[str, Array], dict[int, str]]:
        """Run pictures; return what is kept of each, and for which rows there are no finite numbers, and why."""
        total = len(images)
        kept: dict[str, Array] = {"places": places}
        wrong: dict[int, str] = {}

        def see(place: str, output: Tensor) -> None:
            if place in self.tallied:
                self.tally.see(place, output, total)
            arranged = self.pooled[place].arranged(output, total)
            if self.whole:
                self._keep_whole(kept, wrong, place, arranged)
                return
            if place in self.tallied:
                means = self.tally.means(place, total)
            else:
                means = arranged.float().mean((2, 3)) if arranged.dim() == 4 else arranged.float()
            self._keep_features(kept, wrong, place, arranged, means)

        logits = self.run(images, see)
        if logits is not None:
            self._keep_outputs(kept, wrong, logits[: len(places)].float())
        for row, place in self.tally.unusable(len(places)).items():
            wrong[row] = f"layer {place!r} gives NaN, infinite or immense values (above 1e19) for it."
        return kept, wrong

    def _keep_features(
        self, kept: dict[str, Array], wrong: dict[int, str], place: str, arranged: Tensor, means: Tensor
    ) -> None:
        places, number = kept["places"], list(self.pooled).index(place)
        kind = np.dtype(self.job.settings["dtype"])
        with np.errstate(over="ignore"):
            features = means[: len(places)].cpu().numpy().astype(kind)
        self._judge(wrong, place, np.isfinite(features).all(1))
        kept[f"features-{number}"] = features
        rows = np.flatnonzero(self.job.vectors[places])
        if not len(rows):
            return
        lots = self.job.lots[places[rows]]
        if arranged.dim() == 4:
            height, width = arranged.shape[2:]
            spots = (lots % np.uint64(height * width)).astype(np.int64)
            found = arranged[
                torch.from_numpy(rows), :, torch.from_numpy(spots // width), torch.from_numpy(spots % width)
            ]
            positions = np.stack([spots // width, spots % width], 1)
        else:
            found, positions = arranged[torch.from_numpy(rows)], np.full((len(rows), 2), -1)
        kept[f"samples-{number}-vectors"] = found.float().cpu().numpy()
        kept[f"samples-{number}-pictures"] = self.job.first + places[rows]
        kept[f"samples-{number}-positions"] = positions.astype(np.int32)

    def _keep_whole(self, kept: dict[str, Array], wrong: dict[int, str], place: str, arranged: Tensor) -> None:
        """Keep the maps of a layer as they are, (n, C, H, W)."""
        layer, count = self.pooled[place], len(kept["places"])
        size = (layer.channels, *(layer.map_size or ()))
        if tuple(arranged.shape[1:]) != size:
            raise NetworkError(
                f"layer {place!r} gives {' x '.join(map(str, arranged.shape[1:]))} for these pictures and "
                f"{' x '.join(map(str, size))} for others: whole maps need to be of one size."
            )
        kind = torch.float16 if self.job.settings["dtype"] == "float16" else torch.float32
        # a copy in any case: the next operation may write into what the layer gave
        maps = torch.empty((count, *size), dtype=kind, device=arranged.device).copy_(arranged[:count])
        self._judge(wrong, place, torch.isfinite(maps).flatten(1).all(1).cpu().numpy())
        kept[f"features-{list(self.pooled).index(place)}"] = maps.cpu().numpy()

    def _judge(self, wrong: dict[int, str], place: str, finite: Array) -> None:
        """Take note of the rows whose features are not finite as they would be kept."""
        kind = self.job.settings["dtype"]
        hint = " float16 ends at 65,504; float32 (dtype=, --dtype) holds more." if kind == "float16" else ""
        for row in np.flatnonzero(~finite).tolist():
            wrong[row] = f"layer {place!r} gives features for it that are not finite as {kind}.{hint}"

    def _keep_outputs(self, kept: dict[str, Array], wrong: dict[int, str], logits: Tensor) -> None:
        chance = logits.log_softmax(1)
        best, prediction = chance.max(1)
        kept["predictions"] = prediction.cpu().numpy()
        kept["probabilities"] = best.exp().cpu().numpy()
        # a class that is ruled out may have -inf
        for row in np.flatnonzero(~np.isfinite(kept["probabilities"])).tolist():
            wrong[row] = "the network gives NaN or infinite logits for it."
        if self.job.settings["logits"]:
            kept["logits"] = logits.half().cpu().numpy()
        if self.job.losses and self.job.labels is not None:
            labels = self.job.labels[kept["places"]]
            rows = torch.from_numpy(labels.clip(0)).to(chance.device)
            losses = -chance.gather(1, rows[:, None])[:, 0].cpu().numpy()
            kept["losses"] = np.where(labels >= 0, losses, np.float32(np.nan)).astype(np.float32)

    def finish(self) -> dict[str, Array]:
        """Return all that the share gave."""
        arrays: dict[str, Array] = dict(self.tally.finish())
        arrays |= {name: np.concatenate(parts) for name, parts in self.kept.items()}
        arrays.setdefault("places", np.zeros(0, np.int64))
        self.broken.sort()
        arrays["broken_places"] = np.array([place for place, _ in self.broken], np.int64)
        arrays["broken_reasons"] = np.array([reason for _, reason in self.broken], np.str_)
        return arrays
