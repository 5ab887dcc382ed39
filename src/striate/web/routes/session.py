"""`GET session`: what there is to look at."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from striate import __version__, registry
from striate.network import Network
from striate.web.reply import Served
from striate.web.shapes import Seen, seen

__all__ = ["router"]

router = APIRouter(tags=["session"])


class Known(BaseModel):
    """A network."""

    name: str
    input: str
    classes: int
    class_names: list[str]
    weights: str
    notes: list[str]


class AtlasKnown(BaseModel):
    """An atlas."""

    pictures: int
    layers: list[str]


class Session(BaseModel):
    """What there is to look at."""

    network: Known
    other: Known | None
    atlas: AtlasKnown | None
    sheets: list[str]
    run: bool
    epochs: list[int]
    pictures: list[Seen]
    left_out: list[str]
    lenses: list[str]
    limits: dict[str, int]
    version: str


@router.get("/session")
def session(house: Served) -> Session:
    """Say what there is to look at: networks, pictures, the atlas, the lenses."""
    atlas, store = house.atlas, house.pictures
    left_out = [*store.broken, *([f"{store.left_out} more pictures are not offered."] if store.left_out else [])]
    return Session(
        network=_known(house.network),
        other=None if house.other is None else _known(house.other),
        atlas=None
        if atlas is None
        else AtlasKnown(pictures=len(atlas.pictures), layers=list(dict.fromkeys(map(house.called, atlas.layers)))),
        sheets=[] if house.sheets is None else list(dict.fromkeys(map(house.called, house.sheets.layers))),
        run=house.run is not None,
        epochs=[] if house.run is None else list(house.run.checkpoints),
        pictures=[seen(house, picture) for picture in store.all()],
        left_out=left_out,
        lenses=registry.names(),
        limits={"upload": house.limits.upload, "pixels": house.limits.pixels, "uploads": house.limits.uploads},
        version=__version__,
    )


def _known(network: Network) -> Known:
    spec, classes = network.spec, network.graph().classes
    return Known(
        name=network.name,
        input=f"{spec.channels} x {spec.height} x {spec.width}",
        classes=classes,
        class_names=[network.class_name(index) for index in range(classes)],
        weights=network.weights_hash,
        notes=list(network.notes),
    )
