"""A host crashes between any two of its storage calls, or any call fails: every instance completes, once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from inspect import iscoroutinefunction
from typing import Any

import pytest

from emulator.chaos.history_checker import check_hub
from emulator.chaos.violations import Rule
from emulator.durable.client import DurableClient
from emulator.durable.core.events import ExecutionCompleted, ExecutionStarted
from emulator.durable.core.identity import RuntimeStatus
from emulator.durable.hub import InstanceAlreadyExists, PurgeFilter
from emulator.histories.transfer import ForkOptions, HistoryTransfer
from emulator.ids import new_id
from emulator.instant import MIN_INSTANT
from emulator.storage.builtin import open_builtin
from emulator.storage.paging import query_rows
from emulator.storage.port import Operation, Row, StorageAccount, StorageUnreachable, TableOperation
from emulator.virtual_time import VirtualClock

from .apps import COUNTER, app
from .crashing import CrashPoint, Moment
from .world import OPTIONS, World, messages_left, open_world

BIG = "x" * 70_000


async def nothing_more(world: World) -> None:
    pass


async def two_words(world: World) -> None:
    await world.raise_event("i1", "word", "a")
    await world.raise_event("i1", "word", "b")


async def one_word(world: World) -> None:
    await world.raise_event("i1", "word", "!")


@dataclass(frozen=True)
class Scenario:
    name: str
    input: Any
    output: str
    then: Callable[[World], Awaitable[None]] = nothing_more


SCENARIOS = [
    Scenario("chain", 1, "8"),
    Scenario("fan_out", 4, "12"),
    Scenario("parent", 1, "64"),
    Scenario("listens", 2, '["a", "b"]', two_words),
    Scenario("loops", 0, "3"),
    Scenario("counts", 3, "6"),
    Scenario("large", "x" * 70_000, json.dumps("x" * 140_000 + "!"), one_word),
]


async def finished(world: World) -> None:
    await world.becomes("i1", RuntimeStatus.COMPLETED, within_seconds=7200, every=5)


async def run(account: StorageAccount, clock: VirtualClock, scenario: Scenario, crash: CrashPoint) -> None:
    """Until the instance has ended or the host has crashed."""
    async with open_world(account, clock) as client:
        await client.start(scenario.name, scenario.input)
        await scenario.then(client)
        with suppress(StorageUnreachable):  # A host that cannot reach storage when it starts says so.
            async with open_world(crash.account(account), clock, app()):
                await either(finished(client), crash.happened.wait())


async def either(*work: Coroutine[Any, Any, object]) -> None:
    tasks = [asyncio.create_task(each) for each in work]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()


async def calls_of(scenario: Scenario, clock: VirtualClock) -> range:
    """The storage calls that a host makes, its orderly stop included; without the start, but for one scenario."""
    crash = CrashPoint()
    async with open_builtin(None, clock) as account:
        await run(account, clock, scenario, crash)
    return range(0 if scenario is SCENARIOS[0] else crash.log.index("page TestHubHistory"), crash.calls)


# A crash after a call leaves the same in storage as one before the next call, unless calls overlap.
MOMENT = pytest.mark.parametrize(
    "moment",
    [pytest.param(Moment.BEFORE, id="before"), pytest.param(Moment.AFTER, id="after", marks=pytest.mark.soak)],
)
# Those with the most calls take most of the time, so they run in `make soak` only. Of the others, the first is tried at
# all of its calls in every run of the tests; the rest at a third of them, and at all in `make soak`.
LONG = ("parent", "large", "loops", "counts")
SCENARIO = pytest.mark.parametrize(
    ("scenario", "every"),
    [
        pytest.param(SCENARIOS[0], 1, id=SCENARIOS[0].name),
        *(pytest.param(each, 3, id=f"{each.name}-third") for each in SCENARIOS[1:] if each.name not in LONG),
        *(pytest.param(each, 1, id=each.name, marks=pytest.mark.soak) for each in SCENARIOS[1:]),
    ],
)


@MOMENT
@SCENARIO
async def test_work_of_a_crashed_host_is_completed_once(
    scenario: Scenario, every: int, moment: Moment, clock: VirtualClock
) -> None:
    calls = await calls_of(scenario, clock)
    assert len(calls) > 15
    for number in calls[::every]:
        async with open_builtin(None, clock) as account:
            crash = CrashPoint(number, moment)
            await run(account, clock, scenario, crash)
            await check_that_it_is_finished(account, clock, scenario, f"{number}: {crash.log[-1:]}")


@pytest.mark.parametrize("moment", Moment, ids=lambda moment: moment.value)
async def test_a_query_can_be_stopped_between_its_pages(moment: Moment, clock: VirtualClock) -> None:
    """Every page of a query is a call of its own for the tests here."""
    async with open_builtin(None, clock) as account:
        table = account.table("Rows")
        await table.create()
        for first in range(0, 1100, 100):
            rows = [Row("p", f"{first + number:04}", {}) for number in range(100)]
            await table.submit([TableOperation(Operation.INSERT, row) for row in rows])
        crash = CrashPoint(1, moment)
        seen: list[Row] = []
        with suppress(StorageUnreachable):
            async for row in query_rows(crash.account(account).table("Rows")):
                seen.append(row)
    assert crash.happened.is_set()
    assert crash.log == ["page Rows", "page Rows"]
    assert len(seen) == 1000


@MOMENT
async def test_a_host_may_crash_between_the_transactions_of_one_checkpoint(moment: Moment, clock: VirtualClock) -> None:
    """More than 99 events are stored in several transactions; the next host finds an episode without its end."""
    scenario, crash = Scenario("fan_out", 120, "14280"), CrashPoint()
    async with open_builtin(None, clock) as account:
        await run(account, clock, scenario, crash)
    first = crash.log.index("submit TestHubHistory")
    last = crash.log.index("submit TestHubInstances", first)
    assert crash.log[first : last + 1].count("submit TestHubHistory") == 2
    for number in range(first, last + 1):
        async with open_builtin(None, clock) as account:
            await run(account, clock, scenario, CrashPoint(number, moment))
            await check_that_it_is_finished(account, clock, scenario, f"{number}: {crash.log[number]}")


@MOMENT
@SCENARIO
async def test_a_failing_call_only_costs_time(
    scenario: Scenario, every: int, moment: Moment, clock: VirtualClock
) -> None:
    """And no activity runs again because its message could not be deleted: that it was answered is known."""
    calls = await calls_of(scenario, clock)
    for number in calls[::every]:
        async with open_builtin(None, clock) as account:
            failure, script = CrashPoint(number, moment, once=True), app()
            async with open_world(account, clock) as client:
                await client.start(scenario.name, scenario.input)
                await scenario.then(client)
                with suppress(StorageUnreachable):
                    async with open_world(failure.account(account), clock, script) as world:
                        await check(world, account, scenario, f"{number}: {failure.log[number : number + 1]}")
            await check_that_it_is_finished(account, clock, scenario, f"{number}: {failure.log[-1:]}")
            if failure.log[number : number + 1] == ["delete testhub-workitems"]:
                assert len(script.ran) == len(set(script.ran))


async def check_that_it_is_finished(
    account: StorageAccount, clock: VirtualClock, scenario: Scenario, where: str
) -> None:
    async with open_world(account, clock, app()) as world:
        await check(world, account, scenario, where)


async def check(world: World, account: StorageAccount, scenario: Scenario, where: str) -> None:
    clock = world.clock
    await finished(world)
    status = await world.status()
    assert status.output == scenario.output, where
    history = await world.hub.history("i1")
    assert sum(isinstance(each, ExecutionCompleted) for each in history) == 1, where
    assert sum(isinstance(each, ExecutionStarted) for each in history) == 1, where
    # Whatever was sent twice has to be recognised and deleted, however long that takes.
    for _ in range(60):
        if not await messages_left(account):
            break
        await clock.sleep(60)
    assert await messages_left(account) == {}, where
    assert (await world.status()) == status, where
    # The child of an instance that has ended may repeat its last episode until then.
    assert await check_hub(account, "TestHub", clock, ignore={Rule.ORPHAN_MESSAGE, Rule.LOST_MESSAGE}) == [], where


# Clients ----------------------------------------------------------------------------------------------------------


async def fail_until_repaired(world: World) -> None:
    await world.start("fails", 1)
    await world.ended()


@dataclass(frozen=True)
class ClientOperation:
    """What a client does with an instance that is in a state, and its status in the end (None: it does not exist).

    `name`: that of the method of DurableClient or HistoryTransfer, and what is special. `instance`: its id.
    """

    name: str
    prepare: Callable[[World], Awaitable[object]]
    run: Callable[[World], Awaitable[object]]
    end: RuntimeStatus | None
    instance: str = "i1"


def client_of(world: World) -> DurableClient:
    return DurableClient(world.hub, OPTIONS, clock=world.clock, new_id=new_id)


async def completed_chain(world: World) -> None:
    await world.start("chain", 1)
    await world.ended()


async def waiting(world: World) -> None:
    await world.start("listens", 1)
    await world.becomes("i1", RuntimeStatus.RUNNING)


async def suspended(world: World) -> None:
    await waiting(world)
    await world.suspend("i1")
    await world.becomes("i1", RuntimeStatus.SUSPENDED)


async def empty_entity(world: World) -> None:
    """It has been idle for longer than entities remember requests."""
    for operation in ("add", "delete"):
        await world.signal(COUNTER.instance_id, operation, 1)
        await world.clock.sleep(3600)


async def restart(world: World) -> None:
    status = await world.hub.status("i1")
    assert status is not None
    await client_of(world).restart(status, "1", keep_id=True)


async def fork(world: World) -> None:
    """After an interrupted fork, users purge what it has left, or choose another id."""
    transfer = HistoryTransfer(world.hub, world.clock, new_id)
    await world.hub.purge("copy")
    at = (await transfer.places("i1"))["places"][1]["at"]
    await transfer.fork("i1", ForkOptions(at=at, instance_id="copy"))


async def import_file(world: World) -> None:
    transfer = HistoryTransfer(world.hub, world.clock, new_id)
    await world.hub.purge("copy")
    await transfer.import_file(await transfer.export("i1"), instance_id="copy")


QUICK = ("start", "terminate", "fork")
OPERATIONS = [
    ClientOperation("start", nothing_more, lambda world: world.start("chain", 1), RuntimeStatus.COMPLETED),
    ClientOperation("start large", nothing_more, lambda world: world.start("nothing", BIG), RuntimeStatus.COMPLETED),
    ClientOperation("start again", completed_chain, lambda world: world.start("chain", 2), RuntimeStatus.COMPLETED),
    ClientOperation("restart", completed_chain, restart, RuntimeStatus.COMPLETED),
    ClientOperation(
        "raise_event",
        lambda world: world.start("listens", 1),
        lambda world: world.raise_event("i1", "word", "a"),
        RuntimeStatus.COMPLETED,
    ),
    ClientOperation(
        "terminate",
        lambda world: world.start("listens", 1, at=world.now + timedelta(minutes=10)),
        lambda world: world.terminate("i1", "enough"),
        RuntimeStatus.TERMINATED,
    ),
    ClientOperation("suspend", waiting, lambda world: client_of(world).suspend("i1", "later"), RuntimeStatus.SUSPENDED),
    ClientOperation("resume", suspended, lambda world: client_of(world).resume("i1", "now"), RuntimeStatus.RUNNING),
    ClientOperation("purge", completed_chain, lambda world: world.hub.purge("i1"), None),
    ClientOperation(
        "purge_many",
        completed_chain,
        lambda world: world.hub.purge_many(PurgeFilter(created_from=MIN_INSTANT)),
        None,
    ),
    ClientOperation("rewind", fail_until_repaired, lambda world: world.hub.rewind("i1", "again"), RuntimeStatus.FAILED),
    ClientOperation(
        "signal_entity",
        nothing_more,
        lambda world: world.signal(COUNTER.instance_id, "add", 1),
        RuntimeStatus.RUNNING,
        COUNTER.instance_id,
    ),
    ClientOperation(
        "clean_entities", empty_entity, lambda world: client_of(world).clean_entities(), None, COUNTER.instance_id
    ),
    ClientOperation("fork", completed_chain, fork, RuntimeStatus.COMPLETED, "copy"),
    ClientOperation("import_file", waiting, import_file, RuntimeStatus.RUNNING, "copy"),
]
READS = {"status", "history", "query", "wait_for_end", "active", "entity_state", "query_entities", "export", "places"}


def test_every_operation_of_clients_is_tried() -> None:
    methods = {
        name
        for owner in (DurableClient, HistoryTransfer)
        for name, member in vars(owner).items()
        if iscoroutinefunction(member) and not name.startswith("_")
    }
    assert methods - READS == {operation.name.split()[0] for operation in OPERATIONS}


@MOMENT
@pytest.mark.parametrize(
    "operation",
    [
        pytest.param(operation, id=operation.name, marks=() if operation.name in QUICK else pytest.mark.soak)
        for operation in OPERATIONS
    ],
)
async def test_a_client_may_crash_at_any_call_and_repeat_its_operation(
    operation: ClientOperation, moment: Moment, clock: VirtualClock
) -> None:
    number, made = 0, 1
    while number < made:
        async with open_builtin(None, clock) as account:
            async with open_world(account, clock, app()) as world:
                await operation.prepare(world)
            crash = CrashPoint(number, moment)
            async with open_world(crash.account(account), clock) as client:
                with suppress(StorageUnreachable):
                    await operation.run(client)
            # The client cannot know what has been done, so it does the same again.
            made = max(made, crash.calls + 1 if crash.happened.is_set() else crash.calls)
            async with open_world(account, clock) as client:
                with suppress(InstanceAlreadyExists):
                    await operation.run(client)
            where = f"{number}: {crash.log[-1:]}"
            async with open_world(account, clock, app()) as world:
                await settled(world, account)
                status = await world.hub.status(operation.instance)
                assert (status and status.runtime_status) is operation.end, where
                assert await check_hub(account, "TestHub", clock) == [], where
        number += 1
    assert number > 1


async def settled(world: World, account: StorageAccount) -> None:
    """Wait until no message is left, however long a repeated one takes to be recognised."""
    for _ in range(60):
        if not await messages_left(account):
            return
        await world.clock.sleep(60)
    raise AssertionError(f"messages are left: {await messages_left(account)}")
