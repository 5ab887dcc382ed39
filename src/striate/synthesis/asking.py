"""What is asked for becomes runs: targets and words sorted by layer and size, each with its start. Makes no picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.address import parse
from striate.choosing import choose_layers, is_word
from striate.errors import AddressError, NetworkError, OptionError
from striate.geometry import Field
from striate.network import Network
from striate.results.words import shape
from striate.synthesis.objectives import Objective, objective
from striate.synthesis.sizing import Sized, checked, sized

__all__ = ["Asked", "Job", "jobs_of"]

Asked = str | int | Objective


@dataclass(frozen=True)
class Job:
    """Pictures of one size at one place, made in one run.

    Attributes:
        title: address of the layer, or "classes".
        objectives: one for each picture.
        numbers: short forms of them.
        sized: how large the pictures are, and why.
        start: photographs that they start from, (B, C, H, W); None for none.
        whole: the pictures stand for a whole layer.
        depth: where the layer stands among all of the network, from 1; 0 where it is no layer.
        layers: how many there are.
        layer_channels: how many the layer has; 0 where it is no layer.
        sees: what one of its units sees, in words; empty where that is not known.
    """

    title: str
    objectives: list[Objective]
    numbers: list[str]
    sized: Sized
    start: Tensor | None
    whole: bool
    depth: int = 0
    layers: int = 0
    layer_channels: int = 0
    sees: str = ""


@dataclass(frozen=True)
class _Wanted:
    """How pictures are asked for, whatever they are of."""

    several: int
    diversity: float
    per_layer: int | None


def jobs_of(
    network: Network,
    target: Asked | Sequence[Asked],
    photographs: Tensor | None,
    *,
    size: int | Sequence[int] | None,
    several: int,
    diversity: float,
    per_layer: int | None,
) -> list[Job]:
    """Sort what is asked for into runs: whole layers first, each by itself, then what is left by place and size.

    A layer that a word stands for ("stages", say) and that was named before is left out, and so is a whole layer that
    is named twice, unless each is to start from a photograph of its own: both would give the same pictures again.

    Args:
        network: that is asked.
        target: addresses, words for several layers (`choosing.WORDS`), class indices, objectives.
        photographs: (N, C, H, W) from 0 to 1, to start from; one for all targets, or one for each.
        size: of the pictures; by layer unless given.
        several: pictures for each target.
        diversity: how far these are kept apart.
        per_layer: channels of a whole layer at most, evenly spread over it; None for all.

    Raises:
        AddressError: no such unit or layer, or none at all.
        NetworkError: a word stands for no layer of this network.
        OptionError: several or per_layer below 1, a size that the network cannot take, or a wrong number of
            photographs.
    """
    if several < 1:
        raise OptionError(f"several must be at least 1, got {several}.")
    if per_layer is not None and per_layer < 1:
        raise OptionError(f"per_layer must be at least 1, got {per_layer}. Leave it out for all channels.")
    wanted, fixed = _Wanted(several, diversity, per_layer), _fixed(network, size)
    asked = [target] if isinstance(target, str | int | Objective) else list(target)
    if not asked:
        raise AddressError("no unit was named. Write LAYER:CHANNEL, such as layer4.1.conv2:17, or class:NAME.")
    asked = _spelt_out(network, asked, twice=photographs is not None and len(photographs) > 1)
    starts = _paired(asked, photographs, fixed)
    if len(starts) > len(asked):
        asked = asked * len(starts)
    jobs: list[Job] = []
    single: dict[tuple[str | None, Sized], list[tuple[Objective, Tensor | None]]] = {}
    for one, start in zip(asked, starts, strict=True):
        place = _layer_of(network, one)
        here = None if start is None else Sized(*start.shape[2:])
        here = here if fixed is None else Sized(*fixed)
        if place is not None:
            jobs.append(_whole(network, place, start, here or sized(network, place), wanted))
            continue
        goal, fit = _single(network, one, here)
        single.setdefault((goal.terms[0].place, fit), []).append((goal, start))
    for (place, fit), found in single.items():
        jobs.append(_job(network, place, found, fit, wanted, whole=False))
    return jobs


def _fixed(network: Network, size: int | Sequence[int] | None) -> tuple[int, int] | None:
    if size is None:
        return None
    sides = (size, size) if isinstance(size, int) else tuple(size)
    if len(sides) == 1:
        sides = (*sides, *sides)
    if len(sides) != 2:
        raise OptionError(f"size is one number of pixels, or height and width; got {size}.")
    return checked(network, sides[0], sides[1])


def _spelt_out(network: Network, asked: Sequence[Asked], *, twice: bool) -> list[Asked]:
    """Put the layers that a word stands for in its place; no layer again that is there, unless named so."""
    found: list[Asked] = []
    there: set[str] = set()
    for one in asked:
        word = isinstance(one, str) and is_word(network, one.strip())
        for name in [layer.address for layer in choose_layers(network, str(one).strip())] if word else [one]:
            place = _layer_of(network, name)
            if place is not None and place in there and (word or not twice):
                continue
            there |= {place} if place is not None else set()
            found.append(name)
    return found


def _layer_of(network: Network, asked: Asked) -> str | None:
    """Return the place of a whole layer; None for anything else."""
    if not isinstance(asked, str) or " " in asked.strip() or "*" in asked or asked.strip().startswith("-"):
        return None
    address = parse(asked)
    if address.label is not None or address.channel is not None:
        return None
    return network.graph().layer(address.place).address


def _whole(network: Network, place: str, start: Tensor | None, fit: Sized, wanted: _Wanted) -> Job:
    """Return the run of a whole layer: all of its channels, or some that are evenly spread."""
    size = fit.height, fit.width
    count = network.graph(*size).layer(place).channels
    most = count if wanted.per_layer is None else min(count, wanted.per_layer)
    goals = [objective(network, f"{place}:{index * count // most}", size) for index in range(most)]
    return _job(network, place, [(goal, start) for goal in goals], fit, wanted, whole=True)


def _single(network: Network, asked: Asked, here: Sized | None) -> tuple[Objective, Sized]:
    """Return the objective of one target, and the size of its picture."""
    if isinstance(asked, Objective):
        return asked, here or sized(network, asked.places[-1])
    if here is not None:
        return objective(network, asked, (here.height, here.width)), here
    usual = sized(network, None)  # addresses of single units count on the size
    goal = objective(network, asked, (usual.height, usual.width))
    if any(term.kind == "unit" for term in goal.terms) or len(goal.terms) > 1:
        return goal, usual
    return goal, sized(network, goal.terms[0].place)


def _job(
    network: Network,
    place: str | None,
    found: list[tuple[Objective, Tensor | None]],
    fit: Sized,
    wanted: _Wanted,
    *,
    whole: bool,
) -> Job:
    title = place or "classes"
    objectives, numbers, starts = [], [], []
    for goal, start in found:
        if wanted.several > 1 and wanted.diversity:
            goal = goal.diverse(_compared_at(network, goal), wanted.diversity)
        objectives += [goal] * wanted.several
        short = goal.label.removeprefix(f"{title}:").removeprefix("class:")
        numbers += [short] * wanted.several
        starts += [start] * wanted.several
    given = [start for start in starts if start is not None]
    job = Job(title, objectives, numbers, fit, torch.cat(given) if given else None, whole)
    return job if place is None else _standing(network, place, job)


def _standing(network: Network, place: str, job: Job) -> Job:
    """Say of a run where in the network its layer stands."""
    graph = network.graph()
    layer = graph.layer(place)
    return replace(
        job,
        depth=1 + graph.layers.index(layer),
        layers=len(graph.layers),
        layer_channels=layer.channels,
        sees=_seen(layer.field),
    )


def _seen(field: Field) -> str:
    """Say what one unit sees; nothing where that is not known."""
    if field.status == "whole input":
        return "all of the picture"
    if field.size is None:
        return ""
    return f"{'at most ' if field.status == 'bound' else ''}{shape(field.size)} pixels"


def _compared_at(network: Network, goal: Objective) -> str:
    """Return the layer at which pictures of the same objective are to differ: its own, of a class the last map."""
    place = goal.terms[0].place
    if place is not None:
        return place
    try:
        return network.graph().last_map().address
    except NetworkError as error:
        raise OptionError(
            f"{network.name} has no layer with a map at which pictures of {goal.label} could be kept apart. "
            "Give diversity=0: then they differ by their seeds alone."
        ) from error


def _paired(asked: Sequence[Asked], photographs: Tensor | None, size: tuple[int, int] | None) -> list[Tensor | None]:
    """Return the photograph that each target starts from, (1, C, H, W) each."""
    if photographs is None:
        return [None] * len(asked)
    if size is not None and size != tuple(photographs.shape[2:]):
        photographs = _resized(photographs, size)
    parts = [photographs[index : index + 1] for index in range(len(photographs))]
    if len(parts) == 1:
        return [parts[0]] * len(asked)
    if len(asked) not in (1, len(parts)):
        raise OptionError(
            f"{len(parts)} photographs to start from for {len(asked)} targets: give one for all, or one for each."
        )
    return [*parts]


def _resized(photographs: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring photographs to a size, the middle of them where it has other proportions."""
    height, width = photographs.shape[2:]
    factor = min(height / size[0], width / size[1])
    rows, columns = (max(1, round(side * factor)) for side in size)
    top, left = (height - rows) // 2, (width - columns) // 2
    middle = photographs[..., top : top + rows, left : left + columns]
    return F.interpolate(middle, size, mode="bilinear", antialias=True).clamp(0, 1)
