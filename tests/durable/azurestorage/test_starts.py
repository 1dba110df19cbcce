"""Starts of instances: repeated, concurrent, scheduled, and from other processes."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from emulator.durable.azurestorage.names import HubNames
from emulator.durable.core.events import ExecutionStarted, OrchestratorStarted
from emulator.durable.core.identity import RuntimeStatus
from emulator.durable.engine.worker import engine
from emulator.durable.hub import InstanceAlreadyExists
from emulator.storage.paging import query_rows
from emulator.storage.port import Operation, Row, StorageAccount, TableOperation
from emulator.virtual_time import VirtualClock

from .apps import app
from .world import OPTIONS, messages_left, open_world

ANY = frozenset(RuntimeStatus)


async def test_an_id_that_is_taken_is_refused(account: StorageAccount, clock: VirtualClock) -> None:
    async with open_world(account, clock) as world:
        await world.start("listens", 1)
        with pytest.raises(InstanceAlreadyExists, match="with the status Pending already exists"):
            await world.start("listens", 1)


async def test_a_finished_instance_can_be_started_again(account: StorageAccount, clock: VirtualClock) -> None:
    async with open_world(account, clock, app()) as world:
        await world.start("fan_out", 20)
        first = await world.ended()
        await world.start("chain", 1)
        second = await world.ended()
        assert (first.output, second.output) == ("380", "8")
        assert (first.generation, second.generation) == (0, 1)
        assert second.execution_id == world.executions["i1"] != first.execution_id
        # The old execution was longer: its rows are still there, but are not read.
        history = await world.hub.history("i1")
        assert [each.name for each in history if isinstance(each, ExecutionStarted)] == ["chain"]
    assert await messages_left(account) == {}


async def test_a_running_instance_can_be_replaced(account: StorageAccount, clock: VirtualClock) -> None:
    async with open_world(account, clock, app()) as world:
        await world.start("listens", 1)
        await world.becomes("i1", RuntimeStatus.RUNNING)
        await world.start("chain", 1, reuse=ANY)
        assert (await world.ended()).output == "8"


async def test_of_two_starts_at_once_one_runs(account: StorageAccount, clock: VirtualClock) -> None:
    async with open_world(account, clock) as one, open_world(account, clock) as other:
        await one.hub.create()
        await other.hub.create()
        await asyncio.gather(one.start("chain", 1), other.start("chain", 10), return_exceptions=True)
        script = app()
        async with open_world(account, clock, script) as world:
            status = await world.ended()
            assert len(script.ran) == 3
            assert status.execution_id in (one.executions.get("i1"), other.executions.get("i1"))
            await clock.sleep(3600)
            assert await messages_left(account) == {}
            assert await world.status() == status


async def test_a_start_can_be_scheduled(account: StorageAccount, clock: VirtualClock) -> None:
    async with open_world(account, clock, app()) as world:
        at = world.now + timedelta(days=12, seconds=0.5)
        await world.start("nothing", 1, at=at)
        await clock.sleep(timedelta(days=12).total_seconds())
        assert (await world.status()).runtime_status is RuntimeStatus.PENDING
        await world.ended()
        [started] = [each for each in await world.hub.history("i1") if isinstance(each, OrchestratorStarted)]
        assert timedelta(0) <= started.timestamp - at < timedelta(seconds=0.1)


async def test_events_before_a_scheduled_start_are_kept_for_it(account: StorageAccount, clock: VirtualClock) -> None:
    async with open_world(account, clock, app()) as world:
        await world.start("listens", 1, at=world.now + timedelta(hours=1))
        await world.raise_event("i1", "word", "early")
        await clock.sleep(3600)
        assert (await world.ended()).output == '["early"]'
    assert await messages_left(account) == {}


async def test_an_instance_terminated_before_its_start_never_runs(account: StorageAccount, clock: VirtualClock) -> None:
    script = app()
    async with open_world(account, clock, script) as world:
        await world.start("chain", 1, at=world.now + timedelta(hours=1))
        await world.terminate("i1", "changed my mind")
        status = await world.ended()
        assert (status.runtime_status, status.output) == (RuntimeStatus.TERMINATED, "changed my mind")
        await clock.sleep(4000)
        assert await world.status() == status
        assert script.ran == []
    assert await messages_left(account) == {}


async def test_a_start_without_a_row_is_discarded_after_ten_deliveries(
    account: StorageAccount, clock: VirtualClock
) -> None:
    """Its client crashed between the message and the row; it saw an error."""
    script = app()
    async with open_world(account, clock, script) as world:
        await world.start("chain", 1, at=world.now + timedelta(seconds=30))
        await world.hub.purge("i1")
        await clock.sleep(3600)
        assert await messages_left(account) == {}
        assert script.ran == []


async def test_a_start_whose_row_comes_a_moment_later_runs(account: StorageAccount, clock: VirtualClock) -> None:
    async with open_world(account, clock, app()) as world, open_world(account, clock) as client:
        row = await a_row_held_back(client, account)
        await clock.sleep(0.05)
        await account.table("TestHubInstances").submit([TableOperation(Operation.INSERT, row)])
        assert (await world.ended(within_seconds=1)).output == "8"


async def test_a_start_that_comes_again_does_not_run_an_instance_that_was_purged(
    account: StorageAccount, clock: VirtualClock
) -> None:
    """Another host has run it, was killed before it deleted the message, and a client of it has purged the instance."""
    script = app()
    async with open_world(account, clock) as world:
        await world.start("chain", 1)
        queue = account.queue(HubNames(hub="TestHub", partition_count=4).control_queue_of("i1"))
        [start] = await queue.get(limit=1, hide_for=timedelta(minutes=5))
        await queue.put(start.body)
        async with open_world(account, clock, script) as other:
            await other.ended()
            await other.hub.purge("i1")
        ran = len(script.ran)
        async with world.hub.working(), engine(world.hub, script, OPTIONS, clock=clock):
            await clock.sleep(3600)
        assert len(script.ran) == ran
        assert await world.hub.status("i1") is None
        assert await world.hub.history("i1") == ()


async def a_row_held_back(client: Any, account: StorageAccount) -> Row:
    """Start an instance and take its status row away again."""
    await client.start("chain", 1)
    table = account.table("TestHubInstances")
    found = await table.read("i1", "")
    await table.submit([TableOperation(Operation.DELETE, found, found.etag)])
    return Row("i1", "", found.properties)


async def test_a_client_creates_the_whole_hub(account: StorageAccount, clock: VirtualClock) -> None:
    async with open_world(account, clock) as world:
        await world.start("chain", 1)
    names = HubNames(hub="TestHub", partition_count=4)
    assert {name async for name in account.queues()} == {*names.control_queues, names.work_item_queue}
    assert {name async for name in account.tables()} == {"TestHubHistory", "TestHubInstances", "TestHubPartitions"}
    assert {name async for name in account.containers()} == {"testhub-applease"}
    partitions = [row async for row in query_rows(account.table("TestHubPartitions"))]
    assert [dict(row.properties) for row in partitions] == [{"IsDraining": False}] * 4


@pytest.mark.parametrize("id", ["a/b", "with space", "#?^\\", "żółć", "O'Brien", "\x7f", "x" * 200])
async def test_instance_ids_may_contain_any_characters(id: str, account: StorageAccount, clock: VirtualClock) -> None:
    async with open_world(account, clock, app()) as world:
        await world.start("listens", 1, id=id)
        await world.raise_event(id, "word", "for you")
        assert (await world.ended(id)).output == '["for you"]'
        assert (await world.status(id)).instance_id == id
