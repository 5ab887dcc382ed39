"""`GET export.zip`: what one address of the page shows, as files that open without a server."""

from __future__ import annotations

import io
import tempfile
import threading
import zipfile
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Response

from striate.web.jobs import BusyError
from striate.web.reply import Served

__all__ = ["router"]

router = APIRouter(tags=["export"])

_one = threading.Lock()  # it asks much, and holds the files in memory


@router.get(
    "/export.zip",
    response_class=Response,
    responses={200: {"content": {"application/zip": {}}, "description": "A folder: open its index.html."}},
)
def export_view(
    house: Served,
    view: Annotated[str, Query(max_length=4000, description="address of the page: #/LAYER/UNIT?picture=ID&...")],
) -> Response:
    """Write what one address of the page shows as static files; what covering its places changes is left out.

    It is what `striate export --view` writes, of the pictures that were given here too; one at a time.
    """
    from striate.web.exporting import export

    if not _one.acquire(blocking=False):
        raise BusyError("a view is being saved already. Wait until it is there.")
    try:
        with tempfile.TemporaryDirectory(prefix="striate-") as folder:
            made = export(house, Path(folder) / "page", view=view, covers=False)
            data = _zipped(made.path)
    finally:
        _one.release()
    headers = {"Content-Disposition": 'attachment; filename="striate.zip"', "Cache-Control": "no-store"}
    return Response(data, media_type="application/zip", headers=headers)


def _zipped(folder: Path) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=5) as packed:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                packed.write(path, Path("striate") / path.relative_to(folder))
    return stream.getvalue()
