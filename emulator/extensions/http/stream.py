"""A request and its response as an ASGI connection that user code drives while the client is connected.

    exchange = Exchange(call, clock)
    invocation = asyncio.create_task(invoke(TriggerEvent(value=Datum("http_stream", exchange.stream))))
    response = await exchange.response()      # None if it ended without one; nothing of the body has been sent yet

User code lives on another event loop: everything it calls is carried over to the loop of the server, and waits there
for the client. Source: the ASGI specification, HTTP 2.3; docs/protocol/python-worker.md 9.1.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from emulator.clock import Clock
from emulator.extensions.http.response import HOP_BY_HOP
from emulator.host.http.routing.routes import HttpCall
from emulator.host.http.server.connections import wait_until_disconnected
from emulator.host.http.server.requests import BodyBroken, accept_body, next_chunk
from emulator.worker.port import AsgiMessage, HttpStream

T = TypeVar("T")


class Exchange:
    """`stream` is what the worker gets. The client may send as much as it likes: nothing is kept of it."""

    def __init__(self, call: HttpCall, clock: Clock) -> None:
        self._loop = asyncio.get_running_loop()
        self._request = call.request
        self._clock = clock
        self._body_over = False
        self._asked_for_body = False
        self._started: asyncio.Future[StreamedResponse | None] = self._loop.create_future()
        self.stream = HttpStream(
            scope=_scope(call),
            route_params=call.values,
            receive=self._receive,
            send=self._send,
            close=self._close,
        )

    async def response(self) -> StreamedResponse | None:
        """The response as soon as it has begun. None: it will never begin."""
        return await asyncio.shield(self._started)

    def abandon(self) -> None:
        """Nobody waits for the response any more; what is still sent goes nowhere."""
        if not self._started.done():
            self._started.set_result(None)

    # Called by user code, on its own loop --------------------------------------------------------------------------

    async def _receive(self) -> AsgiMessage:
        return await self._here(self._next_message())

    async def _send(self, message: AsgiMessage) -> None:
        await self._here(self._sent(message))

    def _close(self) -> None:
        self._loop.call_soon_threadsafe(self._closed)

    async def _here(self, work: Coroutine[Any, Any, T]) -> T:
        if asyncio.get_running_loop() is self._loop:
            return await work
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    # On the server's loop ------------------------------------------------------------------------------------------

    async def _next_message(self) -> AsgiMessage:
        if self._body_over:
            # As a server does: the next thing to tell is that the client has gone, whenever that is.
            await wait_until_disconnected(self._request)
            return {"type": "http.disconnect"}
        if not self._asked_for_body:
            self._asked_for_body = True
            await accept_body(self._request)
        try:
            chunk = await next_chunk(self._request, self._clock)
        except BodyBroken:
            self._body_over = True
            return {"type": "http.disconnect"}
        self._body_over = not chunk
        return {"type": "http.request", "body": chunk, "more_body": bool(chunk)}

    async def _sent(self, message: AsgiMessage) -> None:
        if message["type"] == "http.response.start":
            if not self._started.done():
                self._started.set_result(StreamedResponse(message["status"], message.get("headers", ())))
        elif message["type"] == "http.response.body":
            response = self._started.result() if self._started.done() else None
            if response is not None:
                await response.feed(message.get("body", b""), is_last=not message.get("more_body", False))

    def _closed(self) -> None:
        if not self._started.done():
            self._started.set_result(None)
        elif (response := self._started.result()) is not None:
            response.break_off()


class StreamedResponse(web.StreamResponse):
    """A response whose body comes in pieces while it is being sent. Each piece waits until the one before is out."""

    def __init__(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        super().__init__(status=status)
        self._bodyless = False
        for name, value in headers:
            if name.decode("latin-1").lower() not in HOP_BY_HOP:
                self.headers.add(name.decode("latin-1"), value.decode("latin-1"))
        self._piece: bytes | None = None
        self._last_is_in = False
        self._over = False
        self._changed = asyncio.Event()

    async def feed(self, piece: bytes, *, is_last: bool) -> None:
        """Wait until the piece before is out. Does nothing once the response is over, for whatever reason."""
        await self._wait_until(lambda: self._piece is None)
        if not self._over:
            self._piece = piece or None
            self._last_is_in = is_last
            self._change()

    def break_off(self) -> None:
        """No more pieces come. If the last one is not there yet, the client must notice: the connection is cut."""
        if not self._last_is_in:
            self._over = True
            self._change()

    async def write_eof(self, data: bytes = b"") -> None:
        """Called by the server when the head is out: sends the body. Raises ConnectionError if it breaks off."""
        try:
            while not self._bodyless:
                await self._wait_until(lambda: self._piece is not None or self._last_is_in)
                if self._over:
                    raise ConnectionError("The response broke off.")
                if self._piece is None:
                    break
                await self.write(self._piece)
                self._piece = None
                self._change()
            await super().write_eof()
        finally:
            self._over = True
            self._change()

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        self._bodyless = request.method == "HEAD" or self.status in (204, 304)
        return await super().prepare(request)

    def _change(self) -> None:
        # Everyone who waits looks for himself; those who come later wait for the next change.
        self._changed.set()
        self._changed = asyncio.Event()

    async def _wait_until(self, condition: Callable[[], bool]) -> None:
        while not condition() and not self._over:
            await self._changed.wait()


def _scope(call: HttpCall) -> Mapping[str, Any]:
    request = call.request
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": f"{request.version.major}.{request.version.minor}",
        "method": request.method.upper(),
        "scheme": request.scheme,
        "path": call.path,
        "raw_path": request.rel_url.raw_path.encode(),
        "query_string": request.rel_url.raw_query_string.encode(),
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.raw_headers],
        "client": _end(request, "peername"),
        "server": _end(request, "sockname"),
    }


def _end(request: web.Request, name: str) -> tuple[str, int] | None:
    """Host and port of an end of the connection; None if it is gone already."""
    address = request.transport.get_extra_info(name) if request.transport else None
    return None if address is None else (address[0], address[1])
