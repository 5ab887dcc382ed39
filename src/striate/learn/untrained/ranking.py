"""Rank architectures by what they do with random weights, then train the best. Keeps what is done; draws nothing."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any, Final

import torch

import striate
from striate import progress
from striate.errors import OptionError, StriateError, TrainingError
from striate.files import shown, write_text
from striate.learn.loop import fit
from striate.learn.pictures.feeding import Feed
from striate.learn.pictures.split import Split, split
from striate.learn.pictures.standardize import standardized
from striate.learn.starting.naming import smallest_side
from striate.learn.starting.sizing import fitting
from striate.learn.starting.start import start, usual_device
from striate.learn.untrained.fewer import fewer
from striate.learn.untrained.random_features import missing, pictures_for, source_of, trained_last
from striate.locking import locked
from striate.network import Network
from striate.progress import Event
from striate.results import Recipe
from striate.results.net_ranking import NetRanking, RankedNet
from striate.spec import InputSpec

__all__ = ["NETS", "TASK", "rank_nets"]

TASK: Final = "ranking networks"
FORMAT: Final = "striate-ranking-1"
NETS: Final = {
    "1x1 max 4": "conv 32 1x1 relu, pool 4, flatten, dense",
    "3x3 max 4": "conv 32 3x3 relu, pool 4, flatten, dense",
    "5x5 max 4": "conv 32 5x5 relu, pool 4, flatten, dense",
    "9x9 max 4": "conv 32 9x9 relu, pool 4, flatten, dense",
    "5x5 max 7": "conv 32 5x5 relu, pool 7, flatten, dense",
    "5x5 average 4": "conv 32 5x5 relu, pool 4 average, flatten, dense",
    "5x5 average all": "conv 32 5x5 relu, global average, flatten, dense",
    "5x5 squares 4": "conv 32 5x5, pool 4 l2, flatten, dense",
    "5x5 linear": "conv 32 5x5, pool 4 average, flatten, dense",
    "5x5 step 2": "conv 32 5x5 stride 2 relu, pool 2, flatten, dense",
    "5x5 step 4": "conv 32 5x5 stride 4 relu, flatten, dense",
    "5x5 of 8": "conv 8 5x5 relu, pool 4, flatten, dense",
}
"""Single layers of filters that differ in their size, number and step, in what follows them and in pooling, as those
of Saxe et al. did (theirs squared and pooled): what is ranked unless something else is named. For pictures of 28 pixels
and more."""


def rank_nets(
    source: Any,
    nets: Mapping[str, str] | Sequence[str] = NETS,
    validation: Any = None,
    *,
    out: str | os.PathLike[str] | None = None,
    seeds: int | Sequence[int] = 3,
    train_best: int = 0,
    epochs: int = 10,
    size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    initial: str | None = None,
    standardize: str = "channel",
    share: float = 0.2,
    pictures: int | None = None,
    labels: Any = None,
    settings: Mapping[str, Any] | None = None,
    device: str | torch.device | None = None,
    workers: int | None = None,
) -> NetRanking:
    """Rank architectures by their accuracy with random weights and a trained last layer, and train the best of them.

    All are asked about the same validation pictures, at the same size. The random weights of a network are drawn once
    for each seed; the mean counts. Of those that are then trained (all weights, `striate.learn.fit`) the accuracy after
    the last epoch counts: none is chosen after the fact. With `out` everything that is done is kept, and the same call
    goes on where it was stopped; nets and seeds may be added later, and more of them trained.

    Args:
        source: pictures, as `striate.learn.split` takes them, or a `Split`.
        nets: names of networks as `striate.learn.start` takes them, or rows of layers ("conv 32 5x5 relu, pool 2,
            flatten, dense"), or "NAME=" and either; or these by what to call them.
        validation: as for `split`.
        out: a folder.
        seeds: how many (0, 1, ...), or which.
        train_best: how many to train; 0 for none, a large number for all.
        epochs: of each training.
        size: of the pictures, side or (height, width); what suits them unless given.
        channels: likewise.
        initial: how random weights are drawn (see `striate.nets.initialise`); what suits each network unless given.
        standardize: "channel", "pixel", "none", or "model".
        share: of each class that is set aside, where nothing else says what to validate on.
        pictures: how many to train on, of each class its share, drawn by lot; all unless given.
        labels: a table of the pictures' labels.
        settings: more for `striate.learn.fit`: optimizer, rate, batch, ...
        device: where to work; a GPU where there is one unless given.
        workers: decoding threads.

    Returns:
        The ranking, with the rank correlation of random and trained accuracy, and how certain that is.

    Raises:
        OptionError: no networks, two of one name, or an option that makes no sense.
        DataError: the pictures cannot be used; or there are none to validate on.
        NetworkError: one of the networks cannot be built for them (said before anything is done), or its last layer
            cannot be solved for.
        TrainingError: `out` holds a ranking on other pictures or with other settings, or another process works there.
        OutputError: `out` cannot be written.
        Stopped: the user asked to stop; with `out` what is done is kept.

    Source: Saxe et al. 2011, "On random weights and unsupervised feature learning", ICML, section 4.
    """
    chosen = tuple(range(seeds)) if isinstance(seeds, int) else tuple(dict.fromkeys(seeds))
    if not chosen or epochs < 1 or train_best < 0:
        raise OptionError(
            f"a ranking needs at least one seed and one epoch, and trains none or more networks; got seeds={seeds}, "
            f"epochs={epochs}, train_best={train_best}."
        )
    began = time.perf_counter()
    parts = fewer(split(source, validation, share=share, seed=0, labels=labels), pictures, 0)
    if parts.validation is None:
        raise OptionError("a ranking needs pictures to validate on: give a share above 0, or others.")
    texts = _named(nets, len(parts.class_names))
    smallest = max(smallest_side(text) for text in texts.values())
    fits = fitting(parts.train, parts.train_indices, smallest=smallest)
    fixed = {"size": fits.size if size is None else size, "channels": fits.channels if channels is None else channels}
    job = _Job(parts, texts, fixed, initial, standardize, usual_device() if device is None else device, workers)
    weights = {name: job.make(name, chosen[0]).graph().parameters for name in texts}  # mistakes are said at once
    asked = {"size": list(job.size), "channels": fixed["channels"], "initial": initial, "standardize": standardize}
    training = {"epochs": epochs, **(settings or {})}
    with ExitStack() as stack:
        record = _Record(None if out is None else Path(out), parts, asked, training)
        stack.enter_context(record.held())
        record.begin(trains=train_best > 0)
        training = record.training
        stack.callback(job.close)
        todo = [(name, seed) for name in texts for seed in chosen]
        total = len(todo) + min(train_best, len(texts))
        for done, (name, seed) in enumerate(todo):
            progress.check_stop(TASK)
            found = record.random.get(_key(texts[name], seed))
            if found is None:
                found = job.ask(name, seed)
                record.keep("random", _key(texts[name], seed), found)
            reached = f"{name}, random weights, seed {seed}: {100 * found['accuracy']:.1f} %"
            progress.report(Event(TASK, done + 1, total, reached))
        means = {name: sum(record.random[_key(texts[name], seed)]["accuracy"] for seed in chosen) for name in texts}
        order = sorted(texts, key=lambda name: -means[name])
        for done, name in enumerate(order[:train_best], len(todo) + 1):
            progress.check_stop(TASK)
            found = record.trained.get(texts[name])
            if found is None:
                found = job.train(name, chosen[0], record.run_of(name), training)
                record.keep("trained", texts[name], found)
            reached = found["note"] or f"{100 * found['accuracy']:.1f} %"
            progress.report(Event(TASK, done, total, f"{name}, trained: {reached}"))
        first = record.random[_key(texts[order[0]], chosen[0])]  # all are asked about the same pictures
        rows = tuple(_row(name, texts[name], weights[name], record, chosen) for name in order)
    return NetRanking(
        nets=rows,
        seeds=chosen,
        classes=len(parts.class_names),
        pictures=first.get("learned", len(parts.train_indices)),
        judged=first.get("judged", len(parts.validation_indices)),
        epochs=training["epochs"],
        recipe=Recipe(
            lens="rank-nets",
            options={
                **asked, "nets": dict(texts), "seeds": list(chosen), "train_best": train_best, "pictures": pictures,
                **training,
            },
            version=striate.__version__,
            seconds=time.perf_counter() - began,
            device=str(job.device),
            torch=torch.__version__,
            notes=(
                *parts.notes,
                *missing(first.get("unread", 0), first.get("reasons", [])),
                *([fits.words] if size is None else []),
            ),
        ),
    )  # fmt: skip


def _named(nets: Mapping[str, str] | Sequence[str], classes: int) -> dict[str, str]:
    """Return what is to be ranked, by what it is called."""
    if isinstance(nets, str):
        nets = [nets]
    pairs = list(nets.items()) if isinstance(nets, Mapping) else [_called(text) for text in nets]
    if not pairs:
        raise OptionError("no networks to rank: name at least one, such as 'cnn2', or a row of layers.")
    found = {name: source_of(text, classes) for name, text in pairs}
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise OptionError(f"two networks are called {twice!r}: give them names of their own (NAME=LAYERS).")
    return found


def _called(text: str) -> tuple[str, str]:
    """Return name and layers of "NAME=LAYERS"; of layers alone what tells them from others: their windows."""
    name, equals, layers = text.partition("=")
    if equals and name.strip() and layers.strip() and not any(sign in name for sign in ",:"):
        return " ".join(name.split()), layers.strip()
    plain = " ".join(text.split())
    if " " not in plain:
        return plain.removeprefix("striate:"), plain
    kept = re.sub(r"^striate:sequential,\d+x\d+x\d+,", "", plain)
    words = [re.sub(r"\brelu\b|\bflatten\b|\bdense( \d+)?$", "", piece) for piece in kept.split(",")]
    return ", ".join(" ".join(piece.split()) for piece in words if piece.strip()) or kept, plain


def _key(text: str, seed: int) -> str:
    return f"{seed}|{text}"


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as they come back from a file."""
    plain: dict[str, Any] = json.loads(json.dumps(dict(settings), default=str))
    return plain


def _row(name: str, text: str, weights: int, record: _Record, seeds: Sequence[int]) -> RankedNet:
    random = [record.random[_key(text, seed)] for seed in seeds]
    trained = record.trained.get(text, {"accuracy": math.nan, "seconds": math.nan, "note": ""})
    reached = trained["accuracy"]
    return RankedNet(
        name=name,
        net=text,
        weights=weights,
        features=int(random[0]["features"]),
        random=tuple(float(one["accuracy"]) for one in random),
        random_seconds=sum(float(one["seconds"]) for one in random),
        trained=math.nan if reached is None else float(reached),
        trained_seconds=float(trained["seconds"]),
        note=str(trained["note"]),
    )


class _Job:
    """Makes the networks and asks them; pictures that several take in the same way are decoded once."""

    def __init__(
        self,
        parts: Split,
        texts: Mapping[str, str],
        fixed: Mapping[str, Any],
        initial: str | None,
        standardize: str,
        device: str | torch.device,
        workers: int | None,
    ) -> None:
        self._parts, self._texts, self._fixed = parts, texts, fixed
        self._initial, self._standardize, self._workers = initial, standardize, workers
        self.device = device
        self._specs: dict[str, InputSpec] = {}
        self._feeds: dict[str, Feed] = {}
        self._of: InputSpec | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the pictures."""
        size = self._fixed["size"]
        return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))

    def make(self, name: str, seed: int) -> Network:
        """Build one with random weights."""
        names = self._parts.class_names
        return start(
            self._texts[name], classes=len(names), class_names=names, initial=self._initial, seed=seed, **self._fixed
        )

    def ask(self, name: str, seed: int) -> dict[str, Any]:
        """Train the last layer of one, and say how good it is then."""
        began = time.perf_counter()
        network = self._ready(name, seed)
        found = trained_last(network, self._parts, self._feed)
        return {
            "accuracy": found.accuracy,
            "left_out": found.layer.left_out,
            "features": found.layer.features,
            "strength": found.layer.strength,
            "learned": found.layer.pictures,
            "judged": found.judged,
            "unread": len(found.unread),
            "reasons": list(found.unread[:1]),
            "seconds": time.perf_counter() - began,
        }

    def train(self, name: str, seed: int, out: Path | None, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Train all of one."""
        network = self._ready(name, seed)
        chosen: dict[str, Any] = {"monitor": "last", "keep": 0, "seed": seed, **settings}
        try:
            run = fit(network, self._parts, out=out, resume=out is not None, workers=self._workers, **chosen)
        except TrainingError as error:
            if "NaN" not in str(error) and "infinite" not in str(error):
                raise
            return {"accuracy": None, "seconds": math.nan, "note": f"its training failed: {error}"}
        last = run.history[-1] if chosen["monitor"] == "last" else run.best
        assert last is not None
        assert last.validation_accuracy is not None  # there are pictures to validate on
        return {"accuracy": last.validation_accuracy, "seconds": run.history[-1].seconds, "note": ""}

    def _ready(self, name: str, seed: int) -> Network:
        """Make one, put it where it works, and let it take the pictures standardised."""
        network = self.make(name, seed)
        network.to(self.device)
        measured = () if self._standardize == "model" else ("mean", "std")
        said = {key: value for key, value in network.spec.to_dict().items() if key not in measured}
        plain = json.dumps(said, sort_keys=True)
        if plain not in self._specs:
            parts = self._parts
            self._specs[plain] = standardized(
                network.spec, parts.train, parts.train_indices, self._standardize, workers=self._workers
            )
        network.spec = self._specs[plain]
        return network

    def _feed(self, network: Network, part: str) -> Feed:
        if self._of is not network.spec:  # those that are alike are one and the same
            self.close()
            self._of = network.spec
        if part not in self._feeds:
            self._feeds[part] = pictures_for(network, self._parts, part, workers=self._workers)
        return self._feeds[part]

    def close(self) -> None:
        """Let go of the pictures."""
        for fed in self._feeds.values():
            fed.close()
        self._feeds.clear()


class _Record:
    """What is done, in a file that is replaced after every network; in memory alone without a folder."""

    def __init__(
        self, folder: Path | None, parts: Split, asked: Mapping[str, Any], training: Mapping[str, Any]
    ) -> None:
        self._folder = folder
        self._about: dict[str, Any] = {"format": FORMAT, "data": parts.identity, "asked": dict(asked)}
        self.training: dict[str, Any] = dict(training)
        self.random: dict[str, dict[str, Any]] = {}
        self.trained: dict[str, dict[str, Any]] = {}

    def held(self) -> Any:
        """Keep other processes out of the folder."""
        if self._folder is None:
            return nullcontext()

        where = shown(self._folder)

        def busy(who: str) -> StriateError:
            return TrainingError(
                f"another process{who} ranks networks in {where}. Wait for it, or take another folder."
            )

        return locked(self._folder, "the ranking", busy)

    def begin(self, *, trains: bool) -> None:
        """Read what is there.

        Args:
            trains: networks are to be trained. Else those that were are shown, and how they were is taken from there.

        Raises:
            TrainingError: it is no ranking, or another.
        """
        if self._folder is None or not self._file.exists():
            return
        try:
            held = json.loads(self._file.read_text("utf-8"))
            about = {key: held[key] for key in self._about}
            random, trained, then = (dict(held[key]) for key in ("random", "trained", "training"))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise TrainingError(f"{shown(self._file)} cannot be read as a ranking. Take another folder.") from error
        if about["data"] != self._about["data"]:
            raise TrainingError(f"the ranking in {shown(self._folder)} is on other pictures. Take another folder.")
        if trained and not trains:
            self.training = then
        training = _plain(self.training)
        if about != _plain(self._about) or (trained and then != training):
            then = {**about["asked"], **(then if trained else {})}
            now = {**_plain(self._about["asked"]), **training}
            other = [f"{key}: {then[key]!r}, not {now.get(key)!r}" for key in then if then[key] != now.get(key)]
            raise TrainingError(
                f"the ranking in {shown(self._folder)} was begun otherwise ({'; '.join(other) or 'other settings'}). "
                "Say the same, or take another folder."
            )
        self.random, self.trained = random, trained

    def keep(self, kind: str, key: str, found: Mapping[str, Any]) -> None:
        """Add one result, and write all."""
        getattr(self, kind)[key] = dict(found)
        if self._folder is not None:
            plain = {**self._about, "training": _plain(self.training), "random": self.random, "trained": self.trained}
            write_text(self._file, json.dumps(plain, indent=1, ensure_ascii=False) + "\n")

    def run_of(self, name: str) -> Path | None:
        """Return the folder in which a network is trained."""
        plain = re.sub(r"[^\w.-]+", "-", name).strip("-.")[:60]
        mark = hashlib.blake2b(name.encode(), digest_size=3).hexdigest()  # two names may be alike but for their signs
        return None if self._folder is None else self._folder / "trained" / f"{plain}-{mark}"

    @property
    def _file(self) -> Path:
        assert self._folder is not None
        return self._folder / "done.json"
