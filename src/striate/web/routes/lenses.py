"""`GET lenses`: what lenses there are, and a form for each from its signature."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, RootModel

from striate import registry
from striate.registry import Option
from striate.web.looking import is_lens_quick
from striate.web.reply import Served, as_json

__all__ = ["router"]

router = APIRouter(tags=["lenses"])


class Choice(BaseModel):
    """One option of a lens; `type` is "picture" where the id of a picture stands for its value."""

    name: str
    type: str
    choices: list[str] | None
    many: bool
    default: Any
    help: str
    required: bool


class Lens(BaseModel):
    """A lens: `needs` what it can be given, `required` what it cannot do without."""

    name: str
    summary: str
    doc: str
    needs: list[str]
    required: list[str]
    many_targets: bool
    quick: bool
    options: list[Choice]


class Lenses(RootModel[list[Lens]]):
    """All lenses by name."""


@router.get("/lenses", response_model=Lenses)
def lenses(request: Request, house: Served) -> Response:
    """List the lenses with what they need and the options that they take."""
    return as_json(request, house, lambda: Lenses([_lens(name) for name in registry.names()]))


_WORDS = {"images": "picture"}  # what the interface calls what a lens is given


def _lens(name: str) -> Lens:
    info = registry.describe(name)
    return Lens(
        name=name,
        summary=info.summary,
        doc=info.doc,
        needs=sorted(_WORDS.get(need, need) for need in info.needs),
        required=sorted(_WORDS.get(need, need) for need in info.required),
        many_targets=info.target is not None and info.target.many,
        quick=is_lens_quick(name),
        options=[_choice(option) for option in info.options],
    )


def _choice(option: Option) -> Choice:
    default = list(option.default) if isinstance(option.default, tuple) else option.default
    return Choice(
        name=option.name,
        type="picture" if option.names_files else option.type,
        choices=None if option.choices is None else list(option.choices),
        many=option.many,
        default=default,
        help=option.help,
        required=option.required,
    )
