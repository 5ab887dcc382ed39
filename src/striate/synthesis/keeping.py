"""What is kept of an ascent: the best picture of each unit, how its value rose, a few pictures on the way."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["FRAME_SIDE", "Keeper"]

FRAME_SIDE = 64  # pixels of the longer side of a frame, at most


class Keeper:
    """Keeps the best picture of each row, with the step and the value.

    Attributes:
        best: (B, C, H, W), the best picture of each row so far.
        values: (B,), its value; minus infinity before there is one.
        steps: (B,), steps made before it, int64.
        start: (B,), values of the start pictures; NaN before they were looked at.
        curve: values (B,) at each look.
        curve_steps: steps made before each look.
        frames: uint8, (B, C, h, w) at a few of the looks.
        frame_steps: steps made before each frame.
    """

    def __init__(self, images: Tensor) -> None:
        """Begin with the start pictures, (B, C, H, W), which are kept until a value is known."""
        count = len(images)
        self.best = images.detach().clone()
        self.values = torch.full((count,), -torch.inf)
        self.steps = torch.zeros(count, dtype=torch.int64)
        self.start = torch.full((count,), torch.nan)
        self.curve: list[Tensor] = []
        self.curve_steps: list[int] = []
        self.frames: list[Tensor] = []
        self.frame_steps: list[int] = []

    def look(self, images: Tensor, values: Tensor, step: int, rows: Tensor) -> None:
        """Keep what is better than before.

        Args:
            images: (B, C, H, W), all of them.
            values: (B,), on the CPU; what is not finite is passed over.
            step: steps made before these pictures.
            rows: those that are looked at, bool, (B,).
        """
        better = rows & values.isfinite() & (values > self.values)
        if not self.curve_steps or step > self.curve_steps[-1]:
            self.curve.append(values.masked_fill(~rows, torch.nan))
            self.curve_steps.append(step)
        if step == 0:
            self.start = values.clone()
        if bool(better.any()):
            self.values = torch.where(better, values, self.values)
            self.steps = self.steps.masked_fill(better, step)
            if bool(better.all()):
                self.best = images.detach().clone()
            else:
                at = better.to(images.device)
                self.best[at] = images.detach()[at]

    def frame(self, images: Tensor, step: int) -> None:
        """Keep a small copy of the pictures as they are."""
        height, width = images.shape[2:]
        factor = min(1.0, FRAME_SIDE / max(height, width))
        small = images.detach()
        if factor < 1:
            small = F.interpolate(small, (max(1, round(height * factor)), max(1, round(width * factor))), mode="area")
        self.frames.append((small.clamp(0, 1) * 255).round().byte().cpu())
        self.frame_steps.append(step)
