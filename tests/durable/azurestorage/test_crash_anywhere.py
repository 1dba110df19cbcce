"""A host crashes between any two of its storage calls, or any call fails: every instance completes, once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

from emulator.durable.core.events import ExecutionCompleted, ExecutionStarted
from emulator.durable.core.identity import RuntimeStatus
from emulator.storage.builtin import open_builtin
from emulator.storage.paging import query_rows
from emulator.storage.port import Operation, Row, StorageAccount, StorageUnreachable, TableOperation
from emulator.virtual_time import VirtualClock

from .apps import app
from .crashing import Death, Moment
from .world import World, messages_left, open_world


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


async def run(account: StorageAccount, clock: VirtualClock, scenario: Scenario, death: Death) -> None:
    """Until the instance has ended or the host has died."""
    async with open_world(account, clock) as client:
        await client.start(scenario.name, scenario.input)
        await scenario.then(client)
        with suppress(StorageUnreachable):  # A host that cannot reach storage when it starts says so.
            async with open_world(death.account(account), clock, app()):
                await either(finished(client), death.happened.wait())


async def either(*work: Coroutine[Any, Any, object]) -> None:
    tasks = [asyncio.create_task(each) for each in work]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()


async def calls_of(scenario: Scenario, clock: VirtualClock) -> range:
    """The storage calls that a host makes, its orderly stop included; without the start, but for one scenario."""
    death = Death()
    async with open_builtin(None, clock) as account:
        await run(account, clock, scenario, death)
    return range(0 if scenario is SCENARIOS[0] else death.log.index("page TestHubHistory"), death.calls)


# A crash after a call leaves the same in storage as one before the next call, unless calls overlap.
MOMENT = pytest.mark.parametrize(
    "moment",
    [pytest.param(Moment.BEFORE, id="before"), pytest.param(Moment.AFTER, id="after", marks=pytest.mark.soak)],
)
# Those with the most calls take most of the time.
LONG = ("parent", "large", "loops", "counts")
SCENARIO = pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(scenario, id=scenario.name, marks=pytest.mark.soak if scenario.name in LONG else ())
        for scenario in SCENARIOS
    ],
)


@MOMENT
@SCENARIO
async def test_work_of_a_crashed_host_is_completed_once(
    scenario: Scenario, moment: Moment, clock: VirtualClock
) -> None:
    calls = await calls_of(scenario, clock)
    assert len(calls) > 15
    for number in calls:
        async with open_builtin(None, clock) as account:
            death = Death(number, moment)
            await run(account, clock, scenario, death)
            await check_that_it_is_finished(account, clock, scenario, f"{number}: {death.log[-1:]}")


@pytest.mark.parametrize("moment", Moment, ids=lambda moment: moment.value)
async def test_a_query_can_be_stopped_between_its_pages(moment: Moment, clock: VirtualClock) -> None:
    """Every page of a query is a call of its own for the tests here."""
    async with open_builtin(None, clock) as account:
        table = account.table("Rows")
        await table.create()
        for first in range(0, 1100, 100):
            rows = [Row("p", f"{first + number:04}", {}) for number in range(100)]
            await table.submit([TableOperation(Operation.INSERT, row) for row in rows])
        death = Death(1, moment)
        seen: list[Row] = []
        with suppress(StorageUnreachable):
            async for row in query_rows(death.account(account).table("Rows")):
                seen.append(row)
    assert death.happened.is_set()
    assert death.log == ["page Rows", "page Rows"]
    assert len(seen) == 1000


@pytest.mark.parametrize("moment", Moment, ids=lambda moment: moment.value)
async def test_a_host_may_die_between_the_transactions_of_one_checkpoint(moment: Moment, clock: VirtualClock) -> None:
    """More than 99 events are stored in several transactions; the next host finds an episode without its end."""
    scenario, death = Scenario("fan_out", 120, "14280"), Death()
    async with open_builtin(None, clock) as account:
        await run(account, clock, scenario, death)
    first = death.log.index("submit TestHubHistory")
    last = death.log.index("submit TestHubInstances", first)
    assert death.log[first : last + 1].count("submit TestHubHistory") == 2
    for number in range(first, last + 1):
        async with open_builtin(None, clock) as account:
            await run(account, clock, scenario, Death(number, moment))
            await check_that_it_is_finished(account, clock, scenario, f"{number}: {death.log[number]}")


@MOMENT
@SCENARIO
async def test_a_failing_call_only_costs_time(scenario: Scenario, moment: Moment, clock: VirtualClock) -> None:
    """And no activity runs again because its message could not be deleted: that it was answered is known."""
    calls = await calls_of(scenario, clock)
    for number in calls:
        async with open_builtin(None, clock) as account:
            lapse, script = Death(number, moment, lapse=True), app()
            async with open_world(account, clock) as client:
                await client.start(scenario.name, scenario.input)
                await scenario.then(client)
                with suppress(StorageUnreachable):
                    async with open_world(lapse.account(account), clock, script) as world:
                        await check(world, account, scenario, f"{number}: {lapse.log[number : number + 1]}")
            await check_that_it_is_finished(account, clock, scenario, f"{number}: {lapse.log[-1:]}")
            if lapse.log[number : number + 1] == ["delete testhub-workitems"]:
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
