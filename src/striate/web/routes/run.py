"""`POST run`: look through a lens; `GET results`: what it gave."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel

from striate.images import encode_png
from striate.results import Heatmap, encode_json
from striate.web.house import House
from striate.web.jobs import Job
from striate.web.looking import Ask, Kept, identity, is_quick, look
from striate.web.reply import PNG_RESPONSES, Served, as_png
from striate.web.store import UnknownError

__all__ = ["describe", "find", "router", "start"]

router = APIRouter(tags=["run"])

Number = Annotated[int, Path(ge=0, le=100_000)]


class Drawn(BaseModel):
    """A drawing of a result."""

    title: str
    caption: str
    url: str
    width: int
    height: int
    low: float | None
    high: float | None
    unit: str
    signed: bool
    sharp: bool


class Overlay(BaseModel):
    """A map and the picture that it is of, of the same size, to be laid over one another; transparent where it is 0."""

    title: str
    picture: str
    map: str
    alone: str
    low: float
    high: float
    signed: bool
    score: float


class Trust(BaseModel):
    """How far to believe it."""

    sentence: str
    doubt: bool
    numbers: dict[str, Any]


class Shown(BaseModel):
    """What a lens gave; all of its numbers are in `GET results/{id}/numbers.json`."""

    result: str
    lens: str
    network: str
    target: list[str]
    options: dict[str, Any]
    caption: str
    notes: list[str]
    seconds: float
    numbers: Any
    drawings: list[Drawn]
    overlays: list[Overlay]
    trust: Trust | None


class Begun(BaseModel):
    """A job that was begun instead; see `GET jobs/{job}` and its events."""

    job: str


@router.post("/run", response_model=Shown, responses={202: {"model": Begun, "description": "It takes longer."}})
def run(house: Served, ask: Ask) -> Response:
    """Look through a lens: the result, where that is quick, else a job."""
    kept = house.results.find(identity(house, ask))
    if kept is None:
        if not is_quick(house, ask):
            begun = Begun(job=start(house, ask).id)
            return Response(begun.model_dump_json(), status_code=202, media_type="application/json")
        with house.jobs.short():
            kept = look(house, ask, house.asked(ask.other, ask.epoch))
    return Response(describe(kept).model_dump_json(), media_type="application/json")


@router.get("/results/{result}", response_model=Shown)
def result(house: Served, result: str) -> Shown:
    """Give a result once more, as long as it is kept."""
    return describe(find(house, result))


@router.get("/results/{result}/numbers.json", response_class=Response)
def numbers(house: Served, result: str) -> Response:
    """Give the recipe and all numbers of a result, arrays in base64."""
    kept = find(house, result)
    text = encode_json({"recipe": kept.result.recipe.to_dict(), **kept.result.numbers()})
    return Response(text, media_type="application/json")


@router.get("/results/{result}/{number}.png", responses=PNG_RESPONSES, response_class=Response)
def drawn(request: Request, house: Served, result: str, number: Number) -> Response:
    """Show a drawing of a result."""

    def make() -> bytes:
        drawings = find(house, result).drawings
        if number >= len(drawings):
            raise UnknownError(f"no drawing {number}: this result has {len(drawings)}.")
        return encode_png(drawings[number].pixels)

    return as_png(request, house, make)


@router.get("/results/{result}/maps/{number}.png", responses=PNG_RESPONSES, response_class=Response)
def map_of(
    request: Request,
    house: Served,
    result: str,
    number: Number,
    alone: Annotated[bool, Query(description="opaque, in the colours of the scale")] = False,
) -> Response:
    """Show the map of one picture: transparent where it is zero, or alone."""

    def make() -> bytes:
        heatmap = _heatmap(find(house, result), number)
        low, high = heatmap.scale()
        return encode_png(heatmap.raw(number, low, high) if alone else heatmap.layer(number, low, high))

    return as_png(request, house, make)


@router.get("/results/{result}/pictures/{number}.png", responses=PNG_RESPONSES, response_class=Response)
def picture_of(request: Request, house: Served, result: str, number: Number) -> Response:
    """Show the picture that a map is of, as the network saw it."""
    return as_png(request, house, lambda: encode_png(_heatmap(find(house, result), number).pictures[number]))


def start(house: House, ask: Ask) -> Job:
    """Begin a job that looks through a lens.

    Raises:
        BusyError: too many wait already.
        OptionError: there is no such network.
    """
    network = house.twin(house.asked(ask.other, ask.epoch))
    return house.jobs.start("lens", lambda _: json.loads(describe(look(house, ask, network)).model_dump_json()))


def find(house: House, result: str) -> Kept:
    """Return a result.

    Raises:
        UnknownError: it is not kept.
    """
    kept = house.results.find(result)
    if kept is None:
        raise UnknownError("this result is not kept, or not any more: ask the lens again.")
    return kept


def describe(kept: Kept) -> Shown:
    """Say what a lens gave, with the places of its drawings."""
    recipe, place = kept.result.recipe, f"/api/results/{kept.id}"
    drawings = [
        Drawn(
            title=one.title,
            caption=one.caption,
            url=f"{place}/{index}.png",
            width=one.pixels.shape[1],
            height=one.pixels.shape[0],
            low=one.low,
            high=one.high,
            unit=one.unit,
            signed=one.signed,
            sharp=one.sharp,
        )
        for index, one in enumerate(kept.drawings)
    ]
    trust = kept.trust()
    return Shown(
        result=kept.id,
        lens=recipe.lens,
        network=recipe.network,
        target=list(recipe.target),
        options=dict(recipe.options),
        caption=kept.result.caption(),
        notes=list(recipe.notes),
        seconds=recipe.seconds,
        numbers=kept.numbers(),
        drawings=drawings,
        overlays=_overlays(kept, place),
        trust=None if trust is None else Trust(**trust),
    )


def _overlays(kept: Kept, place: str) -> list[Overlay]:
    heatmap = kept.result
    if not isinstance(heatmap, Heatmap):
        return []
    low, high = heatmap.scale()
    return [
        Overlay(
            title=address,
            picture=f"{place}/pictures/{index}.png",
            map=f"{place}/maps/{index}.png",
            alone=f"{place}/maps/{index}.png?alone=1",
            low=low,
            high=high,
            signed=heatmap.signed,
            score=float(heatmap.score_values[index]),
        )
        for index, address in enumerate(heatmap.target)
    ]


def _heatmap(kept: Kept, number: int) -> Heatmap:
    if not isinstance(kept.result, Heatmap):
        raise UnknownError(f"{kept.result.recipe.lens} gives no map to be laid over a picture. See its drawings.")
    if number >= len(kept.result):
        raise UnknownError(f"no picture {number}: this result is of {len(kept.result)}.")
    return kept.result
