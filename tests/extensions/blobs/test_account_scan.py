"""The scan of an account in Azure, in virtual time on the built-in store: the recordings `blob_hybrid*`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from emulator.background import background
from emulator.extensions.blobs.account_scan import AccountScan, ScanInfo
from emulator.extensions.blobs.blob_functions import BlobFunction
from emulator.extensions.blobs.passing_on import PassingOn
from emulator.extensions.blobs.receipts import BlobReceipts
from emulator.extensions.blobs.trigger_messages import read_message
from emulator.extensions.blobs.trigger_path import parse_trigger_path
from emulator.host.port import Function, TriggerEvent
from emulator.storage.port import NotFound, Queue, StorageAccount
from emulator.virtual_time import VirtualClock
from emulator.worker.port import Binding, FunctionMetadata, Returned
from tests.counting_ids import counting_ids
from tests.recordings.triggers import TRIGGERS
from tests.waiting import eventually

SCAN_INFO = "blobscaninfo/golden-1/devstoreaccount1/c-work/scanInfo"


def function_of(name: str, path: str, account: StorageAccount) -> BlobFunction:
    binding = Binding("blobTrigger", "blob", "in", None, {"path": path})

    async def invoke(event: TriggerEvent) -> Returned:
        raise AssertionError("the scan runs no functions")

    function = Function(metadata=FunctionMetadata(id=name, name=name, bindings=[binding]), trigger=binding)
    return BlobFunction(
        function=function,
        path=parse_trigger_path(path),
        connection="AzureWebJobsStorage",
        account=account,
        is_watched=True,
        invoke=invoke,
    )


@asynccontextmanager
async def scanning(
    account: StorageAccount, clock: VirtualClock, *functions: str, limit: int = 10_000
) -> AsyncIterator[None]:
    """Scan c-work for functions of these names while entered."""
    new_id = counting_ids()
    passing_on = PassingOn(BlobReceipts(account, "golden-1", new_id), account.queue("found"))
    info = ScanInfo(account, "golden-1", "devstoreaccount1", "c-work")
    watching = [function_of(name, "c-work/{name}", account) for name in functions]
    scan = AccountScan(account.container("c-work"), watching, passing_on, clock, info, limit=limit)
    async with background(scan.run()):
        yield


async def found(account: StorageAccount) -> list[tuple[str, str]]:
    """Function and blob of all messages so far."""
    try:
        messages = await account.queue("found").peek(limit=32)
    except NotFound:
        return []
    texts = [read_message(message.body) for message in messages]
    return sorted((text.function, text.blob) for text in texts)


async def latest(account: StorageAccount) -> str | None:
    try:
        content = await account.container("azure-webjobs-hosts").read(SCAN_INFO)
    except NotFound:
        return None
    return str(json.loads(content)["LatestScan"])


def test_the_scan_info_is_that_of_the_extension() -> None:
    [first, *_] = [line for line in TRIGGERS.changes("blob_hybrid") if line.get("blob", "").endswith("c-work/scanInfo")]
    assert first["blob"] == f"azure-webjobs-hosts/{SCAN_INFO}"
    assert set(json.loads(first["content"])) == {"LatestScan"}
    [uploaded, *_] = [step for step in TRIGGERS.steps("blob_hybrid") if step["test"] == "upload c-work/a.txt"]
    moment = datetime.fromisoformat(json.loads(first["content"])["LatestScan"])
    assert moment == datetime.fromisoformat(uploaded["last_modified"]) - timedelta(milliseconds=1)


class SlowQueue:
    """A queue whose response to `put` takes a moment, in which the host can stop. `has_put`: a message is there."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self.name = queue.name
        self.has_put = asyncio.Event()

    async def put(self, *arguments: Any, **named: Any) -> None:
        await self._queue.put(*arguments, **named)
        self.has_put.set()
        await asyncio.sleep(0)


async def test_a_stop_between_message_and_receipt_puts_no_second_message(
    clock: VirtualClock, account: StorageAccount
) -> None:
    await account.queue("found").create()
    container = account.container("c-work")
    await container.create()
    await container.write("a", b"x")
    queue = SlowQueue(account.queue("found"))
    passing_on = PassingOn(BlobReceipts(account, "golden-1", counting_ids()), cast(Queue, queue))
    info = ScanInfo(account, "golden-1", "devstoreaccount1", "c-work")
    async with background(
        AccountScan(container, [function_of("f", "c-work/{name}", account)], passing_on, clock, info).run()
    ):
        await queue.has_put.wait()
    async with scanning(account, clock, "f"):
        await clock.advance(timedelta(seconds=60), upkeep=True)
    assert await found(account) == [("f", "a")]


async def test_the_position_is_kept_and_only_newer_blobs_are_looked_at(
    clock: VirtualClock, account: StorageAccount
) -> None:
    container = account.container("c-work")
    async with scanning(account, clock, "f"):
        await clock.advance(timedelta(seconds=30), upkeep=True)
        assert await latest(account) is None
        await container.create()
        await container.write("old", b"x")
        modified = (await container.properties("old")).last_modified
        await clock.advance(timedelta(seconds=11), upkeep=True)
        assert await found(account) == [("f", "old")]
        position = (modified - timedelta(milliseconds=1)).isoformat(timespec="milliseconds")
        assert await latest(account) == position
        # Of the same second as the newest one.
        await container.write("old2", b"x")
        await clock.advance(timedelta(seconds=11), upkeep=True)
        await container.write("new", b"x")
        await clock.advance(timedelta(seconds=11), upkeep=True)
    expected = [("f", "new"), ("f", "old"), ("f", "old2")]
    assert await found(account) == expected
    # A function that joins later gets only blobs as new as the newest one that was seen.
    async with scanning(account, clock, "f", "joined"):
        await clock.advance(timedelta(seconds=30), upkeep=True)
        assert await found(account) == [*expected, ("joined", "new")]


async def test_a_sweep_takes_several_passes(clock: VirtualClock, account: StorageAccount) -> None:
    container = account.container("c-work")
    await container.create()
    for number in range(25):
        await container.write(f"{number:02}", b"x")
    async with scanning(account, clock, "f", limit=10):
        await eventually(lambda: _has(account, 10), "the first pass", clock=clock)
        assert await latest(account) is None
        await clock.advance(timedelta(seconds=25), upkeep=True)
        assert len(await found(account)) == 25
        assert await latest(account) is not None


async def _has(account: StorageAccount, count: int) -> bool:
    return len(await found(account)) == count


@pytest.mark.parametrize("content", [b"", b"no JSON", b"[]", b'{"LatestScan": 1}', b'{"LatestScan": "yesterday"}'])
async def test_a_damaged_scan_info_is_no_position(account: StorageAccount, content: bytes) -> None:
    container = account.container("azure-webjobs-hosts")
    await container.create()
    await container.write(SCAN_INFO, content)
    info = ScanInfo(account, "golden-1", "devstoreaccount1", "c-work")
    assert await info.read() is None
    await info.write(datetime.fromisoformat("2026-11-29T03:29:24.999+00:00"))
    assert await latest(account) == "2026-11-29T03:29:24.999+00:00"
    assert await info.read() == datetime.fromisoformat("2026-11-29T03:29:24.999+00:00")
