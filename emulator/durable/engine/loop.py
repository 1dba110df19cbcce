"""The one work loop: fetch, limit, process, save, give back, drain.

Orchestrations, entities and activities differ in what a work item means; how many run at once, what happens to one
that fails, and how the host stops are the same for all.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from emulator.clock import Clock, within
from emulator.durable.executor import WorkAborted
from emulator.durable.hub import LockLost

Item = TypeVar("Item")
Result = TypeVar("Result")

_log = logging.getLogger(__name__)

_LONGEST_PAUSE = 30.0


class Processor(Protocol[Item, Result]):
    """One kind of work. `name` is for task names and the log."""

    @property
    def name(self) -> str: ...

    def describe(self, item: Item) -> str:
        """What the item is about, for the log."""

    async def fetch(self) -> Item:
        """Wait for work. Cancelling the wait loses nothing."""

    async def run(self, item: Item) -> Result:
        """User code runs here. May be cancelled at any time; nothing is stored yet."""

    async def save(self, item: Item, result: Result) -> None:
        """The only write. Never torn: a host that stops waits for its end."""

    async def abandon(self, item: Item) -> None:
        """Give the item back; it comes again, here or elsewhere."""


async def work(processor: Processor[Item, Result], *, limit: int, clock: Clock, drain_seconds: float) -> None:
    """Keep up to `limit` items in flight until cancelled.

    Then nothing new is fetched, and items under way get `drain_seconds` to end; those that do not are given back.
    """
    slots = asyncio.Semaphore(limit)
    in_flight: set[asyncio.Task[None]] = set()
    try:
        while True:
            await slots.acquire()
            item = await _next(processor, clock)
            task = asyncio.create_task(_handle(processor, item), name=f"{processor.name} {processor.describe(item)}")
            in_flight.add(task)
            task.add_done_callback(in_flight.discard)
            task.add_done_callback(lambda _: slots.release())
    finally:
        await _drain(in_flight, clock, drain_seconds)


async def _next(processor: Processor[Item, Result], clock: Clock) -> Item:
    """The next item. A storage that cannot be reached is reported once, and asked again more and more slowly."""
    pause = 1.0
    while True:
        try:
            return await processor.fetch()
        except Exception:
            if pause == 1.0:
                _log.exception("Fetching %s failed. It is tried again until it works.", processor.name)
            await clock.sleep(pause, upkeep=True)
            pause = min(pause * 2, _LONGEST_PAUSE)


async def _handle(processor: Processor[Item, Result], item: Item) -> None:
    """Process one item to its end. Whatever goes wrong with it is logged here, once, and harms no other item."""
    try:
        result = await processor.run(item)
    except asyncio.CancelledError:
        await _to_the_end(_give_back(processor, item))
        raise
    except WorkAborted as aborted:
        _log.warning("%s was aborted. Reason: %s. It comes again.", processor.describe(item), aborted)
        await _give_back(processor, item)
    except Exception:
        _log.exception("Processing %s failed. It comes again.", processor.describe(item))
        await _give_back(processor, item)
    else:
        await _to_the_end(_save(processor, item, result))


async def _save(processor: Processor[Item, Result], item: Item, result: Result) -> None:
    try:
        await processor.save(item, result)
    except LockLost as lost:
        _log.warning("%s went on elsewhere, its result here is dropped. %s", processor.describe(item), lost)
        await _give_back(processor, item)
    except Exception:
        _log.exception("Saving %s failed. It comes again.", processor.describe(item))
        await _give_back(processor, item)


async def _give_back(processor: Processor[Item, Result], item: Item) -> None:
    try:
        await processor.abandon(item)
    except Exception:
        # Its messages come back anyway when their visibility time-out is over.
        _log.exception("Giving back %s failed.", processor.describe(item))


async def _to_the_end(storing: Coroutine[Any, Any, None]) -> None:
    """Being cancelled must not tear a write: finish it, then let the cancellation have its way."""
    task = asyncio.create_task(storing)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


async def _drain(in_flight: set[asyncio.Task[None]], clock: Clock, seconds: float) -> None:
    if not in_flight:
        return
    with suppress(TimeoutError):
        await within(clock, seconds, asyncio.wait(set(in_flight)))
    for task in list(in_flight):
        task.cancel()
    if in_flight:
        await asyncio.wait(set(in_flight))
