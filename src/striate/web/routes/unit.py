"""All that an atlas tells of one unit: what it answers to, how often, by class, and which units are like it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from striate import drawing
from striate.address import parse
from striate.images import encode_png
from striate.lenses.patches import patches
from striate.lenses.unit_card import unit_card
from striate.results.patches import Beside
from striate.results.patches import Patch as Found
from striate.results.unit_card import SimilarUnit
from striate.web.reply import PNG_RESPONSES, Served, as_json, as_png
from striate.web.routes.atlas import atlas_of, kept_by, picture_url

router = APIRouter(tags=["atlas"])


class Histogram(BaseModel):
    """Pictures by the unit's answer to them: `edges` are one more than `counts`."""

    edges: list[float]
    counts: list[int]


class Class(BaseModel):
    """How the unit answers to one class: mean of its map over the pictures of the class."""

    index: int
    name: str
    mean: float
    pictures: int


class Patch(BaseModel):
    """Where one picture of the atlas makes the unit answer most.

    `box` is what the unit sees there, in pixels of the picture as the network sees it: top, left, bottom, right, all
    inclusive; `size` is height and width of that picture.
    """

    picture: int
    name: str
    value: float
    position: list[int] | None
    box: list[int]
    size: list[int]
    url: str
    label: str
    said: str


class Similar(BaseModel):
    """A unit like this one, with the picture to which it answers most."""

    address: str
    layer: str
    unit: int
    called: str
    score: float
    patch: Patch | None


class Unit(BaseModel):
    """What is known of a unit. `chance`: the correlation that the best of so many unrelated units would reach."""

    address: str
    called: str
    place: list[str]
    answers: str
    selects: str
    pictures: int
    mean: float
    std: float
    smallest: float
    largest: float
    fires: float | None
    border: float | None
    rectified: bool
    dead: bool
    histogram: Histogram
    classes: list[Class]
    selectivity: float | None
    top: list[Patch]
    bottom: list[Patch]
    strip: list[Patch]
    similar: list[Similar]
    chance: float
    parallel: list[Similar]


@router.get("/unit", response_model=Unit)
def unit(request: Request, house: Served, layer: str, unit: Annotated[int, Query(ge=0)]) -> Response:
    """Say what the atlas knows of one unit; no picture is read and no network run for that."""

    def make() -> Unit:
        atlas = atlas_of(house)
        top = min(9, kept_by(atlas))
        card = unit_card(
            house.network, atlas, f"{house.own(layer, atlas.layers)}:{unit}", top=top, beside="none", blind=True
        )
        size = list(atlas.spec.size)

        def patch(one: Found) -> Patch:
            return Patch(
                picture=one.picture,
                name=one.name,
                value=one.value,
                position=None if one.position is None else list(one.position),
                box=list(one.field),
                size=size,
                url=picture_url(one.picture),
                label=one.label,
                said=one.said,
            )

        def similar(one: SimilarUnit) -> Similar:
            address = parse(one.address)
            return Similar(
                address=one.address,
                layer=house.called(address.place),
                unit=address.channel or 0,
                called=one.called,
                score=one.likeness,
                patch=None if one.patch is None else patch(one.patch),
            )

        return Unit(
            address=card.address,
            called=card.called,
            place=[words for words in card.place if words],
            answers=card.answers(),
            selects=card.selects(),
            pictures=card.total,
            mean=card.mean,
            std=card.std,
            smallest=card.smallest,
            largest=card.largest,
            fires=card.fires,
            border=card.border,
            rectified=card.rectified,
            dead=card.rectified and card.fires == 0,
            histogram=Histogram(edges=card.edges.tolist(), counts=card.counts.tolist()),
            classes=[
                Class(index=one.index, name=one.name, mean=one.mean, pictures=one.pictures) for one in card.classes
            ],
            selectivity=card.selectivity,
            top=[patch(one) for one in card.top],
            bottom=[patch(one) for one in card.bottom],
            strip=[patch(one) for one in card.strip],
            similar=[similar(one) for one in card.alike],
            chance=card.chance,
            parallel=[similar(one) for one in card.parallel],
        )

    return as_json(request, house, make)


@router.get("/unit/signals.png", responses=PNG_RESPONSES, response_class=Response)
def signals(
    request: Request,
    house: Served,
    layer: str,
    unit: Annotated[int, Query(ge=0)],
    rule: Beside = "guided",
    top: Annotated[int, Query(ge=1, le=9)] = 9,
    side: Annotated[int, Query(ge=16, le=224)] = 96,
) -> Response:
    """Draw the best patches of a unit (first row) with a backward signal of that very unit below each.

    Cells are `side` pixels, without gaps. Where a unit sees more than half of the picture, the smallest square is cut
    out that holds 90 % of the signal's energy.
    """

    def make() -> bytes:
        atlas = atlas_of(house)
        most = min(top, kept_by(atlas))
        with house.jobs.short():
            place = house.own(layer, atlas.layers)
            found = patches(house.twin(house.network), atlas, f"{place}:{unit}", top=most, beside=rule)
        rows = [found.cells(side), *([found.cells(side, signals=True)] if rule != "none" else [])]
        return encode_png(drawing.sheet([cell for row in rows for cell in row], columns=len(rows[0]), gap=0))

    return as_png(request, house, make)
