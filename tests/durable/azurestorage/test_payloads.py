"""Large payloads: where they are stored, how they are read, and when they are deleted."""

from __future__ import annotations

import gzip
import json

import pytest

from emulator.clock import Clock
from emulator.durable.azurestorage import large
from emulator.durable.azurestorage.hub import AzureStorageTaskHub
from emulator.durable.azurestorage.large import DamagedPayload, LargePayloads, blob_name_of
from emulator.durable.core.identity import RuntimeStatus
from emulator.durable.hub import PurgeResult
from emulator.ids import new_id
from emulator.storage.paging import query_rows
from emulator.storage.port import ANY_ETAG, Operation, Row, StorageAccount, TableOperation
from emulator.virtual_time import VirtualClock
from tests.counting_ids import counting_ids
from tests.recordings import GOLDEN
from tests.recordings.loading import load_hub

from .apps import app
from .world import OPTIONS, messages_left, open_world, with_provider

CONTAINER = "testhub-largemessages"


async def blobs(account: StorageAccount) -> list[str]:
    container = account.container(CONTAINER)
    return [blob.name async for blob in container.list()] if await container.exists() else []


async def status_columns(account: StorageAccount, id: str = "i1") -> Row:
    return await account.table("TestHubInstances").read(id, "")


@pytest.mark.parametrize(
    ("length", "in_blob"),
    [
        pytest.param(1_000, None, id="small"),
        pytest.param(30_500, None, id="just fits a column"),
        pytest.param(40_000, "history--Input-", id="too large for a column, not for a message"),
        pytest.param(60_000, "message-", id="too large for a message"),
        pytest.param(3_000_000, "message-", id="megabytes"),
    ],
)
async def test_an_input_is_shown_as_soon_as_the_instance_exists(
    length: int, in_blob: str | None, account: StorageAccount, clock: VirtualClock
) -> None:
    async with open_world(account, clock) as client:
        await client.start("nothing", "x" * length)
        assert (await client.status()).input == json.dumps("x" * length)
        found = [name.removeprefix("i1/") for name in await blobs(account)]
        assert [name.startswith(in_blob or "") for name in found] == ([True] if in_blob else [])
        began = clock.now()
        async with open_world(account, clock, app()) as world:
            assert (await world.ended()).output == json.dumps("x" * length)
            assert (await world.status()).input == json.dumps("x" * length)
        assert (clock.now() - began).total_seconds() < 1
    assert await messages_left(account) == {}


async def test_wide_characters_count_twice_in_a_column(account: StorageAccount, clock: VirtualClock) -> None:
    text = "🐍" * 16_000  # 64 000 bytes of UTF-16, and of UTF-8
    async with open_world(account, clock, app()) as world:
        await world.start("nothing", text)
        assert json.loads((await world.ended()).output or "") == text


async def test_large_columns_refer_to_their_blobs(account: StorageAccount, clock: VirtualClock) -> None:
    async with open_world(account, clock, app()) as world:
        await world.start("large", "x" * 40_000)
        await world.raise_event("i1", "word", "!")
        await world.ended()
        output = str((await status_columns(account)).properties["Output"])
        blob = blob_name_of(output)
        assert blob is not None
        assert blob.startswith("i1/history-")
        assert "-ExecutionCompleted-" in blob
        assert blob.endswith("-Result.json.gz")
        assert gzip.decompress(await account.container(CONTAINER).read(blob)).decode() == json.dumps("x" * 80_000 + "!")
        rows = [row async for row in query_rows(account.table("TestHubHistory"))]
        [completed] = [row for row in rows if row.properties.get("EventType") == "ExecutionCompleted"]
        assert (completed.properties["Result"], completed.properties["ResultBlobName"]) == ("", blob)


async def test_urls_are_shown_if_payloads_are_not_fetched(account: StorageAccount, clock: VirtualClock) -> None:
    options = with_provider(fetch_large_messages_automatically=False)
    async with open_world(account, clock, app(), options) as world:
        await world.start("nothing", "x" * 60_000)
        status = await world.ended()
        assert str(status.output).startswith(account.container(CONTAINER).url("i1/history-")[:20])


async def test_the_blobs_of_a_replaced_execution_are_deleted(account: StorageAccount, clock: VirtualClock) -> None:
    async with open_world(account, clock, app()) as world:
        await world.start("grows", "x" * 70_000)
        await world.ended()
        named = {name for name in await blobs(account) if "/history-" in name}
        referred = [
            str(value)
            for row in [row async for row in query_rows(account.table("TestHubHistory"))]
            for name, value in row.properties.items()
            if name.endswith("BlobName") and row.properties["ExecutionId"] == (await world.status()).execution_id
        ]
        assert named == set(referred)


async def test_a_purge_deletes_the_blobs_of_that_instance_only(account: StorageAccount, clock: VirtualClock) -> None:
    async with open_world(account, clock, app()) as world:
        for id in ("order1", "order10", "a/b"):
            await world.start("nothing", "x" * 60_000, id=id)
            await world.ended(id)
        before = await blobs(account)
        first = await world.hub.purge("order1")
        assert first == PurgeResult(1, history_rows=5, blobs=3)
        assert await blobs(account) == [name for name in before if not name.startswith("order1/")]
        assert await world.hub.status("order1") is None
        assert await world.hub.history("order1") == ()
        assert (await world.status("order10")).output == json.dumps("x" * 60_000)
        await world.hub.purge("a/b")
        assert await world.hub.purge("a/b") == PurgeResult(0)
        assert {name.partition("/")[0] for name in await blobs(account)} == {"order10"}


async def test_what_dotnet_hides_in_InputBlobName_is_shown(account: StorageAccount, clock: VirtualClock) -> None:
    await load_hub(account, GOLDEN.hub("middle_input"), "TestHub")
    hub = AzureStorageTaskHub(OPTIONS, account, clock=clock, new_id=new_id)
    table = account.table("TestHubInstances")
    row = await table.read("i1", "")
    # As it was before the first checkpoint.
    pending = Row("i1", "", {**row.properties, "Input": ""})
    await table.submit([TableOperation(Operation.REPLACE, pending, ANY_ETAG)])
    status = await hub.status("i1")
    assert status is not None
    assert "z" * 40_000 in (status.input or "")


async def test_a_damaged_payload_delays_only_its_message(
    account: StorageAccount, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_world(account, clock) as client:
        await client.start("nothing", "x" * 60_000, id="damaged")
        for name in await blobs(account):
            await account.container(CONTAINER).write(name, b"no gzip")
    async with open_world(account, clock, app()) as world:
        await world.start("nothing", "here")
        assert (await world.ended()).output == json.dumps("here")
        assert (await world.status("damaged")).runtime_status is RuntimeStatus.PENDING
    assert "with a large payload is damaged (" in caplog.text


async def test_a_status_is_shown_without_its_damaged_payload(account: StorageAccount, clock: VirtualClock) -> None:
    async with open_world(account, clock, app()) as world:
        await world.start("nothing", "x" * 60_000)
        await world.ended()
        for name in await blobs(account):
            await account.container(CONTAINER).write(name, gzip.compress(b"x" * 1000)[:-9])
        status = await world.status()
        assert status.runtime_status is RuntimeStatus.COMPLETED
        assert blob_name_of(status.output or "") is not None
        with pytest.raises(DamagedPayload):
            await world.hub.history("i1")


@pytest.mark.parametrize("scenario", ["big_input", "big_activity"])
async def test_recorded_payloads_are_found(scenario: str, account: StorageAccount, clock: VirtualClock) -> None:
    await load_hub(account, GOLDEN.hub(scenario), "TestHub")
    hub = AzureStorageTaskHub(OPTIONS, account, clock=clock, new_id=new_id)
    status = await hub.status("i1")
    assert status is not None
    assert status.runtime_status is RuntimeStatus.COMPLETED
    assert len(status.output or "") > 60_000
    assert any(len(getattr(event, "result", None) or "") > 60_000 for event in await hub.history("i1"))


@pytest.mark.parametrize(
    ("reference", "blob"),
    [
        ("http://127.0.0.1:10000/devstoreaccount1/h-largemessages/i1/x-Input.json.gz", "i1/x-Input.json.gz"),
        ("https://a.blob.core.windows.net/h-largemessages/%40counter%40k/x.json.gz", "@counter@k/x.json.gz"),
        ("http://localhost/elsewhere/x.json.gz", None),
        ("https://example.org/a-largemessages/page", None),
        ("urn:x", None),
        ('"http://quoted"', None),
        ("", None),
    ],
)
def test_a_reference_is_told_from_a_payload(reference: str, blob: str | None) -> None:
    assert blob_name_of(reference) == blob


def test_blob_names_are_those_of_dotnet() -> None:
    guid = "ff94a7f4-f888-46a3-a23a-55f35d798078"
    assert large.message_blob_name("i1", guid, "ExecutionStarted") == (
        "i1/message-ff94a7f4f88846a3a23a55f35d798078-ExecutionStarted.json.gz"
    )
    random = "fa71a088" + "0" * 24
    assert large.column_blob_name("i1", "0000000000000001", "ExecutionStarted", "Input", random=random) == (
        "i1/history-0000000000000001-ExecutionStarted-7A71A088-Input.json.gz"
    )


async def test_equal_payloads_make_equal_blobs(account: StorageAccount, clock: Clock) -> None:
    container = account.container("payloads")
    payloads = LargePayloads(container, clock, counting_ids())
    await payloads.store("one", "x" * 1000)
    await clock.sleep(10)
    await payloads.store("two", "x" * 1000)
    assert await container.read("one") == await container.read("two")
