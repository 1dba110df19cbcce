"""Effects of host.json: names and places in storage, message encoding, app lease."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from emulator.durable.azurestorage.hub import AzureStorageTaskHub
from emulator.durable.azurestorage.messaging import wire
from emulator.durable.azurestorage.names import HubNames, escape_key, fnv1a32, unescape_key
from emulator.durable.azurestorage.partitioning.app_lease import AppLeaseInfo, app_lease_id
from emulator.durable.core.identity import RuntimeStatus
from emulator.durable.engine.worker import engine
from emulator.durable.options import MessageEncoding
from emulator.ids import new_id
from emulator.storage.builtin import open_builtin
from emulator.storage.paging import query_rows
from emulator.storage.port import StorageAccount
from emulator.virtual_time import VirtualClock
from tests.recordings import GOLDEN
from tests.storage_calls import StorageCalls
from tests.waiting import eventually

from .apps import app
from .crashing import CrashPoint, Moment
from .world import OPTIONS, World, messages_left, open_world, with_provider

# Names -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("id", "hash", "of_4", "of_16", "of_3"),
    [
        ("", 2166136261, 1, 5, 1),
        ("abc", 440920331, 3, 11, 2),
        ("ABC", 1552166763, 3, 11, 0),
        ("@counter@mykey", 3429522944, 0, 0, 2),
        ("0f8fad5b-d9cb-469f-a165-70867728950e", 572823233, 1, 1, 2),
        ("order-1001", 2439986572, 0, 12, 1),
        ("żółć", 206241740, 0, 12, 2),
        ("日本", 2670128721, 1, 1, 0),
    ],
)
def test_an_instance_belongs_to_a_partition(id: str, hash: int, of_4: int, of_16: int, of_3: int) -> None:
    assert fnv1a32(id) == hash
    for count, index in ((4, of_4), (16, of_16), (3, of_3)):
        assert HubNames(hub="MyHub", partition_count=count).control_queue_of(id) == f"myhub-control-{index:02d}"


def test_a_lone_surrogate_is_hashed_as_the_replacement_character() -> None:
    assert fnv1a32("a\ud800") == fnv1a32("a\ufffd")


@pytest.mark.parametrize(
    ("id", "key"),
    [
        ("a/b", "a^0b"),
        ("\r\n", "^Í^Ê"),
        ("\x7f", "^Ŀ"),
        ("\0", "^À"),
        ("^^^", "^^^^^^"),
        ("a\\b#c?d", "a^1b^2c^3d"),
        ("%'ż ", "%'ż "),
    ],
)
def test_keys_are_escaped_once(id: str, key: str) -> None:
    assert escape_key(id) == key
    assert unescape_key(key) == id


# Stores ------------------------------------------------------------------------------------------------------


async def test_tables_and_blobs_may_be_in_another_account(account: StorageAccount, clock: VirtualClock) -> None:
    async with open_builtin(None, clock) as tracking:
        options = with_provider(tracking_store_connection_name="Tracking")
        hub = AzureStorageTaskHub(options, account, clock=clock, new_id=new_id, tracking=tracking)
        async with hub.working(), engine(hub, app(), options, clock=clock):
            world = World(hub, clock)
            await world.start("nothing", "x" * 60_000)
            await world.ended()
        assert [name async for name in account.tables()] == []
        assert [name async for name in account.containers()] == []
        assert {name async for name in tracking.tables()} == {
            "DurableTaskHistory",
            "DurableTaskInstances",
            "TestHubPartitions",
        }
        assert {name async for name in tracking.containers()} == {"testhub-applease", "testhub-largemessages"}
        assert [name async for name in tracking.queues()] == []
        assert len([name async for name in account.queues()]) == 5


async def test_messages_may_be_base64(account: StorageAccount, clock: VirtualClock) -> None:
    options = with_provider(queue_client_message_encoding=MessageEncoding.BASE64)
    async with open_world(account, clock, None, options) as client:
        await client.start("chain", 1)
        [message] = await account.queue("testhub-control-03").peek(limit=1)
        assert wire.decode(base64.b64decode(message.body).decode()).message is not None
        async with open_world(account, clock, app(), options) as world:
            assert (await world.ended()).output == "8"
        await client.start("chain", 2, id="i2")
        # A host that writes plain text reads the other, too.
        async with open_world(account, clock, app()) as world:
            assert (await world.ended("i2")).output == "16"


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"use_table_partition_management": False}, id="safe blob leases"),
        pytest.param({"use_legacy_partition_management": True}, id="legacy blob leases"),
        pytest.param({"use_instance_table_etag": True}, id="guarded status rows"),
        pytest.param({"partition_count": 1}, id="one partition"),
        pytest.param({"partition_count": 16}, id="sixteen partitions"),
        pytest.param({"control_queue_batch_size": 1}, id="messages one by one"),
        pytest.param({"control_queue_buffer_threshold": 1}, id="one message in memory"),
        pytest.param({"control_queue_visibility_timeout": timedelta(minutes=1)}, id="short locks"),
    ],
)
async def test_orchestrations_run_with(changes: dict[str, Any], account: StorageAccount, clock: VirtualClock) -> None:
    async with open_world(account, clock, app(), with_provider(**changes)) as world:
        await world.start("parent", 1)
        await world.start("fan_out", 30, id="i2")
        await world.start("counts", 2, id="i3")
        assert (await world.ended()).output == "64"
        assert (await world.ended("i2")).output == "870"
        assert (await world.ended("i3")).output == "4"
    assert await messages_left(account) == {}


async def test_a_guarded_row_that_a_client_replaced_accepts_the_next_execution(
    account: StorageAccount, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_world(account, clock, app(), with_provider(use_instance_table_etag=True)) as world:
        for number in (1, 2):
            await world.start("chain", number)
            assert (await world.ended()).output == str(8 * number)
    assert "was changed by another host" not in caplog.text


async def test_lease_blobs_are_those_of_dotnet(account: StorageAccount, clock: VirtualClock) -> None:
    recorded = GOLDEN.hub("blob_leases")["blobs"]["kblobleases-leases"]
    options = with_provider(replace(OPTIONS, hub_name="KBlobLeases"), use_table_partition_management=False)
    async with open_world(account, clock, app(), options) as world:
        await world.start("chain", 1)
        await world.ended()
    container = account.container("kblobleases-leases")
    assert [blob.name async for blob in container.list()] == sorted(blob["name"] for blob in recorded)
    for blob in recorded:
        ours = json.loads(await container.read(blob["name"]))
        theirs = json.loads(blob["content"])
        assert list(ours) == list(theirs)
        if blob["name"] == "taskhub.json":
            assert ours | {"CreatedAt": theirs["CreatedAt"]} == theirs
    assert "KBlobLeasesPartitions" not in [name async for name in account.tables()]


# Who may work ------------------------------------------------------------------------------------------------

LEASED = replace(OPTIONS, use_app_lease=True)


@pytest.mark.parametrize(
    ("name", "lease_id"),
    [("", "811c9dc5-0000-0000-0000-000000000000"), ("abc", "1a47e90b-0000-0000-0000-000000000000")],
)
def test_all_hosts_of_an_app_have_one_lease_id(name: str, lease_id: str) -> None:
    assert app_lease_id(name) == lease_id


async def test_the_app_lease_is_taken_as_recorded(account: StorageAccount, clock: VirtualClock) -> None:
    [recorded] = GOLDEN.hub("chain")["blobs"]["gchain-applease"]
    async with open_world(account, clock, app(), LEASED) as world:
        await world.start("chain", 1)
        await world.ended()
        # A second host of the same app holds the lease, too.
        async with open_world(account, clock, app(), LEASED):
            await clock.sleep(120)
    assert (await account.container("testhub-applease").read("testhub-appleaseinfo")).decode() == recorded["content"]


async def test_the_app_lease_is_taken_soon_after_storage_has_failed(
    account: StorageAccount, clock: VirtualClock
) -> None:
    """Not only after the interval at which an app asks that waits for another one."""
    crash = CrashPoint()
    async with open_world(crash.account(account), clock, app(), LEASED) as world:
        await world.start("chain", 1)
        await world.ended()
    taken = [number for number, call in enumerate(crash.log) if call == "write testhub-applease"][-1]
    for name, moment in (("i2", Moment.BEFORE), ("i3", Moment.AFTER)):
        await account.container("testhub-applease").write("testhub-appleaseinfo", b"{}")
        failing = CrashPoint(taken, moment, once=True)
        async with open_world(failing.account(account), clock, app(), LEASED) as world:
            await world.start("chain", 2, id=name)
            await world.ended(name, within_seconds=60)
        assert failing.log[taken] == "write testhub-applease"


@pytest.mark.parametrize("operation", ["lease acquire", "lease renew"])
async def test_a_defect_beside_the_app_lease_is_reported_once_and_ends_nothing(
    operation: str, account: StorageAccount, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    calls = StorageCalls()
    calls.failing[operation, "testhub-applease"] = ZeroDivisionError("a defect")
    async with open_world(calls.around(account), clock, app(), LEASED) as world:
        await world.start("chain", 1)
        await eventually(lambda: calls.failed >= 3, "attempts", clock=clock, within=600)
        calls.failing.clear()
        await world.ended(within_seconds=60)
    assert caplog.text.count("Acquiring and renewing the app lease failed") == 1


async def test_another_app_waits_until_the_lease_is_free(
    account: StorageAccount, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    other = AzureStorageTaskHub(LEASED, account, clock=clock, new_id=new_id, app_name="other")
    crash = CrashPoint()
    async with open_world(crash.account(account), clock, app(), LEASED) as first:
        await first.start("chain", 1)
        await first.ended()
        script = app()
        async with other.working(), engine(other, script, LEASED, clock=clock):
            await clock.sleep(30)
            assert 'An app other than "other" holds the app lease of this task hub' in caplog.text
            crash.happened.set()
            world = World(other, clock)
            await world.start("chain", 2, id="i2")
            began = clock.now()
            await world.ended("i2", within_seconds=400)
            assert timedelta(seconds=200) < clock.now() - began < timedelta(seconds=300)


async def test_an_app_can_be_told_to_take_over(account: StorageAccount, clock: VirtualClock) -> None:
    container, info = account.container("testhub-applease"), "testhub-appleaseinfo"
    async with open_world(account, clock, app(), LEASED) as first:
        await first.start("chain", 1)
        await first.ended()
        mine, theirs = app_lease_id("other"), app_lease_id("")
        await container.write(info, AppLeaseInfo(theirs, mine).text().encode())
        other = AzureStorageTaskHub(LEASED, account, clock=clock, new_id=new_id, app_name="other")
        async with other.working():
            await clock.sleep(60)
            assert AppLeaseInfo.read(await container.read(info)) == AppLeaseInfo(mine)
            rows = [row async for row in query_rows(account.table("TestHubPartitions"))]
            assert len({row.properties["CurrentOwner"] for row in rows}) == 1
            await World(other, clock).start("chain", 2, id="i2")
            item = await other.next_orchestration()
            assert item.instance.instance_id == "i2"
            assert (await first.status("i2")).runtime_status is RuntimeStatus.PENDING


async def test_no_more_activities_are_fetched_than_may_run_at_once(
    account: StorageAccount, clock: VirtualClock
) -> None:
    """The others are for other hosts."""
    options = replace(OPTIONS, max_concurrent_activity_functions=2)
    hub = AzureStorageTaskHub(options, account, clock=clock, new_id=new_id)
    async with open_world(account, clock, app(), options) as world:
        await world.start("fan_out", 8)
        await world.ended()
    async with hub.working():
        queue = account.queue("testhub-workitems")
        for _, text in GOLDEN.messages("fan_out"):
            if "TaskScheduledEvent" in text:
                await queue.put(text)
        for _ in range(2):
            await hub.next_activity()
        assert await queue.count() - len(await queue.peek(limit=32)) == 2
