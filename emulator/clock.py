"""Time is something you hold: no module asks the system for it, it asks the Clock it was given.

`SystemClock` is real time. Virtual time (`emulator.virtual_time`) stands still while anything works and jumps to
the next due sleeper when all is idle. For that to be true three rules hold everywhere in the host:

* waiting for time goes through `Clock.sleep` or `within`, never through asyncio's own timers;
* work that the event loop cannot see (a thread, a socket to another process) happens inside `clock.busy()`;
* a wait that only keeps something alive (lease renewal, polling back-off) says `upkeep=True`: virtual time never
  jumps *for* it, it merely finds itself late after a jump.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import Protocol, TypeVar

T = TypeVar("T")


class Clock(Protocol):
    def now(self) -> datetime:
        """The current time, aware, UTC."""

    async def sleep(self, seconds: float, *, upkeep: bool = False) -> None:
        """Wait. Zero or less only lets other tasks run."""

    def busy(self) -> AbstractContextManager[None]:
        """Something outside the event loop works: time must not jump meanwhile. May be entered on any thread."""


class SystemClock:
    """Real time."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float, *, upkeep: bool = False) -> None:
        await asyncio.sleep(max(seconds, 0))

    def busy(self) -> AbstractContextManager[None]:
        return nullcontext()


async def within(clock: Clock, seconds: float, work: Awaitable[T], *, upkeep: bool = False) -> T:
    """The result of `work`, if it comes within `seconds` of the clock's time.

    Raises TimeoutError otherwise; `work` is cancelled then, and when the caller is.
    """
    task = asyncio.ensure_future(work)
    alarm = asyncio.create_task(clock.sleep(seconds, upkeep=upkeep), name="time limit")
    try:
        await asyncio.wait({task, alarm}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise TimeoutError
    finally:
        alarm.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
