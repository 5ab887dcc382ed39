"""From a run of gradient ascent to what a result of synthesis holds. Not a lens."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from striate.results import Made
from striate.synthesis.ascent import Ascent
from striate.synthesis.asking import Job

__all__ = ["made_of"]


def made_of(job: Job, ascent: Ascent, real: NDArray[np.float32], *, whose: str = "") -> Made:
    """Put together the pictures of one run.

    Args:
        job: what was asked.
        ascent: what came out.
        real: (n,), the best that real pictures reach; not numbers where that is not known.
        whose: what to say of the network behind each name; empty for nothing.
    """
    behind = f", {whose}" if whose else ""
    return Made(
        title=f"{job.title}{behind}",
        labels=tuple(f"{goal.label}{behind}" for goal in job.objectives),
        numbers=tuple(job.numbers),
        pictures=(ascent.pictures * 255).round().byte().numpy(),
        reached=ascent.reached.numpy(),
        peaks=ascent.peaks.numpy(),
        start=ascent.start_values.numpy(),
        best_steps=ascent.best_steps.numpy(),
        curve=ascent.curve.numpy(),
        curve_steps=ascent.curve_steps,
        frames=ascent.frames.numpy(),
        frame_steps=ascent.frame_steps,
        real=real,
        size_note=job.sized.why,
        whole=job.whole,
        depth=job.depth,
        layers=job.layers,
        layer_channels=job.layer_channels,
        sees=job.sees,
    )
