"""`striate serve`: the microscope, a page in the browser on one's own network."""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

import click

from striate.cli.house import check_extra, house_options, open_house
from striate.cli.source import SOURCES, Source, source_options
from striate.errors import OptionError

if TYPE_CHECKING:
    from striate.atlas import Atlas
    from striate.web.house import House

__all__ = ["PORT", "serve", "serve_house"]

PORT = 8765


@click.command("serve", short_help="Open the microscope: a page in the browser.", epilog=SOURCES)
@source_options
@house_options
@click.option(
    "--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="0 takes any that is free."
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen at. Any but this machine's own lets others in: they need the token.",
)
@click.option("--token", metavar="TEXT", help="What visitors have to show; made up where it is needed.")
@click.option("--open", "opens", is_flag=True, help="Open the page in the browser.")
def serve(
    source: Source,
    atlas: Atlas | Path | None,
    pictures: tuple[Path, ...],
    sheets: Path | None,
    compare: str | None,
    port: int,
    host: str,
    token: str | None,
    opens: bool,
) -> None:
    """Look into a network in the browser: layers, units, explanations, live."""
    check_extra()
    house = open_house(source, pictures=pictures, atlas=atlas, sheets=sheets, compare=compare)
    serve_house(house, host=host, port=port, token=token, opens=opens)


def serve_house(
    house: House,
    *,
    host: str = "127.0.0.1",
    port: int = PORT,
    or_any: bool = False,
    token: str | None = None,
    opens: bool = False,
) -> None:
    """Serve until Ctrl-C.

    Args:
        house: what is served.
        host: address to listen at.
        port: 0 takes any that is free.
        or_any: take any that is free where that one is taken.
        token: that visitors have to show; made up where others than this machine can come.
        opens: open the page in the browser.

    Raises:
        MissingExtraError: FastAPI or uvicorn is not installed.
        OptionError: the address cannot be listened at.
    """
    check_extra()
    import uvicorn

    from striate.web.app import application
    from striate.web.guarding import is_loopback
    from striate.web.server import Server

    if token is not None and not token.strip():
        raise OptionError("--token is empty: leave it out, or give one that is hard to guess.")
    if not is_loopback(host):
        token = token or secrets.token_urlsafe(18)
        click.echo(
            f"Warning: {host} can be reached by others. Who has the token can use this page, its pictures and this "
            "machine's time; what is sent is not encrypted.",
            err=True,
        )
    try:
        listening = _listen(host, port)
    except OptionError:
        if not or_any:
            raise
        listening = _listen(host, 0)
    port = listening.getsockname()[1]
    everywhere = host in ("0.0.0.0", "::")
    shown_host = socket.gethostname() if everywhere else f"[{host}]" if ":" in host else host
    address = f"http://{shown_host}:{port}/" + (f"?token={token}" if token else "")
    # who listens at all addresses can be addressed by any name: there the token guards
    app = application(house, token=token, hosts=["*"] if everywhere else [host])
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=2)
    click.echo(f"{house.network.name} under the microscope: {address} (Ctrl-C ends it)")
    if opens:
        threading.Timer(0.5, webbrowser.open, [address]).start()
    # Ctrl-C is how it is meant to end; uvicorn hands it on when all is closed
    with listening, contextlib.suppress(KeyboardInterrupt):
        Server(house, config).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    """Open the socket before anything is said, so that what is printed is true."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise OptionError(
            f"{host} port {port} cannot be listened at: {reason}. Another page may be open there already; --port 0 "
            "takes a port that is free."
        ) from error
