"""Whole orchestrations on the task hub: what clients see, and what stays in storage."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from emulator.durable.core.events import EventRaised, ExecutionCompleted, TaskScheduled
from emulator.durable.core.identity import RuntimeStatus
from emulator.storage.port import StorageAccount
from emulator.virtual_time import VirtualClock
from tests.waiting import logged

from .apps import app
from .world import messages_left, open_world, with_provider


async def test_a_chain_completes(account: StorageAccount, clock: VirtualClock) -> None:
    async with open_world(account, clock, app()) as world:
        await world.start("chain", 1)
        assert (await world.ended()).output == "8"
    assert await messages_left(account) == {}


async def test_a_fan_out_completes(account: StorageAccount, clock: VirtualClock) -> None:
    async with open_world(account, clock, app()) as world:
        await world.start("fan_out", 150)
        assert (await world.ended()).output == str(150 * 149)
    assert await messages_left(account) == {}


async def test_children_answer_their_parent(account: StorageAccount, clock: VirtualClock) -> None:
    async with open_world(account, clock, app()) as world:
        await world.start("parent", 1)
        assert (await world.ended()).output == "64"
    assert await messages_left(account) == {}


async def test_a_timer_fires_at_its_time_and_no_earlier(account: StorageAccount, clock: VirtualClock) -> None:
    async with open_world(account, clock, app()) as world:
        for seconds in (0.3, 1.7, 3600.9):
            began = clock.now()
            await world.start("naps", seconds, id=f"nap{seconds}")
            await clock.sleep(seconds)
            await world.ended(f"nap{seconds}")
            assert timedelta(0) <= clock.now() - began - timedelta(seconds=seconds) < timedelta(seconds=0.2)
    assert await messages_left(account) == {}


async def test_a_timer_may_be_further_away_than_a_queue_can_hide(account: StorageAccount, clock: VirtualClock) -> None:
    async with open_world(account, clock, app()) as world:
        began = clock.now()
        await world.start("naps", timedelta(days=20).total_seconds())
        await world.becomes("i1", RuntimeStatus.RUNNING)
        await clock.sleep(timedelta(days=20).total_seconds() + 1)
        assert (await world.ended()).output == '"slept"'
        assert clock.now() - began < timedelta(days=20, seconds=2)


async def test_events_arrive_in_order(account: StorageAccount, clock: VirtualClock) -> None:
    async with open_world(account, clock, app()) as world:
        await world.start("listens", 3)
        for word in ("one", "two", "three"):
            await world.raise_event("i1", "word", word)
        assert (await world.ended()).output == '["one", "two", "three"]'
    assert await messages_left(account) == {}


async def test_an_orchestration_continues_as_new(account: StorageAccount, clock: VirtualClock) -> None:
    async with open_world(account, clock, app()) as world:
        await world.start("loops", 0)
        assert (await world.ended()).output == "3"
    assert await messages_left(account) == {}


async def test_an_entity_answers_and_remembers(account: StorageAccount, clock: VirtualClock) -> None:
    async with open_world(account, clock, app()) as world:
        await world.signal("@counter@k", "add", 100)
        await world.start("counts", 1)
        await world.ended()
        await world.start("counts", 5, id="i2")
        assert (await world.ended("i2")).output == "112"
    assert await messages_left(account) == {}


async def test_a_failure_reaches_the_status(account: StorageAccount, clock: VirtualClock) -> None:
    async with open_world(account, clock, app()) as world:
        await world.start("fails", 1)
        status = await world.ended()
        assert (status.runtime_status, status.output) == (RuntimeStatus.FAILED, "boom 1")


async def test_a_suspended_instance_waits_and_a_resumed_one_continues(
    account: StorageAccount, clock: VirtualClock
) -> None:
    async with open_world(account, clock, app()) as world:
        await world.start("listens", 1)
        await world.becomes("i1", RuntimeStatus.RUNNING)
        await world.suspend("i1")
        assert (await world.becomes("i1", RuntimeStatus.SUSPENDED)).output == "later"
        await world.resume("i1")
        await world.becomes("i1", RuntimeStatus.RUNNING)
        await world.raise_event("i1", "word", "hi")
        assert (await world.ended()).output == '["hi"]'


async def test_a_message_that_arrives_too_late_is_deleted(account: StorageAccount, clock: VirtualClock) -> None:
    async with open_world(account, clock, app()) as world:
        await world.start("chain", 1)
        before = await world.ended()
        for _ in range(2):
            await world.raise_event("i1", "word", "late")
            await world.raise_event("nobody", "word", "lost")
            await world.terminate("i1", "late")
            await clock.sleep(5)
        assert await messages_left(account) == {}
        assert await world.status() == before
        assert await world.hub.status("nobody") is None


async def test_a_rewound_instance_runs_again_and_its_status_shows_it(
    account: StorageAccount, clock: VirtualClock
) -> None:
    script = app()
    async with open_world(account, clock, script) as world:
        await world.start("fails", 1)
        await world.ended()
        script.activities = {"Boom": lambda value: value}
        await world.hub.rewind("i1", "fixed")
        assert (await world.ended()).runtime_status is RuntimeStatus.COMPLETED
        assert script.ran == [("Boom", 1), ("Boom", 1)]
        assert await messages_left(account) == {}


async def test_a_hub_is_deleted_with_everything_in_it(account: StorageAccount, clock: VirtualClock) -> None:
    async with open_world(account, clock, app()) as world:
        await world.start("large", "x" * 50_000)
        await world.becomes("i1", RuntimeStatus.RUNNING)
    async with open_world(account, clock) as world:
        await world.hub.delete()
    assert [name async for name in account.queues()] == []
    assert [name async for name in account.tables()] == []
    assert [name async for name in account.containers()] == []


@pytest.mark.parametrize(
    "changes",
    [{}, {"use_table_partition_management": False}, {"use_legacy_partition_management": True}],
    ids=["leases in the table", "safe blob leases", "legacy blob leases"],
)
async def test_a_hub_whose_storage_disappears_is_created_again(
    changes: dict[str, Any], account: StorageAccount, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """As when an Azurite that keeps its data in memory is started anew."""
    async with open_world(account, clock, app(), with_provider(**changes)) as world:
        await world.start("listens", 1)
        await world.start("nothing", "x" * 60_000, id="large")
        await world.ended("large")
        await world.becomes("i1", RuntimeStatus.RUNNING)
        await wipe(account)
        await logged(caplog, "The storage of task hub TestHub has disappeared", clock=clock)
        assert await world.hub.status("i1") is None
        await world.start("chain", 1)
        assert (await world.ended()).output == "8"
        await world.start("nothing", "y" * 60_000, id="large")
        assert (await world.ended("large")).output == json.dumps("y" * 60_000)


async def wipe(account: StorageAccount) -> None:
    for queue in [name async for name in account.queues()]:
        await account.queue(queue).drop()
    for table in [name async for name in account.tables()]:
        await account.table(table).drop()
    for container in [name async for name in account.containers()]:
        await account.container(container).drop()


async def test_many_instances_do_not_affect_each_other(account: StorageAccount, clock: VirtualClock) -> None:
    async with open_world(account, clock, app()) as world:
        for number in range(50):
            await world.start("chain", number, id=f"i{number}")
        for number in range(50):
            assert (await world.ended(f"i{number}")).output == str(8 * number)
    assert await messages_left(account) == {}


async def test_clients_can_read_the_history(account: StorageAccount, clock: VirtualClock) -> None:
    async with open_world(account, clock, app()) as world:
        await world.start("listens", 2)
        await world.raise_event("i1", "word", 1)
        await world.raise_event("i1", "word", 2)
        await world.ended()
        history = await world.hub.history("i1")
        assert [each.input for each in history if isinstance(each, EventRaised)] == ["1", "2"]
        assert [each.status for each in history if isinstance(each, ExecutionCompleted)] == [RuntimeStatus.COMPLETED]
        assert not any(isinstance(each, TaskScheduled) for each in history)
