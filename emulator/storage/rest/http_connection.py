"""Persistent HTTP/1.1 connections to a storage server on this machine.

A task hub makes about nine storage requests per activity, and Azurite runs on the same processors. This client costs
half of what aiohttp's does, because it can do only what such a server needs: plain HTTP, one request at a time on each
connection, no proxies, redirects, cookies or compression. See docs/decisions/0002-http-client-connection.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from urllib.parse import urlsplit

from emulator.storage.rest.response_parser import ResponseParser
from emulator.storage.rest.transport import NotConnected, Response, ResponseLost

# Real seconds, also under a virtual clock: the server runs in real time. A server that is silent for so long hangs.
_SILENCE_SECONDS = 60.0

# Azurite closes a connection after five idle seconds. A request that is on its way at that moment would be lost.
_IDLE_SECONDS = 4.0


class DirectTransport:
    """Transport over connections of its own, kept open between requests. `origin`: http, host and port.

    Belongs to one event loop.
    """

    def __init__(self, origin: str) -> None:
        url = urlsplit(origin)
        self._host, self._port = url.hostname or "", url.port or 80
        self._host_line = f"Host: {url.netloc}\r\n"
        self._idle: list[_HttpConnection] = []

    async def send(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Response:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"{method} {target} HTTP/1.1\r\n{self._host_line}{lines}\r\n".encode()
        connection = self._take_idle() or await self._connect()
        try:
            response = await connection.exchange(head, body, bodiless=method == "HEAD")
        except BaseException:
            # Also after a cancellation: the response would arrive later, and be taken for that of the next request.
            connection.close()
            raise
        if connection.reusable:
            self._idle.append(connection)
        return response

    def close(self) -> None:
        """Close the idle connections. Those in use close when their request ends."""
        while self._idle:
            self._idle.pop().close()

    def _take_idle(self) -> _HttpConnection | None:
        # Last in, first out: connections that a burst opened, and that are not needed any more, grow old and close.
        while self._idle:
            connection = self._idle.pop()
            if connection.fresh:
                return connection
            connection.close()
        return None

    async def _connect(self) -> _HttpConnection:
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(lambda: _HttpConnection(loop), self._host, self._port)
        except OSError as error:
            raise NotConnected(str(error)) from error
        return connection


class _HttpConnection(asyncio.Protocol):
    """A connection with one request at a time.

    `reusable`: the last response was complete and neither side has closed the connection.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._response: asyncio.Future[Response] | None = None
        self._parser = ResponseParser(bodiless=False)
        self._last_used = 0.0
        self.reusable = False

    @property
    def fresh(self) -> bool:
        """Reusable, and not idle for so long that the server may be closing the connection."""
        return self.reusable and self._loop.time() - self._last_used < _IDLE_SECONDS

    async def exchange(self, head: bytes, body: bytes, *, bodiless: bool) -> Response:
        """Send a request and wait for its response. Raises ResponseLost."""
        if self._transport is None:
            raise ResponseLost("the server closed the connection")
        self.reusable = False
        self._parser = ResponseParser(bodiless=bodiless)
        self._response = self._loop.create_future()
        silence = self._loop.call_later(_SILENCE_SECONDS, self._fail, "the server does not answer")
        # Together, so that a small request is one packet.
        self._transport.writelines((head, body)) if body else self._transport.write(head)
        try:
            return await self._response
        finally:
            silence.cancel()
            self._response = None

    def close(self) -> None:
        self.reusable = False
        if self._transport is not None:
            # Not close(), which would wait until the server has read what is written but not sent yet.
            self._transport.abort()

    # Called by the event loop --------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._response is None or self._response.done():
            # No request is waiting, so a later response could not be assigned to its request.
            self.close()
            return
        try:
            response = self._parser.feed(data)
        except ValueError as error:
            self._fail(f"the server does not speak HTTP: {error}")
            return
        if response is not None:
            self._succeed(response)

    def eof_received(self) -> None:
        # Returning None lets asyncio close the connection.
        self._end("the server closed the connection")

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._end(str(exc or "the server closed the connection"))

    # Ends of an exchange -------------------------------------------------------------------------------------

    def _end(self, reason: str) -> None:
        self.reusable = False
        response = self._parser.end_of_connection() if self._response is not None else None
        if response is not None:
            self._succeed(response)
        else:
            self._fail(reason)

    def _succeed(self, response: Response) -> None:
        self.reusable = response.headers.get("connection", "").lower() != "close" and self._transport is not None
        self._last_used = self._loop.time()
        if self._response is not None and not self._response.done():
            self._response.set_result(response)

    def _fail(self, reason: str) -> None:
        if self._response is not None and not self._response.done():
            self._response.set_exception(ResponseLost(reason))
        self.close()
