"""`GET export.zip`: what one address of the page shows, as files that open without a server."""

from __future__ import annotations

import asyncio
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from striate.errors import OutputError, StriateError
from striate.files import shown
from striate.web.house import House
from striate.web.jobs import BusyError
from striate.web.reply import Served

__all__ = ["router"]

router = APIRouter(tags=["export"])

_LOOK = 0.25  # seconds between two looks at whether the zip is still wanted
_PIECE = 2**18  # bytes that are sent at a time
_one = threading.Lock()  # it asks much


@router.get(
    "/export.zip",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/zip": {}}, "description": "A folder: open its index.html."}},
)
async def export_view(
    request: Request,
    house: Served,
    view: Annotated[str, Query(max_length=4000, description="address of the page: #/LAYER/UNIT?picture=ID&...")],
) -> Response:
    """Write what one address of the page shows as static files; what covering its places changes is left out.

    It is what `striate export --view` writes, of the pictures that were given here too; one at a time. It is given up
    when whoever asked has gone.
    """
    if not _one.acquire(blocking=False):
        raise BusyError("a view is being saved already. Wait until it is there.")
    with house.jobs.beside() as stop:
        work = asyncio.create_task(asyncio.to_thread(_saved, house, view))
        work.add_done_callback(lambda done: done.cancelled() or done.exception())  # it may be that nobody asks for it
        try:
            while not (await asyncio.wait({work}, timeout=_LOOK))[0]:
                if await request.is_disconnected():
                    stop.stop()
        finally:
            stop.stop()
    packed = work.result()
    headers = {
        "Content-Disposition": 'attachment; filename="striate.zip"',
        "Content-Length": str(packed.seek(0, 2)),
        "Cache-Control": "no-store",
    }
    return StreamingResponse(_pieces(packed), media_type="application/zip", headers=headers)


def _saved(house: House, view: str) -> IO[bytes]:
    """Return the zip: a file without a name, which is gone as soon as nobody holds it."""
    from striate.web.exporting import export

    try:
        with tempfile.TemporaryDirectory(prefix="striate-") as folder:
            made = export(house, Path(folder) / "page", view=view, covers=False)
            return _zipped(made.path)
    except StriateError:
        raise
    except OSError as error:
        where = shown(tempfile.gettempdir())
        raise OutputError(f"Cannot write into {where}: {error.strerror or error}. Make room there.") from error
    finally:
        _one.release()


def _zipped(folder: Path) -> IO[bytes]:
    stream = tempfile.TemporaryFile()  # noqa: SIM115 - it is closed by who reads it
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=5) as packed:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                packed.write(path, Path("striate") / path.relative_to(folder))
    return stream


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        file.seek(0)
        while piece := file.read(_PIECE):
            yield piece
