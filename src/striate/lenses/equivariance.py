"""The lens `equivariance`: whether a layer's map moves with the picture, and how much of it stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from striate.errors import NetworkError, OptionError
from striate.graph import Layer
from striate.lenses._lens import lens
from striate.moving import Move, Places, moved, places, sampled
from striate.network import Images, Network
from striate.results import Equivariance, Movement, Recipe
from striate.streaming import in_chunks
from striate.tap import activations

__all__ = ["equivariance"]

SCALES = (0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5)
ANGLES = (0.0, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 75.0, 90.0, 120.0, 150.0, 180.0)
ENOUGH = 4  # clean units, below which the border is let in
SAME = 1e-4  # of a map's mean square: smaller changes are rounding


@lens
def equivariance(
    network: Network,
    images: Images,
    *,
    layers: str | Sequence[str] | None = None,
    shift: int = 32,
    direction: Literal["right", "down"] = "right",
    scales: Sequence[float] = SCALES,
    angles: Sequence[float] = ANGLES,
    chunk: int | None = None,
) -> Equivariance:
    """Measure whether moving the picture moves a layer's map with it: shift, scale, rotation.

    The picture is moved and run, and run and its map moved; the error is the difference of the two maps, divided by
    the root of the sum of their squares: 0 when they are the same, 1 when they have nothing in common. Between units
    a map is interpolated, so a shift that is no multiple of the layer's stride shows what sampling loses. Units that
    see the border in one of the runs are left out; where all do, they are let in, and the result says so.

    Args:
        network: that is asked.
        images: (N, C, H, W), normalised, or paths.
        layers: one address or several, at most seven; the last layer of each resolution unless given.
        shift: the largest one, in pixels; every smaller one is taken too.
        direction: in which the picture is shifted.
        scales: factors of enlargement about the middle.
        angles: of rotation about the middle, in degrees against the clock.
        chunk: pictures in one pass; chosen by the device unless given.

    Returns:
        For each kind of movement and layer: the error, how far values change where they stand (invariance), the
        share of values that change at all, and the probability of the class that each picture had unmoved.

    Raises:
        AddressError: no such layer.
        NetworkError: a layer gives no map.
        OptionError: an amount makes no sense, or more than seven layers.

    Source: Goodfellow, Bengio and Courville 2016, "Deep Learning", sections 9.2 and 9.3 (equivariance to shifts,
        invariance by pooling); Zhang 2019, arXiv:1904.11486 (what striding does to it).
    """
    batch = network.batch(images)
    graph = network.graph(*batch.shape[2:])
    named = [layers] if isinstance(layers, str) else layers
    chosen = graph.stages()[:7] if named is None else [graph.layer(place) for place in dict.fromkeys(named)]
    _check(network, chosen, shift, scales, angles)
    side = batch.shape[2 if direction == "down" else 3]
    largest = min(shift, side // 3)
    plans: dict[str, list[Move]] = {
        "shift": [Move("shift", float(pixels), down=direction == "down") for pixels in range(largest + 1)],
        "scale": [Move("scale", float(factor)) for factor in scales],
        "rotation": [Move("rotation", float(angle)) for angle in angles],
    }
    addresses = [one.address for one in chosen]
    plain = activations(network, batch, addresses, logits=True)
    assert plain.logits is not None
    tops = plain.logits.argmax(1)
    curves = {
        kind: _measure(network, batch, chosen, moves, plain.outputs, tops, chunk)
        for kind, moves in plans.items()
        if moves
    }
    shown = [moves[len(moves) * 2 // 3] for moves in plans.values() if moves]
    notes: tuple[str, ...] = () if largest == shift else (f"Shifts go up to {largest} pixels, a third of the picture.",)
    if network.spec.pixelwise is not None:
        notes += ("Pictures are moved as the network takes them, standardised at each pixel already.",)
    return Equivariance(
        layers=tuple(addresses),
        strides=tuple((one.field.stride or (0.0, 0.0))[0 if direction == "down" else 1] for one in chosen),
        curves=curves,
        direction=direction,
        classes=tuple(network.class_name(int(top)) for top in tops),
        pictures=network.spec.pixels(batch),
        examples={move.kind: (move.amount, network.spec.pixels(moved(batch[:1], move))[0]) for move in shown},
        recipe=Recipe(notes=notes),
    )


def _check(
    network: Network, layers: Sequence[Layer], shift: int, scales: Sequence[float], angles: Sequence[float]
) -> None:
    """Refuse what cannot be moved."""
    if not layers:
        raise NetworkError(f"no layer of {network.name} gives a map of more than one unit, so nothing can move in one.")
    if len(layers) > 7:
        raise OptionError(f"{len(layers)} layers are too many curves for one drawing. Name up to seven.")
    for one in layers:
        if one.map_size is None or one.map_size == (1, 1):
            raise NetworkError(
                f"layer {one.address!r} gives {' x '.join(map(str, one.shape))}: no map, so nothing can move in it. "
                "Choose a layer with maps; `striate layers` lists them."
            )
    if shift < 0:
        raise OptionError(f"shift must be 0 or more, got {shift}. Choose the direction by direction.")
    if wrong := [factor for factor in scales if not 0.1 <= factor <= 10]:
        raise OptionError(f"scales must lie between 0.1 and 10, got {wrong[0]}.")
    if wrong := [angle for angle in angles if not -360 <= angle <= 360]:
        raise OptionError(f"angles must lie between -360 and 360 degrees, got {wrong[0]}.")


def _measure(
    network: Network,
    batch: Tensor,
    layers: Sequence[Layer],
    moves: Sequence[Move],
    plain: dict[str, Tensor],
    tops: Tensor,
    chunk: int | None,
) -> Movement:
    """Run all pictures under all movements of one kind, a piece at a time, and compare."""
    count, many = len(batch), len(layers)
    where = [[places(move, one.field, one.map_size or (1, 1)) for move in moves] for one in layers]
    clean = [all(int(at.clean.sum()) >= ENOUGH for at in row) for row in where]
    errors = torch.full((many, count, len(moves)), torch.nan, dtype=torch.float64)
    changes = torch.full((many + 1, count, len(moves)), torch.nan, dtype=torch.float64)
    shares, probabilities = changes.clone(), torch.empty(count, len(moves), dtype=torch.float64)
    units = torch.zeros(many, len(moves), dtype=torch.long)

    def run_piece(start: int, stop: int) -> None:
        items = [divmod(item, count) for item in range(start, stop)]  # movement, picture
        pictures = torch.cat([moved(batch[picture : picture + 1], moves[at]) for at, picture in items])
        found = activations(network, pictures, list(plain), logits=True)
        assert found.logits is not None
        for index, (at, picture) in enumerate(items):
            before, after = batch[picture].flatten(), pictures[index].flatten()
            changes[0, picture, at], shares[0, picture, at] = _difference(after, before), _share(after, before)
            probabilities[picture, at] = float(found.logits[index].softmax(0)[tops[picture]])
            for row, one in enumerate(layers):
                chosen = where[row][at]
                map_after, map_before = found.outputs[one.address][index], plain[one.address][picture]
                compared = _compared(map_after, map_before, chosen, clean[row])
                units[row, at] = len(compared[0][0]) if compared is not None else 0
                if compared is None:
                    continue
                stayed, went, expected = compared
                errors[row, picture, at] = _difference(went, expected)
                changes[row + 1, picture, at] = _difference(went, stayed)
                shares[row + 1, picture, at] = _share(went, stayed)

    in_chunks(count * len(moves), run_piece, size=network.piece(chunk), task=moves[0].kind)
    return Movement(
        amounts=tuple(move.amount for move in moves),
        errors=errors,
        changes=changes,
        shares=shares,
        probabilities=probabilities,
        clean=tuple(clean),
        units=units,
    )


def _compared(after: Tensor, before: Tensor, where: Places, clean: bool) -> tuple[Tensor, Tensor, Tensor] | None:
    """Return three readings (C, P): unmoved at the same units, moved and run, run and moved; None of no units."""
    kept = where.clean if clean else torch.ones_like(where.clean)
    if not bool(kept.any()):
        return None
    chosen = where.units[kept].to(after.device)
    expected = sampled(before[None], where.sources[kept])[0]
    return before.flatten(1)[:, chosen], after.flatten(1)[:, chosen], expected


def _difference(first: Tensor, second: Tensor) -> float:
    """Return the distance of two readings: 0 for the same, 1 for nothing in common, at most 1.41."""
    first, second = first.double(), second.double()
    size = float(first.square().sum() + second.square().sum())
    return 0.0 if size == 0 else float(((first - second).square().sum() / size).sqrt())


def _share(first: Tensor, second: Tensor) -> float:
    """Return the share of values that differ by more than rounding, in [0, 1]."""
    first, second = first.double(), second.double()
    size = float(second.square().mean().sqrt())
    return float(((first - second).abs() > SAME * size).double().mean())
