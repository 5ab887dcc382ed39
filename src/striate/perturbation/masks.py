"""The scores of a picture under many masks, streamed through one buffer. Knows no lens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from striate.errors import NetworkError
from striate.network import Network
from striate.perturbation.precision import Precision
from striate.perturbation.readout import Readout, Scored
from striate.perturbation.shortened import shortened
from striate.results.placement import placing_weights
from striate.running import run, undisturbed
from striate.streaming import in_chunks
from striate.tap import respond
from striate.targets import Targets

__all__ = ["Masks", "Score", "SmoothMasks", "mask_scores", "smooth_masks", "superpixel_masks"]

Masks = Callable[[int, int], Tensor]
"""Masks from `start` to `stop`: (m, H, W) in [0, 1] on any device, 1 keeps the picture and 0 shows the fill."""
Score = Literal["logit", "probability"]

_MANY = 32  # masks from which on it is worth making the network shorter first


def mask_scores(
    network: Network,
    image: Tensor,
    masks: Masks,
    total: int,
    fill: Tensor,
    targets: Targets,
    *,
    score: Score = "logit",
    chunk: int | None = None,
    precision: Precision = "float32",
    task: str = "masks",
) -> Scored:
    """Return the scores of one picture under each mask.

    One buffer of a few pictures is written anew for each pass; what a mask gives does not depend on which others
    are in it. Many masks are put to the network with its batch norm folded into the convolutions, where that gives the
    same answers but for rounding (`shortened`).

    Args:
        network: that is asked.
        image: (1, C, H, W), normalised.
        masks: gives the masks when they are needed.
        total: how many there are.
        fill: (C, H, W), normalised: the picture that shows where a mask is 0.
        targets: T settled targets of this picture, all at one place.
        score: of a class: its logit, or its probability among all classes. Units and channels count with their
            value.
        chunk: pictures in one pass; chosen by the device unless given, halved when memory runs out.
        precision: of the arithmetic; bfloat16 is an approximation.
        task: what to call it where progress is shown.

    Raises:
        OptionError: `chunk` is below 1.
        NetworkError: the network fails on a masked picture, or gives a score that is not a finite number.
    """
    readout = Readout.of(targets)
    # channel by channel the mixing is five times as fast as in the order that the network takes
    shown, kept = fill.to(image)[None].contiguous(), image.contiguous()
    values = torch.empty(total, len(targets.channels))
    mixed, buffer = image.new_empty(0), image.new_empty(0)
    short: Callable[[Tensor], Tensor] | None = None

    def ask(pictures: Tensor) -> Tensor:
        with torch.autocast(image.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            if targets.place is not None:
                return readout.read(short(pictures) if short else respond(network, pictures, targets.place))
            logits = short(pictures) if short else network.logits(run(network.module, pictures))
        return readout.read(_probabilities(logits) if score == "probability" else logits)

    def run_piece(start: int, stop: int) -> None:
        nonlocal mixed, buffer
        count = stop - start
        try:
            if len(buffer) < count:
                mixed = image.new_empty((count, *image.shape[1:]))
                buffer = mixed.to(memory_format=torch.channels_last)
            factors = masks(start, stop).to(image)[:, None]  # (m, 1, H, W)
            # lerp gives the picture itself where the factor is 1, and the fill itself where it is 0
            torch.lerp(shown, kept, factors, out=mixed[:count])
            found = ask(buffer[:count].copy_(mixed[:count]))
        except torch.OutOfMemoryError:
            mixed, buffer = image.new_empty(0), image.new_empty(0)
            raise
        if not found.isfinite().all():
            row, column = (~found.isfinite()).nonzero()[0].tolist()
            raise NetworkError(
                f"the score of {targets.labels[column]} is {found[row, column].item()} when part of the picture is "
                f"hidden (mask {start + row + 1} of {total}), so no explanation can be made of it. "
                "Try another baseline, and check the weights of the network."
            )
        values[start:stop] = found

    with undisturbed(network.module), torch.no_grad():
        clean = ask(image)[0]
        if total >= _MANY and precision == "float32":
            short = shortened(network, image, targets.place, total)
        in_chunks(total, run_piece, size=network.piece(chunk), task=task)
    return Scored(values, clean, {"precision": precision})


def _probabilities(logits: Tensor) -> Tensor:
    """Return the probability of each class, (M, K); a single logit is that of yes against no."""
    return logits.float().softmax(1) if logits.shape[1] > 1 else logits.float().sigmoid()


def superpixel_masks(design: Tensor, labels: Tensor, device: torch.device) -> Masks:
    """Switch superpixels on and off.

    Args:
        design: (M, S), bool: which superpixels each mask keeps.
        labels: (H, W), int64, 0 to S - 1.
        device: where the masks are made.
    """
    factors, flat = design.float().to(device), labels.flatten().to(device)
    return lambda start, stop: factors[start:stop].index_select(1, flat).view(-1, *labels.shape)


@dataclass(frozen=True)
class SmoothMasks:
    """Random masks of low resolution, enlarged, each shifted by a random part of a cell.

    Attributes:
        grids: (M, g, g), float64, 0 or 1.
        shifts: (M, 2), int64, rows and columns.
        down: (rows of a cell, H, g), float64: how each cell counts for each row, by shift.
        across: (columns of a cell, W, g), likewise.
    """

    grids: Tensor
    shifts: Tensor
    down: Tensor
    across: Tensor

    def on(self, device: torch.device) -> Masks:
        """Return what gives the masks (m, H, W), float32, on a device."""
        grids, down, across = (part.float().to(device) for part in (self.grids, self.down, self.across))
        shifts = self.shifts.to(device)

        def give(start: int, stop: int) -> Tensor:
            rows, columns = shifts[start:stop].unbind(1)
            return (down[rows] @ grids[start:stop] @ across[columns].mT).clamp_(0, 1)

        return give

    def weighed(self, values: Tensor) -> Tensor:
        """Sum the masks, each times its values, without making them again.

        Masks with the same vertical shift are enlarged downwards together.

        Args:
            values: (M, T).

        Returns:
            Shape (T, H, W), float64.
        """
        (steps, _, cells), width = self.down.shape, self.across.shape[1]
        strips = self.down.new_zeros(steps, values.shape[1], cells, width)  # (rows of a cell, T, g, W)
        for start in range(0, len(values), 256):  # a few megabytes at a time
            rows, columns = self.shifts[start : start + 256].unbind(1)
            wide = self.grids[start : start + 256] @ self.across[columns].mT  # (m, g, W)
            part = values[start : start + 256].double()
            strips.index_add_(0, rows, part[:, :, None, None] * wide[:, None])
        return torch.einsum("ahg,atgw->thw", self.down, strips)


def smooth_masks(total: int, size: tuple[int, int], *, cells: int, keep: float, seed: int) -> SmoothMasks:
    """Draw the random masks of RISE.

    All that is random is drawn here, so a mask depends on the seed and its number alone.

    Args:
        total: how many, M.
        size: height and width of the picture.
        cells: of the grid along each side, g, at least 1.
        keep: probability that a cell is kept, in (0, 1); the mean of a mask at every pixel.
        seed: of the draws.

    Source: Petsiuk, Das and Saenko 2018, arXiv:1806.07421, section 3.2.
    """
    generator = torch.Generator().manual_seed(seed)
    grids = (torch.rand(total, cells, cells, generator=generator, device="cpu") < keep).double()
    lengths = [-(-length // cells) for length in size]  # of a cell, rounded up
    shifts = [torch.randint(length, (total,), generator=generator, device="cpu") for length in lengths]
    ways = []
    for length, side in zip(lengths, size, strict=True):
        whole = placing_weights(cells, (cells + 1) * length, 0.0, 0.0)  # ((g + 1) * cell, g)
        ways.append(torch.stack([whole[shift : shift + side] for shift in range(length)]))
    return SmoothMasks(grids, torch.stack(shifts, dim=1), ways[0], ways[1])
