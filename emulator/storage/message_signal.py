"""Signal that a queue of a storage server may have visible messages, for a wait between two polls."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta

from emulator.clock import Clock, within


class MessageSignal:
    """Wakes the poller of a storage server's queue when this process makes a message visible.

    The queue service has no push. What other processes put is noticed by the next poll only. But most messages of a
    task hub come from the process that polls for them, and those need not wait for it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._maybe_visible = asyncio.Event()

    def set(self) -> None:
        """Note that a message may be visible: one was put, or a poll may have left some behind."""
        self._maybe_visible.set()

    def clear(self) -> None:
        """Note that a poll begins. Must be called before the request, so that a put during the request is noticed."""
        self._maybe_visible.clear()

    async def wait(self, at_most: timedelta) -> None:
        """Wait for `set`, at most for `at_most`. Returns at once if it was called since the last `clear`."""
        # The event stays set until the next poll clears it. A message that comes between two waits is not missed.
        if self._maybe_visible.is_set():
            return
        # Upkeep: virtual time must not jump for a poll that will find nothing.
        with suppress(TimeoutError):
            await within(self._clock, at_most.total_seconds(), self._maybe_visible.wait(), upkeep=True)
