"""Work loop of an engine: fetch work items, process a limited number at once, save or abandon them, drain at the stop.

Orchestrations, entities and activities differ in what an item means. How many run at once, what happens to one that
fails, and how a host stops are the same for all of them. (Queue messages and blobs: see `message_listener`.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from emulator.background import run_to_completion
from emulator.clock import Clock, within
from emulator.errors import EmulatorError
from emulator.logs import get_logger
from emulator.polling.failures import Failures
from emulator.polling.log_once import LogOnce, short_reason
from emulator.storage.port import StorageOutage

Item = TypeVar("Item")
Result = TypeVar("Result")

_log = get_logger(__name__)


class WorkAborted(EmulatorError):
    """An item was not processed for a reason that is not a result (the host stops, the worker process is gone).

    Nothing may be stored; the item is abandoned and retried.
    """


class LockLost(EmulatorError):
    """Another host has taken over the item, so this host's result was not stored; the item is abandoned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Processor(Generic[Item, Result]):
    """One kind of work item.

    `name`: for task names and the log. `describe`: names one item in the log.
    `fetch`: waits for an item. Cancelling it must not lose one.
    `run`: calls user code. It may be cancelled at any time, so it must not store anything. Raises WorkAborted.
    `save`: stores the result; the only write. It is never cancelled. Raises LockLost.
    `abandon`: returns the item to its queue, so that it is retried here or on another host. It is never cancelled.
    """

    name: str
    describe: Callable[[Item], str]
    fetch: Callable[[], Awaitable[Item]]
    run: Callable[[Item], Awaitable[Result]]
    save: Callable[[Item, Result], Awaitable[None]]
    abandon: Callable[[Item], Awaitable[None]]


async def work(
    processor: Processor[Item, Result], *, limit: int, clock: Clock, drain_seconds: Callable[[], float]
) -> None:
    """Process up to `limit` items at once until cancelled; then give those in flight `drain_seconds()` to end.

    What is left after that is abandoned.
    """
    # Not a TaskGroup: leaving it would wait without a time limit.
    in_flight: set[asyncio.Task[None]] = set()
    # Set by every item that ends; the loop checks the limit again then.
    has_ended = asyncio.Event()
    failures = Failures(f"Fetching {processor.name} work items", clock)
    logged = LogOnce()

    def ended(task: asyncio.Task[None]) -> None:
        in_flight.discard(task)
        has_ended.set()

    def begin(item: Item) -> None:
        task = asyncio.create_task(
            _handle(processor, item, logged), name=f"{processor.name} {processor.describe(item)}"
        )
        in_flight.add(task)
        task.add_done_callback(ended)

    try:
        while True:
            # The limit is applied before fetching: a fetched item is hidden from other hosts, which may be idle.
            while len(in_flight) >= limit:
                has_ended.clear()
                await has_ended.wait()
            try:
                # Not kept in a variable: the payloads of an item would stay in memory until the next one comes.
                begin(await processor.fetch())
            except Exception as error:
                # A loop that ends would leave a host that looks healthy and does nothing, so every error is retried.
                await failures.wait_before_retry(error)
                continue
            failures.resolved()
    finally:
        await _drain(in_flight, clock, drain_seconds())


async def _handle(processor: Processor[Item, Result], item: Item, logged: LogOnce) -> None:
    """Process one item. Errors do not affect other items.

    Each is logged here; an item that is retried for days with the same error only once.
    """
    try:
        result = await processor.run(item)
    except asyncio.CancelledError:
        await run_to_completion(_abandon(processor, item))
        raise
    # No traceback: the reason is known, and it is not a defect of the host.
    except WorkAborted as aborted:
        if logged.is_first(processor.describe(item), str(aborted)):
            _log.warning(
                "%s was aborted and will be retried. Reason: %s", processor.describe(item), short_reason(aborted)
            )
        await run_to_completion(_abandon(processor, item))
    except Exception as error:
        if not isinstance(error, StorageOutage) and logged.is_first(processor.describe(item), repr(error)):
            _log.exception("Processing %s failed. It will be retried.", processor.describe(item))
        await run_to_completion(_abandon(processor, item))
    else:
        # The stop of the host cancels this task. A write must not be interrupted by that.
        await run_to_completion(_save(processor, item, result, logged))


async def _save(processor: Processor[Item, Result], item: Item, result: Result, logged: LogOnce) -> None:
    try:
        await processor.save(item, result)
    # A warning and no traceback: with several hosts this happens in normal operation.
    except LockLost as lost:
        _log.warning(
            "The result of %s is discarded: another host has taken over the work item. %s",
            processor.describe(item),
            lost,
        )
        await _abandon(processor, item)
    except EmulatorError as error:
        if not isinstance(error, StorageOutage) and logged.is_first(processor.describe(item), str(error)):
            _log.error("Saving %s failed. It will be retried. %s", processor.describe(item), error)
        await _abandon(processor, item)
    except Exception as error:
        if logged.is_first(processor.describe(item), repr(error)):
            _log.exception("Saving %s failed. It will be retried.", processor.describe(item))
        await _abandon(processor, item)


async def _abandon(processor: Processor[Item, Result], item: Item) -> None:
    try:
        await processor.abandon(item)
    except EmulatorError as error:
        # Not worth a warning: the item is retried anyway when its lock ends, only later.
        _log.debug("Abandoning %s failed: %s", processor.describe(item), error)
    except Exception:
        _log.exception("Abandoning %s failed.", processor.describe(item))


async def _drain(in_flight: set[asyncio.Task[None]], clock: Clock, seconds: float) -> None:
    if not in_flight:
        return
    with suppress(TimeoutError):
        # A copy, because tasks remove themselves from the set when they end.
        await within(clock, seconds, asyncio.wait(set(in_flight)))
    # Cancelling ends `run` only. An item that is being saved is saved to the end, however long that takes, because a
    # half-written checkpoint would have to be detected and repaired by the next host.
    for task in list(in_flight):
        task.cancel()
    if in_flight:
        await asyncio.wait(set(in_flight))
