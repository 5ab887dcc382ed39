"""The pictures of the atlas laid out in the plane, their thumbnails, and what a region of them has in common."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Annotated, Any
from weakref import WeakKeyDictionary

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from striate.atlas import pixels
from striate.atlas.naming import label_word, said_word
from striate.atlas.projection import Method
from striate.atlas.regions import Share, common
from striate.atlas.thumbnails import thumbnails
from striate.errors import ImageError, OptionError
from striate.lenses.embedding import embedding
from striate.results.sprite import sprite_of_pictures
from striate.web.house import House
from striate.web.jobs import Job
from striate.web.reply import PNG_RESPONSES, Served, as_json, as_png
from striate.web.routes.atlas import atlas_of

router = APIRouter(tags=["map"])

QUICK = 2000  # pictures that PCA lays out while one waits
MOST = 20_000  # pictures on one map
AT_ONCE = 512  # thumbnails on one sheet

_running: WeakKeyDictionary[House, dict[str, Job]] = WeakKeyDictionary()


class Map(BaseModel):
    """N pictures in the plane: `x` across and `y` up, in units of the method.

    `pictures` are their numbers in the atlas; `labels` the classes that they are of and `predictions` those that the
    network says, -1 where unknown. `trust` is from 0 to 1: how far neighbours here are neighbours among the features.
    """

    layer: str
    method: str
    total: int
    caption: str
    belief: str
    trust: float | None
    layers: list[str]
    pictures: list[int]
    names: list[str]
    x: list[float]
    y: list[float]
    labels: list[int] | None
    predictions: list[int]
    label_names: dict[int, str]
    class_names: dict[int, str]


class Started(BaseModel):
    """A job that makes the map: when it is done, the same question is answered."""

    job: str


class Region(BaseModel):
    """Pictures of the atlas, by their numbers."""

    pictures: list[Annotated[int, Field(ge=0)]] = Field(min_length=1, max_length=MOST)
    layer: str | None = None


class RegionClass(BaseModel):
    """How often a class is in a region, and among all pictures: shares from 0 to 1."""

    index: int
    name: str
    count: int
    share: float
    everywhere: float


class RegionUnit(BaseModel):
    """A unit that answers more in a region than elsewhere; `effect` in standard deviations of all pictures."""

    address: str
    layer: str
    unit: int
    inside: float
    outside: float
    effect: float


class InCommon(BaseModel):
    """What the pictures of a region have in common."""

    pictures: int
    of: int
    sentence: str
    labels: list[RegionClass]
    predictions: list[RegionClass]
    units: list[RegionUnit]


@router.get("/map", response_model=Map, responses={202: {"model": Started, "description": "It is being made."}})
def plane(
    request: Request,
    house: Served,
    layer: str | None = None,
    method: Method = "pca",
    pictures: Annotated[int, Query(ge=3, le=MOST)] = 6400,
    seed: Annotated[int, Query(ge=0, lt=2**32)] = 0,
) -> Response:
    """Lay the pictures of the atlas out by their features in a layer (the deepest kept unless named).

    What takes long is a job: the answer is 202 with its id, and the map itself once it is done.
    """
    atlas = atlas_of(house)
    if method == "pca" and min(len(atlas), pictures) <= QUICK:
        return as_json(request, house, lambda: _map(house, layer, method, pictures, seed))
    question = f"{house.mark} map {layer} {method} {pictures} {seed}"
    held = house.answers.find(question)
    if held is not None:
        return Response(held, media_type="application/json", headers={"Cache-Control": "private, no-cache"})

    def work(_: Job) -> dict[str, Any]:
        made = _map(house, layer, method, pictures, seed)
        with contextlib.suppress(ImageError):  # the thumbnails of those that are there are read one by one then
            pixels.of_atlas(house.network, atlas)
        house.answers.keep(question, made.model_dump_json().encode())
        return {"layer": made.layer, "method": method, "pictures": len(made.pictures)}

    jobs = _running.setdefault(house, {})
    job = jobs.get(question)
    if job is None or job.ended:
        job = jobs[question] = house.jobs.start("map", work)
    return Response(Started(job=job.id).model_dump_json(), status_code=202, media_type="application/json")


@router.get("/map/thumbnails.png", responses=PNG_RESPONSES, response_class=Response)
def sheet(
    request: Request,
    house: Served,
    start: Annotated[int, Query(ge=0, alias="from")] = 0,
    count: Annotated[int, Query(ge=1, le=AT_ONCE)] = 256,
    side: Annotated[int, Query(ge=8, le=64)] = 32,
) -> Response:
    """Draw pictures of the atlas from a number on as squares on one sheet without gaps.

    The sheet has ceil(sqrt(n)) columns, where n is `count` or as many pictures as there are from that number on.
    """

    def make() -> bytes:
        atlas = atlas_of(house)
        stop = min(start + count, len(atlas))
        if start >= stop:
            raise OptionError(
                f"the atlas has {len(atlas):,} pictures, 0 to {len(atlas) - 1:,}: none from {start:,} on."
            )
        return sprite_of_pictures(thumbnails(atlas, range(start, stop), side)).png()

    return as_png(request, house, make)


@router.post("/map/region", response_model=InCommon)
def region(house: Served, asked: Region) -> InCommon:
    """Say what some pictures of the atlas have in common: their classes, and the units that answer to them."""
    atlas = atlas_of(house)
    found = common(atlas, asked.pictures, layer=asked.layer)
    labels = [_share(one, label_word(atlas, one.index)) for one in found.labels]
    predictions = [_share(one, said_word(atlas, one.index)) for one in found.predictions]
    units = [
        RegionUnit(
            address=f"{found.layer}:{one.channel}",
            layer=house.called(found.layer or ""),
            unit=one.channel,
            inside=one.inside,
            outside=one.outside,
            effect=one.effect,
        )
        for one in found.stronger
    ]
    return InCommon(
        pictures=found.pictures,
        of=found.of,
        sentence=found.sentence(labels[0].name if labels else "", predictions[0].name if predictions else ""),
        labels=labels,
        predictions=predictions,
        units=units,
    )


def _share(one: Share, name: str) -> RegionClass:
    return RegionClass(index=one.index, name=name, count=one.count, share=one.share, everywhere=one.everywhere)


def _map(house: House, layer: str | None, method: Method, pictures: int, seed: int) -> Map:
    atlas = atlas_of(house)
    with house.jobs.short():
        found = embedding(house.network, atlas, layer=layer, method=method, show="points", pictures=pictures, seed=seed)
    chosen = found.indices
    labels = None if atlas.labels is None else atlas.labels[chosen].tolist()
    said = atlas.predictions[chosen].tolist()
    return Map(
        layer=found.layer,
        method=method,
        total=found.total,
        caption=replace(found, show="pictures").caption(),  # colours are told by the page itself
        belief=found.belief(),
        trust=found.trust,
        layers=list(atlas.feature_places),
        pictures=chosen.tolist(),
        names=list(found.names),
        x=[round(value, 5) for value in found.places[:, 0].tolist()],
        y=[round(value, 5) for value in found.places[:, 1].tolist()],
        labels=labels,
        predictions=said,
        label_names={one: label_word(atlas, one) for one in sorted(set(labels or ())) if one >= 0},
        class_names={one: said_word(atlas, one) for one in sorted(set(said)) if one >= 0},
    )
