"""Listening socket of an HTTP server: serving, draining and Kestrel's limits for what clients may send.

    async with listen(handle, clock, address="127.0.0.1", port=7071) as listener:
        print(listener.port)
        ...
        await listener.drain(seconds=10)

A request that exceeds the limits or is not HTTP gets an empty 4xx response, and its connection is closed. That is the
client's fault, so it is logged at debug level only.
"""

from __future__ import annotations

import asyncio
import inspect
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import cache
from typing import Protocol

import aiohttp
from aiohttp import web

from emulator.clock import Clock, within
from emulator.host.http.server.aiohttp_internals import (
    CONNECTION_OPTIONS,
    SERVER,
    SHUTDOWN_SECONDS,
    HandleRequest,
    KestrelConnection,
    KestrelServer,
    incompatibility,
)
from emulator.host.http.server.limits import REQUEST_HEAD_SECONDS, kestrel_rejection, origin_form
from emulator.host.http.server.open_requests import answering
from emulator.listening import BACKLOG, listening_sockets
from emulator.logs import get_logger

logger = get_logger(__name__)

# asyncio accepts a connection, creates its transport and calls its protocol in three steps of the loop; one more is a
# reserve.
_LOOP_STEPS_TO_ACCEPT = 4
# How often to check, with plain aiohttp, whether a client is still connected.
_DISCONNECT_POLL_SECONDS = 0.25


class ConnectionServer(Protocol):
    """Protocol factory for a listening socket. `running`: number of requests in progress."""

    @property
    def running(self) -> int: ...

    def __call__(self) -> asyncio.BaseProtocol: ...

    def start_draining(self) -> None:
        """Close connections as soon as they have no request."""

    async def wait_until_idle(self) -> None:
        """Wait until no request is running."""

    async def stop(self) -> None:
        """Cancel what still runs and close all connections."""


class Listener:
    """Open listening sockets of one HTTP server. `port`: the bound port, the same for all."""

    def __init__(self, servers: Sequence[asyncio.Server], connections: ConnectionServer, clock: Clock) -> None:
        self._servers = servers
        self._connections = connections
        self._clock = clock
        self.port: int = servers[0].sockets[0].getsockname()[1]

    @property
    def running_requests(self) -> int:
        return self._connections.running

    async def drain(self, seconds: float) -> None:
        """Accept no more connections, close idle ones, and wait until the running requests are finished.

        Requests that are still running after `seconds` continue until the `listen` block is left.
        """
        # asyncio.Server.close drops connections that it has accepted but not yet handed to their protocol. So first
        # stop accepting, then let the accepted ones reach their protocol, and only then close the server. Clients
        # that connect from now on wait in the socket's backlog for the next host, if the socket stays open.
        for server in self._servers:
            for listening in server.sockets:
                with suppress(NotImplementedError):  # Windows, where sockets are not handed from host to host.
                    asyncio.get_running_loop().remove_reader(listening)
        for _ in range(_LOOP_STEPS_TO_ACCEPT):
            await self._clock.sleep(0, upkeep=True)
        for server in self._servers:
            server.close()
        self._connections.start_draining()
        try:
            await within(self._clock, seconds, self._connections.wait_until_idle(), upkeep=True)
        except TimeoutError:
            logger.warning("%d HTTP requests are still running and will be cancelled.", self.running_requests)


@asynccontextmanager
async def listen(
    handle: HandleRequest,
    clock: Clock,
    *,
    address: str = "127.0.0.1",
    port: int = 0,
    sockets: Sequence[socket.socket] = (),
    head_seconds: float = REQUEST_HEAD_SECONDS,
) -> AsyncIterator[Listener]:
    """Serve HTTP while entered; leaving cancels the running requests.

    `port` 0: any free port. `sockets`: listening sockets to use instead, all of one port; the caller closes them.
    `head_seconds`: time in which a client must send the request line and headers. Raises PortUnavailable.
    """
    loop = asyncio.get_running_loop()

    async def handle_accepted(request: web.Request) -> web.StreamResponse:
        rejection = kestrel_rejection(request)
        if rejection is None:
            with answering():
                return await handle(origin_form(request))
        logger.debug("Rejected a request from %s: %s", request.remote, rejection.reason)
        rejection.force_close()
        return rejection

    connections: ConnectionServer
    if _can_use_internals():
        connections = KestrelServer(handle_accepted, head_seconds=head_seconds)
    else:
        connections = PlainServer(handle_accepted)
    # asyncio.Server closes its socket. It gets a duplicate, so that the next host can use the caller's.
    own = [sock.dup() for sock in sockets] or listening_sockets(address, port)
    servers = [await loop.create_server(connections, sock=sock, backlog=BACKLOG) for sock in own]
    try:
        yield Listener(servers, connections, clock)
    finally:
        for server in servers:
            server.close()
        await connections.stop()


@cache  # One warning per process, however many sockets it listens on.
def _can_use_internals() -> bool:
    reason = incompatibility()
    if reason is not None:
        logger.warning(
            "aiohttp %s is not compatible with azemu's HTTP server: %s. Requests are served by plain aiohttp. Not "
            "available are: the time limit for request heads and the limit for their total size, Kestrel's empty "
            "responses to requests that are not HTTP, the interim response 100 Continue, and the graceful shutdown of "
            "connections that are new or still sending a response. To get them back: pip install 'aiohttp<4'",
            aiohttp.__version__,
            reason,
        )
    return reason is None


async def wait_until_disconnected(request: web.Request) -> None:
    """Wait until the connection of this request is closed, by the client or by the server."""
    if isinstance(request.protocol, KestrelConnection):
        await request.protocol.disconnected.wait()
        return
    # The documented part of aiohttp has no event for it, only the transport's state.
    loop = asyncio.get_running_loop()
    while request.transport is not None and not request.transport.is_closing():
        interval_over = asyncio.Event()
        loop.call_later(_DISCONNECT_POLL_SECONDS, interval_over.set)
        await interval_over.wait()


class PlainServer:
    """Protocol factory that uses only the documented interface of aiohttp; see `_can_use_internals`."""

    def __init__(self, handle: HandleRequest) -> None:
        # Which options a version has is not documented; those that it lacks are left out.
        known = inspect.signature(web.RequestHandler.__init__).parameters
        options = {name: value for name, value in CONNECTION_OPTIONS.items() if name in known}
        self._server = web.Server(self._handle, **options)  # type: ignore[arg-type]
        self._handle_accepted = handle
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = False
        self.running = 0

    def __call__(self) -> asyncio.BaseProtocol:
        return self._server()

    def start_draining(self) -> None:
        self._draining = True

    async def wait_until_idle(self) -> None:
        await self._idle.wait()

    async def stop(self) -> None:
        await self._server.shutdown(SHUTDOWN_SECONDS)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.running += 1
        self._idle.clear()
        try:
            response = await self._handle_accepted(request)
        finally:
            self.running -= 1
            if not self.running:
                self._idle.set()
        if not response.prepared:
            response.headers.setdefault("Server", SERVER)
            if self._draining:
                response.force_close()
        return response
