"""`GET predictions`: what the network says of a picture; `GET occlude`: and what with a patch on it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from striate.registry import function
from striate.results import Predictions
from striate.web.reply import Asked, Served, as_json
from striate.web.shapes import Edges, in_original

__all__ = ["router"]

router = APIRouter(tags=["predictions"])


class Ranked(BaseModel):
    """A class, its probability (softmax) and its logit."""

    index: int
    name: str
    probability: float
    logit: float


class Said(BaseModel):
    """What the network says, the most probable class first."""

    sentence: str
    classes: list[Ranked]


class Chance(BaseModel):
    """A class and its probability."""

    index: int
    name: str
    p: float


class Covered(BaseModel):
    """The same classes before and after; `box` is what was covered, in pixels of the picture as it was given."""

    before: list[Chance]
    after: list[Chance]
    target: str
    score_before: float
    score_after: float
    drop: float
    box: Edges | None


@router.get("/predictions", response_model=Said)
def predictions(
    request: Request,
    house: Served,
    asked: Asked,
    picture: str,
    top: Annotated[int, Query(ge=1, le=1000)] = 5,
) -> Response:
    """Say which classes the network finds in a picture."""

    def make() -> Said:
        network = asked()
        found: Predictions = function("predictions")(network, house.looked_at(picture, network))
        logits = found.logits[0]
        return Said(
            sentence=found.sentence(0),
            classes=[
                Ranked(index=index, name=name, probability=value, logit=float(logits[index]))
                for index, name, value in found.top(top)[0]
            ],
        )

    return as_json(request, house, make)


@router.get("/occlude", response_model=Covered)
def occlude(
    request: Request,
    house: Served,
    asked: Asked,
    picture: str,
    x: Annotated[float, Query(ge=0, le=1, description="share of the picture's width")],
    y: Annotated[float, Query(ge=0, le=1, description="share of its height")],
    size: Annotated[int, Query(ge=1, le=4096, description="side of the patch, pixels of the input")] = 32,
    target: Annotated[str | None, Query(description="address whose score is followed; the top class")] = None,
    baseline: Annotated[
        str, Query(description="what covers: grey, black, white, mean, blur, noise, a colour")
    ] = "grey",
    top: Annotated[int, Query(ge=1, le=1000)] = 5,
) -> Response:
    """Cover one place of a picture, and ask again."""

    def make() -> Covered:
        network = asked()
        given = house.pictures.get(picture)
        original = given.height, given.width
        spec = network.spec
        part = spec.seen(*original)
        down, across = (part[2] - part[0]) / spec.height, (part[3] - part[1]) / spec.width
        place = (y * original[0] - part[0]) / down, (x * original[1] - part[1]) / across
        found = house.covering(picture, network).cover(place, target or None, size=size, baseline=baseline)
        chances = found.chances(top)
        return Covered(
            before=[Chance(index=index, name=network.class_name(index), p=p) for index, p, _ in chances],
            after=[Chance(index=index, name=network.class_name(index), p=p) for index, _, p in chances],
            target=found.target,
            score_before=found.score_before,
            score_after=found.score_after,
            drop=found.drop,
            box=in_original(found.box, spec.size, part, original),
        )

    return as_json(request, house, make)
