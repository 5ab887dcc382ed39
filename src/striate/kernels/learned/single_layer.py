"""The network of one layer: learned kernels, triangle code, sums over quadrants, a linear classifier.

Source: Coates, Lee and Ng 2011, "An analysis of single-layer networks in unsupervised feature learning".
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from striate import dataset, progress
from striate.dataset import PictureSet
from striate.errors import DataError, ImageError
from striate.kernels.learned.coding import code
from striate.kernels.learned.keeping import Folder, read_kernels, write_kernels
from striate.kernels.learned.learning import Engine, LearnedKernels, Method, learn_kernels
from striate.kernels.learned.margin import Margin, fit_margin, pick_strength
from striate.nets.builder import sequential
from striate.nets.layers._settings import Pair, pair
from striate.network import Network
from striate.sources import load
from striate.spec import InputSpec

__all__ = ["SingleLayer", "single_layer"]


@dataclass(frozen=True, eq=False)
class SingleLayer:
    """What `single_layer` made.

    Attributes:
        network: layers triangle1, quadrants1, flatten1 and dense1; a source of every lens.
        kernels: of its first layer.
        right: share of the pictures it learned from that it is right on.
        strength: of the classifier, see `margin.fit_margin`.
        seconds: that "kernels", "codes" and "classifier" took; of codes those of the last call, where it went on.
        notes: sentences on what was assumed or left out.
    """

    network: Network
    kernels: LearnedKernels
    right: float
    strength: float
    seconds: dict[str, float]
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        return f"SingleLayer({len(self.kernels)} kernels, {self.right:.1%} right of what it learned from)"


def single_layer(
    pictures: Any,
    *,
    count: int = 400,
    size: Pair = 6,
    stride: Pair = 1,
    parts: Pair = 2,
    patches: int | None = None,
    method: Method = "k-means",
    rounds: int = 10,
    engine: Engine = "scikit-learn",
    strength: float | None = None,
    spec: InputSpec | None = None,
    indices: NDArray[np.int64] | None = None,
    device: str | torch.device = "cpu",
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
) -> SingleLayer:
    """Learn kernels without labels, and a linear classifier on the pictures' codes with them.

    A window is normalised, whitened and coded by how near it is to each kernel; codes are summed over quadrants; a
    linear classifier reads the sums. The whole is one network of exact layers, which every lens takes.

    Args:
        pictures: whatever `striate.dataset.open` opens; of a set with a part "train", that part.
        count: kernels.
        size: height and width of a kernel, pixels.
        stride: between windows.
        parts: rows and columns of parts whose codes are summed; 2 x 2 are the quadrants.
        patches: that kernels are learned from, see `learn_kernels`.
        method: likewise.
        rounds: likewise.
        engine: likewise.
        strength: of the classifier's loss beside its weights' squares; chosen on a held-back fifth unless given.
        spec: what the network is to expect; the size and channels of the first picture unless given.
        indices: of the pictures to learn from; all, and for the classifier those with labels, unless given.
        device: what codes are worked out on.
        seed: of patches, centroids and the held-back fifth.
        out: a folder. What is finished is kept there, and the same call goes on with it; at the end it holds the
            network, and is itself a source.

    Raises:
        DataError: there are no labels, all are of one class, or no picture can be read.
        MissingExtraError: faiss is asked for, and not installed.
        OptionError: an option makes no sense.
        TrainingError: the folder holds something else, or was begun with other settings.
        Stopped: the user asked to stop.
    """
    opened, chosen, notes = _chosen(dataset.open(pictures), indices)
    labelled = chosen[opened.labels[chosen] >= 0]
    if not len(labelled):
        raise DataError(
            f"no labels are known of {opened.description}, and a classifier needs them. Give a class for each picture."
        )
    if len(np.unique(opened.labels[labelled])) < 2:
        raise DataError(
            f"{opened.description}: all {len(labelled):,} with a label are of one class, so there is nothing to tell "
            "apart. Give pictures of two or more."
        )
    classes = len(opened.class_names) if opened.class_names else int(opened.labels.max()) + 1
    spec = _expected(opened, chosen) if spec is None else spec
    settings = {
        "pictures": opened.identity, "of": hashlib.blake2b(chosen.tobytes(), digest_size=8).hexdigest(),
        "count": count, "size": list(pair("size", size)), "stride": list(pair("stride", stride)),
        "parts": list(pair("parts", parts)), "patches": patches, "rounds": rounds,
        "method": method if engine == "scikit-learn" else f"{method} by {engine}",
        "strength": strength, "spec": spec.brief(), "seed": seed,
    }  # fmt: skip
    folder = None if out is None else Folder(out, settings)
    seconds: dict[str, float] = {}
    with contextlib.ExitStack() as stack:
        if folder is not None:
            stack.enter_context(folder.held())
            if (known := folder.finished()) is not None:
                held = read_kernels(folder.kernels)
                return SingleLayer(
                    load(folder.path), held, known["right"], known["strength"], known["seconds"], tuple(known["notes"])
                )
        kernels = _kernels(
            folder, opened, count=count, size=size, patches=patches, spec=spec, indices=chosen, method=method,
            rounds=rounds, engine=engine, seed=seed,
        )  # fmt: skip
        seconds["kernels"] = kernels.recipe.seconds  # also where they were learned by an interrupted call
        network = _network(kernels, spec, pair("stride", stride), pair("parts", parts), classes, opened.class_names)
        with _timed(seconds, "codes"):
            features = _codes(network, opened, labelled, folder, torch.device(device))
        good = np.flatnonzero(np.isfinite(features[:, 0]))
        if len(good) < len(labelled):
            first = opened.name(int(labelled[np.isnan(features[:, 0])][0]))
            notes += (
                f"{len(labelled) - len(good):,} of {len(labelled):,} pictures could not be read (first: {first}).",
            )
        with _timed(seconds, "classifier"):
            fitted, right, strength = _fitted(features, opened.labels[labelled], good, classes, strength, seed)
        _fill(network, fitted)
        notes += kernels.notes
        if folder is not None:
            about = {"right": right, "strength": strength, "seconds": seconds, "notes": notes}
            folder.finish(network.to_bytes(), about)
    return SingleLayer(network, kernels, right, strength, seconds, notes)


def _chosen(
    opened: PictureSet, indices: NDArray[np.int64] | None
) -> tuple[PictureSet, NDArray[np.int64], tuple[str, ...]]:
    """Return which pictures are learned from."""
    if indices is not None:
        return opened, np.asarray(indices, dtype=np.int64), ()
    if any(part.name == "train" for part in opened.parts):
        others = ", ".join(part.name for part in opened.parts if part.name != "train")
        note = (f'Only the part "train" is learned from (not {others}).',) if others else ()
        return opened, opened.part("train"), note
    return opened, np.arange(len(opened)), ()


def _expected(opened: PictureSet, chosen: NDArray[np.int64]) -> InputSpec:
    """Return a specification for pictures of the size of the first that can be read.

    Raises:
        DataError: none can be read.
    """
    reason = ""
    for index in chosen.tolist():
        try:
            height, width, channels = opened.pixels(index).shape
        except ImageError as error:
            reason = reason or str(error)
            continue
        return InputSpec(channels, height, width, (0.5,), (0.5,))
    raise DataError(f"no picture of {opened.description} can be read: {reason or 'there is none'}")


def _kernels(folder: Folder | None, opened: PictureSet, **settings: Any) -> LearnedKernels:
    """Learn kernels, or read those of an interrupted call."""
    if folder is None:
        return learn_kernels(opened, **settings)
    if folder.going() and folder.kernels.is_file():
        return read_kernels(folder.kernels)
    kernels = learn_kernels(opened, **settings)
    folder.note(0)
    write_kernels(kernels, folder.kernels)
    return kernels


def _network(
    kernels: LearnedKernels,
    spec: InputSpec,
    stride: tuple[int, int],
    parts: tuple[int, int],
    classes: int,
    class_names: tuple[str, ...] | None,
) -> Network:
    """Build the network; its last layer has learned nothing yet."""
    count, _, height, width = kernels.centroids.shape
    text = f"triangle {count} {height}x{width} stride {stride[0]}x{stride[1]}, quadrants {parts[0]}x{parts[1]}, flatten"
    module = sequential(f"{text}, dense {classes}", (spec.channels, *spec.size), generator=torch.Generator())
    module.get_submodule("triangle1").load_state_dict(kernels.layer(spec, stride=stride).state_dict())
    module.eval().requires_grad_(False)
    return Network(module, spec, class_names, name=f"single-layer-{count}", factory=module.made_as)


def _codes(
    network: Network,
    opened: PictureSet,
    labelled: NDArray[np.int64],
    folder: Folder | None,
    device: torch.device,
) -> NDArray[np.float32]:
    """Return what the last layer reads of each picture (M, D); NaN where one cannot be read."""
    body = nn.Sequential(*list(network.module.children())[:-1])  # the same layers, in another row
    shape = (len(labelled), _last(network).in_features)
    features, done = (np.empty(shape, dtype=np.float32), 0) if folder is None else folder.begun(shape)
    body.to(device)
    try:
        if folder is None:
            code(body, opened, network.spec, labelled, features, device=device)
        else:
            mark = folder.note
            code(body, opened, network.spec, labelled, features, device=device, done=done,
                 mark=lambda rows: mark(rows, features))  # fmt: skip
    finally:
        body.to("cpu")
    return features


def _fitted(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    good: NDArray[np.int64],
    classes: int,
    strength: float | None,
    seed: int,
) -> tuple[Margin, float, float]:
    """Fit the classifier on the rows that could be read; return it, what is right, and the strength."""
    if len(good) < len(labels):
        features, labels = features[good], labels[good]
    if strength is None:
        progress.check_stop()
        strength, _ = pick_strength(features, labels, classes, seed=seed)
    fitted = fit_margin(features, labels, classes, strength=strength)
    return fitted, float((fitted(features).argmax(axis=1) == labels).mean()), strength


def _fill(network: Network, fitted: Margin) -> None:
    with torch.no_grad():
        _last(network).weight.copy_(fitted.weight)
        _last(network).bias.copy_(fitted.bias)


def _last(network: Network) -> nn.Linear:
    layer = network.module.get_submodule("dense1")
    assert isinstance(layer, nn.Linear)
    return layer


@contextlib.contextmanager
def _timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[step] = time.perf_counter() - start
