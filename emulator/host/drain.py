"""Time that running work has to end when the host stops, shared by requests, listeners, engines and invocations."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Final

from emulator.clock import Clock

# What the Functions host gives to running functions (docs/protocol/functions-host.md 11.5).
DRAIN_SECONDS: Final = 10.0
# For those that stop last, if others have used up the time: they still have to return messages and release leases.
_LEAST_SECONDS: Final = 1.0


class Drain:
    """`seconds`: the time in all, measured from the first `begin`."""

    def __init__(self, clock: Clock, seconds: float = DRAIN_SECONDS) -> None:
        self._clock = clock
        self._seconds = seconds
        self._began_at: datetime | None = None
        self._begun = asyncio.Event()

    def begin(self) -> None:
        """Note that the host stops. Later calls change nothing."""
        if self._began_at is None:
            self._began_at = self._clock.now()
            self._begun.set()

    async def wait_until_begun(self) -> None:
        """Return when the host begins to stop. Responses without an end should end then."""
        await self._begun.wait()

    def left_seconds(self) -> float:
        """Return what is left of the time; negative if it is over."""
        # If starting fails, the host is left without `begin`: then all of the time is left.
        elapsed = timedelta(0) if self._began_at is None else self._clock.now() - self._began_at
        return self._seconds - elapsed.total_seconds()

    def stop_seconds(self) -> float:
        """Return how long listeners and engines may take from now: what is left, but at least a second."""
        return max(self.left_seconds(), min(self._seconds, _LEAST_SECONDS))
