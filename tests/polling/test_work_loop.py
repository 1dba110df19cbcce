"""Work loop: concurrency limit, failures, and drain."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from emulator.background import background
from emulator.polling.work_loop import LockLost, Processor, WorkAborted, work
from emulator.virtual_time import VirtualClock

Act = Callable[[], Awaitable[None]]


async def at_once() -> None:
    pass


@dataclass
class Item:
    """`run` and `save`: what happens in these steps."""

    name: str
    run: Act = at_once
    save: Act = at_once


@dataclass
class Desk:
    """Where work comes from and goes to; the test puts items on it."""

    waiting: asyncio.Queue[Item] = field(default_factory=asyncio.Queue)
    fetch_errors: list[Exception] = field(default_factory=list)
    begun: list[str] = field(default_factory=list)
    saved: list[str] = field(default_factory=list)
    given_back: list[str] = field(default_factory=list)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def processor(self) -> Processor[Item, str]:
        return Processor(
            name="item",
            describe=lambda item: f"item {item.name}",
            fetch=self.fetch,
            run=self.run,
            save=self.save,
            abandon=self.abandon,
        )

    async def fetch(self) -> Item:
        if self.fetch_errors:
            raise self.fetch_errors.pop()
        return await self.waiting.get()

    async def run(self, item: Item) -> str:
        self.begun.append(item.name)
        await self._tell()
        await item.run()
        return f"result of {item.name}"

    async def save(self, item: Item, result: str) -> None:
        await item.save()
        self.saved.append(item.name)
        await self._tell()

    async def abandon(self, item: Item) -> None:
        self.given_back.append(item.name)
        await self._tell()

    async def _tell(self) -> None:
        async with self.news:
            self.news.notify_all()

    def put(self, *items: Item) -> None:
        for item in items:
            self.waiting.put_nowait(item)

    async def until(self, fact: Callable[[], bool]) -> None:
        async with self.news:
            await self.news.wait_for(fact)


@pytest.fixture
def desk() -> Desk:
    return Desk()


@asynccontextmanager
async def working(desk: Desk, clock: VirtualClock, *, limit: int = 10, drain_seconds: float = 8) -> Any:
    async with background(work(desk.processor, limit=limit, clock=clock, drain_seconds=lambda: drain_seconds)):
        yield


async def raise_(error: Exception) -> None:
    raise error


async def test_no_more_than_the_limit_run_at_once(desk: Desk, clock: VirtualClock) -> None:
    gate = asyncio.Event()
    desk.put(*(Item(str(number), run=lambda: _wait(gate)) for number in range(5)))
    async with working(desk, clock, limit=2):
        await desk.until(lambda: len(desk.begun) == 2)
        await clock.sleep(1)
        assert desk.begun == ["0", "1"]
        assert desk.waiting.qsize() == 3, "an item is not taken from others before it can be worked on"
        gate.set()
        await desk.until(lambda: len(desk.saved) == 5)
    assert desk.given_back == []


async def _wait(gate: asyncio.Event) -> None:
    await gate.wait()


@pytest.mark.parametrize(
    ("error", "level", "text"),
    [
        (ValueError("what?"), logging.ERROR, "Processing item bad failed."),
        (
            WorkAborted("the worker is gone"),
            logging.WARNING,
            "item bad was aborted and will be retried. Reason: the worker is gone",
        ),
    ],
)
async def test_an_item_that_fails_is_logged_once_and_abandoned(
    desk: Desk,
    clock: VirtualClock,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    level: int,
    text: str,
) -> None:
    desk.put(Item("bad", run=lambda: raise_(error)), Item("good"))
    async with working(desk, clock):
        await desk.until(lambda: bool(desk.saved and desk.given_back))
    assert (desk.saved, desk.given_back) == (["good"], ["bad"])
    [record] = [record for record in caplog.records if "bad" in record.getMessage()]
    assert record.levelno == level
    assert text in record.getMessage()


@pytest.mark.parametrize("error", [LockLost("another host has it"), OSError("the network is gone")])
async def test_an_item_that_cannot_be_saved_is_abandoned(desk: Desk, clock: VirtualClock, error: Exception) -> None:
    desk.put(Item("lost", save=lambda: raise_(error)), Item("good"))
    async with working(desk, clock):
        await desk.until(lambda: bool(desk.saved and desk.given_back))
    assert (desk.saved, desk.given_back) == (["good"], ["lost"])


async def test_an_unreachable_storage_is_reported_once_and_retried(
    desk: Desk, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    desk.fetch_errors = [OSError("no route")] * 4
    desk.put(Item("good"))
    async with working(desk, clock):
        for _ in range(4):  # time does not jump for the loop's own pauses
            await clock.sleep(30)
        await desk.until(lambda: desk.saved == ["good"])
    assert [record.getMessage() for record in caplog.records] == [
        "Fetching item work items failed and is retried until it succeeds: no route",
        "Fetching item work items works again",
    ]


async def test_running_items_end_before_the_loop_stops(desk: Desk, clock: VirtualClock) -> None:
    gate = asyncio.Event()
    desk.put(Item("running", run=lambda: _wait(gate)))
    async with working(desk, clock, limit=1):
        await desk.until(lambda: desk.begun == ["running"])
        desk.put(Item("late"))
        asyncio.get_running_loop().call_soon(gate.set)
    assert (desk.saved, desk.given_back) == (["running"], [])
    assert desk.waiting.qsize() == 1


async def test_items_that_exceed_the_drain_time_are_abandoned(desk: Desk, clock: VirtualClock) -> None:
    desk.put(Item("endless", run=lambda: clock.sleep(3600)))
    began = clock.now()
    async with working(desk, clock, drain_seconds=8):
        await desk.until(lambda: desk.begun == ["endless"])
    assert (desk.saved, desk.given_back) == ([], ["endless"])
    assert (clock.now() - began).total_seconds() == 8


async def test_a_write_is_never_interrupted(desk: Desk, clock: VirtualClock) -> None:
    """It has begun when the time to drain is over; it is finished all the same, and nothing is given back."""
    desk.put(Item("slow to store", save=lambda: clock.sleep(60)))
    async with working(desk, clock, drain_seconds=8):
        await desk.until(lambda: desk.begun == ["slow to store"])
    assert (desk.saved, desk.given_back) == (["slow to store"], [])


async def test_a_loop_that_is_cancelled_while_it_waits_ends_at_once(desk: Desk, clock: VirtualClock) -> None:
    task = asyncio.create_task(work(desk.processor, limit=1, clock=clock, drain_seconds=lambda: 8))
    await clock.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert task.cancelled()
