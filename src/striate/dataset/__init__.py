"""Sets of pictures, whatever they are kept in, and their way into a network: the room of ATLAS and TRAIN."""

from __future__ import annotations

from striate.dataset.batches import Batch, stream
from striate.dataset.opening import open
from striate.dataset.pictures import Part, PictureSet

__all__ = ["Batch", "Part", "PictureSet", "open", "stream"]
