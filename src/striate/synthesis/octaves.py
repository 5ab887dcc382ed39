"""DeepDream: a picture in several sizes, from small to large, each pushed towards more of what is seen in it.

What a small size has gained is enlarged and added to the next one, so that shapes of all sizes come up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from striate import progress
from striate.errors import Stopped
from striate.synthesis.showing import tell

__all__ = ["Dreaming", "Slope", "dream_on", "enlarged", "octave_sizes"]

Slope = Callable[[Tensor], Tensor]
"""Takes pictures (B, C, h, w), from 0 to 1, of the size of an octave, and returns the gradient of their scores."""

_LEVELS = 255.0
_EVERY = 4  # steps between two pictures that are shown


@dataclass(frozen=True, eq=False)
class Dreaming:
    """What `dream_on` made.

    Attributes:
        pictures: (B, C, H, W), from 0 to 1.
        frames: as they were after each octave, of that octave's size.
        notes: sentences on what happened on the way.
    """

    pictures: Tensor
    frames: tuple[Tensor, ...]
    notes: tuple[str, ...]


def octave_sizes(height: int, width: int, octaves: int, scale: float) -> list[tuple[int, int]]:
    """Return heights and widths of the octaves, from small to large; the last is the picture's own."""
    return [
        (max(1, round(height / scale**octave)), max(1, round(width / scale**octave)))
        for octave in range(octaves - 1, -1, -1)
    ]


def enlarged(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring pictures (B, C, h, w) to a size by bilinear interpolation, smoothed where they are made smaller."""
    if images.shape[2:] == size:
        return images
    return F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)


def dream_on(
    images: Tensor,
    octaves: list[tuple[tuple[int, int], Slope]],
    *,
    steps: int,
    step_size: float,
    jitter: int,
    generator: torch.Generator,
    task: str = "dream",
) -> Dreaming:
    """Let pictures dream, all at once and each by itself.

    A step rolls the picture by a random number of pixels, adds step_size / 255 times the gradient over its mean
    absolute value, rolls back, and cuts off at 0 and 1. All pictures are rolled alike, so that a picture dreams
    the same alone and among others.

    A request to stop after the first step ends the dream there. A picture whose gradient is no finite number is
    left alone from that step on.

    Args:
        images: (B, C, H, W), from 0 to 1.
        octaves: sizes from small to large, the last that of the pictures, with the gradient at each.
        steps: of each octave, at least 1.
        step_size: of 255 levels, what the mean pixel changes in a step.
        jitter: pixels that the picture is rolled by at most, down and across.
        generator: of the rolls, on the CPU.
        task: what to call it where progress is shown.

    Raises:
        Stopped: before the first step was made.

    Source: Mordvintsev, Olah and Tyka 2015, "Inceptionism"; google/deepdream, `dream.ipynb`.
    """
    size = (images.shape[2], images.shape[3])
    total = steps * len(octaves)
    detail = torch.zeros_like(images)
    frames: list[Tensor] = []
    notes: list[str] = []
    broken = torch.zeros(len(images), dtype=torch.bool, device=images.device)
    still = torch.ones_like(broken)
    done = 0
    for number, (small, slope) in enumerate(octaves, 1):
        base = enlarged(images, small)
        current = (base + enlarged(detail, small)).clamp(0, 1)
        try:
            for step in range(steps):
                progress.check_stop(task)
                seen = current if step % _EVERY == 0 else None
                tell(task, done, total, seen, note=f"octave {number} of {len(octaves)}, {small[0]} x {small[1]}")
                down, across = (torch.rand(2, generator=generator, dtype=torch.float64) * (2 * jitter + 1)).tolist()
                roll = (int(down) - jitter, int(across) - jitter)
                gradient = slope(current.roll(roll, (2, 3))).roll((-roll[0], -roll[1]), (2, 3))
                mean = gradient.flatten(1).abs().mean(1)
                new = ~mean.isfinite() & ~broken
                broken |= new
                for row in new.nonzero().flatten().tolist():
                    notes.append(f"Picture {row + 1}: no finite number at step {done}; it is left as it was there.")
                moves = ~broken & (mean > 0)
                still &= ~moves
                rate = torch.where(moves, step_size / _LEVELS / mean.clamp(min=1e-38), 0.0).view(-1, 1, 1, 1)
                current = (current + rate * gradient.masked_fill(~moves.view(-1, 1, 1, 1), 0)).clamp(0, 1)
                done += 1
        except Stopped:
            if not done:
                raise
            notes.append(f"Stopped at step {done} of {total}, as asked: what was dreamt before is kept.")
            detail = enlarged(current - base, size)
            frames.append(current)
            break
        detail = current - base
        frames.append(current)
    if bool((still & ~broken).any()):
        rows = ", ".join(str(row + 1) for row in (still & ~broken).nonzero().flatten().tolist()[:6])
        notes.append(f"No gradient reached picture {rows}: nothing moved it.")
    pictures = (images + enlarged(detail, size)).clamp(0, 1)
    tell(task, done, done, pictures)
    return Dreaming(pictures, tuple(frames), tuple(notes))
