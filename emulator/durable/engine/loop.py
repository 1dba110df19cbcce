"""The one work loop: fetch, limit, process, save, give back, drain.

Orchestrations, entities and activities differ in what a work item means; how many run at once, what happens to one
that fails, and how the host stops are the same for all.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from emulator.background import run_to_completion
from emulator.clock import Clock, within
from emulator.durable.executor import WorkAborted
from emulator.durable.hub import LockLost
from emulator.errors import EmulatorError

Item = TypeVar("Item")
Result = TypeVar("Result")

_log = logging.getLogger(__name__)

_LONGEST_PAUSE = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Processor(Generic[Item, Result]):
    """One kind of work.

    `name` is for task names and the log; `describe`: what an item is about, for the log. `fetch` waits for work, and
    cancelling the wait loses nothing. In `run` user code runs; it may be cancelled at any time, nothing is stored yet.
    `save` is the only write; a host that stops waits for its end. `abandon` gives the item back; it comes again, here
    or elsewhere.
    """

    name: str
    describe: Callable[[Item], str]
    fetch: Callable[[], Awaitable[Item]]
    run: Callable[[Item], Awaitable[Result]]
    save: Callable[[Item, Result], Awaitable[None]]
    abandon: Callable[[Item], Awaitable[None]]


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
        await run_to_completion(_give_back(processor, item))
        raise
    except WorkAborted as aborted:
        _log.warning("%s was aborted. Reason: %s. It comes again.", processor.describe(item), aborted)
        await run_to_completion(_give_back(processor, item))
    except Exception:
        _log.exception("Processing %s failed. It comes again.", processor.describe(item))
        await run_to_completion(_give_back(processor, item))
    else:
        await run_to_completion(_save(processor, item, result))


async def _save(processor: Processor[Item, Result], item: Item, result: Result) -> None:
    try:
        await processor.save(item, result)
    except LockLost as lost:
        _log.warning("%s went on elsewhere, its result here is dropped. %s", processor.describe(item), lost)
        await _give_back(processor, item)
    except EmulatorError as error:
        _log.error("Saving %s failed. It comes again. %s", processor.describe(item), error)
        await _give_back(processor, item)
    except Exception:
        _log.exception("Saving %s failed. It comes again.", processor.describe(item))
        await _give_back(processor, item)


async def _give_back(processor: Processor[Item, Result], item: Item) -> None:
    try:
        await processor.abandon(item)
    except EmulatorError as error:
        # It comes again anyway, when its lock ends.
        _log.debug("Giving back %s failed: %s", processor.describe(item), error)
    except Exception:
        _log.exception("Giving back %s failed.", processor.describe(item))


async def _drain(in_flight: set[asyncio.Task[None]], clock: Clock, seconds: float) -> None:
    if not in_flight:
        return
    with suppress(TimeoutError):
        await within(clock, seconds, asyncio.wait(set(in_flight)))
    for task in list(in_flight):
        task.cancel()
    if in_flight:
        await asyncio.wait(set(in_flight))
