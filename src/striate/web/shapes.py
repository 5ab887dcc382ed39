"""Forms that several answers have in common: boxes, pictures, sheets of cells. Computes nothing."""

from __future__ import annotations

from pydantic import BaseModel

from striate.results.sprite import Sprite
from striate.web.house import House
from striate.web.store import Picture

__all__ = ["Edges", "Seen", "Sheet", "in_original", "seen"]


class Edges(BaseModel):
    """A box in pixels of a picture; bottom and right are exclusive."""

    top: float
    left: float
    bottom: float
    right: float


class Seen(BaseModel):
    """A picture; `crop` is the part of it that the network sees, null where that is all of it."""

    id: str
    name: str
    width: int
    height: int
    sample: bool
    crop: Edges | None


class Sheet(BaseModel):
    """How the cells of a sprite lie: `columns` wide, row by row, each `cell` pixels (height, width), without gaps."""

    count: int
    columns: int
    rows: int
    cell: tuple[int, int]
    low: float
    high: float
    signed: bool

    @classmethod
    def of(cls, made: Sprite) -> Sheet:
        """Say how a sprite is laid out."""
        return cls(
            count=made.count,
            columns=made.columns,
            rows=made.rows,
            cell=made.cell,
            low=made.low,
            high=made.high,
            signed=made.signed,
        )


def seen(house: House, picture: Picture) -> Seen:
    """Describe a picture."""
    size = picture.height, picture.width
    spec = house.network.spec
    # an array of the right size is taken as it is
    whole = picture.array is not None and size == spec.size
    crop = None if whole else in_original((0, 0, *spec.size), spec.size, spec.seen(*size), size)
    if crop is not None and (crop.top, crop.left, crop.bottom, crop.right) == (0, 0, *size):
        crop = None
    return Seen(
        id=picture.id,
        name=picture.name,
        width=picture.width,
        height=picture.height,
        sample=picture.sample,
        crop=crop,
    )


def in_original(
    box: tuple[float, float, float, float],
    input_size: tuple[int, int],
    part: tuple[float, float, float, float],
    size: tuple[int, int],
) -> Edges | None:
    """Bring a box from pixels of the input to those of the picture that it was made from, cut off at its edges.

    Args:
        box: top, left, bottom, right edge in the input.
        input_size: height and width of the input.
        part: of the picture that the input shows (`InputSpec.seen`).
        size: height and width of the picture.

    Returns:
        The box, or None where nothing of it lies in the picture.
    """
    down, across = (part[2] - part[0]) / input_size[0], (part[3] - part[1]) / input_size[1]
    top, bottom = (min(max(part[0] + at * down, 0), size[0]) for at in (box[0], box[2]))
    left, right = (min(max(part[1] + at * across, 0), size[1]) for at in (box[1], box[3]))
    if bottom <= top or right <= left:
        return None
    return Edges(top=top, left=left, bottom=bottom, right=right)
