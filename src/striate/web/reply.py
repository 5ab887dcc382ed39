"""Answers as they leave: kept, marked with an ETag, encoded once. Knows no question."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, Query, Request, Response
from pydantic import BaseModel

from striate.network import Network
from striate.web.house import House

__all__ = ["PNG_RESPONSES", "Asked", "Failure", "Served", "as_json", "as_png"]

PNG_RESPONSES: dict[int | str, dict[str, Any]] = {200: {"content": {"image/png": {}}, "description": "The picture."}}


class Failure(BaseModel):
    """What was wrong with a request, in a sentence."""

    error: str


def _served(request: Request) -> House:
    house: House = request.app.state.house
    return house


Served = Annotated[House, Depends(_served)]
"""The type of a route's argument that is given what is served."""


def _asked(
    house: Served,
    other: Annotated[bool, Query(description="ask the second network")] = False,
    epoch: Annotated[int | None, Query(description="ask the network as it was after this epoch")] = None,
) -> Callable[[], Network]:
    return lambda: house.asked(other, epoch)  # loaded only where the answer is not kept


Asked = Annotated[Callable[[], Network], Depends(_asked)]
"""The type of a route's argument that gives the network that is asked, when it is called."""


def as_json(request: Request, house: House, make: Callable[[], BaseModel]) -> Response:
    """Answer with JSON, made only if neither the browser nor this server holds it.

    The question is path and query: whatever else an answer depends on has to be in `House.mark`.

    Args:
        request: a GET.
        house: that is asked.
        make: gives the answer.
    """
    return _answer(request, house, lambda: make().model_dump_json().encode(), "application/json")


def as_png(request: Request, house: House, make: Callable[[], bytes], media_type: str = "image/png") -> Response:
    """Answer with a picture, made only if neither the browser nor this server holds it; see `as_json`."""
    return _answer(request, house, make, media_type)


def _answer(request: Request, house: House, make: Callable[[], bytes], media_type: str) -> Response:
    words = sorted(request.query_params.multi_items())
    question = f"{house.mark} {request.url.path} {words!r}"
    tag = f'"{hashlib.blake2b(question.encode(), digest_size=12).hexdigest()}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    given = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
    if tag in given:
        return Response(status_code=304, headers=headers)
    return Response(house.answers.get(question, make), media_type=media_type, headers=headers)
