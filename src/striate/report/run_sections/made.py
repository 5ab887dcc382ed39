"""How this was made: on what it was trained and how, in words; the layers; the recipes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from striate.errors import DataError
from striate.learn.settings import Settings
from striate.report.run_visit import RunVisit
from striate.report.sections.how import layer_row
from striate.results.words import count, number

__all__ = ["PLACE", "TITLE", "build"]

PLACE = 90
TITLE = "How this was made"

STANDARDS = {
    "model": "as its specification says",
    "channel": "by the mean and deviation of each channel over all training pictures",
    "pixel": "by the mean and deviation of each pixel over all training pictures",
    "none": "not at all",
}


def build(told: RunVisit) -> Mapping[str, Any] | None:
    """Return what was trained on what, the settings as sentences, and the layer table."""
    graph = told.network.graph()
    runs = [] if told.visit is None else list(told.visit.runs.values())
    results = [*told.made.values(), *(run.result for run in runs if run.result is not None)]
    return {
        "data": _data(told),
        "sentences": _sentences(told),
        "settings": _changed(told.run.settings),
        "graph": graph,
        "rows": [layer_row(row.to_dict()) for row in graph.rows],
        "recipes": [one.recipe for one in results if one.recipe.lens],
        "refused": [*told.refused.items(), *((run.lens, run.refusal) for run in runs if run.result is None)],
    }


def _data(told: RunVisit) -> list[str]:
    """Say on which pictures it was trained and validated."""
    try:
        split = told.run.split
    except DataError as error:
        return [str(error)]
    found = [f"Trained on {count(len(split.train_indices), 'picture')} ({split.train.description})."]
    if split.validation is None or not len(split.validation_indices):
        found.append("Validated on nothing.")
    else:
        where = "others of these" if split.validation is split.train else split.validation.description
        found.append(f"Validated on {count(len(split.validation_indices), 'picture')} ({where}).")
    return [*found, *split.notes]


def _sentences(told: RunVisit) -> list[str]:
    """Say in words how it was trained."""
    settings = told.run.settings
    spec = told.network.spec
    if told.run.transferred:
        return [
            f"{told.run.sentence()[:1].upper()}{told.run.sentence()[1:]}.",
            f"Pictures of {spec.channels} x {spec.height} x {spec.width}, standardised as its specification says.",
        ]
    rate = "its usual learning rate" if settings.rate is None else f"learning rate {number(settings.rate)}"
    batch = "their number in a step chosen by their size" if settings.batch is None else f"{settings.batch} in a step"
    standard = STANDARDS[settings.standardize]
    found = [
        f"Optimiser {settings.optimizer} with {rate}, schedule {settings.schedule}.",
        f"Pictures of {spec.channels} x {spec.height} x {spec.width}, {batch}, standardised {standard}.",
    ]
    augmented = {name: value for name, value in settings.augment.to_dict().items() if value not in _plain(name)}
    words = ", ".join(f"{name} {_written(value)}" for name, value in augmented.items())
    found.append(f"Training pictures varied by {words}; validation pictures never." if words else "No augmentation.")
    history = told.run.history
    if history:
        done = f"{count(len(history), 'epoch')} of {settings.epochs}"
        speed = f"{history[-1].pictures_per_second:,.0f} pictures a second"
        found.append(f"{done} in {_time(history[-1].seconds)}, {speed}.")
    return found


def _plain(name: str) -> tuple[Any, ...]:
    """Return what an augmentation is when it does nothing."""
    from striate.learn.pictures.augment import Augment

    return (Augment().to_dict().get(name),)


def _changed(settings: Settings) -> dict[str, str]:
    """Return the settings that are not what they are when nothing is said, as text."""
    usual = Settings().to_dict()
    return {
        name: _written(value)
        for name, value in settings.to_dict().items()
        if value != usual[name] and name != "augment"
    }


def _written(value: Any) -> str:
    if isinstance(value, float):
        return number(value)
    if isinstance(value, list | tuple):
        return " to ".join(map(_written, value)) if len(value) == 2 else ", ".join(map(_written, value))
    return str(value)


def _time(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"
