"""The beginning of a training: which pictures, whether the network goes with them, and what a course is made of."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from striate.errors import DataError, OptionError
from striate.files import write_bytes
from striate.learn import board, state
from striate.learn.course import Course
from striate.learn.descent.averaging import Average
from striate.learn.descent.optimizers import make_optimizer
from striate.learn.descent.schedules import make_schedule
from striate.learn.folder import Folder
from striate.learn.freezing import wake
from striate.learn.pictures import weights
from striate.learn.pictures.feeding import Feed, Storage, feed
from striate.learn.pictures.split import Split, split
from striate.learn.pictures.standardize import standardized
from striate.learn.precision import precision_for
from striate.learn.ranks import Ranks
from striate.learn.settings import Settings
from striate.learn.starting.start import settle_lazy
from striate.learn.step import Stepper
from striate.learn.taking_up import about
from striate.network import Network
from striate.results.words import count
from striate.spec import InputSpec

__all__ = ["Way", "check", "parts_of", "place", "refuse_ignored", "rest", "train_from"]


@dataclass(frozen=True)
class Way:
    """What changes how long a training takes, and none of its numbers."""

    storage: Storage
    cache: Path | None
    workers: int | None
    tensorboard: bool
    began: float  # on the clock of `time.monotonic`, from which a limit of time counts


def parts_of(train: Any, validation: Any, labels: Any, settings: Settings) -> Split:
    """Choose which pictures are for what."""
    if isinstance(train, Split):
        for name, value in (("validation", validation), ("labels", labels)):
            if value is not None:
                raise OptionError(f"{name} would be ignored: the split that was given says it already.")
        parts = train
    else:
        parts = split(
            train, validation, share=settings.validation_share, seed=settings.seed, labels=labels,
            together=settings.together,
        )  # fmt: skip
        refuse_ignored(parts, settings.share, settings.together)
    if parts.validation is None:
        if settings.monitor in ("accuracy", "loss"):
            raise OptionError(
                f"monitor={settings.monitor!r} needs validation pictures, and there are none. Leave it out, or give a "
                "share."
            )
        if settings.validate_every > 1:
            raise OptionError("validate_every would be ignored: there are no validation pictures. Leave it out.")
    return parts


def refuse_ignored(parts: Split, share: float | None, together: str) -> None:
    """Refuse to set a share aside where the pictures to validate on are given.

    Raises:
        OptionError: it would be ignored.
    """
    if parts.validation is None or parts.together:
        return
    for name, given in (("share", share is not None), ("together", together != "near")):
        if given:
            raise OptionError(
                f"{name} would be ignored: the pictures to validate on are given ({parts.validation.description}), so "
                f"no share is set aside. Leave it out{', or open the training part alone' * (share == 0)}."
            )


def place(network: Network, ranks: Ranks) -> None:
    """Put the module where it is trained, in the numbers and the order in which that is fast."""
    if ranks.count > 1 and network.device.type == "cuda":
        torch.cuda.set_device(ranks.local)
        network.to(torch.device("cuda", ranks.local))
    settle_lazy(network)
    if network.dtype != torch.float32:
        network.module.float()  # steps are too small for halves of numbers
    for weight in network.module.parameters():
        if weight.dim() == 4:  # the order in which convolutions are fastest
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)


def check(network: Network, parts: Split, settings: Settings, ranks: Ranks) -> None:
    """Make sure that the network can be trained on these pictures, before anything is written."""
    spec, classes = network.spec, len(parts.class_names)
    logits = network(torch.zeros(1, spec.channels, spec.height, spec.width)).shape[1]
    if logits != classes:
        raise DataError(
            f"{network.name} has {count(logits, 'logit')} for the {count(classes, 'class', 'classes')} of these "
            f"pictures. striate.learn.start({network.name!r}, classes={classes}) gives it a new head."
        )
    if not isinstance(settings.class_weights, str) and len(settings.class_weights) != classes:
        raise OptionError(
            f"class_weights has {len(settings.class_weights)} values for {count(classes, 'class', 'classes')}: "
            f"{', '.join(parts.class_names[:5])}. Give one for each, in this order."
        )
    settings.batch_for(spec.height, spec.width, len(parts.train_indices), ranks.count)


def _class_weights(settings: Settings, parts: Split, device: torch.device) -> Tensor | None:
    """Return the weights of the classes, whose mean over the training pictures is 1: it keeps the loss in scale."""
    counts = torch.from_numpy(parts.train_counts)
    chosen = settings.class_weights
    if chosen == "none":
        return None
    found = weights.class_weights(counts, kind=chosen) if isinstance(chosen, str) else torch.tensor(chosen)
    mean = float((found.double() * counts).sum() / counts.sum())
    if mean <= 0:
        raise OptionError(f"class_weights {chosen} leave no picture with any weight.")
    return (found / mean).float().to(device)


def train_from(
    network: Network,
    parts: Split,
    settings: Settings,
    way: Way,
    folder: Folder,
    lasting: bool,
    saved: state.Saved | None,
    ranks: Ranks,
    stack: ExitStack,
    notes: Sequence[str] = (),
) -> None:
    """Train from where it is to the end."""
    before = network.spec, network.class_names
    if saved is None:
        spec = InputSpec.from_dict(
            ranks.from_first(lambda: _standardized(network.spec, parts, settings, way).to_dict())
        )
        precision = precision_for(settings.precision, network.device)
    else:
        there = folder.about()
        spec, precision = InputSpec.from_dict(there["spec"]), there["precision"]
    ranks.alike(network.module, weights=True)
    written = about(network, parts, settings, spec, ranks, precision)
    course: Course | None = None
    try:
        rest(network, spec, parts)
        wake(network.module, settings.frozen)
        course = _course(network, parts, settings, way, folder, lasting, precision, ranks, stack, saved)
        if saved is None:
            written["notes"] = [*notes, *parts.notes, *course.notes]
            ranks.from_first(lambda: _write_first(folder, written, parts))
            course.begin()
        else:
            course.go_on(saved)
        course.run()
        if not lasting and ranks.first:
            write_bytes(folder.network, network.to_bytes(nameless=True))
    except BaseException:
        if course is None or not course.history:  # no epoch is over: it is as it was given
            network.spec, network.class_names = before
        raise
    finally:
        network.module.eval().requires_grad_(False)
        network.notes = tuple(note for note in network.notes if "has learned nothing yet" not in note)


def _write_first(folder: Folder, written: Mapping[str, Any], parts: Split) -> None:
    folder.write_about(written)
    parts.save(folder.split)


def _standardized(spec: InputSpec, parts: Split, settings: Settings, way: Way) -> InputSpec:
    if settings.standardize == "model":
        return spec
    return standardized(spec, parts.train, parts.train_indices, settings.standardize, workers=way.workers)


def rest(network: Network, spec: InputSpec, parts: Split) -> None:
    """Say on the network what it was trained on."""
    network.spec, network.class_names = spec, parts.class_names
    network.module.eval().requires_grad_(False)


def _course(
    network: Network,
    parts: Split,
    settings: Settings,
    way: Way,
    folder: Folder,
    lasting: bool,
    precision: str,
    ranks: Ranks,
    stack: ExitStack,
    saved: state.Saved | None,
) -> Course:
    """Put a training together."""
    device, spec = network.device, network.spec
    batch = settings.batch_for(spec.height, spec.width, len(parts.train_indices), ranks.count)
    common: dict[str, Any] = {
        "device": device, "seed": settings.seed, "storage": way.storage, "cache": way.cache, "workers": way.workers,
        "rank": ranks.rank, "ranks": ranks.count,
    }  # fmt: skip
    fed = stack.enter_context(
        feed(parts.train, parts.train_indices, parts.train_labels, spec, batch=batch, augment=settings.augment,
             training=True, **common)
    )  # fmt: skip
    validation: Feed | None = None
    if parts.validation is not None:
        validation = stack.enter_context(
            feed(parts.validation, parts.validation_indices, parts.validation_labels, spec, batch=batch,
                 training=False, **common)
        )  # fmt: skip
    optimizer = make_optimizer(
        settings.optimizer, network.module, rate=settings.rate, momentum=settings.momentum,
        weight_decay=settings.weight_decay, groups=settings.groups, **settings.optimizer_options,
    )  # fmt: skip
    schedule = make_schedule(
        settings.schedule, steps=max(1, settings.epochs * fed.batches), warmup=settings.warmup,
        **settings.schedule_options,
    )  # fmt: skip
    average = None if settings.average is None else Average(network.module, settings.average)
    called: nn.Module = torch.compile(network.module) if settings.compile else network.module  # type: ignore[assignment]
    step = Stepper(
        called, network.logits, optimizer, device, precision=precision, smoothing=settings.smoothing,
        weights=_class_weights(settings, parts, device), clip=settings.clip, average=average, ranks=ranks,
    )  # fmt: skip
    plot = None
    if way.tensorboard and ranks.first:
        plot = board.Board(folder.tensorboard, epoch=0 if saved is None else saved.record["epoch"])
        stack.enter_context(contextlib.closing(plot))
    return Course(
        network, parts, settings, folder=folder, lasting=lasting, feed=fed, validation=validation, step=step,
        callable_=called, optimizer=optimizer, schedule=schedule, average=average, precision=precision, ranks=ranks,
        board=plot, began=way.began,
    )  # fmt: skip
