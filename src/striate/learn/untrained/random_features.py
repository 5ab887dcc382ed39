"""A network with random, frozen filters and a last layer that is trained: how far the architecture alone comes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import torch

from striate.learn.pictures.feeding import Feed, feed
from striate.learn.pictures.split import Split, split
from striate.learn.pictures.standardize import standardized
from striate.learn.ranks import Ranks
from striate.learn.starting.naming import smallest_side
from striate.learn.starting.sizing import fitting
from striate.learn.starting.start import start, usual_device
from striate.learn.untrained.last_layer import LastLayer, fit_last_layer, settle_norms
from striate.learn.validating import validate
from striate.nets.wrapped import PREFIX
from striate.network import Network
from striate.results.words import count

__all__ = ["TrainedLast", "missing", "pictures_for", "random_features", "source_of", "trained_last"]

_BATCH = 128


def random_features(
    net: str | os.PathLike[str],
    source: Any,
    validation: Any = None,
    *,
    initial: str | None = None,
    size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    standardize: str = "channel",
    share: float = 0.2,
    labels: Any = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    workers: int | None = None,
) -> Network:
    """Make a network whose filters are random and stay so, and train its last layer on pictures.

    Nothing is learned step by step: the pictures are run once to measure the statistics of batch norm (where there is
    any), once to read what the last layer is given, and the last layer is solved for (ridge regression, its penalty
    chosen by leaving pictures out). Any network is taken whose last layer makes the logits.

    Args:
        net: a name, as `striate.learn.start` takes it; or a row of layers, as for
            `striate.nets.sequential`, whose last one is dense.
        source: pictures, as `striate.learn.split` takes them, or a `Split`.
        validation: likewise; only to say in the notes how good the network is.
        initial: how the random weights are drawn (see `striate.nets.initialise`); what suits the network unless given.
        size: of the pictures, side or (height, width); what suits them unless given.
        channels: likewise.
        standardize: "channel", "pixel", "none", or "model".
        share: of each class that is set aside, where nothing else says what to validate on.
        labels: a table of the pictures' labels.
        seed: of the split and the random weights.
        device: where to work; a GPU where there is one unless given.
        workers: decoding threads.

    Returns:
        The network, in evaluation mode, which every lens takes, and which is saved and loaded as any other. Its notes
        say how it was made, and how many of the validation pictures it names rightly.

    Raises:
        DataError: the pictures cannot be used.
        NetworkError: no such network, or its last layer cannot be solved for.
        OptionError: an option that makes no sense.
        Stopped: the user asked to stop.

    Source: Saxe et al. 2011, "On random weights and unsupervised feature learning", ICML; Jarrett et al. 2009, "What is
        the best multi-stage architecture for object recognition?"
    """
    parts = split(source, validation, share=share, seed=seed, labels=labels)
    net = source_of(os.fspath(net), len(parts.class_names))
    fits = fitting(parts.train, parts.train_indices, smallest=smallest_side(net))
    network = start(
        net,
        classes=len(parts.class_names),
        class_names=parts.class_names,
        channels=fits.channels if channels is None else channels,
        size=fits.size if size is None else size,
        initial=initial,
        seed=seed,
    )
    network.to(usual_device() if device is None else device)
    network.spec = standardized(network.spec, parts.train, parts.train_indices, standardize, workers=workers)
    with ExitStack() as stack:
        found = trained_last(network, parts, lambda one, part: stack.enter_context(pictures_for(one, parts, part)))
    network.notes = (*network.notes, *parts.notes, *found.words(network, seed))
    return network


class TrainedLast:
    """What `trained_last` found.

    Attributes:
        layer: the last layer.
        norms: batch norms that were measured.
        accuracy: share of the validation pictures that are named rightly; not a number without any.
        judged: how many validation pictures that is of.
        unread: why a picture could not be read, for each of those.
    """

    def __init__(self, layer: LastLayer, norms: int, accuracy: float, judged: int, unread: Sequence[str]) -> None:
        self.layer, self.norms, self.accuracy = layer, norms, accuracy
        self.judged, self.unread = judged, tuple(unread)

    def words(self, network: Network, seed: int) -> list[str]:
        """Say how a network was made."""
        norms = " The statistics of its batch norms are those of the training pictures." if self.norms else ""
        reached = f"{100 * self.layer.left_out:.1f} % of the training pictures, each left out in its turn"
        if self.accuracy == self.accuracy:
            reached = f"{100 * self.accuracy:.1f} % of {self.judged:,} validation pictures"
        return [
            *missing(len(self.unread), self.unread),
            f"All weights of {network.name} are random (seed {seed}) but those of {self.layer.name}, which was trained "
            f"on {self.layer.pictures:,} pictures: {reached} are named rightly.{norms}",
        ]


def trained_last(network: Network, parts: Split, feeds: Callable[[Network, str], Feed]) -> TrainedLast:
    """Settle the batch norms of a network, train its last layer, and ask it about the validation pictures.

    Args:
        network: changed in place.
        parts: the pictures.
        feeds: gives those of "train" and of "validation".

    Raises:
        NetworkError, DataError, Stopped: see `random_features`.
    """
    train = feeds(network, "train")
    norms = settle_norms(network, train)
    layer = fit_last_layer(network, train, len(parts.class_names))
    accuracy, judged = float("nan"), 0
    unread = list(train.broken.values())
    if parts.validation is not None:
        held = feeds(network, "validation")
        _, accuracy = validate(network.module, network, held, 1, precision="float32", ranks=Ranks())
        judged = held.count - len(held.broken)
        unread += held.broken.values()
    return TrainedLast(layer, norms, accuracy, judged, unread)


def missing(many: int, reasons: Sequence[str]) -> list[str]:
    """Say that pictures could not be read; nothing where all could.

    Args:
        many: how many.
        reasons: why, of the first at least.
    """
    return [f"{count(many, 'picture')} could not be read and not counted. The first: {reasons[0]}"] if many else []


def pictures_for(network: Network, parts: Split, part: str, *, workers: int | None = None) -> Feed:
    """Return the pictures of one part as a network takes them, all of them, those to train on shuffled by the seed 0.

    Args:
        network: its specification and device count.
        parts: the pictures.
        part: "train" or "validation".
        workers: decoding threads.
    """
    train = part == "train"
    pictures = parts.train if train else parts.validation
    assert pictures is not None
    return feed(
        pictures,
        parts.train_indices if train else parts.validation_indices,
        parts.train_labels if train else parts.validation_labels,
        network.spec,
        batch=_BATCH,
        device=network.device,
        training=train,  # shuffled: a batch of one class would say nothing of the others to a batch norm
        drop_last=False,
        workers=workers,
    )


def source_of(text: str, classes: int) -> str:
    """Return what `start` takes for the name of a network or a row of layers.

    Args:
        text: "cnn2", "timm:resnet18", ...; or layers as for `striate.nets.sequential`, such as "conv 32 5x5 relu,
            pool 2, flatten, dense", whose last word may lack its number.
        classes: units of that last layer.
    """
    plain = " ".join(text.split())
    first = plain.partition(",")[0].partition(" ")
    # "conv 8 3x3, ..." and "flatten, dense": a name has neither, but for those of rows with the size of pictures
    row = first[1] or ("," in plain and first[0].isalpha() and first[0] != "sequential")
    if not row or ":" in first[0]:
        return plain
    return f"{PREFIX}sequential,1x1x1,{plain}" + (f" {classes}" if plain.endswith("dense") else "")
