"""Ask a network about every picture once, and keep the table. Draws nothing, trains nothing."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import striate
from striate import progress
from striate.dataset import PictureSet, stream
from striate.dataset import open as open_pictures
from striate.errors import AddressError, DataError, ImageError, NetworkError, OutputError
from striate.files import shown
from striate.learn.judging.views import Views, asked_in
from striate.network import Network
from striate.results.base import Recipe
from striate.results.confusions import Mistake
from striate.results.evaluation import Evaluation
from striate.results.words import count
from striate.running import run, undisturbed

if TYPE_CHECKING:
    from striate.learn.run import Run

__all__ = ["PREDICTIONS", "UNKEPT", "evaluate", "evaluation_of", "identity", "images_of", "kept_evaluation",
           "labels_for", "mistakes"]  # fmt: skip

PREDICTIONS: Final = "predictions.npz"  # in the folder of a run
UNKEPT: Final = "The table of predictions could not be kept"  # how the note begins that says so
TASK: Final = "evaluating"
_VALUES: Final = 1 << 24  # numbers of pictures that a GPU is given at a time
_NAMED: Final = 5  # things listed in an error

Indices = Sequence[int] | NDArray[np.int64]


def evaluate(
    network: Network,
    pictures: PictureSet | Any,
    indices: Indices | None = None,
    labels: Indices | None = None,
    *,
    batch: int | None = None,
    workers: int | None = None,
    views: Views = "one",
) -> Evaluation:
    """Ask a network about pictures once, and keep what it says as a table.

    Args:
        network: that is asked; never changed.
        pictures: the set, or whatever `striate.dataset.open` opens.
        indices: which of them, shape (n,); all unless given.
        labels: class of each of these, shape (n,), as the network numbers them, -1 where unknown. Unless given, those
            of the set, brought to the network's classes by their names.
        batch: pictures at a time; chosen for the device unless given.
        workers: decoding threads; as many as there are processors unless given.
        views: of each picture whose logits are averaged (`striate.learn.judging.views`): "one", the picture as it is;
            "mirror", it and its mirror image; "six", both moved a pixel to and fro besides.

    Returns:
        The table, in the order of `indices`. What could not be read is in its `skipped`.

    Raises:
        DataError: no such pictures, none that can be read, or labels that are no classes of this network.
        NetworkError: the network cannot be run on them, or gives what is no number.
        OptionError: no such views.
        Stopped: someone asked to stop.
    """
    started = time.perf_counter()
    held = pictures if isinstance(pictures, PictureSet) else open_pictures(pictures)
    order = np.arange(len(held), dtype=np.int64) if indices is None else np.asarray(indices, dtype=np.int64)
    if order.ndim != 1 or not len(order):
        raise DataError(f"there is nothing to evaluate: no picture of {held.description} was asked for.")
    if not 0 <= int(order.min()) <= int(order.max()) < len(held):
        raise DataError(f"pictures {order.min()} to {order.max()} were asked for, of {held.description}.")
    rows, answers, broken = _answers(network, held, order, batch, workers, views)
    if not len(rows):
        raise DataError(f"not one of {count(len(order), 'picture')} can be read (the first: {broken[0][1]})")
    classes = answers.shape[1]
    names = _names(network, held, classes)
    truth = labels_for(network, held, order, classes) if labels is None else np.asarray(labels, dtype=np.int64)
    _check_labels(truth, len(order), classes, network)
    with np.errstate(divide="ignore"):  # what float64 rounds to 0 has a loss without end
        logarithms = torch.log_softmax(torch.from_numpy(answers).double(), dim=1).numpy()
    labels_there = truth[rows]
    losses = -logarithms[np.arange(len(rows)), np.maximum(labels_there, 0)]
    return Evaluation(
        names=tuple(held.name(int(index)) for index in order[rows]),
        labels=labels_there,
        probabilities=np.exp(logarithms).astype(np.float32),
        losses=np.where(labels_there >= 0, losses, np.nan).astype(np.float32),
        indices=order[rows],
        class_names=names,
        pictures=identity(held, order, truth),
        skipped=tuple((held.name(int(order[row])), why) for row, why in broken),
        recipe=Recipe(
            lens="evaluate",
            network=network.name,
            weights=network.weights_hash,
            input=network.spec.brief(),
            options={"pictures": held.description, "views": views},
            version=striate.__version__,
            seconds=time.perf_counter() - started,
            device=str(network.device),
            dtype=str(network.dtype).removeprefix("torch."),
            torch=torch.__version__,
            notes=(*network.notes, *_notes(network, held, labels is None and bool((truth >= 0).any()))),
        ),
    )


def evaluation_of(run: Run, *, network: Network | None = None, again: bool = False, views: Views = "one") -> Evaluation:
    """Return what the best network of a run says of the pictures that it was validated on.

    The table is read from `predictions.npz` in the folder of the run, when it is there and of this network and these
    pictures; otherwise it is made, and written there. Where that cannot be, its notes say so, beginning with `UNKEPT`.

    Args:
        run: that is over.
        network: its best network, where that is loaded already.
        again: make the table anew.
        views: as in `evaluate`; a table of several views is made each time, and not kept.

    Raises:
        DataError: it was trained without validation pictures, or they are not there any more.
        NetworkError: the network cannot be loaded or run.
        Stopped: someone asked to stop.
    """
    split = run.split
    if split.validation is None or not len(split.validation_indices):
        raise DataError(
            f"{shown(run.path)} was trained without validation pictures, and those that it was trained on say little "
            "of others. Give pictures that it has not seen: striate evaluate RUN FOLDER."
        )
    asked = run.network("best") if network is None else network
    indices = np.asarray(split.validation_indices, dtype=np.int64)
    labels = np.asarray(split.validation_labels, dtype=np.int64)
    path = Path(run.path) / PREDICTIONS
    if views != "one":
        return evaluate(asked, split.validation, indices, labels, views=views)
    if not again and path.is_file():
        with contextlib.suppress(DataError):  # then it is made again
            marks = {"weights": asked.weights_hash, "pictures": identity(split.validation, indices, labels)}
            found = Evaluation.load(path, **marks)
            # the same weights may be asked for another size, or with other statistics
            if found.recipe.input == json.loads(json.dumps(asked.spec.brief())):
                return found
    made = evaluate(asked, split.validation, indices, labels)
    try:
        made.save(path)
    except OutputError as error:  # a run may lie where nobody may write
        note = f"{UNKEPT}, so it is made again each time: {error}"
        return replace(made, recipe=replace(made.recipe, notes=(*made.recipe.notes, note)))
    return made


def kept_evaluation(run: Run, network: Network) -> Evaluation | None:
    """Return the table that was kept with a run, where it is of this network; its pictures need not be there.

    Args:
        run: that is over.
        network: its best.
    """
    path = Path(run.path) / PREDICTIONS
    with contextlib.suppress(DataError):
        if path.is_file():
            return Evaluation.load(path, weights=network.weights_hash)
    return None


def identity(pictures: PictureSet, indices: Indices, labels: Indices) -> str:
    """Return sixteen hexadecimal digits of which pictures are asked about, and of what classes they are.

    Args:
        pictures: the set.
        indices: which of them, shape (n,).
        labels: their classes, shape (n,).
    """
    digest = hashlib.blake2b(pictures.identity.encode(), digest_size=8)
    for column in (indices, labels):
        digest.update(np.ascontiguousarray(column, dtype="<i8").tobytes())
    return digest.hexdigest()


def labels_for(network: Network, pictures: PictureSet, indices: Indices, classes: int) -> NDArray[np.int64]:
    """Return the classes of pictures as a network numbers them, found by their names where both have names.

    A folder need not hold all classes of the network, nor in its order.

    Args:
        network: that numbers the classes.
        pictures: the set.
        indices: which of them, shape (n,).
        classes: of the network.

    Returns:
        Shape (n,), -1 where the class is unknown.

    Raises:
        DataError: a class that the network does not know; the text says which, and what to do.
    """
    labels = pictures.labels[np.asarray(indices, dtype=np.int64)]
    theirs, ours = pictures.class_names, network.class_names
    if theirs is None or ours is None or theirs == ours:
        return labels
    there = np.unique(labels[labels >= 0])
    places = np.full(max(len(theirs), int(there.max(initial=-1)) + 1), -1, dtype=np.int64)
    unknown = []
    for label in there.tolist():
        found = _place(theirs[label], ours) if label < len(theirs) else None
        if found is None:
            unknown.append(theirs[label] if label < len(theirs) else str(label))
        else:
            places[label] = found
    if unknown:
        more = ", ..." if len(unknown) > _NAMED else ""
        raise DataError(
            f"{pictures.description} holds {count(len(unknown), 'class', 'classes')} that {network.name} does not "
            f"know: {', '.join(unknown[:_NAMED])}{more}. Its {len(ours)} are: {', '.join(ours[:_NAMED])}"
            f"{', ...' if len(ours) > _NAMED else ''}. Leave those pictures out, name the classes as the network "
            "does, or give the labels as its indices."
        )
    return np.where(labels >= 0, places[np.maximum(labels, 0)], -1)


def mistakes(network: Network, pictures: PictureSet, table: Evaluation, most: int = 8) -> tuple[Mistake, ...]:
    """Return the worst mistakes with their pictures; one that cannot be read any more comes without.

    Args:
        network: as whose pictures they are shown.
        pictures: the set that the table is about.
        table: what the network said.
        most: how many.
    """
    found = []
    for one in table.mistakes(most):
        with contextlib.suppress(ImageError):
            image = pictures.read(one.picture, network.spec)
            one = replace(one, pixels=network.spec.pixels(image[None])[0])
        found.append(one)
    return tuple(found)


def images_of(network: Network, pictures: PictureSet, shown: Sequence[Mistake]) -> Tensor | None:
    """Return the pictures of mistakes that can still be read, (M, C, H, W), normalised; None where none can.

    Args:
        network: whose pictures they are.
        pictures: the set that they lie in.
        shown: mistakes with their pixels; those without are passed over.
    """
    images = [pictures.read(one.picture, network.spec) for one in shown if one.pixels is not None]
    return torch.stack(images) if images else None


def _place(name: str, names: Sequence[str]) -> int | None:
    """Return where a class is among others by its name, and never by a number that it may be called."""
    if name in names:
        return names.index(name)
    if name.strip().lstrip("-").isdecimal():
        return None
    from striate.address import find_class

    with contextlib.suppress(AddressError):
        return find_class(name, names, len(names))
    return None


def _answers(
    network: Network,
    pictures: PictureSet,
    order: NDArray[np.int64],
    batch: int | None,
    workers: int | None,
    views: Views,
) -> tuple[NDArray[np.int64], NDArray[np.float32], list[tuple[int, str]]]:
    """Return rows of `order` that could be read, their logits (m, K), and rows that could not, with the reason."""
    size = _batch(network) if batch is None else batch
    size = 1 if network.one_by_one else size

    def ask(images: Tensor) -> Tensor:
        return network.logits(run(network.module, images))

    pieces: list[NDArray[np.float32]] = []
    good: list[NDArray[np.int64]] = []
    broken: list[tuple[int, str]] = []
    done = 0
    progress.report(progress.Event(TASK, 0, len(order)))
    batches = stream(pictures, network.spec, order, batch=size, workers=workers, device=network.device)
    with contextlib.closing(batches):
        for one in batches:
            progress.check_stop(TASK)
            rows = np.arange(done, done + one.asked)
            reasons = dict(one.broken)
            failed = np.array([int(order[row]) in reasons for row in rows], dtype=bool)
            broken += [(int(row), reasons[int(order[row])]) for row in rows[failed]]
            if len(one.images):
                with undisturbed(network.module), torch.no_grad():
                    logits = asked_in(views, ask, network.batch(one.images))
                pieces.append(logits.float().cpu().numpy())
                good.append(rows[~failed])
            done += one.asked
            progress.report(progress.Event(TASK, done, len(order)))
    kept = np.concatenate(good) if good else np.empty(0, dtype=np.int64)
    answers = np.concatenate(pieces) if pieces else np.empty((0, 0), dtype=np.float32)
    strange = np.flatnonzero(~np.isfinite(answers).all(1))
    if len(strange):
        name = pictures.name(int(order[kept[strange[0]]]))
        raise NetworkError(
            f"{network.name} gives NaN or infinite logits for {len(strange):,} of {count(len(kept), 'picture')} (the "
            f"first: {name}), so it says nothing of them. Its training went wrong, or its weights are not its own."
        )
    return kept, answers, broken


def _batch(network: Network) -> int:
    """Return how many pictures to run at a time: a GPU wants many small ones."""
    if network.device.type == "cpu":
        return network.piece()
    spec = network.spec
    return max(network.piece(), min(1024, _VALUES // (spec.channels * spec.height * spec.width)))


def _names(network: Network, pictures: PictureSet, classes: int) -> tuple[str, ...] | None:
    """Return names of the classes: the network's, else those of the pictures where there are as many."""
    for names in (network.class_names, pictures.class_names):
        if names is not None and len(names) == classes:
            return names
    return None


def _notes(network: Network, pictures: PictureSet, own: bool) -> list[str]:
    """Say what was assumed of labels that the pictures bring along."""
    if own and pictures.class_names is None and network.class_names is not None:
        return ["The labels have no names: they are taken for the indices of the network's classes."]
    if own and pictures.class_names is not None and network.class_names is None:
        names = [*pictures.class_names[:_NAMED], *(["..."] if len(pictures.class_names) > _NAMED else [])]
        return [
            f"The network has no names for its classes: those of the pictures are taken for its first "
            f"{len(pictures.class_names)}, in this order: {', '.join(names)}."
        ]
    return []


def _check_labels(labels: NDArray[np.int64], pictures: int, classes: int, network: Network) -> None:
    if labels.shape != (pictures,):
        raise DataError(f"labels of shape {labels.shape} for {count(pictures, 'picture')}: give one for each.")
    if not -1 <= int(labels.min()) <= int(labels.max()) < classes:
        raise DataError(
            f"labels go from {labels.min()} to {labels.max()}, and {network.name} has {classes} classes, 0 to "
            f"{classes - 1} (-1 stands for unknown). The pictures are of other classes than the network's."
        )
