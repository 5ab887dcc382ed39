"""The settings of a training as options of a command, read from the source of `Settings`. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from striate import registry
from striate.errors import OptionError
from striate.registry import Option

__all__ = ["setting_options"]

_SETTINGS = Path(registry.__file__).parent / "learn" / "settings.py"

# What the fields of Settings are, for somebody at a terminal; one that is missing here is explained by its docstring.
_WORDS = {
    "epochs": "How often every training picture is shown.",
    "batch": "Pictures in one step. [default: 128 up to 64 x 64 pixels, 32 above]",
    "optimizer": "How the weights follow the gradient: sgd, momentum, nesterov, adagrad, adadelta, rmsprop, adam, "
    "adamax, nadam, amsgrad, adamw or muon.",
    "rate": "Learning rate, at its largest; --find-rate proposes one. [default: what is usual for the optimiser]",
    "momentum": "How much of the step before is kept. [default: what is usual for the optimiser]",
    "weight_decay": "How strongly kernels are pulled towards 0; biases and normalisations never are. [default: what is "
    "usual for the optimiser]",
    "optimizer_options": "More settings of the optimiser: decay, least, initial. Several times for several.",
    "groups": "Factor of the learning rate for a part of the network, such as layer1=0.1. Several times for several.",
    "schedule": "How the learning rate changes: one-cycle, cosine, triangle, step, exponential, plateau or constant.",
    "warmup": "Steps in which the rate rises first, or a share of all steps below 1. [default: the schedule's own]",
    "schedule_options": "More settings of the schedule: first, last, drop, at (such as 0.5:0.75), patience, threshold.",
    "smoothing": "Label smoothing: the share of the truth that is spread over all classes.",
    "class_weights": "Weigh rare classes more: none, balanced (by the inverse of their pictures), effective (milder), "
    "or a number for each class, --class-weights several times.",
    "clip": "Largest norm of the gradient of a step. [default: no limit]",
    "average": "Validate and keep a moving average of the weights with this decay, such as 0.999.",
    "standardize": "What is taken from the pictures and what they are divided by: channel (mean and standard deviation "
    "of each colour over the training pictures), pixel (of each pixel), model (what the network says), none (values "
    "from 0 to 1 as they are). [default: channel for a new network, model for one with weights]",
    "share": "Share of each class that is set aside for validation, where FOLDER has no part for it. [default: 0.2]",
    "together": "What lies on one side when a share is set aside: near (pictures that look nearly the same, copies "
    "too), or copies.",
    "frozen": "A layer, or weight, that does not learn. Several times for several.",
    "precision": "float32, bfloat16 (half as exact, faster where the hardware has it), or auto.",
    "compile": "Let torch.compile make the network: takes minutes first, for long trainings on a GPU.",
    "validate_every": "Epochs between two validations.",
    "monitor": "What makes an epoch the best: accuracy or loss (of validation), train_loss, last, or auto.",
    "patience": "End after so many epochs without a better one. [default: go through all]",
    "time_limit": "Begin no epoch that would end later than this: seconds, or 10min, 2h.",
    "keep": "How many networks over the course are kept, the first weights among them.",
    "seed": "Of everything that is drawn by lot: split, first weights, order, augmentation.",
}
_METAVARS = {"int": "N", "float": "NUMBER", "str": "WORD"}
_METAVAR_OF = {"optimizer_options": "NAME=NUMBER", "groups": "LAYER=FACTOR", "schedule_options": "NAME=VALUE",
               "frozen": "LAYER", "time_limit": "TIME", "class_weights": "WORD|NUMBER"}  # fmt: skip
_QUIET = frozenset({"class_weights"})  # whose default the words say


def setting_options() -> list[click.Option]:
    """Return an option for each field of `Settings`; a field that comes new appears by itself."""
    return [_option(option) for option in registry.fields_of(_SETTINGS, "Settings")]


def _reader(option: Option) -> Callable[[str], Any]:
    """Read the text of one option."""

    def read(text: str) -> Any:
        try:
            if option.name == "time_limit":
                return _seconds(text)
            return _named_value(text) if option.annotation.startswith("Mapping") else option.parse(text)
        except OptionError as error:
            raise click.BadParameter(str(error)) from None

    return read


def _seconds(text: str) -> float:
    """Read "90", "10min" or "2h"."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|min|m|h)?\s*", text)
    if found is None:
        raise OptionError(f"{text!r} is no time. Write seconds, or 10min, 2h.")
    return float(found[1]) * {"s": 1, "m": 60, "min": 60, "h": 3600}[found[2] or "s"]


def _named_value(text: str) -> tuple[str, Any]:
    """Read "name=0.5", or "name=0.5:0.75" for several."""
    name, equals, value = text.partition("=")
    try:
        numbers = [float(part) for part in value.split(":")]
    except ValueError:
        equals = ""
    if not equals or not name.strip():
        raise OptionError(f"{text!r} is not understood: write NAME=NUMBER, such as layer1=0.1.")
    plain = [int(one) if one.is_integer() and "." not in value else one for one in numbers]
    return name.strip(), plain[0] if len(plain) == 1 else tuple(plain)


def _option(option: Option) -> click.Option:
    """Make the option of one field of Settings."""
    flag = f"--{option.name.replace('_', '-')}"
    words = _WORDS.get(option.name, option.help[:1].upper() + option.help[1:])
    if "[default" not in words and option.default not in (None, ()) and option.name not in _QUIET:
        shown = {True: "yes", False: "no"}[option.default] if isinstance(option.default, bool) else option.default
        words += f" [default: {shown}]"
    if option.kinds == ("bool",):
        return click.Option([f"{flag}/--no-{flag[2:]}"], default=None, help=words)
    metavar = _METAVAR_OF.get(option.name, _METAVARS.get(option.type, "WORD"))
    return click.Option([flag], type=_reader(option), metavar=metavar, multiple=option.many, help=words)
