"""The server that stands behind the page: when it ends, so do the jobs, before the streams that tell of them."""

from __future__ import annotations

import asyncio
import socket

import uvicorn

from striate.web.house import House

__all__ = ["Server"]


class Server(uvicorn.Server):
    """A uvicorn server of a house.

    Whoever listens to a job keeps a connection open until the job is over. Were jobs stopped after the connections are
    closed, as an application's own shutdown is, all those connections would be cut off, each with a traceback.

    Args:
        house: what is served; its jobs are stopped when the server is.
        config: what uvicorn takes, with the application in it.
    """

    def __init__(self, house: House, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._house = house

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop the jobs, let those who listen hear of it, and end."""
        await asyncio.to_thread(self._house.jobs.close)
        await super().shutdown(sockets=sockets)
