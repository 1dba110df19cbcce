"""Checkpoints: order of the writes, the ETag guard, and repair after a crash."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

import pytest

from emulator.durable.azurestorage.hub import AzureStorageTaskHub
from emulator.durable.core.episode import EpisodeOutcome
from emulator.durable.core.events import (
    ExecutionCompleted,
    ExecutionStarted,
    OrchestratorCompleted,
    OrchestratorStarted,
    TaskScheduled,
)
from emulator.durable.core.identity import RuntimeStatus
from emulator.durable.core.messages import TaskMessage
from emulator.durable.engine.work_log import FailedWork, WorkKey, WorkLog
from emulator.durable.engine.worker import engine
from emulator.durable.executor import OrchestratorRequest, OrchestratorResult
from emulator.durable.hub import LockLost, OrchestrationWorkItem
from emulator.ids import new_id
from emulator.instant import Instant
from emulator.storage.paging import query_rows
from emulator.storage.port import ANY_ETAG, Operation, Row, StorageAccount, TableOperation
from emulator.virtual_time import VirtualClock
from tests.simulation.choices import Choices
from tests.simulation.hosts import HostClock, freezing
from tests.simulation.programs import SimulatedApp

from .apps import Steps, app
from .crashing import CrashPoint
from .scripted import Script, act
from .world import OPTIONS, World, messages_left, open_world, with_provider


@asynccontextmanager
async def workplace(account: StorageAccount, clock: VirtualClock) -> AsyncIterator[World]:
    """A host without an engine: the test takes the work items itself."""
    hub = AzureStorageTaskHub(OPTIONS, account, clock=clock, new_id=new_id)
    async with hub.working():
        yield World(hub, clock)


def first_turn(item: OrchestrationWorkItem, now: Instant) -> EpisodeOutcome:
    """Schedule one activity."""
    scheduled = TaskScheduled(timestamp=now, event_id=0, name="Double", input="1")
    events = [
        OrchestratorStarted(timestamp=now),
        replace(item.messages[0].event, is_played=True),
        replace(scheduled, input=None),
        OrchestratorCompleted(timestamp=now),
    ]
    return EpisodeOutcome(
        instance=item.instance,
        past_count=len(item.history),
        new_events=events,
        activities=[TaskMessage(scheduled, item.instance, {})],
    )


async def test_messages_then_history_then_status_then_deletion(account: StorageAccount, clock: VirtualClock) -> None:
    record = CrashPoint()
    async with open_world(account, clock) as client, open_world(record.account(account), clock, app()):
        await client.start("chain", 1)
        await client.ended()
    episode = ["submit TestHubHistory", "submit TestHubInstances", "delete testhub-control-03"]
    asks = ["put testhub-workitems", *episode]
    told = {*asks, "put testhub-control-03", "delete testhub-workitems"}
    answers = ["put testhub-control-03", "delete testhub-workitems"]
    seen = [call for call in record.log if call in told]
    assert [call for call in seen if call not in answers] == [*asks, *asks, *asks, *episode]
    assert [call for call in seen if call in answers] == answers * 3


async def test_an_episode_needs_few_requests(account: StorageAccount, clock: VirtualClock) -> None:
    """What is remembered is not read again: no history query after the first one."""
    record = CrashPoint()
    async with open_world(account, clock) as client, open_world(record.account(account), clock, app()):
        await client.start("chain", 1)
        await client.ended()
    assert record.log.count("page TestHubHistory") == 1
    assert record.log.count("read TestHubInstances") == 1


async def test_nothing_is_stored_if_another_host_changed_the_history(
    account: StorageAccount, clock: VirtualClock
) -> None:
    async with workplace(account, clock) as world:
        await world.start("chain", 1)
        item = await world.hub.next_orchestration()
        await account.table("TestHubHistory").submit(
            [TableOperation(Operation.INSERT, Row("i1", "sentinel", {"ExecutionId": "another"}))]
        )
        with pytest.raises(LockLost, match='history of instance "i1" was changed by another host'):
            await world.hub.complete_orchestration(item, first_turn(item, world.now))
        await world.hub.abandon_orchestration(item)
        assert [row.row_key async for row in query_rows(account.table("TestHubHistory"))] == ["sentinel"]
        assert (await world.status()).runtime_status is RuntimeStatus.PENDING


async def test_a_status_row_is_not_repaired_from_an_old_history(account: StorageAccount, clock: VirtualClock) -> None:
    """A host is suspended after it has loaded a history, and another one completes the instance."""
    async with workplace(account, clock) as world:
        await world.start("chain", 1)
        item = await world.hub.next_orchestration()
        await world.hub.complete_orchestration(item, first_turn(item, world.now))
    async with workplace(account, clock) as world:
        await world.raise_event("i1", "word")
        item = await world.hub.next_orchestration()
        history, instances = account.table("TestHubHistory"), account.table("TestHubInstances")
        sentinel = replace(await history.read("i1", "sentinel"), properties={"CheckpointCompletedTimestamp": world.now})
        await history.submit([TableOperation(Operation.MERGE, sentinel, sentinel.etag)])
        completed = Row("i1", "", {"RuntimeStatus": "Completed"})
        await instances.submit([TableOperation(Operation.INSERT_OR_MERGE, completed)])
        with pytest.raises(LockLost, match='history of instance "i1" was changed by another host'):
            await world.hub.complete_orchestration(item, first_turn(item, world.now))
        assert (await world.status()).runtime_status is RuntimeStatus.COMPLETED


@pytest.mark.parametrize("guards_row", [False, True])
async def test_a_host_that_was_suspended_writes_no_old_status_row(
    account: StorageAccount, clock: VirtualClock, guards_row: bool
) -> None:
    """It is suspended between the history and the row of an episode, and another host completes the instance."""
    host_clock, written, suspended = HostClock(clock), asyncio.Event(), asyncio.Event()
    options = with_provider(use_instance_table_etag=guards_row)

    class Gate:
        async def gate(self, operation: str, target: str, *, is_before: bool) -> None:
            if (operation, target, is_before) == ("submit", "TestHubHistory", False):
                written.set()
            # A host that guards the row reads its ETag first.
            is_next = (operation, target, is_before) == ("read", "TestHubInstances", True) or not guards_row
            if written.is_set() and is_next and not suspended.is_set():
                suspended.set()
                host_clock.freeze(timedelta(minutes=20))
            await host_clock.thawed()

    async with (
        open_world(account, clock) as client,
        open_world(freezing(account, Gate()), host_clock, app(), options),
    ):
        await client.start("chain", 1)
        await suspended.wait()
        async with open_world(account, clock, app()):
            await client.ended()
            row = await account.table("TestHubInstances").read("i1", "")
            await clock.sleep(3600)
        assert not host_clock.is_frozen
        assert (await account.table("TestHubInstances").read("i1", "")).etag == row.etag
    assert await messages_left(account) == {}


class Suspension:
    """A gate that suspends a host once, when it makes a call for the n-th time, or after it."""

    def __init__(self, clock: HostClock, operation: str, target: str, *, is_before: bool = True, nth: int = 1) -> None:
        self.happened = asyncio.Event()
        self._left = nth
        self._clock = clock
        self._call = (operation, target, is_before)

    async def gate(self, operation: str, target: str, *, is_before: bool) -> None:
        if (operation, target, is_before) == self._call:
            self._left -= 1
            if self._left == 0:
                self.happened.set()
                self._clock.freeze(timedelta(minutes=20))
        await self._clock.thawed()


async def test_a_custom_status_that_a_suspended_host_has_overwritten_is_written_again(
    account: StorageAccount, clock: VirtualClock
) -> None:
    """It is suspended while it writes the row of an episode, and another host completes the instance."""
    host_clock, choices = HostClock(clock), Choices(1, "app")
    gate = Suspension(host_clock, "submit", "TestHubInstances")
    suspended = SimulatedApp(host_clock, choices, set())
    async with open_world(account, clock) as client, open_world(freezing(account, gate), host_clock, suspended):
        await client.start("chain", 3)
        await gate.happened.wait()
        async with open_world(account, clock, SimulatedApp(clock, choices, set())):
            await client.ended()
        before = await client.status()
        await clock.sleep(3600)
        assert await client.status() == before
    assert (before.output, before.custom_status) == ("3", "3")


async def test_a_suspended_host_does_not_overwrite_the_row_of_a_new_start(
    account: StorageAccount, clock: VirtualClock
) -> None:
    """It is suspended between history and row; another host repairs the row, and a client starts the id again."""
    host_clock = HostClock(clock)
    gate = Suspension(host_clock, "submit", "TestHubHistory", is_before=False, nth=4)
    async with open_world(account, clock) as client, open_world(freezing(account, gate), host_clock, app()):
        await client.start("chain", 1)
        await gate.happened.wait()
        async with open_world(account, clock, app()):
            await client.ended()
        await client.start("chain", 2)
        assert (await client.ended()).output == "16"
        assert not host_clock.is_frozen


@pytest.mark.parametrize(
    ("operation", "target"),
    [("put", "testhub-workitems"), ("submit", "TestHubHistory"), ("submit", "TestHubInstances")],
)
async def test_a_suspended_host_does_not_bring_a_purged_instance_back(
    account: StorageAccount, clock: VirtualClock, operation: str, target: str
) -> None:
    """It is suspended in the first episode; another host runs the instance to its end, and a client purges it."""
    host_clock = HostClock(clock)
    gate = Suspension(host_clock, operation, target)
    async with (
        open_world(account, clock) as client,
        open_world(freezing(account, gate), host_clock, app()),
    ):
        # Of more than 99 events, so that the history takes two transactions.
        await client.start("fan_out", 120)
        await gate.happened.wait()
        async with open_world(account, clock, app()):
            await client.ended()
        assert (await client.hub.purge("i1")).instances == 1
        await clock.sleep(3600)
        assert not host_clock.is_frozen
        assert await client.hub.status("i1") is None
        assert [row.row_key async for row in query_rows(account.table("TestHubHistory"))] == []
    assert await messages_left(account) == {}


async def test_a_repeated_start_does_not_replace_the_execution_that_follows_its_own(
    account: StorageAccount, clock: VirtualClock
) -> None:
    """The host has crashed after the history of an instance that continues as new, and before its status row."""
    async with workplace(account, clock) as world:
        await world.start("chain", 1)
        item = await world.hub.next_orchestration()
        outcome = first_turn(item, world.now)
        await world.hub.complete_orchestration(item, outcome)
        before = await account.table("TestHubInstances").read("i1", "")
        await world.raise_event("i1", "word")
        again = await world.hub.next_orchestration()
        following = replace(item.instance, execution_id="following")
        started = item.messages[0].event
        assert isinstance(started, ExecutionStarted)
        events = [outcome.new_events[0], replace(started, instance=following), outcome.new_events[-1]]
        await world.hub.complete_orchestration(
            again, replace(outcome, instance=following, past_count=0, new_events=events, activities=[])
        )
        await account.table("TestHubInstances").submit([TableOperation(Operation.INSERT_OR_REPLACE, before)])
    async with open_world(account, clock, app()) as world:
        await world.hub.send(TaskMessage(started, item.instance))
        await clock.sleep(3600)
        history = await world.hub.history("i1")
        assert [each.instance.execution_id for each in history if isinstance(each, ExecutionStarted)] == ["following"]


async def test_an_abandoned_item_is_retried_after_a_growing_delay(account: StorageAccount, clock: VirtualClock) -> None:
    async with workplace(account, clock) as world:
        await world.start("chain", 1)
        waits = []
        for _ in range(4):
            began = clock.now()
            item = await world.hub.next_orchestration()
            waits.append(round((clock.now() - began).total_seconds()))
            await world.hub.abandon_orchestration(item)
        assert waits == [0, 2, 4, 8]


async def test_cancelling_a_wait_loses_nothing(account: StorageAccount, clock: VirtualClock) -> None:
    async with workplace(account, clock) as world:
        for _ in range(30):
            for fetch in (world.hub.next_orchestration, world.hub.next_activity, world.hub.next_entity):
                wait = asyncio.create_task(fetch())
                await asyncio.sleep(0)
                wait.cancel()
        await world.start("chain", 1)
        item = await world.hub.next_orchestration()
        await world.hub.complete_orchestration(item, first_turn(item, world.now))
        waits = [asyncio.create_task(world.hub.next_activity()) for _ in range(3)]
        for wait in waits[:2]:
            wait.cancel()
        activity = await waits[2]
        assert isinstance(activity.message.event, TaskScheduled)


async def test_work_that_a_stopping_host_had_not_started_runs_on_the_next_one_at_once(
    account: StorageAccount, clock: VirtualClock
) -> None:
    async with workplace(account, clock) as world:
        for number in range(5):
            await world.start("chain", number, id=f"i{number}")
        await clock.sleep(1)
    began = clock.now()
    async with open_world(account, clock, app()) as world:
        for number in range(5):
            await world.ended(f"i{number}")
    assert clock.now() - began < timedelta(seconds=2)


async def test_an_outcome_without_events_only_deletes(account: StorageAccount, clock: VirtualClock) -> None:
    async with workplace(account, clock) as world:
        await world.start("chain", 1)
        item = await world.hub.next_orchestration()
        nothing = replace(first_turn(item, world.now), new_events=[], activities=[])
        await world.hub.complete_orchestration(item, nothing)
    assert await messages_left(account) == {}
    async with open_world(account, clock) as client:
        assert await client.hub.history("i1") == ()
        assert (await client.status()).runtime_status is RuntimeStatus.PENDING


async def test_more_than_99_events_take_several_transactions(account: StorageAccount, clock: VirtualClock) -> None:
    record = CrashPoint()
    async with open_world(account, clock) as client, open_world(record.account(account), clock, app()):
        await client.start("fan_out", 120)
        await client.ended()
    first_merge = record.log.index("submit TestHubInstances")
    assert record.log[:first_merge].count("submit TestHubHistory") == 2
    rows = [row async for row in query_rows(account.table("TestHubHistory"))]
    assert [row.row_key for row in rows[:-1]] == [f"{number:016X}" for number in range(len(rows) - 1)]
    assert rows[-1].properties["IsCheckpointComplete"] is True


async def test_the_history_of_a_finished_instance_is_cached(account: StorageAccount, clock: VirtualClock) -> None:
    """A late message costs its deletion and nothing else."""
    record = CrashPoint()
    async with open_world(account, clock) as client, open_world(record.account(account), clock, app()):
        await client.start("chain", 1)
        await client.ended()
        record.log.clear()
        await client.raise_event("i1", "word", "late")
        await clock.sleep(1)
        busy = [call for call in record.log if not call.startswith("get") and "Partitions" not in call]
        assert busy == ["delete testhub-control-03"]


async def test_a_status_row_older_than_its_history_is_repaired(account: StorageAccount, clock: VirtualClock) -> None:
    """The history says completed, the row says running, the messages come again."""
    async with workplace(account, clock) as world:
        await world.start("chain", 1)
        item = await world.hub.next_orchestration()
        outcome = first_turn(item, world.now)
        end = ExecutionCompleted(timestamp=world.now, event_id=1, status=RuntimeStatus.COMPLETED, result='"done"')
        await world.hub.complete_orchestration(
            item, replace(outcome, new_events=[*outcome.new_events, end], activities=[])
        )
    table = account.table("TestHubInstances")
    row = await table.read("i1", "")
    behind = {name: value for name, value in row.properties.items() if name not in ("Output", "CompletedTime")}
    behind["RuntimeStatus"] = "Running"
    await table.submit([TableOperation(Operation.REPLACE, Row("i1", "", behind), row.etag)])
    async with open_world(account, clock, app()) as world:
        await world.raise_event("i1", "word", "again")
        status = await world.ended()
        assert (status.runtime_status, status.output) == (RuntimeStatus.COMPLETED, '"done"')
        assert status.generation == 0
    assert await messages_left(account) == {}


async def test_a_history_without_its_beginning_affects_no_other_instance(
    account: StorageAccount, clock: VirtualClock
) -> None:
    async with open_world(account, clock, app()) as world:
        await world.start("chain", 1)
        await world.ended()
    history = account.table("TestHubHistory")
    rows = [row async for row in query_rows(history)]
    [first] = [row for row in rows if row.properties.get("EventType") == "ExecutionStarted"]
    await history.submit([TableOperation(Operation.DELETE, first, first.etag)])
    table = account.table("TestHubInstances")
    row = await table.read("i1", "")
    running = Row("i1", "", {**row.properties, "RuntimeStatus": "Running"})
    await table.submit([TableOperation(Operation.REPLACE, running, row.etag)])
    async with open_world(account, clock, app()) as world:
        await world.raise_event("i1", "word", "late")
        await world.start("chain", 1, id="i2")
        assert (await world.ended("i2")).output == "8"
    assert await messages_left(account) == {"testhub-control-03": 1}


async def test_an_unreadable_message_is_returned_to_its_queue(
    account: StorageAccount, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_world(account, clock, app()) as world:
        await account.queue("testhub-control-03").put("hello")
        await account.queue("testhub-workitems").put("{}")
        await world.start("chain", 1)
        assert (await world.ended()).output == "8"
        await clock.sleep(1200)
    assert "of queue testhub-control-03 cannot be read" in caplog.text
    assert await messages_left(account) == {"testhub-control-03": 1, "testhub-workitems": 1}


@dataclass
class Overtaken(Script):
    """Another host stores an episode during the second one. `failed`: what was noted as failed in the third one."""

    another_host: Callable[[], Awaitable[object]] | None = None
    log: WorkLog | None = None
    episodes: int = 0
    failed: Mapping[WorkKey, FailedWork] | None = None

    async def orchestrate(self, request: OrchestratorRequest) -> OrchestratorResult:
        assert self.another_host is not None
        assert self.log is not None
        self.episodes += 1
        if self.episodes == 2:
            await self.another_host()
        if self.episodes == 3:
            self.failed = self.log.failed
        return await super().orchestrate(request)


async def test_an_episode_that_another_host_has_stored_is_not_noted_as_failed(
    account: StorageAccount, clock: VirtualClock
) -> None:
    """Otherwise `azemu why` would say of an instance of another host that its orchestrator cannot run."""
    hub = AzureStorageTaskHub(OPTIONS, account, clock=clock, new_id=new_id)
    sentinel = TableOperation(Operation.MERGE, Row("i1", "sentinel", {}), ANY_ETAG)
    another_host = partial(account.table(hub.names.history_table).submit, [sentinel])
    log = WorkLog(clock)
    script = Overtaken({"double": double}, another_host=another_host, log=log)
    async with hub.working(), engine(hub, script, OPTIONS, clock=clock, work_log=log):
        world = World(hub, clock)
        await world.start("double", 4)
        assert (await world.ended()).output == "8"
    assert (script.episodes, script.failed) == (3, {})


def double(number: int) -> Steps:
    return (yield act("Double", number))
