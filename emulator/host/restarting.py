"""Listeners and engines that are restarted when they fail, with growing delays, while the rest of the host runs.

Storage that is unavailable when the host starts may come back, and a function whose listener fails must not stop the
others. Source: webjobs-sdk, Host/Listeners/FunctionListener.cs (its delays); docs/protocol/functions-host.md 11.3.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from emulator.background import task_group
from emulator.clock import Clock, within
from emulator.errors import ConfigurationError

# The delays of FunctionListener, without its random part: azemu is one host, so there is no crowd to spread.
_FIRST_DELAY_SECONDS = 2.0
_LAST_DELAY_SECONDS = 120.0


class Reporter(Protocol):
    """Logger of one restartable."""

    def failed(self, error: Exception, *, entered: bool) -> None:
        """Log a failure. `entered`: it failed while running or stopping, not while starting."""

    def restarting(self, attempt: int) -> None: ...

    def started(self, retries: int) -> None: ...

    def cancelled(self) -> None:
        """Log that it did not stop in the allotted time."""


@dataclass(frozen=True, slots=True)
class Restartable:
    """A listener or engine. `open`: creates its context manager, at the start and after every failure."""

    name: str
    open: Callable[[], AbstractAsyncContextManager[None]]
    reporter: Reporter


@asynccontextmanager
async def keep_running(
    restartables: Sequence[Restartable], clock: Clock, *, stop_seconds: Callable[[], float] | None = None
) -> AsyncIterator[Callable[[], None]]:
    """Enter all restartables concurrently; the body begins when each has started or failed once. Leaving leaves them.

    The body gets a function that lets them all stop while it continues. `stop_seconds`: called when the body ends, how
    long they may take to stop before they are cancelled; None: as long as they need.
    """
    stop = asyncio.Event()
    tried = [asyncio.Event() for _ in restartables]
    # The tasks below raise nothing, so an error that comes out of this group is the body's own. `task_group` unpacks
    # it, because the caller of the host expects the error itself.
    async with task_group() as group:
        tasks = {
            group.create_task(_keep_running(restartable, clock, first_try, stop), name=restartable.name): restartable
            for restartable, first_try in zip(restartables, tried, strict=True)
        }
        try:
            # A listener that fails at once does not hold up the host. One that hangs does, as on Azure: a host that is
            # "running" must not miss events.
            for first_try in tried:
                await first_try.wait()
            yield stop.set
        finally:
            stop.set()
            if tasks and stop_seconds is not None:
                try:
                    # `upkeep`: virtual time must not jump just because a listener is stopping.
                    await within(clock, stop_seconds(), asyncio.wait(tasks), upkeep=True)
                except TimeoutError:
                    for task, restartable in tasks.items():
                        if not task.done():
                            restartable.reporter.cancelled()
                            task.cancel()


async def _keep_running(restartable: Restartable, clock: Clock, tried: asyncio.Event, stop: asyncio.Event) -> None:
    # Each context manager is entered and left in this one task, because task groups and cancel scopes inside it must
    # be left by the task that entered them.
    retries = 0
    while True:
        entered = False
        try:
            async with restartable.open():
                entered = True
                restartable.reporter.started(retries)
                tried.set()
                await stop.wait()
        except Exception as error:
            restartable.reporter.failed(error, entered=entered)
            tried.set()
            if isinstance(error, ConfigurationError):
                # Settings do not change while the host runs, so the next attempt would fail in the same way.
                return
        if stop.is_set():
            return
        # One that had been running starts with the shortest delay again: its earlier failures are history.
        retries = 1 if entered else retries + 1
        # The power is limited before the multiplication, because a float overflows after about a thousand failures.
        delay = min(_FIRST_DELAY_SECONDS * 2.0 ** min(retries - 1, 16), _LAST_DELAY_SECONDS)
        try:
            await within(clock, delay, stop.wait(), upkeep=True)
        except TimeoutError:
            restartable.reporter.restarting(retries)
        else:
            return
