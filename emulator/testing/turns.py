"""Turns: in a test with chaos, one thing happens at a time, so that the same seed gives the same run again.

Functions run on threads and requests come over sockets, so the order in which they end depends on the machine. A turn
begins when the host has nothing left to do, and the host does nothing by itself until it ends. Then the order of
everything else is that of the host's event loop, which is always the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

from emulator.virtual_time import VirtualClock
from emulator.worker.port import FunctionMetadata, Invocation, Returned, Worker

# Real time after which a turn does not hold up others any more: it may wait for them, as an HTTP function does that
# waits for the end of an orchestration. Such a run may differ from the next one with the same seed.
_LONGEST_SECONDS: Final = 0.5


class Turns:
    """The turns of one app. To be used on the host's loop."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._functions = asyncio.Lock()
        # The turns that hold up others, and the number of all.
        self._holding: set[object] = set()
        self._taken = 0
        self._changed = asyncio.Event()

    @property
    def nothing_runs(self) -> bool:
        """Whether no turn is taken, not even a long one."""
        return self._taken == 0

    @asynccontextmanager
    async def taken(self, on_end: Callable[[], None] = lambda: None) -> AsyncIterator[None]:
        """Hold up the host's own work while entered, for the time that a turn may have; then call `on_end`."""
        turn = object()

        def end() -> None:
            if turn in self._holding:
                self._holding.remove(turn)
                on_end()
                self._changed.set()
                self._changed = asyncio.Event()

        self._holding.add(turn)
        self._taken += 1
        alarm = asyncio.get_running_loop().call_later(_LONGEST_SECONDS, end)
        try:
            yield
        finally:
            alarm.cancel()
            self._taken -= 1
            end()

    @asynccontextmanager
    async def function(self) -> AsyncIterator[None]:
        """Wait until nothing else runs, then take a turn."""
        if self._holding:
            # A function that a request of the test, or another function, has called: a part of that turn.
            async with self.taken():
                yield
            return
        await self._functions.acquire()
        try:
            await self.quiet(first=True)
        except BaseException:
            self._functions.release()
            raise
        async with self.taken(on_end=self._functions.release):
            yield

    async def quiet(self, *, first: bool = False) -> None:
        """Wait until the host has nothing left to do that needs no time, unless a long turn is taken.

        `first`: before those that wait without it. When a call of the test arrives depends on the test's thread, so it
        waits until no function waits any more.
        """
        if self._taken == len(self._holding):
            idle = asyncio.create_task(self._clock.idle(first=first))
            try:
                await asyncio.wait({idle}, timeout=_LONGEST_SECONDS)
            finally:
                idle.cancel()

    async def own_work(self) -> None:
        """Wait until no turn is taken that holds up the host's own work."""
        while self._holding:
            await self._changed.wait()


@asynccontextmanager
async def taking_turns(turns: Turns, worker: AbstractAsyncContextManager[Worker]) -> AsyncIterator[Worker]:
    """Return `worker`, whose functions run in turns."""
    async with worker as entered:
        yield _TurnsWorker(entered, turns)


class _TurnsWorker:
    """Implements the Worker port."""

    def __init__(self, worker: Worker, turns: Turns) -> None:
        self._worker = worker
        self._turns = turns

    async def load(self) -> Sequence[FunctionMetadata]:
        """See Worker.load."""
        return await self._worker.load()

    async def invoke(self, invocation: Invocation) -> Returned:
        """See Worker.invoke."""
        async with self._turns.function():
            return await self._worker.invoke(invocation)
