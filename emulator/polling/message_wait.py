"""Wait between two polls of a queue, which ends early when this process knows that a message becomes visible."""

from __future__ import annotations

import heapq
from datetime import datetime, timedelta

from emulator.clock import Clock
from emulator.polling.backoff import Backoff
from emulator.storage.port import ZERO, Queue

# The service decides by its own clock when a hidden message becomes visible, and this machine's clock may be ahead of
# it. A poll at the exact moment would return no message and begin a back-off.
_CLOCK_SLACK = timedelta(milliseconds=20)


class MessageWait:
    """The waits of one queue's polling loop, and the times at which messages that this process hid become visible.

    Messages that this process puts end a wait at once (`storage.port.Queue.wait`); only the next
    poll returns those of other processes.
    """

    def __init__(self, queue: Queue, clock: Clock) -> None:
        self._queue = queue
        self._clock = clock
        self._visible_at: list[datetime] = []  # a heap

    def expect(self, delay: timedelta) -> None:
        """Note that a message becomes visible after `delay`."""
        heapq.heappush(self._visible_at, self._clock.now() + delay)

    async def wait_for_message(self, backoff: Backoff) -> None:
        """Wait until a message was put or is expected, at most for the next pause of `backoff`."""
        pause = backoff.next()
        now = self._clock.now()
        if self._visible_at:
            until = self._visible_at[0] + _CLOCK_SLACK - now
            if until <= pause:
                pause = max(until, ZERO)
                # One poll returns all messages that are visible by then, so the others need no further wait.
                while self._visible_at and self._visible_at[0] + _CLOCK_SLACK <= now + pause:
                    heapq.heappop(self._visible_at)
                backoff.reset()
        if pause:
            await self._queue.wait(pause)
            # `Queue.wait` does not say why it returned. An early return means that a message was put, and messages
            # often come in groups; the tenth allows for timers that fire a little early.
            if self._clock.now() - now < 0.9 * pause:
                backoff.reset()
