"""Storage goes back to an earlier state while a host works, as an emulator does that was killed."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from emulator.clock import Clock
from emulator.durable.azurestorage.hub import AzureStorageTaskHub
from emulator.durable.azurestorage.large import LargePayloads
from emulator.durable.azurestorage.tracking.history import History, HistoryTable
from emulator.durable.azurestorage.tracking.rewind import undo_actions
from emulator.durable.core.events import ExecutionStarted, OrchestratorCompleted, OrchestratorStarted, TaskScheduled
from emulator.durable.core.identity import TERMINAL, OrchestrationInstance, RuntimeStatus
from emulator.durable.engine.worker import engine
from emulator.durable.executor import ActivityFailed, ActivityRequest, ActivitySucceeded
from emulator.durable.hub import LockLost, PurgeFilter
from emulator.ids import new_id
from emulator.instant import Instant
from emulator.storage.builtin import open_builtin
from emulator.storage.port import Operation, TableOperation
from emulator.virtual_time import VirtualClock
from tests.simulation.choices import Choices
from tests.simulation.programs import SimulatedApp
from tests.storage.bench import Bench
from tests.storage_calls import StorageCalls
from tests.waiting import eventually

from .apps import Steps
from .scripted import Script, act, child, timer
from .world import OPTIONS, World, open_world


def steps(input: int) -> Steps:
    """Activities, timers and a child, one after the other, for about half a minute."""
    for _ in range(input):
        yield [act("Double", 1), act("Double", 2)]
        yield timer(3)
    yield child("short", 1)
    yield [act("Double", 3), timer(2)]
    return "all"


def short(input: int) -> Steps:
    yield timer(2)
    return (yield act("Double", input))


@dataclass
class SlowScript(Script):
    """Activities take a second and a half."""

    clock: Clock | None = None

    async def act(self, request: ActivityRequest) -> ActivitySucceeded | ActivityFailed:
        assert self.clock is not None
        await self.clock.sleep(1.5)
        return await super().act(request)


class Store:
    """A file of the built-in store that can be set back while a host uses it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._saved = path.with_name("saved.db")

    def save(self) -> None:
        with closing(sqlite3.connect(self.path)) as source, closing(sqlite3.connect(self._saved)) as target:
            source.backup(target)

    def go_back(self, *, messages_too: bool) -> None:
        """Set back all rows to what was saved. The messages, too, or all of them are lost."""
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.execute("ATTACH ? AS saved", [str(self._saved)])
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("DELETE FROM entities")
            connection.execute("INSERT INTO entities SELECT * FROM saved.entities")
            connection.execute("DELETE FROM messages")
            if messages_too:
                connection.execute("INSERT INTO messages SELECT * FROM saved.messages")


@asynccontextmanager
async def open_host(
    store: Store, clock: VirtualClock, *, has_lost_writes: bool = False, calls: StorageCalls | None = None
) -> AsyncIterator[World]:
    script = SlowScript({"steps": steps, "short": short}, clock=clock)
    async with open_builtin(store.path, clock) as account:
        around = account if calls is None else calls.around(account)
        hub = AzureStorageTaskHub(OPTIONS, around, clock=clock, new_id=new_id)
        async with (
            hub.working(may_lose_writes=True, has_lost_writes=has_lost_writes),
            engine(hub, script, OPTIONS, clock=clock),
        ):
            yield World(hub, clock)


@pytest.mark.parametrize(
    ("saved_at", "messages_too"),
    [
        (9.8, False),
        (4, True),
        *(pytest.param(at, False, marks=pytest.mark.soak) for at in (0.5, 2, 4, 6, 8, 11.5, 13)),
        *(pytest.param(at, True, marks=pytest.mark.soak) for at in (0.5, 2, 6, 8, 9.8, 11.5, 13)),
    ],
)
async def test_instances_complete_after_the_storage_went_back(
    tmp_path: Path, clock: VirtualClock, caplog: pytest.LogCaptureFixture, saved_at: float, messages_too: bool
) -> None:
    caplog.set_level(logging.INFO)
    store = Store(tmp_path / "store.db")
    async with open_host(store, clock) as world:
        ids = [f"i{number}" for number in range(6)]
        for id in ids[:3]:
            await world.start("steps", 2, id=id)
        await clock.sleep(saved_at)
        for id in ids[3:]:
            await world.start("steps", 2, id=id)
        store.save()
        await clock.sleep(2)
        await world.start("steps", 2, id="late")
        await world.raise_event("i0", "go")
        await world.signal("@counter@a", "add")
        await clock.sleep(1.5)
        store.go_back(messages_too=messages_too)
        for id in ids:
            assert (await world.becomes(id, *TERMINAL, within_seconds=900, every=2)).output == '"all"'
        # The client was told that it was started, and nothing of it is left.
        assert await world.hub.status("late") is None
    assert caplog.text.count("The storage emulator has lost writes that it had acknowledged") == 1
    assert 'Instance "late" is lost with its start. Start it again.' in caplog.text
    assert 'if their instances still wait for them: event "go" to "i0", a signal to "@counter@a".' in caplog.text


async def test_a_lost_start_is_named_even_if_the_last_checkpoint_of_its_instance_is_younger(
    tmp_path: Path, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path / "store.db")
    async with open_host(store, clock) as world:
        await world.hub.create()
        store.save()
        await world.start("steps", 2, id="late")
        await clock.sleep(3)
        store.go_back(messages_too=True)

        async def is_named() -> bool:
            return 'Instance "late" is lost with its start. Start it again.' in caplog.text

        await eventually(is_named, "the lost start in the log", within=30, clock=clock)


@pytest.mark.parametrize("seconds", [15, 45])
async def test_a_lost_start_is_named_after_a_long_outage(
    tmp_path: Path, clock: VirtualClock, caplog: pytest.LogCaptureFixture, seconds: float
) -> None:
    """Longer than an emulator needs to save a write, and then longer than a lease; and new starts come afterwards."""
    store, calls = Store(tmp_path / "store.db"), StorageCalls()
    async with open_host(store, clock, calls=calls) as world:
        await world.start("steps", 2, id="early")
        await clock.sleep(3)
        store.save()
        await world.start("steps", 2, id="late")
        await world.raise_event("early", "go")
        await clock.sleep(1)
        calls.cut_off = True
        store.go_back(messages_too=True)
        await clock.sleep(seconds)
        calls.cut_off = False
        await world.start("steps", 2, id="new")
        await world.raise_event("new", "go")
        for id in ("early", "new"):
            assert (await world.becomes(id, *TERMINAL, within_seconds=900, every=2)).output == '"all"'
        assert await world.hub.status("late") is None
    assert 'Instance "late" is lost with its start. Start it again.' in caplog.text
    assert 'if their instances still wait for them: event "go" to "early"' in caplog.text


async def test_a_host_that_is_started_after_the_loss_repairs_the_instances(
    tmp_path: Path, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """azemu's own Azurite was killed: the supervisor restarts both, and the new host has nothing to compare with."""
    caplog.set_level(logging.INFO)
    store = Store(tmp_path / "store.db")
    ids = [f"i{number}" for number in range(3)]
    async with open_host(store, clock) as world:
        for id in ids:
            await world.start("steps", 2, id=id)
        await clock.sleep(4)
        store.save()
    store.go_back(messages_too=False)
    async with open_host(store, clock, has_lost_writes=True) as world:
        for id in ids:
            assert (await world.becomes(id, *TERMINAL, within_seconds=900, every=2)).output == '"all"'
    assert "The repair after the loss of writes has ended. Repaired instances: 3." in caplog.text


async def test_nothing_is_repaired_while_the_storage_keeps_its_writes(
    tmp_path: Path, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with open_host(Store(tmp_path / "store.db"), clock) as world:
        for number in range(5):
            await world.start("steps", 2, id=f"i{number}")
            await clock.sleep(2)
        await world.terminate("i4", "enough")
        await world.ended("i4")
        await world.hub.purge("i4")
        for number in range(4):
            await world.becomes(f"i{number}", *TERMINAL, every=2)
    assert "lost" not in caplog.text


async def test_a_purge_of_running_instances_does_not_look_like_a_loss(
    tmp_path: Path, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A filter without a terminal status selects all instances, as in .NET."""
    async with open_host(Store(tmp_path / "store.db"), clock) as world:
        began = world.now
        await world.start("steps", 2)
        await clock.sleep(4)
        assert (await world.status()).runtime_status is RuntimeStatus.RUNNING
        assert (await world.hub.purge_many(PurgeFilter(created_from=began))).instances == 1
        await clock.sleep(10)
    assert "The storage emulator has lost writes" not in caplog.text


async def test_a_lost_status_row_is_repaired_with_its_custom_status(clock: VirtualClock) -> None:
    """The row of the last episode is lost, and no message is left that would tell a host of it."""
    async with open_builtin(None, clock) as account:
        script = SimulatedApp(clock, Choices(1, "app"), set())
        table = account.table("TestHubInstances")
        async with open_world(account, clock, script) as world:
            await world.start("chain", 3)
            await world.becomes("i1", RuntimeStatus.RUNNING)
            saved = await table.read("i1", "")
            await world.ended()
        await table.submit([TableOperation(Operation.INSERT_OR_REPLACE, saved)])
        hub = AzureStorageTaskHub(OPTIONS, account, clock=clock, new_id=new_id)
        async with hub.working(may_lose_writes=True, has_lost_writes=True), engine(hub, script, OPTIONS, clock=clock):
            world = World(hub, clock)
            status = await world.ended()
            assert (status.runtime_status, status.output) == (RuntimeStatus.COMPLETED, "3")

            async def restored() -> bool:
                return (await world.status()).custom_status == "3"

            await eventually(restored, "the custom status", within=60, clock=clock)


async def test_an_episode_from_before_the_repair_cannot_be_stored(bench: Bench) -> None:
    """Its host would keep the events that the repair has undone, and wait for their lost results again."""
    table, now = await bench.new_table(), Instant.of(bench.clock.now())
    large = LargePayloads(await bench.new_container(), bench.clock, new_id)
    history, instance = HistoryTable(table, large, bench.clock), OrchestrationInstance("i", "e")
    begun = [
        OrchestratorStarted(timestamp=now),
        ExecutionStarted(timestamp=now, instance=instance, name="steps"),
        *(TaskScheduled(timestamp=now, event_id=number, name="Double") for number in range(3)),
        OrchestratorCompleted(timestamp=now),
    ]
    stored, _ = await history.append(History(instance_id="i"), instance, begun, past_count=0)
    await undo_actions(history, stored, [0, 1])
    next_episode = [OrchestratorStarted(timestamp=now), OrchestratorCompleted(timestamp=now)]
    with pytest.raises(LockLost):
        await history.append(stored, instance, next_episode, past_count=len(begun))
    loaded = await history.load("i")
    assert [event.type_name for event in loaded.events[2:5]] == ["GenericEvent", "GenericEvent", "TaskScheduled"]
    with pytest.raises(LockLost):
        await undo_actions(history, stored, [2])
    await history.append(loaded, instance, next_episode, past_count=len(begun))
