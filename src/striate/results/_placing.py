"""Put axes on a figure at a place in inches. Knows no result."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = ["axes_at"]


def axes_at(figure: Figure, left: float, down: float, width: float, height: float) -> Axes:
    """Return bare axes whose top left corner is so many inches from the figure's."""
    sheet_width, sheet_height = figure.get_size_inches()
    axes: Axes = figure.add_axes(
        (left / sheet_width, 1 - (down + height) / sheet_height, width / sheet_width, height / sheet_height)
    )
    axes.set_axis_off()
    return axes
