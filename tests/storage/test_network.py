"""Network clients: credentials, and servers that are unreachable, busy, or close connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas

from emulator.background import background
from emulator.clock import SystemClock
from emulator.config.connections import (
    DEVELOPMENT_ACCOUNT,
    DEVELOPMENT_KEY,
    SasToken,
    SharedKey,
    StorageConnection,
)
from emulator.errors import ConfigurationError
from emulator.storage import azure, rest
from emulator.storage.filters import eq
from emulator.storage.paging import query_rows
from emulator.storage.port import InvalidRequest, NotFound, StorageError, StorageOutage, StorageUnreachable
from tests.storage.bench import Bench, bodies, collected, insert, keys, row, take, unique

CLIENTS = pytest.mark.parametrize("client", [rest, azure], ids=["rest", "sdk"])
CLOCK = SystemClock()


def at(port: int) -> StorageConnection:
    place = f"http://127.0.0.1:{port}/{DEVELOPMENT_ACCOUNT}"
    return StorageConnection(
        setting="AzureWebJobsStorage",
        account=DEVELOPMENT_ACCOUNT,
        credential=SharedKey(DEVELOPMENT_KEY),
        blob=place,
        queue=place,
        table=place,
    )


@asynccontextmanager
async def serving(
    answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], port: int | None = 0
) -> AsyncIterator[StorageConnection]:
    """A server that answers every request with `answer`, and a connection to it."""
    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    try:
        yield at(runner.addresses[0][1])
    finally:
        await runner.cleanup()


@CLIENTS
async def test_unreachable_storage_is_named_with_advice(client: Any, unused_tcp_port: int) -> None:
    async with client.open_account(at(unused_tcp_port), CLOCK) as account:
        for call in (account.queue("q").put("x"), account.table("T").read("p", "r"), account.container("c").read("b")):
            with pytest.raises(StorageUnreachable) as away:
                await call
            assert f"http://127.0.0.1:{unused_tcp_port}/devstoreaccount1" in str(away.value)
            assert "UseDevelopmentStorage=true" in str(away.value)


async def test_request_is_repeated_when_the_server_is_busy() -> None:
    asked = 0

    async def answer(request: web.BaseRequest) -> web.Response:
        nonlocal asked
        asked += 1
        if asked == 1:
            return web.Response(status=503, headers={"x-ms-error-code": "ServerBusy"})
        return web.Response(status=201)

    async with serving(answer) as connection, rest.open_account(connection, CLOCK) as account:
        assert await account.queue("q").create()
    assert asked == 2


async def test_request_waits_while_a_server_that_has_answered_restarts() -> None:
    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(status=201)

    async with AsyncExitStack() as first:
        connection = await first.enter_async_context(serving(answer))
        port = urlsplit(connection.queue).port
        async with rest.open_account(connection, CLOCK) as account:
            await account.queue("q").create()
            await first.aclose()
            waiting = asyncio.create_task(account.queue("q").create())
            await CLOCK.sleep(1)
            assert not waiting.done()
            async with serving(answer, port):
                assert await waiting


async def test_request_is_repeated_when_the_connection_closes() -> None:
    asked = 0

    async def answer(request: web.BaseRequest) -> web.Response:
        nonlocal asked
        asked += 1
        if asked < 3:
            assert request.transport is not None
            request.transport.close()
        return web.Response(status=201)

    async with serving(answer) as connection, rest.open_account(connection, CLOCK) as account:
        assert await account.queue("q").create()
    assert asked == 3


async def test_server_that_stays_busy_is_unreachable() -> None:
    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(status=500, text="<Error><Code>InternalError</Code><Message>sorry</Message></Error>")

    async with serving(answer) as connection, rest.open_account(connection, CLOCK) as account:
        with pytest.raises(StorageUnreachable, match="500 InternalError: sorry") as failed:
            await account.queue("q").create()
    # It responds, so the caller has to report what.
    assert not isinstance(failed.value, StorageOutage)


def outage_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage()[:24] for record in caplog.records if "availability" in record.name]


@CLIENTS
async def test_account_reports_an_outage_of_all_its_services_once(
    client: Any, unused_tcp_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(status=404, headers={"x-ms-error-code": "QueueNotFound"})

    async with client.open_account(at(unused_tcp_port), CLOCK, log_outages=True) as account:
        for call in (account.queue("q").count(), account.table("T").read("p", "r"), account.container("c").read("b")):
            with pytest.raises(StorageOutage):
                await call
        assert outage_lines(caplog) == ["Storage does not respond"]
        async with serving(answer, unused_tcp_port):
            for _ in range(2):
                with pytest.raises(NotFound):
                    await account.queue("q").count()
    away, back = caplog.messages
    assert away.startswith("Storage does not respond. What needs it waits")
    assert f"Storage at http://127.0.0.1:{unused_tcp_port}/devstoreaccount1 does not answer" in away
    assert back == f"Storage responds again: Azurite at http://127.0.0.1:{unused_tcp_port}/devstoreaccount1"


@CLIENTS
async def test_outage_of_one_service_lasts_although_another_one_responds(
    client: Any, unused_tcp_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(status=404, headers={"x-ms-error-code": "QueueNotFound"})

    async with serving(answer) as connection:
        mixed = replace(connection, table=at(unused_tcp_port).table)
        async with client.open_account(mixed, CLOCK, log_outages=True) as account:
            for _ in range(2):
                with pytest.raises(StorageOutage):
                    await account.table("T").read("p", "r")
                with pytest.raises(NotFound):
                    await account.queue("q").count()
    assert outage_lines(caplog) == ["Storage does not respond"]


async def test_request_that_fails_alone_is_no_outage(caplog: pytest.LogCaptureFixture) -> None:
    async def answer(request: web.BaseRequest) -> web.Response:
        if "dropped" in str(request.rel_url):
            others_responded.clear()
            await others_responded.wait()
            assert request.transport is not None
            request.transport.close()
        return web.Response(status=201)

    others_responded = asyncio.Event()
    async with serving(answer) as connection, rest.open_account(connection, CLOCK, log_outages=True) as account:

        async def keep_responding() -> None:
            while True:
                await account.queue("q").create()
                others_responded.set()

        async with background(keep_responding()):
            with pytest.raises(StorageUnreachable) as failed:
                await account.queue("dropped").create()
    assert not isinstance(failed.value, StorageOutage)
    assert not outage_lines(caplog)


async def test_response_of_another_service_is_part_of_the_error() -> None:
    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(status=404, text="<html>no such page</html>")

    async with serving(answer) as connection, rest.open_account(connection, CLOCK) as account:
        with pytest.raises(StorageError, match="404 NotFound"):
            await account.queue("q").put("x")


# The tables SDK asks for the truth of an XML element, of which Python 3.12 warns.
@pytest.mark.filterwarnings("ignore:Testing an element's truth value:DeprecationWarning")
@pytest.mark.azurite
@CLIENTS
async def test_wrong_key_is_refused_with_advice(client: Any, azurite_connection: StorageConnection) -> None:
    wrong = replace(azurite_connection, credential=SharedKey("AAAA"))
    async with client.open_account(wrong, CLOCK) as account:
        for call in (
            account.queue("queue").create(),
            account.table("Table").create(),
            account.container("abc").create(),
        ):
            with pytest.raises(StorageError, match="AccountKey") as refused:
                await call
            assert refused.value.status == 403


@pytest.mark.azurite
@CLIENTS
async def test_sas_token_authorizes_requests(client: Any, azurite_connection: StorageConnection) -> None:
    token = generate_account_sas(
        DEVELOPMENT_ACCOUNT,
        DEVELOPMENT_KEY,
        ResourceTypes(service=True, container=True, object=True),
        AccountSasPermissions(
            read=True, write=True, delete=True, list=True, add=True, create=True, update=True, process=True
        ),
        datetime.now(UTC) + timedelta(hours=1),
        services="bqt",
    )
    connection = replace(azurite_connection, credential=SasToken(token))
    async with client.open_account(connection, CLOCK) as account:
        queue, container = account.queue(unique("queue")), account.container(unique("container"))
        await queue.create()
        await queue.put("by token")
        assert await bodies(queue) == ["by token"]
        table = account.table(unique("Table"))
        await table.create()
        await table.submit([insert(row("p", "1")), insert(row("p", "2"))])
        assert await keys(query_rows(table, eq("RowKey", "2"))) == [("p", "2")]
        await container.create()
        await container.write("a b", b"by token", metadata={"k": "v"})
        assert [blob.name async for blob in container.list("a ")] == ["a b"]


@CLIENTS
async def test_connection_without_an_endpoint_is_named(client: Any) -> None:
    only_blobs = replace(at(1), queue=None, table=None)
    async with client.open_account(only_blobs, CLOCK) as account:
        with pytest.raises(ConfigurationError, match="QueueEndpoint"):
            await collected(account.queues())
        with pytest.raises(ConfigurationError, match="TableEndpoint"):
            account.table("T")


async def test_text_beyond_ascii_survives_any_size(bench: Bench) -> None:
    if bench.backend == "azurite-sdk":
        pytest.skip("Azurite destroys characters that two packets share, and the SDK sends them as they are")
    queue, table = await bench.new_queue(), await bench.new_table()
    text = "ä€😀" * 7000
    await queue.put(text)
    [got] = await take(queue)
    assert got.body == text
    rows = [row("p", f"{number:02}", text="ä€😀" * 8000) for number in range(15)]
    await table.submit([insert(row) for row in rows])
    rows_read = [row async for row in query_rows(table)]
    assert [row.properties["text"] for row in rows_read] == ["ä€😀" * 8000] * 15


async def test_a_text_that_xml_cannot_carry_is_refused(bench: Bench) -> None:
    queue = await bench.new_queue()
    for character in ("\x00", "\x1f", "\ufffe", "\ud800"):
        if bench.backend == "azurite-sdk":
            pytest.skip("the SDK sends what XML cannot carry, and Azurite takes it")
        with pytest.raises(InvalidRequest) as refused:
            await queue.put(f"a{character}b")
        assert refused.value.code == "InvalidXmlDocument"


async def test_many_calls_at_once(bench: Bench) -> None:
    table = await bench.new_table()
    await asyncio.gather(*(table.submit([insert(row(f"p{number}", "r", n=number))]) for number in range(100)))
    assert sorted([row.properties["n"] async for row in query_rows(table)]) == list(range(100))  # type: ignore[type-var]
