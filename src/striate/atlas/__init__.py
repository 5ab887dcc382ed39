"""The atlas: a whole data set seen once by every unit of many layers, kept on disk. Shows nothing.

`build(network, "photos/", "photos.atlas")` makes one, `open("photos.atlas")` reads it; lenses stand on it.
"""

from __future__ import annotations

from striate.atlas.building import build
from striate.atlas.opened import Atlas, LayerAtlas, Pictures, Samples, open

__all__ = ["Atlas", "LayerAtlas", "Pictures", "Samples", "build", "open"]
