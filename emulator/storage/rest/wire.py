"""HTTP/1.1 to a storage server on this machine, at half the effort of a full client.

A task hub makes nine requests for every activity, and an Azurite beside it wants the same processor: each one counts.
So this knows what such a server needs and no more: plain HTTP, persistent connections, one request at a time on each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from urllib.parse import urlsplit

from emulator.storage.rest.answers import AnswerReader
from emulator.storage.rest.transport import Answer, Interrupted, NotConnected

# The server lives in real time, whatever our clock does: one that is silent for so long is gone.
_SILENCE_SECONDS = 60.0

# Azurite closes a connection that was idle for five seconds. A request on its way at that moment would be lost.
_IDLE_SECONDS = 4.0


class WireTransport:
    """Belongs to one event loop. `origin`: http, host and port."""

    def __init__(self, origin: str) -> None:
        url = urlsplit(origin)
        self._host, self._port = url.hostname or "", url.port or 80
        self._host_line = f"Host: {url.netloc}\r\n"
        self._idle: list[_Connection] = []

    async def send(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"{method} {target} HTTP/1.1\r\n{self._host_line}{lines}\r\n".encode()
        connection = self._kept() or await self._connected()
        try:
            answer = await connection.exchange(head, body, bodiless=method == "HEAD")
        except BaseException:
            connection.close()
            raise
        if connection.reusable:
            self._idle.append(connection)
        return answer

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def _kept(self) -> _Connection | None:
        """The connection that was used last: those that are not needed grow old and are closed."""
        while self._idle:
            connection = self._idle.pop()
            if connection.fresh:
                return connection
            connection.close()
        return None

    async def _connected(self) -> _Connection:
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(lambda: _Connection(loop), self._host, self._port)
        except OSError as error:
            raise NotConnected(str(error)) from error
        return connection


class _Connection(asyncio.Protocol):
    """One exchange after the other. `reusable`: the last answer was whole and the server did not say goodbye."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Answer] | None = None
        self._reader = AnswerReader(bodiless=False)
        self._last_used = 0.0
        self.reusable = False

    @property
    def fresh(self) -> bool:
        return self.reusable and self._loop.time() - self._last_used < _IDLE_SECONDS

    async def exchange(self, head: bytes, body: bytes, *, bodiless: bool) -> Answer:
        """Raises Interrupted."""
        if self._transport is None:
            raise Interrupted("the server closed the connection")
        self.reusable = False
        self._reader = AnswerReader(bodiless=bodiless)
        self._answer = self._loop.create_future()
        silence = self._loop.call_later(_SILENCE_SECONDS, self._fail, "the server does not answer")
        self._transport.writelines((head, body)) if body else self._transport.write(head)
        try:
            return await self._answer
        finally:
            silence.cancel()
            self._answer = None

    def close(self) -> None:
        self.reusable = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            # Nobody asked: the connection is out of step.
            self.close()
            return
        try:
            answer = self._reader.feed(data)
        except ValueError as error:
            self._fail(f"the server does not speak HTTP: {error}")
            return
        if answer is not None:
            self._finish(answer)

    def eof_received(self) -> None:
        self._ended("the server closed the connection")

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._ended(str(exc or "the server closed the connection"))

    def _ended(self, reason: str) -> None:
        self.reusable = False
        answer = self._reader.at_end() if self._answer is not None else None
        if answer is not None:
            self._finish(answer)
        else:
            self._fail(reason)

    def _finish(self, answer: Answer) -> None:
        self.reusable = answer.headers.get("connection", "").lower() != "close" and self._transport is not None
        self._last_used = self._loop.time()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)

    def _fail(self, reason: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(Interrupted(reason))
        self.close()
