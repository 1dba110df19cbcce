"""Whole orchestrations on the hub: what clients see, and what is left behind."""

from __future__ import annotations

from collections.abc import Generator
from datetime import timedelta
from typing import Any

from emulator.durable.core.identity import EntityId, RuntimeStatus
from emulator.storage.api import StorageAccount
from emulator.virtual_time import VirtualClock

from .scripted import ContinueAsNew, Script, act, ask, child, event, timer
from .world import messages_left, open_world


def chain(input: int) -> Generator[Any, Any, int]:
    for _ in range(3):
        input = yield act("Double", input)
    return input


def fan_out(input: int) -> Generator[Any, Any, int]:
    results = yield [act("Double", number) for number in range(input)]
    return sum(results)


def parent(input: int) -> Generator[Any, Any, int]:
    first = yield child("chain", input)
    second = yield child("chain", first, "second")
    return second  # type: ignore[no-any-return]


def naps(input: float) -> Generator[Any, Any, str]:
    yield timer(input)
    return "slept"


def listens(input: int) -> Generator[Any, Any, list[Any]]:
    found = []
    for _ in range(input):
        found.append((yield event("word")))
    return found


def loops(input: int) -> Generator[Any, Any, Any]:
    yield act("Double", input)
    return ContinueAsNew(input + 1) if input < 3 else input


def counts(input: int) -> Generator[Any, Any, Any]:
    counter = EntityId("counter", "k")
    yield ask(counter, "add", input)
    return (yield ask(counter, "add", input))


APP = Script(
    {
        "chain": chain,
        "fan_out": fan_out,
        "parent": parent,
        "naps": naps,
        "listens": listens,
        "loops": loops,
        "counts": counts,
    }
)


async def test_a_chain_runs_to_its_end(account: StorageAccount, clock: VirtualClock) -> None:
    async with open_world(account, clock, APP) as world:
        await world.start("chain", 1)
        assert (await world.ended()).output == "8"
    assert await messages_left(account) == {}


async def test_a_fan_out_comes_together(account: StorageAccount, clock: VirtualClock) -> None:
    async with open_world(account, clock, APP) as world:
        await world.start("fan_out", 150)
        assert (await world.ended()).output == str(150 * 149)
    assert await messages_left(account) == {}


async def test_children_answer_their_parent(account: StorageAccount, clock: VirtualClock) -> None:
    async with open_world(account, clock, APP) as world:
        await world.start("parent", 1)
        assert (await world.ended()).output == "64"
    assert await messages_left(account) == {}


async def test_a_timer_fires_at_its_time_and_no_earlier(account: StorageAccount, clock: VirtualClock) -> None:
    async with open_world(account, clock, APP) as world:
        for seconds in (0.3, 1.7, 3600.9):
            began = clock.now()
            await world.start("naps", seconds, id=f"nap{seconds}")
            await clock.sleep(seconds)
            await world.ended(f"nap{seconds}")
            assert timedelta(0) <= clock.now() - began - timedelta(seconds=seconds) < timedelta(seconds=0.2)
    assert await messages_left(account) == {}


async def test_a_timer_may_be_further_away_than_a_queue_can_hide(account: StorageAccount, clock: VirtualClock) -> None:
    async with open_world(account, clock, APP) as world:
        began = clock.now()
        await world.start("naps", timedelta(days=20).total_seconds())
        await world.becomes("i1", RuntimeStatus.RUNNING)
        await clock.sleep(timedelta(days=20).total_seconds() + 1)
        assert (await world.ended()).output == '"slept"'
        assert clock.now() - began < timedelta(days=20, seconds=2)


async def test_events_arrive_in_order(account: StorageAccount, clock: VirtualClock) -> None:
    async with open_world(account, clock, APP) as world:
        await world.start("listens", 3)
        for word in ("one", "two", "three"):
            await world.raise_event("i1", "word", word)
        assert (await world.ended()).output == '["one", "two", "three"]'
    assert await messages_left(account) == {}


async def test_an_orchestration_continues_as_new(account: StorageAccount, clock: VirtualClock) -> None:
    async with open_world(account, clock, APP) as world:
        await world.start("loops", 0)
        assert (await world.ended()).output == "3"
    assert await messages_left(account) == {}


async def test_an_entity_answers_and_remembers(account: StorageAccount, clock: VirtualClock) -> None:
    async with open_world(account, clock, APP) as world:
        await world.signal("@counter@k", "add", 100)
        await world.start("counts", 1)
        await world.ended()
        await world.start("counts", 5, id="i2")
        assert (await world.ended("i2")).output == "112"
    assert await messages_left(account) == {}
