"""Overrides of aiohttp internals: connections with Kestrel's limits, error responses and graceful shutdown.

This is the only module that uses parts of aiohttp that its documentation does not describe. `INTERNALS` lists all of
them. `incompatibility` compares the list with the installed aiohttp; if they differ, `connections.listen` serves with
plain aiohttp instead. The decision and what it costs: docs/decisions/0003-override-aiohttp-internals.md.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any

import aiohttp
from aiohttp import HttpVersion11, StreamReader, http_exceptions, web

from emulator.host.http.server.limits import (
    KEEP_ALIVE_SECONDS,
    MAX_HEADERS_BYTES,
    MAX_REQUEST_LINE_BYTES,
    SUPPORTED_VERSIONS,
    UNREAD_BODY_SECONDS,
    UNSUPPORTED_VERSION,
)
from emulator.logs import get_logger

logger = get_logger(__name__)

HandleRequest = Callable[[web.Request], Awaitable[web.StreamResponse]]

SERVER = "Kestrel"
"""Value of the Server header."""

KNOWN_MAJOR_VERSION = "3"

INTERNALS: dict[str, tuple[str, ...]] = {
    "aiohttp.web.RequestHandler.__init__": (
        *("manager", "loop", "access_log", "keepalive_timeout", "max_line_size", "max_field_size"),
        *("lingering_time", "auto_decompress"),
    ),
    "aiohttp.web.RequestHandler.data_received": ("data",),
    "aiohttp.web.RequestHandler.connection_lost": ("exc",),
    "aiohttp.web.RequestHandler.finish_response": ("request", "resp", "start_time"),
    "aiohttp.web.RequestHandler._handle_request": ("request", "start_time", "request_handler"),
    "aiohttp.web.RequestHandler.handle_error": ("request", "status", "exc", "message"),
    "aiohttp.web.RequestHandler.log_exception": (),
    "aiohttp.web.RequestHandler.log_debug": (),
    "aiohttp.web.RequestHandler.close": (),
    "aiohttp.web.RequestHandler.force_close": (),
    "aiohttp.web.RequestHandler.transport": (),
    "aiohttp.web.RequestHandler._loop": (),
    "aiohttp.web.Server.__init__": ("handler", "request_factory", "loop"),
    "aiohttp.web.Server.__call__": (),
    "aiohttp.web.Server.connections": (),
    "aiohttp.web.Server.shutdown": ("timeout",),
    "aiohttp.web.BaseRequest.__init__": ("message", "payload", "protocol", "payload_writer", "task", "loop"),
    "aiohttp.web.Request._prepare_hook": ("response",),
    "aiohttp.web.Request.protocol": (),
    "aiohttp.web.Request.writer": (),
    "aiohttp.abc.AbstractStreamWriter.output_size": (),
    "aiohttp.abc.AbstractStreamWriter.write": ("chunk",),
    "aiohttp.StreamReader.is_eof": (),
    "aiohttp.http.RawRequestMessage._replace": (),
    "aiohttp.http.RawRequestMessage.method": (),
    "aiohttp.http.RawRequestMessage.version": (),
    "aiohttp.http_exceptions.LineTooLong": (),
}
"""Each internal by its dotted name, with the parameters that are passed to it or received by an override."""

CHUNKS_WITHOUT_BODY = not hasattr(web.StreamResponse(), "_must_be_empty_body")
"""aiohttp 3.8 sends the last chunk of a chunked response also if it has no body (HEAD, 204, 304), which the client then
takes for the begin of the next response. Such responses must not be chunked."""

# aiohttp hands on a request that it could not parse with this method.
_UNPARSED = "UNKNOWN"
# A new connection may send its first request for this long after the shutdown began.
_FIRST_REQUEST_SECONDS = 0.2
# Requests that are cancelled at the end may take this long to handle the cancellation.
SHUTDOWN_SECONDS = 0.5


@cache
def incompatibility() -> str | None:
    """Return how the installed aiohttp differs from what this module needs, as part of a sentence; None if it fits."""
    major, _, _ = aiohttp.__version__.partition(".")
    # The signatures of another major version may be the same while their meaning is not.
    if major != KNOWN_MAJOR_VERSION:
        return f"azemu knows only aiohttp {KNOWN_MAJOR_VERSION}"
    for name, parameters in INTERNALS.items():
        path, _, attribute = name.rpartition(".")
        try:
            internal = getattr(_resolve(path), attribute)
        except (AttributeError, ImportError):
            return f"it has no {name}"
        missing = set(parameters) - set(inspect.signature(internal).parameters) if parameters else ()
        if missing:
            return f"{name} has no parameter {min(missing)}"
    return None


def _resolve(path: str) -> Any:
    """Return a module, or a class of a module. Raises AttributeError or ImportError."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name) if name[0].isupper() else importlib.import_module(path)


class KestrelServer(web.Server):
    """Protocol factory for a listening socket that counts the running requests and can drain its connections.

    `head_seconds`: time limit for the request line and headers, counted from their first byte.
    """

    def __init__(self, handle: HandleRequest, *, head_seconds: float) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(handle, request_factory=self._new_request, loop=loop)  # type: ignore[arg-type]
        self._head_seconds = head_seconds
        self._server_loop = loop
        self._state_changed = asyncio.Event()
        self.running = 0
        self.draining = False

    def __call__(self) -> KestrelConnection:
        """Create the protocol of a new connection; called by asyncio."""
        return KestrelConnection(self, self._server_loop, self._head_seconds)

    def start_draining(self) -> None:
        """Close the idle connections now and those with a running request after its response."""
        self.draining = True
        for connection in self._kestrel_connections():
            connection.start_draining()

    async def wait_until_idle(self) -> None:
        """Wait until no request runs and no new connection is about to send its first one."""
        while self.running or any(connection.awaits_first_request for connection in self._kestrel_connections()):
            self._state_changed.clear()
            await self._state_changed.wait()

    async def stop(self) -> None:
        """Cancel what still runs and close all connections."""
        # `shutdown` alone waits the whole timeout for connections that have no request. What `pre_shutdown` does, which
        # aiohttp 3.8 does not have.
        for connection in self.connections:
            connection.close()
        await self.shutdown(timeout=SHUTDOWN_SECONDS)

    def state_changed(self) -> None:
        """Wake `wait_until_idle`; called by connections."""
        self._state_changed.set()

    def _kestrel_connections(self) -> list[KestrelConnection]:
        return [connection for connection in self.connections if isinstance(connection, KestrelConnection)]

    def _new_request(
        self, message: Any, payload: Any, protocol: web.RequestHandler, writer: Any, task: asyncio.Task[None]
    ) -> web.Request:
        """Create the request object for a parsed head; called by aiohttp before the handler."""
        assert isinstance(protocol, KestrelConnection)
        protocol.head_received(payload)
        if message.method == _UNPARSED:
            # aiohttp gives requests that it cannot parse the version HTTP/1.0 and would respond in that version.
            message = message._replace(version=HttpVersion11)
        elif message.version not in SUPPORTED_VERSIONS:
            # aiohttp would respond with "HTTP/2.0 505", which such a client cannot read. The method keeps the fact.
            message = message._replace(version=HttpVersion11, method=UNSUPPORTED_VERSION)
        self.running += 1
        return KestrelRequest(message, payload, protocol, writer, task, self._server_loop)


class KestrelRequest(web.Request):
    """Request whose empty response has no Content-Type, unless the handler has set one."""

    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        # aiohttp 3.8 and 3.9 add a default type to empty responses, too. This is the only place between that and the
        # sending of the headers.
        await super()._prepare_hook(response)
        assert isinstance(self.protocol, KestrelConnection)
        if response.content_length == 0 and not self.protocol.response_has_type:
            response.headers.popall("Content-Type", None)


class KestrelConnection(web.RequestHandler):
    """Protocol of one client connection: limits the time and size of request heads, and drains on shutdown."""

    __slots__ = (
        "_body",
        "_head_bytes",
        "_head_seconds",
        "_head_timer",
        "_in_request",
        "_server",
        "awaits_first_request",
        "disconnected",
        "response_has_type",
    )

    def __init__(self, server: KestrelServer, loop: asyncio.AbstractEventLoop, head_seconds: float) -> None:
        super().__init__(server, loop=loop, **CONNECTION_OPTIONS)
        self._server = server
        self._head_seconds = head_seconds
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._in_request = False
        self._body: StreamReader | None = None
        self.disconnected = asyncio.Event()
        self.awaits_first_request = True
        self.response_has_type = False

    def data_received(self, data: bytes) -> None:
        if data and self._awaits_head():
            self._head_bytes += len(data)
            if self._head_timer is None:
                # Measured by the event loop and not by the host's Clock: the client runs in real time even if a
                # test runs the host in virtual time.
                self._head_timer = self._loop.call_later(self._head_seconds, self._reject, 408, "Request Timeout")
        super().data_received(data)
        if self._head_bytes > MAX_REQUEST_LINE_BYTES + MAX_HEADERS_BYTES:
            # The limits of aiohttp's parser are per line, so a client could send header lines without end. The check
            # is postponed by one step of the loop because these bytes may be the begin of a body: if the head was
            # complete, aiohttp calls `head_received` first, and `_reject` then does nothing.
            self._loop.call_soon(self._reject, 431, "Request Header Fields Too Large")

    def _awaits_head(self) -> bool:
        # If the response was sent before the body had been read, bytes of the body arrive outside of a request.
        return not self._in_request and (self._body is None or self._body.is_eof())

    def head_received(self, body: StreamReader) -> None:
        """Stop measuring the head; called when it is complete or was found to be invalid."""
        self._in_request = True
        self.awaits_first_request = False
        self._body = body
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def start_draining(self) -> None:
        """Close the connection as soon as that loses no request."""
        if self._in_request:
            self.close()
        elif self.awaits_first_request:
            # The connection was accepted, so its request is probably on the way. Closing now would make the client
            # see a reset, although the socket still accepts clients for the next host.
            self._loop.call_later(_FIRST_REQUEST_SECONDS, self._close_if_unused)
        else:
            self.force_close()

    def _close_if_unused(self) -> None:
        if self.awaits_first_request:
            self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.disconnected.set()
        self.awaits_first_request = False
        self._server.state_changed()
        if self._head_timer is not None:
            self._head_timer.cancel()
        super().connection_lost(exc)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        # All responses pass here, error responses of aiohttp included.
        if not resp.prepared:
            self.response_has_type = "Content-Type" in resp.headers
            resp.headers.setdefault("Server", SERVER)
            if self._server.draining:
                resp.force_close()
        return await super().finish_response(request, resp, start_time)

    async def _handle_request(self, *args: Any) -> tuple[web.StreamResponse, bool]:
        # The handler has returned long before the last byte of its response is sent. Only when this method ends the
        # request no longer counts as running.
        try:
            return await super()._handle_request(*args)
        finally:
            self._in_request = False
            self._server.running -= 1
            self._server.state_changed()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return an empty response for a request that is not HTTP or whose handler raised, and close the connection."""
        if status >= 500:
            logger.error("The response to %s %s failed.", request.method, request.path, exc_info=exc)
        else:
            # The client's fault. aiohttp would log it as an error with a traceback.
            logger.debug("Invalid HTTP request from %s: %s", request.remote, message)
        if request.writer.output_size > 0:
            raise ConnectionError("The response has begun already.")
        response = web.Response(status=431 if isinstance(exc, http_exceptions.LineTooLong) else status)
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        # After `handle_error` aiohttp reports here only responses that broke off: the client disconnected, or a
        # streaming function failed, which the invocation log has already reported.
        self.log_debug(*args, **kw)

    def _reject(self, status: int, reason: str) -> None:
        """Respond to an incomplete head and close the connection; does nothing if the head is complete by now."""
        if self.transport is None or not self._awaits_head():
            return
        logger.debug("Closed a connection: %s.", reason)
        head = f"HTTP/1.1 {status} {reason}\r\nContent-Length: 0\r\nConnection: close\r\nServer: {SERVER}\r\n\r\n"
        # Without a complete head there is no request object through which aiohttp could send a response.
        self.transport.write(head.encode("ascii"))
        self.force_close()


CONNECTION_OPTIONS: dict[str, Any] = {
    "access_log": None,
    "keepalive_timeout": KEEP_ALIVE_SECONDS,
    "max_line_size": MAX_REQUEST_LINE_BYTES,
    "max_field_size": MAX_HEADERS_BYTES,
    "lingering_time": UNREAD_BODY_SECONDS,
    # The Functions host does not decompress request bodies either: the function receives the bytes that were sent.
    "auto_decompress": False,
}
"""Arguments of aiohttp's connection class."""


async def send_continue(request: web.Request) -> None:
    """Send the interim response `100 Continue`, as aiohttp's own router does it; without the internals do nothing."""
    # Without it clients send the body too, after waiting for about a second.
    if incompatibility() is None:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # Otherwise `handle_error` would take the final response for begun and could not send an error.
        request.writer.output_size = 0
