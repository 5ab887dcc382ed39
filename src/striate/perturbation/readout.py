"""Which numbers of an output are asked for, for many changed versions of one picture. Runs no network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from striate.errors import NetworkError
from striate.network import Network
from striate.tap import activations, respond
from striate.targets import Target, Targets, resolve

__all__ = ["Readout", "Scored", "apart", "grouped", "spread", "spread_and_tap"]


@dataclass(frozen=True)
class Scored:
    """The scores of many changed versions of one picture.

    Attributes:
        values: (M, T), float32, on the CPU: M changed pictures, T targets.
        clean: (T,), the scores of the unchanged picture.
        details: how they were worked out, ready for JSON.
    """

    values: Tensor
    clean: Tensor
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Readout:
    """The T targets of one picture, all at one place.

    Attributes:
        place: layer whose output holds them; None for the logits.
        channels: (T,), class or channel of each.
        positions: (T, 2), row and column of each unit, or None for means over the map.
    """

    place: str | None
    channels: Tensor
    positions: Tensor | None

    @classmethod
    def of(cls, targets: Targets) -> Readout:
        """Take settled targets, all of which ask about the same picture."""
        assert targets.settled
        positions = None if targets.positions[0] is None else torch.tensor(targets.positions)
        return cls(targets.place, torch.tensor(targets.channels), positions)

    def read(self, output: Tensor) -> Tensor:
        """Read the T scores of each of M pictures off an output.

        Args:
            output: (M, K) or (M, C, h, w), as the network or the layer gives it.

        Returns:
            Shape (M, T), float32, on the CPU.
        """
        channels = self.channels.to(output.device)
        if output.dim() == 2:
            found = output[:, channels]
        elif self.positions is None:
            found = output[:, channels].float().mean((2, 3))
        else:
            rows, columns = self.positions.to(output.device).unbind(1)
            found = output[:, channels, rows, columns]
        return found.detach().float().cpu()


def spread(network: Network, images: Tensor, target: Target) -> tuple[Tensor, Targets, Tensor]:
    """Make targets definite; one picture with several targets is repeated, one row for each.

    Args:
        network: that is asked.
        images: (N, C, H, W).
        target: as `targets.resolve` takes it; with N = 1 also a list of several.

    Returns:
        The batch with a row for each target, the settled targets, their scores on the clean pictures (rows,).

    Raises:
        AddressError: no such target, or not as many as there are pictures.
        NetworkError: a score of a clean picture is not a finite number.
    """
    rows, targets = _rows(network, images, target)
    return rows, *_settled(network, targets, respond(network, images, targets.place), len(rows))


def spread_and_tap(
    network: Network, images: Tensor, target: Target, layer: str
) -> tuple[Tensor, Targets, Tensor, Tensor]:
    """Do as `spread`, and capture the output of a layer in the same pass: (N, C, h, w), as `activations` does."""
    rows, targets = _rows(network, images, target)
    places = [layer] if targets.place is None else [layer, targets.place]
    tapped = activations(network, images, places, logits=targets.place is None)
    output = tapped.logits if targets.place is None else tapped.outputs[targets.place]
    assert output is not None
    return rows, *_settled(network, targets, output, len(rows)), tapped.outputs[layer]


def _rows(network: Network, images: Tensor, target: Target) -> tuple[Tensor, Targets]:
    plain: Any = target
    plain = plain.tolist() if hasattr(plain, "tolist") else plain
    if len(images) == 1 and isinstance(plain, list | tuple):
        images = images.expand(len(plain), -1, -1, -1)
    return images, resolve(network, plain, images)


def _settled(network: Network, targets: Targets, output: Tensor, rows: int) -> tuple[Targets, Tensor]:
    """Settle targets on the output for the clean pictures; one picture that is repeated was run once."""
    output = output.expand(rows, *output.shape[1:])
    targets = targets.settle(output, network)
    scores = targets.scores(output)
    if not scores.isfinite().all():
        row = int((~scores.isfinite()).nonzero()[0])
        raise NetworkError(
            f"the score of {targets.labels[row]} on picture {row + 1} is {scores[row].item()}, so nothing can be "
            "compared with it. Check the weights and the normalisation of the network."
        )
    return targets, scores


def grouped(images: Tensor, *beside: Tensor | None) -> list[tuple[int, list[int]]]:
    """Return, for each different picture of a batch, its first row and all rows that show it.

    Args:
        images: (N, C, H, W).
        beside: (N, ...) or (1, ...), what goes with each picture: rows are the same only if this is, too.
    """
    compared = [images, *(one for one in beside if one is not None and len(one) > 1)]

    def alike(row: int, other: int) -> bool:
        pairs = ((one[row], one[other]) for one in compared)
        return all(here.data_ptr() == there.data_ptr() or torch.equal(here, there) for here, there in pairs)

    groups: list[tuple[int, list[int]]] = []
    for row in range(len(images)):
        for first, rows in groups:
            if alike(row, first):
                rows.append(row)
                break
        else:
            groups.append((row, [row]))
    return groups


def apart(found: Tensor, expected: Tensor) -> float:
    """Return the largest difference of two sets of scores, relative to the largest score.

    Where both are infinite or not a number in the same way, they are alike; where only one is, they are infinitely
    far apart.
    """
    finite = found.isfinite() & expected.isfinite()
    alike = (found == expected) | (found.isnan() & expected.isnan())
    if not (alike | finite).all():
        return float("inf")
    if not finite.any():
        return 0.0
    return float((found - expected)[finite].abs().max()) / max(float(expected[finite].abs().max()), 1e-12)
