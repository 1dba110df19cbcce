"""HTTP streaming: a request and its response as an ASGI connection that a function uses while the client is connected.

    exchange = Exchange(call, clock)
    invocation = asyncio.create_task(invoke(TriggerEvent(value=Datum("http_stream", exchange.stream))))
    response = await exchange.response()      # when the headers are known; None if there will be no response

User code runs on another event loop than the web server. Everything that it calls is run on the server's loop and
waits there for the client. Source: the ASGI specification, HTTP 2.3; docs/protocol/python-worker.md 9.1.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from emulator.clock import Clock
from emulator.extensions.http.response import HOP_BY_HOP, ResponseRefused, check_header
from emulator.host.http.routing.routes import HttpCall
from emulator.host.http.server.aiohttp_internals import CHUNKS_WITHOUT_BODY
from emulator.host.http.server.connections import wait_until_disconnected
from emulator.host.http.server.requests import BodyBroken, accept_body, next_chunk
from emulator.worker.port import AsgiMessage, HttpStream

T = TypeVar("T")


class Exchange:
    """One streaming request. `stream`: the value that the worker gives to the function.

    `refusal`: why the response that the function has begun cannot be sent.
    There is no limit for the body, because it is handed over piece by piece and never held in memory.
    """

    def __init__(self, call: HttpCall, clock: Clock) -> None:
        self._loop = asyncio.get_running_loop()
        self._request = call.request
        self._clock = clock
        self.refusal: ResponseRefused | None = None
        self._body_over = False
        self._asked_for_body = False
        # The response once the function has begun it. It carries over the loss of the function as None.
        self._started: asyncio.Future[StreamedResponse | None] = self._loop.create_future()
        self.stream = HttpStream(
            scope=asgi_scope(call),
            route_params=call.values,
            receive=self.receive,
            send=self.send,
            close=self.close,
        )

    async def response(self) -> StreamedResponse | None:
        """Wait until the response has begun and return it; None if it will never begin."""
        # Shielded, because the future belongs to user code too: a client that disconnects must not cancel it.
        return await asyncio.shield(self._started)

    def abandon(self) -> None:
        """End the wait for a response that has not begun. What user code still sends is discarded."""
        if not self._started.done():
            self._started.set_result(None)

    # Called by user code, on its own loop --------------------------------------------------------------------------

    async def receive(self) -> AsgiMessage:
        """Return the next part of the body, or wait for the client to disconnect once the body is complete."""

        async def next_message() -> AsgiMessage:
            if self._body_over:
                # A server reports nothing after the body but the disconnect of the client.
                await wait_until_disconnected(self._request)
                return {"type": "http.disconnect"}
            if not self._asked_for_body:
                # A client that sent `Expect: 100-continue` sends the body only after this, so it must not be sent
                # before the function wants the body.
                self._asked_for_body = True
                await accept_body(self._request)
            try:
                chunk = await next_chunk(self._request, self._clock)
            except BodyBroken:
                self._body_over = True
                return {"type": "http.disconnect"}
            self._body_over = not chunk
            return {"type": "http.request", "body": chunk, "more_body": bool(chunk)}

        return await self._on_server_loop(next_message())

    async def send(self, message: AsgiMessage) -> None:
        """Begin the response or send a piece of its body; waits until the client has taken the previous piece."""

        async def send_message() -> None:
            response: StreamedResponse | None
            if message["type"] == "http.response.start":
                if not self._started.done():
                    try:
                        response = StreamedResponse(message["status"], message.get("headers", ()))
                    except ResponseRefused as error:
                        # The client gets a 500. The function may send the rest of its response, which is discarded.
                        self.refusal = error
                        response = None
                    self._started.set_result(response)
            elif message["type"] == "http.response.body":
                response = self._started.result() if self._started.done() else None
                if response is not None:
                    await response.feed(message.get("body", b""), is_last=not message.get("more_body", False))

        await self._on_server_loop(send_message())

    def close(self) -> None:
        """End the response: the function will send nothing more."""

        def end_response() -> None:
            if not self._started.done():
                self._started.set_result(None)
            elif (response := self._started.result()) is not None:
                response.break_off()

        # Not awaited, unlike the others: it may be called on any thread, also on one without a running loop.
        self._loop.call_soon_threadsafe(end_response)

    async def _on_server_loop(self, work: Coroutine[Any, Any, T]) -> T:
        if asyncio.get_running_loop() is self._loop:
            return await work
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))


class StreamedResponse(web.StreamResponse):
    """A response whose body is sent piece by piece, as user code produces it.

    Only one piece is kept. A function that produces faster than the client reads waits in `feed`. Creating it raises
    ResponseRefused.
    """

    def __init__(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        super().__init__(status=status)
        self._bodyless = False
        # ASGI headers are bytes. HTTP has no encoding for them, and latin-1 loses none.
        for raw_name, raw_value in headers:
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
            if name.lower() not in HOP_BY_HOP:
                check_header(name, value)
                self.headers.add(name, value)
        self._piece: bytes | None = None
        self._last_is_in = False
        self._over = False
        self._changed = asyncio.Event()

    async def feed(self, piece: bytes, *, is_last: bool) -> None:
        """Wait until the previous piece has been sent, then add the next. Does nothing once the response has ended."""
        await self._wait_until(lambda: self._piece is None)
        if not self._over:
            self._piece = piece or None
            self._last_is_in = is_last
            self._change()

    def break_off(self) -> None:
        """End the response. Without its last piece the connection is closed, so that the client notices the loss."""
        if not self._last_is_in:
            self._over = True
            self._change()

    async def write_eof(self, data: bytes = b"") -> None:
        """Send the body; aiohttp calls this after the headers. Raises ConnectionError if the function aborts it."""
        # Runs on the server's side of the piece buffer; `feed` is the function's side.
        try:
            while not self._bodyless:
                await self._wait_until(lambda: self._piece is not None or self._last_is_in)
                if self._over:
                    raise ConnectionError("The function aborted the response before its end.")
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
        # These have no body, so `write_eof` must not wait for one; what the function sends is discarded.
        self._bodyless = is_bodyless(request.method, self.status)
        if self._bodyless and CHUNKS_WITHOUT_BODY:
            self.content_length = 0
        return await super().prepare(request)

    def _change(self) -> None:
        # A new event for each change: one that is cleared at once would not wake waiters that have not run yet.
        self._changed.set()
        self._changed = asyncio.Event()

    async def _wait_until(self, condition: Callable[[], bool]) -> None:
        while not condition() and not self._over:
            await self._changed.wait()


def is_bodyless(method: str, status: int) -> bool:
    """Return whether a response has no body, whatever the function has returned."""
    return method == "HEAD" or status in (204, 304)


def asgi_scope(call: HttpCall) -> Mapping[str, Any]:
    """Return the ASGI scope of a request (ASGI HTTP 2.3)."""
    request = call.request

    def address(name: str) -> tuple[str, int] | None:
        # The transport is gone if the client has disconnected already.
        info = request.transport.get_extra_info(name) if request.transport else None
        return None if info is None else (info[0], info[1])

    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": f"{request.version.major}.{request.version.minor}",
        "method": request.method.upper(),
        "scheme": request.scheme,
        "path": call.path,
        "raw_path": request.rel_url.raw_path.encode(),
        "query_string": request.rel_url.raw_query_string.encode(),
        # The app is not mounted below a path: its routes contain the prefix of host.json.
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.raw_headers],
        "client": address("peername"),
        "server": address("sockname"),
    }
