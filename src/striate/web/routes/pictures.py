"""The pictures: upload one, and see one as it is or as the network sees it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Query, Request, Response

from striate.images import encode_png
from striate.web.reply import PNG_RESPONSES, Served, as_png
from striate.web.shapes import Seen, seen

__all__ = ["router"]

router = APIRouter(tags=["pictures"])


@router.post("/pictures")
def upload(
    house: Served,
    data: Annotated[bytes, Body(media_type="application/octet-stream", description="the bytes of a picture file")],
    name: Annotated[str, Query(max_length=1000, description="what to call it")] = "picture",
) -> Seen:
    """Take a picture in: JPEG, PNG, WebP, TIFF, GIF or BMP (a .npy array for networks of other channels)."""
    return seen(house, house.pictures.add(data, name))


@router.get("/pictures/{picture}.png", responses=PNG_RESPONSES, response_class=Response)
def original(
    request: Request,
    house: Served,
    picture: str,
    side: Annotated[int | None, Query(ge=1, le=4096, description="of the longer side at most, pixels")] = None,
) -> Response:
    """Show a picture upright, as it was given."""
    return as_png(request, house, lambda: encode_png(house.pictures.get(picture).pixels(side)))


@router.get("/pictures/{picture}/input.png", responses=PNG_RESPONSES, response_class=Response)
def as_input(
    request: Request,
    house: Served,
    picture: str,
    other: Annotated[bool, Query(description="the second network")] = False,
) -> Response:
    """Show a picture as the network sees it: resized and cropped."""

    def make() -> bytes:
        network = house.asked(other)
        return encode_png(network.spec.pixels(house.looked_at(picture, network))[0])

    return as_png(request, house, make)
