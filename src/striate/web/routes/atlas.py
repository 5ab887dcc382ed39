"""The pictures of the atlas, one by one."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from striate.atlas import Atlas
from striate.atlas.naming import words
from striate.errors import ImageError, OptionError
from striate.images import encode_png
from striate.web.house import House
from striate.web.reply import PNG_RESPONSES, Served, as_json, as_png
from striate.web.shapes import Seen, seen
from striate.web.store import UnknownError

router = APIRouter(tags=["atlas"])


class AtlasPicture(BaseModel):
    """One picture of the atlas; `label` is what it is of, `said` what the network takes it for."""

    picture: int
    name: str
    url: str
    label: str
    said: str
    probability: float
    loss: float | None


def atlas_of(house: House) -> Atlas:
    """Return the atlas that is served.

    Raises:
        OptionError: there is none.
    """
    if house.atlas is None:
        raise OptionError(
            "there is no atlas here. Build one (striate atlas build SOURCE PICTURES --out ATLAS), and start with "
            "striate serve SOURCE --atlas ATLAS."
        )
    return house.atlas


def kept_by(atlas: Atlas) -> int:
    """Return how many of the best pictures of each unit an atlas keeps."""
    return int(atlas.layer(atlas.layers[0]).top_pictures.shape[1])


def picture_url(index: int) -> str:
    """Return where a picture of the atlas is drawn."""
    return f"/api/atlas/pictures/{index}.png"


def known(atlas: Atlas, index: int) -> int:
    """Return the number of a picture if there is such a one.

    Raises:
        UnknownError: there is not.
    """
    if not 0 <= index < len(atlas):
        raise UnknownError(f"no picture {index} in the atlas: it has {len(atlas):,}, 0 to {len(atlas) - 1:,}.")
    return index


@router.get("/atlas/pictures/{index}.png", responses=PNG_RESPONSES, response_class=Response)
def picture(
    request: Request,
    house: Served,
    index: int,
    side: Annotated[int | None, Query(ge=1, le=1024)] = None,
) -> Response:
    """Draw a picture of the atlas as the network saw it, its longer side `side` pixels."""

    def make() -> bytes:
        atlas = atlas_of(house)
        return encode_png(atlas.pictures.shown(known(atlas, index), side))

    return as_png(request, house, make)


@router.get("/atlas/pictures/{index}", response_model=AtlasPicture)
def about(request: Request, house: Served, index: int) -> Response:
    """Say what a picture of the atlas is called, what it is of, and what the network said of it."""

    def make() -> AtlasPicture:
        atlas = atlas_of(house)
        label, said = words(atlas, known(atlas, index))
        return AtlasPicture(
            picture=index,
            name=atlas.pictures.name(index),
            url=picture_url(index),
            label=label,
            said=said,
            probability=float(atlas.probabilities[index]),
            loss=None if atlas.losses is None else float(atlas.losses[index]),
        )

    return as_json(request, house, make)


@router.post("/atlas/pictures/{index}")
def take(house: Served, index: int) -> Seen:
    """Put a picture of the atlas among the pictures of the page, as if its file had been uploaded."""
    atlas = atlas_of(house)
    file = atlas.pictures.path(known(atlas, index))
    try:
        data = None if file is None else file.read_bytes()
    except OSError as error:
        raise ImageError(f"{atlas.pictures.name(index)} cannot be read any more: {error.strerror or error}.") from error
    if data is None:  # it came out of an array: as the network saw it
        data = encode_png(atlas.pictures.shown(index))
    return seen(house, house.pictures.add(data, atlas.pictures.name(index)))
