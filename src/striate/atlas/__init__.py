"""The atlas: a whole data set seen once by every unit of many layers, kept on disk. Shows nothing.

`build(network, "photos/", "photos.atlas")` makes one, `open("photos.atlas")` reads it; lenses stand on it.
`features` keeps what some layers give for every picture and nothing else; `pooled` gives that in memory.
"""

from __future__ import annotations

from striate.atlas.building import build
from striate.atlas.extracting import features, features_bytes
from striate.atlas.opened import Atlas, LayerAtlas, Pictures, Samples, open
from striate.atlas.pooling import pooled

__all__ = ["Atlas", "LayerAtlas", "Pictures", "Samples", "build", "features", "features_bytes", "open", "pooled"]
