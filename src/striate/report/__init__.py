"""A report: all that lenses say of pictures, or all of a training, as one HTML file. Computes nothing."""

from __future__ import annotations

from striate.report.build import look
from striate.report.training import training

__all__ = ["look", "training"]
