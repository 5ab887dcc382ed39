"""The ways to a classifier for other pictures: a head on features, fine-tuning in stages, training from random weights.

Each gives candidates: what it reached, and what makes its network. Chooses none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from striate.errors import NetworkError, OptionError
from striate.learn.judging.evaluate import evaluate
from striate.learn.loop import fit
from striate.learn.pictures.augment import Augment
from striate.learn.pictures.split import Split
from striate.learn.settings import Settings
from striate.learn.starting.naming import is_own
from striate.learn.starting.start import start
from striate.learn.transferring.keeping import Kept
from striate.learn.transferring.own_head import head_place, with_head
from striate.learn.transferring.stages import plan_stages
from striate.learn.transferring.strategy import Strategy
from striate.learn.transferring.trying import Material, Tried, try_heads
from striate.learn.transferring.tuning import fine_tune
from striate.nets.joined import Joined, joined
from striate.network import Network
from striate.results.shares import standard_error
from striate.results.transferring import Way
from striate.results.words import count

__all__ = ["Candidate", "Training", "from_scratch", "of_head", "tuned"]

_START: Final = "logistic"  # the head from which fine-tuning goes on: its logits are what cross entropy asks for
_STAGES: Final = 3  # into which fine-tuning is divided; how many of them, says the strategy


@dataclass(frozen=True)
class Candidate:
    """A way, what makes its network, and how that was trained.

    Attributes:
        way: what it reached.
        make: makes the network; None where another step of the same training was better.
        settings: of its training; those of none for a head.
    """

    way: Way
    make: Callable[[], Network] | None
    settings: Settings


@dataclass(frozen=True)
class Training:
    """How weights are trained, in stages and from random ones; see `fit`, and for `norms` `plan_stages`."""

    epochs: int
    batch: int | None
    augment: Augment | str | None
    seed: int
    workers: int | None
    norms: str = "keep"


def of_head(network: Network, tried: Tried, parts: Split) -> Candidate:
    """Return the way of a head on the network as it is.

    Args:
        network: on whose features it was fitted.
        tried: the head.
        parts: the pictures, whose classes it knows.
    """

    def make() -> Network:
        if tried.head.kind == "linear" and tried.way.places == (head_place(network),):
            return with_head(network, tried.head, parts.class_names)
        return joined(network, tried.way.places, tried.head, parts.class_names)

    return Candidate(tried.way, make, Settings())


def tuned(
    network: Network,
    material: Material,
    parts: Split,
    kept: Kept,
    tried: Sequence[Tried],
    strategy: Strategy,
    how: Training,
    notes: list[str],
) -> list[Candidate]:
    """Fine-tune in stages, from the logistic regression on what the network's own head reads.

    Args:
        network: whose weights are changed, in a copy.
        material: features, for that head.
        parts: the pictures.
        kept: where it is kept.
        tried: heads that were fitted already.
        strategy: how many stages.
        how: it is trained.
        notes: gets what should be known.

    Returns:
        The head that it went on from, where that was not tried already; and each stage that was trained.

    Raises:
        NetworkError: it cannot be trained.
    """
    if network.one_by_one:
        raise NetworkError(f"{network.name} takes one picture at a time, so that it cannot be fine-tuned.")
    own = head_place(network)
    place = own if own is not None and own in material.train else tuple(material.train)[-1]
    begin = next((one for one in tried if one.way.places == (place,) and one.way.name.startswith(f"{_START} ")), None)
    if begin is None:
        begin = try_heads(material, [_START], [(place,)], kept.heads, seed=how.seed)[0]
    if place == own:
        given = with_head(network, begin.head, parts.class_names)
    else:
        given = joined(network, [place], begin.head, parts.class_names)
    plan = plan_stages(given, _STAGES, norms=how.norms)[: strategy.stages or _STAGES]
    found = fine_tune(
        given, parts, out=kept.tuning, stages=plan, first=2, epochs=how.epochs, batch=how.batch,
        augment=how.augment, seed=how.seed, resume=True, workers=how.workers,
    )  # fmt: skip
    notes += [note for note in (*found.notes, found.ended) if note not in notes]
    settings = Settings() if found.run is None else found.run.settings
    candidates = [] if any(one is begin for one in tried) else [of_head(network, begin, parts)]
    for index, row in enumerate(found.rows):
        if row.stage is None:
            continue
        way = Way(
            name=f"fine-tuned, stage {row.stage.number}: {row.stage.name}",
            kind="tuned",
            accuracy=row.accuracy,
            error=row.error,
            seconds=row.seconds,
            weights=row.stage.parameters,
            note=f"{row.stage.caption()} {row.words}",
        )
        candidates.append(Candidate(way, (lambda: found.network) if index == found.best else None, settings))
    return candidates


def from_scratch(network: Network, parts: Split, kept: Kept, how: Training, notes: list[str]) -> list[Candidate]:
    """Train the same architecture from random weights; where it cannot be made anew that is said, and none returned.

    Args:
        network: like which the new one is.
        parts: the pictures.
        kept: where it is kept.
        how: it is trained.
        notes: gets what should be known.
    """
    made_as = network.factory or getattr(network.module, "made_as", None)
    module = network.module
    while isinstance(module, Joined):  # transferred before, once or more: what its backbone was made as
        made_as, module = module.made_by, module.backbone
    spec = network.spec
    try:
        if not isinstance(made_as, str):
            raise NetworkError("it is not known how it is made")
        if is_own(made_as):  # the name may come from a file, which must not choose what code is run
            raise NetworkError(
                f"{made_as} is code of somebody's own, which is not run by itself. Compare with striate train, "
                f"--net {made_as}"
            )
        fresh = start(
            made_as, classes=len(parts.class_names), class_names=parts.class_names, channels=spec.channels,
            size=spec.size, seed=how.seed,
        )  # fmt: skip
    except (NetworkError, OptionError) as error:
        notes.append(f"{network.name} cannot be trained from random weights: {str(error).rstrip('.')}.")
        return []
    fresh.spec = spec
    fresh.to(network.device)
    run = fit(
        fresh, parts, out=kept.scratch, resume=True, epochs=how.epochs, batch=how.batch, augment=how.augment,
        seed=how.seed, keep=0, workers=how.workers,
    )  # fmt: skip
    table = evaluate(fresh, parts.validation, parts.validation_indices, parts.validation_labels, workers=how.workers)
    way = Way(
        name=f"from random weights, {count(how.epochs, 'epoch')}",
        kind="scratch",
        accuracy=table.accuracy,
        error=standard_error(table.accuracy, len(table.judged)),
        seconds=run.history[-1].seconds,
        weights=sum(weight.numel() for weight in fresh.module.parameters()),
        note=f"{run.sentence()[:1].upper()}{run.sentence()[1:]}.",
    )
    return [Candidate(way, lambda: fresh, run.settings)]
