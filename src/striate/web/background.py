"""Serve the microscope beside other work: a script, a notebook, a test. Shows nothing itself."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from striate.errors import NetworkError
from striate.web.app import application
from striate.web.house import House
from striate.web.server import Server

__all__ = ["serving"]

_PATIENCE = 60.0  # seconds until the server has to answer


@contextmanager
def serving(house: House) -> Iterator[str]:
    """Serve a house at a free port of this machine, in a thread, until the block is left.

    Args:
        house: what is served; it stays open.

    Yields:
        The address, such as "http://127.0.0.1:41003".

    Raises:
        NetworkError: the server does not start within a minute.
    """
    listening = socket.create_server(("127.0.0.1", 0), backlog=128)
    server = Server(house, uvicorn.Config(application(house), log_level="warning", access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + _PATIENCE
        while not server.started:
            if not thread.is_alive() or time.monotonic() > deadline:
                raise NetworkError("the server of the microscope does not start; `striate serve` says why.")
            time.sleep(0.005)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        listening.close()
