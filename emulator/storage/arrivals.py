"""Waiting for messages in a queue that does not tell when one comes."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta

from emulator.clock import Clock, within


class Arrivals:
    """Remembers whether a message may have come since the last look, so that `wait` need not sleep it out.

    What other processes put is found only by looking again.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._maybe = asyncio.Event()

    def announce(self) -> None:
        """A visible message was put, or a look may have left some behind."""
        self._maybe.set()

    def looking(self) -> None:
        """Somebody is about to take what there is."""
        self._maybe.clear()

    async def wait(self, at_most: timedelta) -> None:
        if self._maybe.is_set():
            return
        with suppress(TimeoutError):
            await within(self._clock, at_most.total_seconds(), self._maybe.wait(), upkeep=True)
