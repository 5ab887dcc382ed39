"""The history of a training for TensorBoard, an extra. Computes nothing."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from striate.errors import MissingExtraError
from striate.learn.run import Epoch

__all__ = ["Board", "check"]

_TAGS = {
    "loss/train": "train_loss",
    "loss/validation": "validation_loss",
    "accuracy/train": "train_accuracy",
    "accuracy/validation": "validation_accuracy",
    "rate": "rate",
    "pictures per second": "pictures_per_second",
}


class Board:
    """Writes what TensorBoard reads; each epoch once, also after an interruption."""

    def __init__(self, folder: Path, *, epoch: int = 0) -> None:
        """Open it.

        Args:
            folder: RUN/tensorboard.
            epoch: that the training goes on from; what was written of later ones is taken back.

        Raises:
            MissingExtraError: TensorBoard is not installed.
        """
        self._writer = _writer(folder, epoch)

    def add(self, row: Epoch) -> None:
        """Write the numbers of an epoch."""
        for tag, column in _TAGS.items():
            if (value := getattr(row, column)) is not None:
                self._writer.add_scalar(tag, value, row.epoch)
        self._writer.flush()

    def close(self) -> None:
        """Let go of the file."""
        self._writer.close()


def check() -> None:
    """Make sure that TensorBoard is installed.

    Raises:
        MissingExtraError: it is not.
    """
    try:
        importlib.import_module("tensorboard")
    except ImportError as error:
        raise MissingExtraError(
            "writing for TensorBoard needs a library that is not installed: pip install striate[tensorboard]. "
            "Without it RUN/history.csv has the same numbers."
        ) from error


def _writer(folder: Path, epoch: int) -> Any:
    check()
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=epoch + 1 if epoch else None)
