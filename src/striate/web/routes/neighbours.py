"""The pictures of the atlas that lie nearest to a picture."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from striate.atlas import Atlas
from striate.atlas.naming import words
from striate.atlas.nearest import Metric
from striate.errors import OptionError
from striate.lenses.neighbours import neighbours as nearest
from striate.web.reply import Served, as_json
from striate.web.routes.atlas import atlas_of, known, picture_url

router = APIRouter(tags=["map"])


class Neighbour(BaseModel):
    """A picture of the atlas; `label` is what it is of, `said` what the network takes it for."""

    picture: int
    name: str
    distance: float
    url: str
    label: str
    said: str


class Neighbours(BaseModel):
    """The nearest by the features of a layer, nearest first; `agreement` says how often such are of one class."""

    layer: str
    metric: str
    caption: str
    said: str
    notes: list[str]
    agreement: float | None
    judged: int
    neighbours: list[Neighbour]


@router.get("/neighbours", response_model=Neighbours)
def neighbours(
    request: Request,
    house: Served,
    picture: str | None = None,
    index: Annotated[int | None, Query(ge=0)] = None,
    layer: str | None = None,
    top: Annotated[int, Query(ge=1, le=100)] = 12,
    metric: Metric = "euclidean",
) -> Response:
    """Find the nearest pictures of the atlas to a picture: one of the page (`picture`), or of the atlas (`index`)."""

    def make() -> Neighbours:
        if (picture is None) == (index is None):
            raise OptionError("give one of picture (of this page) and index (of the atlas).")
        atlas, network = atlas_of(house), house.network
        if index is not None:
            images = atlas.pictures.read(known(atlas, index), network)[None]
        else:
            assert picture is not None
            images = house.looked_at(picture, network)
        with house.jobs.short():
            # a picture of the atlas is left out of its own neighbours, so there may be one fewer
            most = min(top, max(1, len(atlas) - 1))
            found = nearest(network, images, atlas, layer=layer, top=most, metric=metric, pixels=False)
        space = found.spaces[0]
        return Neighbours(
            layer=space.name,
            metric=metric,
            caption=found.caption(),
            said=found.said[0],
            notes=list(found.recipe.notes),
            agreement=space.agreement,
            judged=space.judged,
            neighbours=[
                _neighbour(atlas, one, far)
                for one, far in zip(space.indices[0].tolist(), space.distances[0].tolist(), strict=True)
            ],
        )

    return as_json(request, house, make)


def _neighbour(atlas: Atlas, index: int, distance: float) -> Neighbour:
    label, said = words(atlas, index)
    return Neighbour(
        picture=index,
        name=atlas.pictures.name(index),
        distance=distance,
        url=picture_url(index),
        label=label,
        said=said,
    )
