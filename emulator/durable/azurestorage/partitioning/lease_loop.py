"""The rhythm of a partition manager: look, rest, look again; sooner when somebody asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, TypeVar

from emulator.background import background, run_to_completion
from emulator.clock import Clock, within
from emulator.storage.port import NotFound

T = TypeVar("T")


class Rounds:
    """Used by the loop that looks and by those who want it to. `is_stopping`: the loop is to hand over and end."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.is_stopping = False
        self._asked = asyncio.Event()
        self._looked = asyncio.Event()

    @asynccontextmanager
    async def running(self, loop: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
        """Run `loop` beside the body; afterwards let it hand over and wait for its end, however cancelled we are."""
        self.is_stopping, self._looked = False, asyncio.Event()
        async with background(loop, name="partitions") as task:
            try:
                yield
            finally:
                self.is_stopping = True
                self.ask()
                await run_to_completion(_ended(task))

    def ask(self) -> None:
        """The next look is to begin now."""
        self._asked.set()

    async def looked(self) -> None:
        """Ask, and wait until the look is over. The loop must be running."""
        looked = self._looked
        self._asked.set()
        await looked.wait()

    def begin(self) -> None:
        """A look begins: who asks from now on wants another one."""
        self._asked.clear()

    async def look(self, look: Callable[[], Awaitable[T]], make_again: Callable[[], Awaitable[None]]) -> T:
        """Look; if there is nothing to look at any more, have it made again and look once more."""
        try:
            return await look()
        except NotFound:
            if self.is_stopping:
                raise
        await make_again()
        return await look()

    async def end(self, rest: timedelta) -> None:
        """The look is over: let those go on that waited for it, then wait for the next one."""
        self._looked.set()
        self._looked = asyncio.Event()
        if self._asked.is_set():
            return
        try:
            await within(self._clock, rest.total_seconds(), self._asked.wait(), upkeep=True)
        except TimeoutError:
            return

    def over(self) -> None:
        """There will be no more looks."""
        self._looked.set()


async def _ended(task: asyncio.Task[None]) -> None:
    await asyncio.wait({task})
