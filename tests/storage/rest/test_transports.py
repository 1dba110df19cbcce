"""The two transports of the REST client, with the same cases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from emulator.bound_aiohttp import BoundSession
from emulator.clock import SystemClock
from emulator.config.connections import DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY, StorageConnection
from emulator.storage.availability import AccountAvailability
from emulator.storage.blob_signal import BlobSignal
from emulator.storage.rest.blobs import RestContainer
from emulator.storage.rest.http_connection import DirectTransport
from emulator.storage.rest.service import StorageService
from emulator.storage.rest.signatures import SharedKeySignature
from emulator.storage.rest.transport import AiohttpTransport, NotConnected, ResponseLost, Transport
from tests.storage.bench import unique

Open = Callable[[str], Transport]
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@pytest.fixture(params=["direct", "aiohttp"])
async def open_transport(request: pytest.FixtureRequest) -> AsyncIterator[Open]:
    """Return a function that opens a transport to an origin."""
    if request.param == "direct":
        transports: list[DirectTransport] = []

        def to(origin: str) -> Transport:
            transports.append(DirectTransport(origin))
            return transports[-1]

        yield to
        for transport in transports:
            transport.close()
        return
    session = BoundSession(auto_decompress=False)
    yield lambda origin: AiohttpTransport(session, origin)
    await session.close()


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    runner = web.ServerRunner(web.Server(handler))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def echo(request: web.BaseRequest) -> web.StreamResponse:
    body = await request.read()
    headers = {"x-method": request.method, "x-target": request.raw_path, "x-a": request.headers.get("x-a", "")}
    headers["x-type"] = request.headers.get("Content-Type", "none")
    if "chunked" in request.path:
        response = web.StreamResponse(headers=headers)
        response.enable_chunked_encoding()
        await response.prepare(request)
        for start in range(0, len(body), 1000):
            await response.write(body[start : start + 1000])
        await response.write_eof()
        return response
    return web.Response(body=body, headers=headers)


@pytest.mark.parametrize("size", [0, 1, 70_000, 1_000_000])
@pytest.mark.parametrize("path", ["/plain", "/chunked"])
async def test_bodies_of_any_size_are_sent_and_received(open_transport: Open, size: int, path: str) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    async with serving(echo) as origin:
        transport = open_transport(origin)
        for _ in range(2):
            answer = await transport.send("PUT", f"{path}?q=%20a%2Fb", {"Content-Length": str(size), "x-a": "1"}, body)
            assert (answer.status, answer.body) == (200, body)
            assert answer.headers["X-Method"] == "PUT"
            assert answer.headers["x-target"] == f"{path}?q=%20a%2Fb"
            assert answer.headers["x-a"] == "1"


async def test_no_content_type_is_added(open_transport: Open) -> None:
    async with serving(echo) as origin:
        answer = await open_transport(origin).send("PUT", "/", {"Content-Length": "1"}, b"x")
        # aiohttp's server shows its default for a request without the header; ours must not have sent another.
        assert answer.headers["x-type"] in ("none", "application/octet-stream")


async def test_response_to_head_has_headers_only(open_transport: Open) -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(headers={"x-here": "yes", "Content-Length": "123"})

    async with serving(handler) as origin:
        transport = open_transport(origin)
        for _ in range(3):
            answer = await transport.send("HEAD", "/", {}, b"")
            assert (answer.status, answer.body, answer.headers["x-here"]) == (200, b"", "yes")


async def test_connections_are_reused_one_after_the_other_and_not_shared(open_transport: Open) -> None:
    peers: list[object] = []
    waiting = asyncio.Event()

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        peers.append(request.transport.get_extra_info("peername"))
        if len(peers) > 5:
            if len(peers) == 10:
                waiting.set()
            await waiting.wait()
        return web.Response(text=request.path)

    async with serving(handler) as origin:
        transport = open_transport(origin)
        for number in range(5):
            await transport.send("GET", f"/{number}", {}, b"")
        assert len(set(peers)) == 1
        answers = await asyncio.gather(*(transport.send("GET", f"/{number}", {}, b"") for number in range(5)))
        assert [answer.body for answer in answers] == [b"/%d" % number for number in range(5)]
        assert len(set(peers)) == 5


async def test_connection_that_the_server_closes_is_not_reused(open_transport: Open) -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        response = web.Response(text="x")
        response.force_close()
        return response

    async with serving(handler) as origin:
        transport = open_transport(origin)
        for _ in range(3):
            assert (await transport.send("GET", "/", {}, b"")).body == b"x"


async def test_no_server_raises_not_connected(open_transport: Open, unused_tcp_port: int) -> None:
    with pytest.raises(NotConnected, match=str(unused_tcp_port)):
        await open_transport(f"http://127.0.0.1:{unused_tcp_port}").send("GET", "/", {}, b"")


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", b"SSH-2.0\r\n\r\n"])
async def test_incomplete_response_raises_response_lost(open_transport: Open, said: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ResponseLost):
            await open_transport(f"http://127.0.0.1:{port}").send("GET", "/", {}, b"")


async def test_cancelled_request_does_not_disturb_the_next_one(open_transport: Open) -> None:
    asked, over = asyncio.Event(), asyncio.Event()

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/slow":
            asked.set()
            await over.wait()
        return web.Response(text=request.path)

    async with serving(handler) as origin:
        transport = open_transport(origin)
        slow = asyncio.create_task(transport.send("GET", "/slow", {}, b""))
        await asked.wait()
        slow.cancel()
        assert (await transport.send("GET", "/fast", {}, b"")).body == b"/fast"
        await asyncio.wait({slow})
        assert slow.cancelled()
        over.set()


@pytest.mark.azurite
async def test_signatures_are_accepted_through_both_transports(
    open_transport: Open, azurite_connection: StorageConnection
) -> None:
    endpoint = azurite_connection.blob
    assert endpoint is not None
    transport = open_transport(endpoint.removesuffix(f"/{DEVELOPMENT_ACCOUNT}"))
    signature = SharedKeySignature(DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY)
    availability = AccountAvailability("Azurite", log_outages=False).service("blob")
    service = StorageService(transport, endpoint, signature, SystemClock(), availability)
    container = RestContainer(unique("container"), service, BlobSignal(SystemClock()))
    await container.create()
    await container.write("a b/ä", bytes(2_000_000), metadata={"Name": "x"}, only_if_new=True)
    assert await container.read("a b/ä") == bytes(2_000_000)
    assert (await container.properties("a b/ä")).metadata == {"Name": "x"}
