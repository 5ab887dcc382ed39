"""What a training says of itself, in words. Pure text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from striate.learn.run import Epoch

if TYPE_CHECKING:
    from striate.learn.pictures.feeding import Feed

__all__ = ["duration", "first_reason", "note", "strange"]


def note(row: Epoch, left: float | None) -> str:
    """Say in one line how an epoch went.

    Args:
        row: of the history.
        left: seconds until the end, None where it is the last.
    """
    parts = [f"loss {row.train_loss:.3g}", f"accuracy {100 * row.train_accuracy:.1f} %"]
    if row.validation_loss is not None and row.validation_accuracy is not None:
        parts.append(f"validation {row.validation_loss:.3g} / {100 * row.validation_accuracy:.1f} %")
    digits = 0 if row.pictures_per_second >= 10 else 1
    parts.append(f"{row.pictures_per_second:,.{digits}f} pictures/s")
    if left is not None:
        parts.append(f"{duration(left)} left")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """Write a time as a person says it."""
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def strange(loss: float) -> str:
    """Name a loss that is no number."""
    return "NaN (not a number)" if math.isnan(loss) else "infinite"


def first_reason(feed: Feed) -> str:
    """Say why the first picture could not be read; nothing where all could."""
    return f"The first: {next(iter(feed.broken.values()))}" if feed.broken else ""
