"""A report: all that the lenses say of some pictures, as one HTML file that needs nothing else. Computes nothing."""

from __future__ import annotations

from striate.report.build import look

__all__ = ["look"]
