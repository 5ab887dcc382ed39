"""The application: the page, and under /api the interface that it and scripts use. Computes nothing."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from striate import __version__
from striate.errors import StriateError
from striate.web.guarding import Guard
from striate.web.house import House
from striate.web.jobs import BusyError
from striate.web.reply import Failure
from striate.web.routes import routers
from striate.web.store import UnknownError

__all__ = ["PAGE", "application"]

PAGE = Path(__file__).parent / "page"

_FAILURES: dict[int | str, dict[str, object]] = {
    400: {"model": Failure, "description": "The question makes no sense here; `error` says why."},
    404: {"model": Failure, "description": "There is nothing by this id or address."},
    422: {"model": Failure, "description": "A parameter is missing or of a wrong kind."},
    429: {"model": Failure, "description": "Too many jobs wait."},
}


def application(house: House, *, token: str | None = None, hosts: Iterable[str] = ()) -> FastAPI:
    """Make the application (ASGI) that serves a house.

    Args:
        house: what is looked at.
        token: that visitors have to show (`?token=`, then a cookie; or `Authorization: Bearer`); None asks for none.
        hosts: names and addresses by which it may be addressed, beside those of loopback.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        house.jobs.close()

    app = FastAPI(
        title="Striate",
        summary="Look inside a convolutional network.",
        description='Every question of the page, for scripts. An error is `{"error": "a sentence"}`.',
        version=__version__,
        docs_url=None,  # those pages come from another site
        redoc_url=None,
        openapi_url="/api/openapi.json",
        lifespan=lifespan,
        responses=_FAILURES,
    )
    app.state.house = house
    for router in routers():
        app.include_router(router, prefix="/api")
    app.mount("/", StaticFiles(directory=PAGE, html=True), name="page")
    app.add_middleware(Guard, hosts=tuple(hosts), token=token, upload=house.limits.upload, body=house.limits.body)
    app.add_exception_handler(Exception, _unexpected)
    app.add_exception_handler(StriateError, _said)
    app.add_exception_handler(MemoryError, _out_of_memory)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _refused)
    return app


def _fail(status: int, text: str) -> JSONResponse:
    return JSONResponse({"error": text}, status_code=status, headers={"Cache-Control": "no-store"})


async def _said(_: Request, error: Exception) -> JSONResponse:
    status = 404 if isinstance(error, UnknownError) else 429 if isinstance(error, BusyError) else 400
    return _fail(status, str(error))


async def _out_of_memory(_: Request, error: Exception) -> JSONResponse:
    return _fail(413, "There is not enough memory for this. Ask for less: fewer samples, a smaller size.")


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = []
    for one in error.errors()[:3]:
        place = ".".join(str(part) for part in one["loc"] if part not in ("query", "body", "path")) or "the body"
        found.append(f"{place}: {one['msg'][:1].lower()}{one['msg'][1:]}")
    return _fail(422, f"This cannot be asked so: {'; '.join(found)}.")


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    texts = {
        404: "There is nothing here. The interface is described at /api/openapi.json.",
        405: f"{request.method} is not answered here.",
    }
    answer = _fail(error.status_code, texts.get(error.status_code, str(error.detail)))
    answer.headers.update(error.headers or {})
    return answer


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    if _is_memory(error):
        return await _out_of_memory(request, error)
    logging.getLogger("striate").error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _fail(500, f"This failed in a way that it should not ({type(error).__name__}). The terminal says more.")


def _is_memory(error: Exception) -> bool:
    """Tell whether it is one of the ways in which torch says that memory has run out."""
    return type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)
