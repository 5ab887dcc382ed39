"""Find a learning rate: train with a rate that grows until the loss diverges, and undo it all."""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import striate
from striate import progress
from striate.errors import DataError, NetworkError, OptionError
from striate.learn.descent.optimizers import make_optimizer, rule, set_rate
from striate.learn.descent.undone import undone
from striate.learn.freezing import asleep, wake
from striate.learn.pictures.augment import Augment
from striate.learn.pictures.feeding import Fed, Feed, feed
from striate.learn.pictures.split import Split, split
from striate.learn.pictures.standardize import standardized
from striate.learn.precision import precision_for
from striate.learn.seeds import generator, number
from striate.learn.settings import Settings
from striate.learn.step import Stepper
from striate.network import Network
from striate.results import Recipe
from striate.results.rate_curve import RateCurve
from striate.results.words import count
from striate.spec import InputSpec

__all__ = ["find_rate"]

_TRAIL = 0.05  # steps over which the loss that decides about the end is averaged, as a share of all
_TASK = "finding a learning rate"
Ended = Literal["rates", "diverged", "not finite"]


def find_rate(
    network: Network,
    source: Any,
    *,
    optimizer: str | torch.optim.Optimizer = "adamw",
    momentum: float | None = None,
    weight_decay: float | None = None,
    lowest: float = 1e-7,
    highest: float = 10.0,
    steps: int = 100,
    stop_at: float = 4.0,
    batch: int | None = None,
    augment: Any = "none",
    standardize: str = "model",
    smoothing: float = 0.0,
    frozen: str | Sequence[str] = (),
    precision: str = "auto",
    labels: Any = None,
    seed: int = 0,
) -> RateCurve:
    """Train a few steps with a learning rate that grows, and suggest one from how the loss goes.

    The rate grows by the same factor at every step. Where the loss falls fastest is a good rate to start with; where
    it grows to several times its least, training has diverged and the test ends. Afterwards, after an error and a stop
    too, everything is bit for bit as it was: weights, buffers, gradients, flags, the optimiser, random numbers.

    Args:
        network: with as many logits as there are classes.
        source: what `fit` trains on (a folder, a table, an archive, a set, a `Split`), a `Feed`, or a pair of tensors:
            pictures (N, C, H, W), normalised, and labels (N,).
        optimizer: a name of `OPTIMIZERS`, or an optimiser of the network's weights, whose own rates give the
            proportions of its groups.
        momentum: of the optimiser; its own when None.
        weight_decay: likewise.
        lowest: the first rate, above 0.
        highest: the last, above the first.
        steps: how many there are between them, at least 10.
        stop_at: the test ends when the loss, averaged over the last steps, is so many times its least.
        batch: pictures in a step; as many as `fit` takes when None.
        augment: as `fit` takes it.
        standardize: likewise; the network keeps its own specification.
        smoothing: of the labels, in [0, 1).
        frozen: names of layers, or of weights, that do not learn.
        precision: as `fit` takes it.
        labels: as `fit` takes them.
        seed: of the order of the pictures, augmentation and dropout.

    Raises:
        OptionError: a rate, a number of steps or a setting of the optimiser that makes no sense.
        AddressError: `frozen` names what is not there.
        NetworkError: nothing in it learns, or its weights are not float32.
        DataError: there are no pictures, or labels that the network has no classes for.
        Stopped: the user asked to stop.

    Source: Smith 2015, arXiv:1506.01186, section 3.3; the rate grows exponentially as in Gugger 2018.
    """
    batch = Settings(batch=batch, standardize=standardize).batch_for(network.spec.height, network.spec.width, 2**30)
    _check(lowest, highest, steps, stop_at)
    if not 0 <= smoothing < 1:
        raise OptionError(f"smoothing must be from 0 up to (not including) 1, got {smoothing}.")
    if network.dtype != torch.float32:
        kind = str(network.dtype).removeprefix("torch.")
        raise NetworkError(
            f"the weights of {network.name} are {kind}; they learn in float32, as `fit` makes them. Make them so "
            "first: network.module.float()."
        )
    started = time.perf_counter()
    rates = lowest * (highest / lowest) ** (np.arange(steps, dtype=np.float64) / (steps - 1))
    given = optimizer if isinstance(optimizer, torch.optim.Optimizer) else None
    name = type(optimizer).__name__ if given is not None else rule(str(optimizer)).name
    if given is not None and (momentum is not None or weight_decay is not None or frozen):
        raise OptionError("momentum, weight_decay and frozen are settled by the optimiser that was given.")
    resting = (frozen,) if isinstance(frozen, str) else tuple(frozen)
    broken: dict[int, str] = {}
    with (
        _batches(
            network,
            source,
            batch=batch,
            most=steps * batch,
            augment=augment,
            standardize=standardize,
            labels=labels,
            seed=seed,
            broken=broken,
        ) as (batches, spec),
        undone(network.module, given),
    ):
        torch.manual_seed(number(seed, _TASK))  # of dropout; undone as well
        if given is None:
            wake(network.module, resting)
            taken = make_optimizer(name, network.module, rate=1.0, momentum=momentum, weight_decay=weight_decay)
        else:
            taken = _proportioned(given)
        network.module.train()
        for part in asleep(network.module, resting):
            part.eval()
        losses, ended = _climb(
            network,
            taken,
            batches,
            rates,
            stop_at=stop_at,
            smoothing=smoothing,
            precision=precision_for(precision, network.device),
        )
    return RateCurve(
        rates=rates[: len(losses)],
        losses=np.array(losses),
        ended=ended,
        optimizer=name,
        planned=steps,
        recipe=Recipe(
            lens="find_rate",
            network=network.name,
            weights=network.weights_hash,
            input=spec.brief(),
            options={
                "optimizer": name,
                "momentum": momentum,
                "weight_decay": weight_decay,
                "lowest": lowest,
                "highest": highest,
                "steps": steps,
                "stop_at": stop_at,
                "batch": batch,
                "augment": str(augment),
                "standardize": standardize,
                "smoothing": smoothing,
                "frozen": list(resting),
                "precision": precision,
                "seed": seed,
            },
            version=striate.__version__,
            seconds=time.perf_counter() - started,
            device=str(network.device),
            dtype=str(network.dtype).removeprefix("torch."),
            torch=torch.__version__,
            notes=(*network.notes, *_notes(broken)),
        ),
    )


def _climb(
    network: Network,
    optimizer: torch.optim.Optimizer,
    batches: Iterator[Fed],
    rates: NDArray[np.float64],
    *,
    stop_at: float,
    smoothing: float,
    precision: str,
) -> tuple[list[float], Ended]:
    """Take the steps, and return the loss before each, and why it ended."""
    stepper = Stepper(
        network.module, network.logits, optimizer, network.device, precision=precision, smoothing=smoothing
    )
    losses: list[float] = []
    keep = 1 - 1 / max(2.0, _TRAIL * len(rates))
    ended: Ended = "rates"
    trail, least = 0.0, math.inf
    for step, rate in enumerate(rates.tolist()):
        progress.check_stop(_TASK)
        progress.report(progress.Event(_TASK, step, len(rates)))
        set_rate(optimizer, rate)
        stepper.begin()
        stepper(next(batches))
        stepper.look()
        loss, *_ = stepper.results()
        losses.append(loss)
        if not math.isfinite(loss):
            ended = "not finite"
            break
        trail = keep * trail + (1 - keep) * loss
        smooth = trail / (1 - keep ** (step + 1))  # corrected for its start at zero
        least = min(least, smooth)
        if smooth > stop_at * least:
            ended = "diverged"
            break
    progress.report(progress.Event(_TASK, len(rates), len(rates)))
    return losses, ended


@contextlib.contextmanager
def _batches(
    network: Network,
    source: Any,
    *,
    batch: int,
    most: int,
    augment: Any,
    standardize: str,
    labels: Any,
    seed: int,
    broken: dict[int, str],
) -> Iterator[tuple[Iterator[Fed], InputSpec]]:
    """Yield batches without end, at most `most` different ones, and what specification they follow.

    What cannot be read goes into `broken` at the end.
    """
    with contextlib.ExitStack() as stack:
        if standardize != "model" and isinstance(source, tuple | Feed):
            raise OptionError(
                f"standardize={standardize!r} would be ignored: a Feed and tensors are normalised already. Leave it "
                "out."
            )
        if isinstance(source, tuple) and len(source) == 2 and all(isinstance(one, Tensor) for one in source):
            images, classes = network.batch(source[0]), source[1].to(network.device, torch.int64)
            if len(images) != len(classes):
                raise DataError(f"{len(images)} pictures and {len(classes)} labels: each picture needs one.")
            _check_classes(network, images, int(classes.max()) + 1)
            yield _of_tensors(images, classes, min(batch, len(images)), seed), network.spec
            return
        if isinstance(source, Feed):
            yield _endless(source), network.spec
            return
        parts = source if isinstance(source, Split) else split(source, seed=seed, labels=labels)
        pictures = len(parts.train_indices)
        if not pictures:
            raise DataError("there are no training pictures to find a learning rate with.")
        spec = standardized(network.spec, parts.train, parts.train_indices, standardize)
        order = torch.randperm(pictures, generator=generator(seed, _TASK)).numpy()
        chosen = np.sort(order[:most])
        made = feed(
            parts.train,
            parts.train_indices[chosen],
            parts.train_labels[chosen],
            spec,
            batch=min(batch, len(chosen)),
            device=network.device,
            seed=seed,
            augment=_augment(augment),
            training=True,
        )
        batches = _endless(stack.enter_context(made))
        first = next(batches)
        _check_classes(network, first.images, len(parts.class_names))
        yield itertools.chain([first], batches), spec
        broken.update(made.broken)


def _notes(broken: Mapping[int, str]) -> tuple[str, ...]:
    if not broken:
        return ()
    first = next(iter(broken.values()))
    return (f"{count(len(broken), 'picture')} could not be read and took no part (first: {first}).",)


def _endless(source: Feed) -> Iterator[Fed]:
    """Yield epoch after epoch."""
    for epoch in itertools.count(1):
        some = False
        for batch in source.epoch(epoch):
            some = True
            yield batch
        if not some:
            raise DataError("none of the training pictures can be read, or they are fewer than one batch.")


def _of_tensors(images: Tensor, labels: Tensor, batch: int, seed: int) -> Iterator[Fed]:
    for epoch in itertools.count(1):
        order = torch.randperm(len(images), generator=generator(seed, _TASK, epoch))
        for chosen in torch.split(order[: len(order) // batch * batch], batch):
            at = chosen.to(images.device)
            yield Fed(images[at], labels[at], chosen)


def _check_classes(network: Network, images: Tensor, classes: int) -> None:
    """Refuse labels for which there is no logit, before the network is trained on them."""
    found = network(images[:1]).shape[1]
    if classes > found:
        raise DataError(
            f"the pictures are of {classes} classes, and {network.name} has {found} logits. Make a network for as many "
            "(striate.learn.start)."
        )


def _augment(value: Augment | str | Mapping[str, Any] | None) -> Augment:
    if value is None or isinstance(value, Augment):
        return value or Augment()
    return Augment.parse(value) if isinstance(value, str) else Augment.from_dict(dict(value))


def _check(lowest: float, highest: float, steps: int, stop_at: float) -> None:
    """Refuse what is no range to try."""
    if not 0 < lowest < highest < math.inf:
        raise OptionError(f"rates must grow from above 0: lowest {lowest}, highest {highest}.")
    if steps < 10:
        raise OptionError(f"steps must be at least 10 for a curve, got {steps}.")
    if not stop_at > 1:
        raise OptionError(f"stop_at must be above 1, got {stop_at}.")


def _proportioned(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """Let the largest rate of a given optimiser's groups be 1, as the rates that are tried are factors of it."""
    largest = max(float(group["lr"]) for group in optimizer.param_groups)
    for group in optimizer.param_groups:
        group["initial_lr"] = float(group["lr"]) / largest if largest > 0 else 1.0
    return optimizer
