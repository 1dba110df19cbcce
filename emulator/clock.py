"""Clock: the interface through which the host reads the time and waits, and its real-time implementation.

No module asks the system for the time; it uses the Clock that it was given. That makes virtual time possible
(`emulator.virtual_time`): time does not advance while anything is working, and jumps to the next due
wait when everything is idle. For that, three rules hold everywhere in the host:

* waiting for time goes through `Clock.sleep` or `within`, never through asyncio's own timers;
* work that the event loop cannot see (a thread, a request to another process) is done inside `clock.busy()`;
* a wait that only keeps something alive (lease renewal, polling back-off) passes `upkeep=True`. Virtual time does not
  jump for such a wait; when it jumps for another one, the waiter wakes late.
"""

from __future__ import annotations

import asyncio
import sys
import time
from asyncio import sleep as _sleep
from collections.abc import Awaitable
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Protocol, TypeVar

T = TypeVar("T")

# Tests of apps replace the functions of asyncio, time and datetime, for example with freezegun, which also replaces
# them in the global names of all loaded modules. It leaves methods and partial objects alone.
_now: Final = datetime.now

real_seconds: Final = partial(time.perf_counter)
"""Return seconds since any moment. They are real also in a test that has changed or stopped the time."""


class Clock(Protocol):
    """The current time and a way to wait."""

    def now(self) -> datetime:
        """Return the current time, aware, in UTC. Callable on any thread."""

    async def sleep(self, seconds: float, *, upkeep: bool = False, recurring: bool = False) -> None:
        """Wait for `seconds`. Zero or less only lets other tasks run. Safe to cancel.

        `upkeep`: the wait only keeps something alive, so virtual time must not jump for it. `recurring`: the wait is
        for the next time of a schedule without an end; virtual time jumps for it, but a program that has nothing else
        to wait for counts as idle.
        """

    def busy(self) -> AbstractContextManager[None]:
        """Return a context manager for work outside the event loop, during which time must not jump.

        It may be entered on any thread, and any number of times at once.
        """


class SystemClock:
    """Real time. Every wait takes as long as it says, so `upkeep` and `busy` have no effect."""

    def now(self) -> datetime:
        """See Clock.now."""
        # time-machine changes the functions themselves, and offers this way around.
        time_machine: Any = sys.modules.get("time_machine")
        if time_machine is not None and time_machine.escape_hatch.is_travelling():
            now: datetime = time_machine.escape_hatch.datetime.datetime.now(UTC)
            return now
        return _now(UTC)

    async def sleep(self, seconds: float, *, upkeep: bool = False, recurring: bool = False) -> None:
        """See Clock.sleep."""
        await _sleep(max(seconds, 0))

    def busy(self) -> AbstractContextManager[None]:
        """See Clock.busy."""
        return nullcontext()


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Create an event loop of asyncio's default kind whose timers go by `real_seconds`."""
    loop = asyncio.new_event_loop()
    # By default a loop calls time.monotonic. If a test stops that, no timer of the loop becomes due.
    loop.time = real_seconds  # type: ignore[method-assign]
    return loop


async def within(clock: Clock, seconds: float, work: Awaitable[T], *, upkeep: bool = False) -> T:
    """Return the result of `work` if it ends within `seconds` of the clock's time.

    Raises TimeoutError otherwise. `work` is cancelled then, and if the caller is cancelled; in both cases this function
    returns only after `work` has ended.
    """
    task = asyncio.ensure_future(work)
    alarm = asyncio.create_task(clock.sleep(seconds, upkeep=upkeep), name="time limit")
    try:
        await asyncio.wait({task, alarm}, return_when=asyncio.FIRST_COMPLETED)
        # If both are done in the same pass of the loop, the result counts: it did not come too late.
        if task.done():
            return task.result()
        raise TimeoutError
    finally:
        alarm.cancel()
        if not task.done():
            task.cancel()
            # Wait for its cleanup, which may use resources that the caller releases next.
            await asyncio.wait({task})
