"""What is to be judged: a lens by name or as a function, with its options. Imports no lens by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from striate import registry
from striate.errors import OptionError
from striate.network import Network
from striate.results import Heatmap
from striate.targets import Target, resolve

__all__ = ["Explainer", "Lens", "Lenses", "explain", "explainers", "parse"]


@dataclass(frozen=True)
class Explainer:
    """A lens with its options, under the name by which results call it.

    Attributes:
        name: unlike those of all others it is judged with.
        call: ``call(network, images, target, **options) -> Heatmap``.
        options: other than its defaults.
    """

    name: str
    call: Callable[..., Any]
    options: Mapping[str, Any] = field(default_factory=dict)


Lens = str | Explainer | Callable[..., Any]
Lenses = Lens | Sequence[Lens] | Mapping[str, Lens]


def explainers(lenses: Lenses) -> tuple[Explainer, ...]:
    """Return what is to be judged, each under a name of its own.

    Args:
        lenses: one or several: "grad_cam", "saliency:rule=guided", a function like a lens, an `Explainer`; or a
            mapping from names to them.

    Raises:
        OptionError: no such lens or option, two of one name, or none at all.
    """
    if isinstance(lenses, Mapping):
        found = [_named(one, name) for name, one in lenses.items()]
    else:
        single = isinstance(lenses, str | Explainer) or callable(lenses)
        several: list[Any] = [lenses] if single else _list(lenses)
        found = [_named(one) for one in several]
    if not found:
        raise OptionError("no lens was given to be judged. Name one, such as 'grad_cam'.")
    names = [one.name for one in found]
    if twice := [name for name in names if names.count(name) > 1]:
        raise OptionError(f"two lenses are called {twice[0]!r}. Give them names: {{'first': ..., 'second': ...}}.")
    return tuple(found)


def parse(text: str) -> Explainer:
    """Read "NAME" or "NAME:OPTION=VALUE,OPTION=VALUE", values as the command line takes them.

    Raises:
        OptionError: no such lens or option, or a value that it does not take.
    """
    name, _, rest = text.partition(":")
    info = registry.describe(name.strip())
    if not {"images", "target"} <= info.needs:
        raise OptionError(
            f"{info.name} explains no decision of the network, so there is nothing to judge. "
            "Choose a lens with a target, such as saliency or grad_cam."
        )
    options: dict[str, Any] = {}
    for part in filter(None, (part.strip() for part in rest.split(","))):
        key, equals, value = part.partition("=")
        key = key.strip().replace("-", "_")
        option = next((option for option in info.options if option.name == key), None)
        if option is None or not equals:
            known = ", ".join(option.name for option in info.options) or "none"
            raise OptionError(
                f"{part!r} in {text!r} is no option of {info.name}. Write {info.name}:OPTION=VALUE; it has {known}."
            )
        options[key] = option.parse(value)
    return Explainer(text, registry.function(info.name), options)


def explain(explainer: Explainer, network: Network, images: Tensor, target: Target) -> Heatmap:
    """Run a lens, and make sure that what it gives can be judged.

    Args:
        explainer: the lens.
        network: that is asked.
        images: (N, C, H, W), normalised.
        target: as the lens takes it.

    Raises:
        OptionError: it gives no heatmap, not one for each picture, not of their size, or not of the target.
    """
    result = explainer.call(network, images, target, **explainer.options)
    if not isinstance(result, Heatmap):
        raise OptionError(
            f"{explainer.name} gives {type(result).__name__}, no heatmap, so there is nothing to judge. "
            "Choose a lens that explains a decision, such as saliency or grad_cam."
        )
    if tuple(result.scores.shape[1:]) != tuple(images.shape[2:]) or len(images) not in (1, len(result)):
        found, wanted = (" x ".join(map(str, shape)) for shape in (result.scores.shape, images.shape))
        raise OptionError(f"{explainer.name} gives maps of {found} for pictures of {wanted} (N x C x H x W).")
    rows = images.expand(len(result), -1, -1, -1) if len(images) == 1 else images
    asked, given = (resolve(network, one, rows) for one in (target, list(result.target)))
    for index in range(len(rows)):
        one, other = ((each.place, each.channels[index], each.positions[index]) for each in (asked, given))
        # "top class" and "strongest unit" are for the lens to settle
        if one[0] != other[0] or (one[1] is not None and one[2] != "max" and one != other):
            raise OptionError(
                f"{explainer.name} explains {given.labels[index]} in picture {index + 1}, "
                f"where {asked.labels[index]} was asked for."
            )
    return result


def _named(lens: Lens, name: str | None = None) -> Explainer:
    if isinstance(lens, Explainer):
        return lens if name is None else Explainer(name, lens.call, lens.options)
    if isinstance(lens, str):
        found = parse(lens)
        return found if name is None else Explainer(name, found.call, found.options)
    if not callable(lens):
        raise OptionError(f"{lens!r} is no lens: give its name, or a function like one.")
    return Explainer(name or str(getattr(lens, "__name__", type(lens).__name__)), lens)


def _list(lenses: Any) -> list[Any]:
    try:
        return list(lenses)
    except TypeError:
        raise OptionError(f"{lenses!r} is no lens: give its name, or a function like one.") from None
