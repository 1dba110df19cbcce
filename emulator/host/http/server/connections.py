"""The listening socket and its connections: limits, malformed requests, slow clients, an orderly end.

    async with listen(handle, clock, address="127.0.0.1", port=7071) as listener:
        print(listener.port)
        ...
        await listener.drain(seconds=10)

What a client may send is limited as in Kestrel, the web server of the Functions host. What breaks the limits, or is not
HTTP, is answered with an empty 4xx and closed; it is the client's fault and worth no more than a debug line.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiohttp import HttpVersion10, HttpVersion11, StreamReader, web
from aiohttp.http_exceptions import LineTooLong

from emulator.clock import Clock, within
from emulator.errors import ConfigurationError

logger = logging.getLogger(__name__)

Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]

SERVER = "Kestrel"
# Kestrel's defaults: KestrelServerLimits.cs.
MAX_REQUEST_LINE_BYTES = 8 * 1024
MAX_HEADERS = 100
MAX_HEADERS_BYTES = 32 * 1024
KEEP_ALIVE_SECONDS = 130.0
REQUEST_HEAD_SECONDS = 30.0
# How long the rest of a body that nobody wants is taken in, so that the client comes to read its answer.
UNREAD_BODY_SECONDS = 5.0
# The method under which aiohttp hands on what could not be parsed.
_NOT_HTTP = "UNKNOWN"
# The method under which requests of other versions are handed on; no method can have a space.
_OTHER_VERSION = "OTHER VERSION"
# What Kestrel takes for a host: HttpUtilities.IsHostHeaderValid. An empty one is fine.
_HOST = re.compile(r"(?:(?:[A-Za-z0-9!$&'()\-._~]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?)?")
# asyncio accepts a connection, makes its transport, tells its protocol; and one more, in case that changes.
_TURNS_OF_A_NEW_CONNECTION = 4
# How long a host that stops waits for the first request of a client that it let in.
_FIRST_REQUEST_SECONDS = 0.2
# How long requests that were cancelled may take to notice it.
_LAST_SECONDS = 0.5


class PortUnavailable(ConfigurationError):
    """The address and port cannot be bound. The message says how to choose others."""

    def __init__(self, address: str, port: int, error: OSError) -> None:
        if error.errno == errno.EADDRINUSE:
            # The first two sentences are core-tools'.
            text = (
                f"Port {port} is unavailable. Close the process using that port, or specify another port using "
                '--port [-p]. The setting for it is "Host": {"LocalHttpPort": …} in local.settings.json.'
            )
        else:
            text = (
                f"Cannot listen on address {address}, port {port}: {error.strerror or error}. "
                "Choose others with --address and --port."
            )
        super().__init__(text)


class Listener:
    """An open listening socket. `port`: the bound one."""

    def __init__(self, server: asyncio.Server, connections: _Connections, clock: Clock) -> None:
        self._server = server
        self._connections = connections
        self._clock = clock
        self.port: int = server.sockets[0].getsockname()[1]

    @property
    def running_requests(self) -> int:
        return self._connections.running

    async def drain(self, seconds: float) -> None:
        """Accept no more connections, close those that have had their request, and let the running requests finish.

        What still runs after `seconds` goes on until the listener is left.
        """
        await self._accept_no_more()
        self._connections.let_go()
        try:
            await within(self._clock, seconds, self._connections.wait_until_idle(), upkeep=True)
        except TimeoutError:
            logger.warning("%d HTTP requests are still running and will be cut off.", self.running_requests)

    async def _accept_no_more(self) -> None:
        """Whoever comes now waits for the next host at the socket, if that stays open.

        A server that is closed drops those whom it has accepted and not yet heard of, so it has to hear first.
        """
        for listening in self._server.sockets:
            with suppress(NotImplementedError):  # On Windows, where no other host can go on with a socket.
                asyncio.get_running_loop().remove_reader(listening)
        for _ in range(_TURNS_OF_A_NEW_CONNECTION):
            await self._clock.sleep(0, upkeep=True)
        self._server.close()


@asynccontextmanager
async def listen(
    handle: Handle,
    clock: Clock,
    *,
    address: str = "127.0.0.1",
    port: int = 0,
    sock: socket.socket | None = None,
    head_seconds: float = REQUEST_HEAD_SECONDS,
) -> AsyncIterator[Listener]:
    """Serve HTTP while entered; leaving cuts off what is running.

    `port` 0: any free one. `sock`: a listening socket to serve on instead; it stays the caller's to close.
    `head_seconds`: what a client has to send the head of a request. Raises PortUnavailable.
    """
    loop = asyncio.get_running_loop()
    connections = _Connections(handle, loop, head_seconds)
    try:
        if sock is not None:
            # The server closes the duplicate; a host that is started next can serve on the caller's socket.
            server = await loop.create_server(connections, sock=sock.dup())
        else:
            server = await loop.create_server(connections, address, port)
    except OSError as error:
        raise PortUnavailable(address, port, error) from error
    try:
        yield Listener(server, connections, clock)
    finally:
        server.close()
        # Connections without a request would be waited for like those with one.
        connections.pre_shutdown()
        await connections.shutdown(timeout=_LAST_SECONDS)


async def client_gone(request: web.Request) -> None:
    """Wait until the client of this request has closed its connection, or it was closed for it."""
    assert isinstance(request.protocol, _Connection)
    await request.protocol.gone.wait()


class _Connections(web.Server):
    """Makes the protocol of each connection, and knows how many requests are running."""

    def __init__(self, handle: Handle, loop: asyncio.AbstractEventLoop, head_seconds: float) -> None:
        super().__init__(self._handle, request_factory=self._new_request, loop=loop)  # type: ignore[arg-type]
        self._app_handle = handle
        self._head_seconds = head_seconds
        self._server_loop = loop
        self._changed = asyncio.Event()
        self.running = 0
        self.is_letting_go = False

    def __call__(self) -> _Connection:
        return _Connection(self, self._server_loop, self._head_seconds)

    async def wait_until_idle(self) -> None:
        """Until no request runs, and none is on its way."""
        while self.running or any(connection.is_new for connection in self._all()):
            self._changed.clear()
            await self._changed.wait()

    def let_go(self) -> None:
        """Close every connection, those with a running request after its answer."""
        self.is_letting_go = True
        for connection in self._all():
            connection.let_go()

    def changed(self) -> None:
        self._changed.set()

    def _all(self) -> list[_Connection]:
        return [connection for connection in self.connections if isinstance(connection, _Connection)]

    def _new_request(
        self, message: Any, payload: Any, protocol: web.RequestHandler, writer: Any, task: asyncio.Task[None]
    ) -> web.Request:
        assert isinstance(protocol, _Connection)
        protocol.head_complete(payload)
        if message.method == _NOT_HTTP:
            # aiohttp answers this as HTTP/1.0.
            message = message._replace(version=HttpVersion11)
        elif message.version not in (HttpVersion10, HttpVersion11):
            message = message._replace(version=HttpVersion11, method=_OTHER_VERSION)
        self.running += 1
        return web.Request(message, payload, protocol, writer, task, self._server_loop)

    def request_done(self) -> None:
        self.running -= 1
        self.changed()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        refusal = _refusal(request)
        if refusal is not None:
            logger.debug("Refused a request from %s: %s", request.remote, refusal.reason)
            refusal.force_close()
            return refusal
        return await self._app_handle(request)


def _refusal(request: web.Request) -> web.Response | None:
    """What Kestrel refuses although it is HTTP."""
    headers = request.raw_headers
    if len(headers) > MAX_HEADERS or sum(len(name) + len(value) + 4 for name, value in headers) > MAX_HEADERS_BYTES:
        return web.Response(status=431)
    if request.method == _OTHER_VERSION:
        return web.Response(status=505)
    hosts = request.headers.getall("Host", ())
    if len(hosts) > 1 or (request.version >= (1, 1) and not hosts) or not all(map(_is_host, hosts)):
        return web.Response(status=400)
    # aiohttp keeps bytes that are not UTF-8 as surrogates, which nothing behind it could encode again.
    texts = (request.path_qs, *request.headers.values())
    if any("\ud800" <= character <= "\udfff" for text in texts if not text.isascii() for character in text):
        return web.Response(status=400)
    return None


def _is_host(text: str) -> bool:
    found = _HOST.fullmatch(text)
    return found is not None and int(found[1] or 0) <= 65535


class _Connection(web.RequestHandler):
    """One client. Adds to aiohttp's protocol a limit for the time and size of a request's head."""

    __slots__ = (
        "_body",
        "_connections",
        "_head_bytes",
        "_head_seconds",
        "_head_timer",
        "_in_request",
        "gone",
        "is_new",
    )

    def __init__(self, connections: _Connections, loop: asyncio.AbstractEventLoop, head_seconds: float) -> None:
        super().__init__(
            connections,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            max_line_size=MAX_REQUEST_LINE_BYTES,
            max_field_size=MAX_HEADERS_BYTES,
            lingering_time=UNREAD_BODY_SECONDS,
            # The Functions host does not unpack either: the function gets what was sent.
            auto_decompress=False,
        )
        self._connections = connections
        self._head_seconds = head_seconds
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._in_request = False
        self._body: StreamReader | None = None
        self.gone = asyncio.Event()
        self.is_new = True

    def data_received(self, data: bytes) -> None:
        if data and self._awaits_head():
            self._head_bytes += len(data)
            if self._head_timer is None:
                # A client lives in real time, whatever the clock of the host says.
                self._head_timer = self._loop.call_later(self._head_seconds, self._refuse, 408, "Request Timeout")
        super().data_received(data)
        if self._head_bytes > MAX_REQUEST_LINE_BYTES + MAX_HEADERS_BYTES:
            # If the head is complete these may be bytes of the body, and the request begins before this is judged.
            self._loop.call_soon(self._refuse, 431, "Request Header Fields Too Large")

    def _awaits_head(self) -> bool:
        # After an early answer the rest of the body may still be coming in.
        return not self._in_request and (self._body is None or self._body.is_eof())

    def head_complete(self, body: StreamReader) -> None:
        self._in_request = True
        self.is_new = False
        self._body = body
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def let_go(self) -> None:
        if self._in_request:
            self.close()
        elif self.is_new:
            # It was let in, so its request is on its way; to close now would be to refuse it.
            self._loop.call_later(_FIRST_REQUEST_SECONDS, self._give_up)
        else:
            self.force_close()

    def _give_up(self) -> None:
        if self.is_new:
            self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.gone.set()
        self.is_new = False
        self._connections.changed()
        if self._head_timer is not None:
            self._head_timer.cancel()
        super().connection_lost(exc)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        if not resp.prepared:
            resp.headers.setdefault("Server", SERVER)
            if self._connections.is_letting_go:
                resp.force_close()
        return await super().finish_response(request, resp, start_time)

    async def _handle_request(self, *args: Any) -> tuple[web.StreamResponse, bool]:
        try:
            return await super()._handle_request(*args)
        finally:
            self._in_request = False
            self._connections.request_done()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is not HTTP, and what our own code failed to answer; then close."""
        if status >= 500:
            logger.error("Answering %s %s failed.", request.method, request.path, exc_info=exc)
        else:
            logger.debug("Not a valid request from %s: %s", request.remote, message)
        if request.writer.output_size > 0:
            raise ConnectionError("The response has begun already.")
        response = web.Response(status=431 if isinstance(exc, LineTooLong) else status)
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        # What aiohttp reports here after `handle_error` is a response that broke off midway: a client that went away,
        # or a stream whose function failed and has said so.
        self.log_debug(*args, **kw)

    def _refuse(self, status: int, reason: str) -> None:
        if self.transport is None or not self._awaits_head():
            return
        logger.debug("Closed a connection: %s.", reason)
        head = f"HTTP/1.1 {status} {reason}\r\nContent-Length: 0\r\nConnection: close\r\nServer: {SERVER}\r\n\r\n"
        self.transport.write(head.encode("ascii"))
        self.force_close()
