"""Ask the application without a server, in this process: the same questions, the same answers. Knows no question."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import urlencode

from starlette.types import ASGIApp, Message, Scope

__all__ = ["Answer", "Asking", "question_of"]

_HOST = b"127.0.0.1"


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        status: of HTTP.
        body: as it was sent.
    """

    status: int
    body: bytes

    @property
    def good(self) -> bool:
        """Whether it is what was asked for."""
        return self.status < 300

    def json(self) -> Any:
        """Return the body, read as JSON."""
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The sentence that says why there is no answer."""
        found = self.json()
        return str(found["error"]) if isinstance(found, dict) and "error" in found else f"Status {self.status}."


class Asking:
    """Asks an application (ASGI), one question after the other; whoever asks may run a loop already (a notebook does).

    Args:
        app: the application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="striate asking", daemon=True)

    def __enter__(self) -> Asking:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""
        asyncio.run_coroutine_threadsafe(self._loop.shutdown_default_executor(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def get(self, path: str, parameters: Mapping[str, object] | None = None) -> Answer:
        """Ask for something under /api; parameters that are None or False are left out, as the page leaves them out."""
        return self._ask("GET", path, urlencode(_given(parameters or {})), b"")

    def post(self, path: str, body: Mapping[str, object]) -> Answer:
        """Send JSON."""
        return self._ask("POST", path, "", json.dumps(body).encode())

    def _ask(self, method: str, path: str, query: str, body: bytes) -> Answer:
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": f"/api/{path}",
            "raw_path": f"/api/{path}".encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [
                (b"host", _HOST),
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
            ],
            "client": ("127.0.0.1", 0),
            "server": ("127.0.0.1", 80),
        }
        status, parts = 500, []

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                parts.append(message.get("body", b""))

        asyncio.run_coroutine_threadsafe(self._call(scope, receive, send), self._loop).result()
        return Answer(status, b"".join(parts))

    async def _call(self, scope: Scope, receive: Any, send: Any) -> None:
        await self._app(scope, receive, send)


def question_of(path: str, parameters: Mapping[str, object] | None = None) -> str:
    """Write a question in one way, whoever asks it: the page writes it so too, when it looks its answer up."""
    given = _given(parameters or {})
    return f"{path}?{'&'.join(f'{name}={given[name]}' for name in sorted(given))}" if given else path


def _given(parameters: Mapping[str, object]) -> dict[str, str]:
    return {
        name: "1" if value is True else str(value)
        for name, value in parameters.items()
        if value is not None and value is not False and value != ""
    }
