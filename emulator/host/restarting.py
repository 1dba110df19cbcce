"""Keep something running that may fail: tried again in the background, while everything else goes on.

Listeners of triggers and the engines of extensions are kept like this: storage that is away when the host starts may
come later, and a function whose listener is broken must not take the others down.
Source: webjobs-sdk, Host/Listeners/FunctionListener.cs (its delays); docs/protocol/functions-host.md 11.3.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from emulator.clock import Clock, within
from emulator.errors import ConfigurationError

_FIRST_DELAY_SECONDS = 2.0
_LAST_DELAY_SECONDS = 120.0


class Reporter(Protocol):
    """What is said about one kept thing."""

    def failed(self, error: Exception, *, entered: bool) -> None:
        """`entered`: it had been running, or was being left."""

    def trying_again(self, attempt: int) -> None: ...

    def started(self, retries: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Restartable:
    """`open`: makes the context manager that is to stay entered; called again after every failure."""

    name: str
    open: Callable[[], AbstractAsyncContextManager[None]]
    story: Reporter


@asynccontextmanager
async def keeping(kept: Sequence[Restartable], clock: Clock) -> AsyncIterator[Callable[[], None]]:
    """Enter all of them side by side; the body begins when each has started or failed once. Leaving leaves them all.

    What it gives lets all of them go at once, while the body goes on.
    """
    leave = asyncio.Event()
    tried = [asyncio.Event() for _ in kept]
    try:
        async with asyncio.TaskGroup() as group:
            for one, first in zip(kept, tried, strict=True):
                group.create_task(_keep(one, clock, first, leave), name=one.name)
            try:
                for first in tried:
                    await first.wait()
                yield leave.set
            finally:
                leave.set()
    except BaseExceptionGroup as failed:
        # The kept things raise nothing, so this is the body's own error, and its caller expects it as it is.
        if len(failed.exceptions) == 1:
            raise failed.exceptions[0] from None
        raise


async def _keep(kept: Restartable, clock: Clock, tried: asyncio.Event, leave: asyncio.Event) -> None:
    """Each context manager is entered and left in this one task, as task groups inside it demand."""
    retries = 0
    while True:
        entered = False
        try:
            async with kept.open():
                entered = True
                kept.story.started(retries)
                tried.set()
                await leave.wait()
        except Exception as error:
            kept.story.failed(error, entered=entered)
            tried.set()
            if isinstance(error, ConfigurationError):
                # Settings do not change while the host runs: trying again would fail again.
                return
        if leave.is_set():
            return
        retries = 1 if entered else retries + 1
        if await _left_during_pause(clock, retries, leave):
            return
        kept.story.trying_again(retries)


async def _left_during_pause(clock: Clock, retries: int, leave: asyncio.Event) -> bool:
    delay = min(_FIRST_DELAY_SECONDS * 2.0 ** min(retries - 1, 16), _LAST_DELAY_SECONDS)
    try:
        await within(clock, delay, leave.wait(), upkeep=True)
    except TimeoutError:
        return False
    return True
