"""Who may ask, and how much: host, origin, token, size of the body; and the headers of every answer.

A page on loopback is within reach of every site that the same browser shows. So the name by which we are addressed is
checked (a foreign name that was made to point here does not get in), as is where a request comes from.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
from collections.abc import Iterable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["CONTENT_POLICY", "COOKIE", "Guard", "is_loopback"]

COOKIE = "striate"
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; frame-ancestors 'none'; form-action 'none'"
)
_HEADERS = (
    ("content-security-policy", CONTENT_POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("permissions-policy", "camera=(self), microphone=(), geolocation=()"),
)
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def is_loopback(host: str) -> bool:
    """Tell whether a name or address is this machine's own."""
    return host.strip("[]").lower() in _LOOPBACK


class Guard:
    """Stands before an application (ASGI) and lets through what may pass.

    Args:
        app: the application.
        hosts: names and addresses by which it may be addressed, beside those of loopback; "*" lets all pass.
        token: that has to be shown, or None.
        upload: bytes that the body of `POST /api/pictures` may have.
        body: bytes that any other may have.
    """

    def __init__(
        self, app: ASGIApp, *, hosts: Iterable[str] = (), token: str | None = None, upload: int, body: int
    ) -> None:
        self._app = app
        self._hosts = {*_LOOPBACK, *(host.strip("[]").lower() for host in hosts)}
        self._token = token
        self._upload, self._body = upload, body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                _add(message, _HEADERS)
                if not any(name.lower() == b"cache-control" for name, _ in message["headers"]):
                    _add(message, (("cache-control", "no-cache"),))  # a newer version shows at once
            await send(message)

        refused = self._refused(scope, headers)
        if refused is not None:
            await _answer(marked, *refused)
            return
        most = self._upload if scope["path"] == "/api/pictures" else self._body
        if (length := headers.get("content-length", "0")) and (not length.isdigit() or int(length) > most):
            await _answer(marked, 413, _too_large(most))
            return
        if self._token is not None and (shown := self._shown(scope, headers)) is not True:
            await _answer(marked, *shown)
            return
        await self._counted(scope, receive, marked, most)

    async def _counted(self, scope: Scope, receive: Receive, send: Send, most: int) -> None:
        """Run the application, and end it when a body grows past what its header said, or had no header."""
        read, started = 0, False

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > most:
                raise _TooLargeError
            return message

        async def watched(message: Message) -> None:
            nonlocal started
            # what the application makes of a body that was cut off is not what is to be said
            if started or read <= most:
                started = True
                await send(message)

        with contextlib.suppress(_TooLargeError):
            await self._app(scope, counted, watched)
        if read > most and not started:
            await _answer(send, 413, _too_large(most))

    def _refused(self, scope: Scope, headers: MutableMapping[str, str]) -> tuple[int, str] | None:
        """Say why a request from there must not pass, or return None."""
        if "\0" in scope["path"]:
            return 400, "There is no such path."
        host = headers.get("host", "")
        name = _name(host)
        if name is None or ("*" not in self._hosts and name not in self._hosts):
            return 421, "This page is not served under that name. Open it by the address that striate serve printed."
        origin = headers.get("origin")
        if origin is not None and _origin(origin) != host.lower():
            return 403, "This request comes from another site. Open the page itself, or send no Origin."
        site = headers.get("sec-fetch-site", "none")
        # a link that is followed may come from anywhere: it only shows the page
        followed = scope["method"] == "GET" and headers.get("sec-fetch-mode") == "navigate"
        if site not in ("none", "same-origin") and not (followed and not scope["path"].startswith("/api")):
            return 403, "This request comes from another site. Open the page itself."
        return None

    def _shown(self, scope: Scope, headers: MutableMapping[str, str]) -> Any:
        """Return True where the token was shown, else the answer: a redirect that sets the cookie, or a refusal."""
        assert self._token is not None
        if _same(_cookie(headers.get("cookie", "")), _stamp(self._token)):
            return True
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _same(given.strip(), self._token):
            return True
        pairs = parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
        given = next((value for name, value in pairs if name == "token"), "")
        if scope["method"] == "GET" and _same(given, self._token):
            rest = urlencode([pair for pair in pairs if pair[0] != "token"])
            # a path of two slashes would lead to another site
            place = "/" + scope["path"].lstrip("/") + (f"?{rest}" if rest else "")
            cookie = f"{COOKIE}={_stamp(self._token)}; HttpOnly; SameSite=Strict; Path=/"
            return 303, "", (("location", place), ("set-cookie", cookie))
        return 401, "This page asks for the token that striate serve printed: open the address with ?token= in it."


class _TooLargeError(Exception):
    """A body has more bytes than are taken."""


def _origin(origin: str) -> str | None:
    """Return host and port of an origin in small letters, or None where it is none ("null")."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return None
    return parts.netloc.lower() if parts.scheme in ("http", "https") else None


def _name(host: str) -> str | None:
    """Return the name in a Host header, without port, or None where it is broken."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # raises where it is no number
    except ValueError:
        return None
    return parts.hostname if parts.netloc == host and not (parts.path or parts.username) else None


def _cookie(text: str) -> str:
    try:
        found = SimpleCookie(text).get(COOKIE)
    except CookieError:
        return ""
    return "" if found is None else found.value


def _stamp(token: str) -> str:
    """Return what the cookie holds: not the token itself, which would stay in the browser's files."""
    return hashlib.blake2b(token.encode(), digest_size=24, person=b"striate cookie").hexdigest()


def _same(given: str, expected: str) -> bool:
    """Compare in a time that does not tell how much was right."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode("utf-8", "replace"))


def _too_large(most: int) -> str:
    return f"The request is larger than the {most:,} bytes that are taken. Make the picture smaller first."


def _add(message: Message, headers: Iterable[tuple[str, str]]) -> None:
    message["headers"] = [*message.get("headers", ()), *((name.encode(), value.encode()) for name, value in headers)]


async def _answer(send: Send, status: int, text: str, headers: Iterable[tuple[str, str]] = ()) -> None:
    body = json.dumps({"error": text}).encode() if text else b""
    start: Message = {"type": "http.response.start", "status": status, "headers": []}
    kind = [("content-type", "application/json")] if text else []
    _add(start, [*kind, ("content-length", str(len(body))), ("cache-control", "no-store"), *headers])
    await send(start)
    await send({"type": "http.response.body", "body": body})
