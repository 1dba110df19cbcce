"""The messages in our hands. While they are held, their locks are renewed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta

from emulator.clock import Clock
from emulator.durable.azurestorage.messaging.queues import Received
from emulator.errors import EmulatorError

_log = logging.getLogger(__name__)

_LONGEST_LOOK = timedelta(seconds=30)


class Holding:
    """`lock`: how long one is ours that was not renewed yet. `lost`: told of one that is somebody else's by now."""

    def __init__(self, clock: Clock, *, lock: timedelta, lost: Callable[[Received], None]) -> None:
        self._clock = clock
        self._look = min(_LONGEST_LOOK, lock / 4)
        self._lost = lost
        self._messages: dict[str, Received] = {}

    def __len__(self) -> int:
        return len(self._messages)

    def has(self, received: Received) -> bool:
        """Whether we have it already. Then it became visible all the same, and its newer receipt is noted."""
        held = self._messages.get(received.id)
        if held is not None:
            held.superseded_by(received)
        return held is not None

    def take(self, received: Received) -> None:
        self._messages[received.id] = received

    def let_go(self, received: Received) -> None:
        self._messages.pop(received.id, None)

    async def keep(self) -> None:
        """Renew locks, for ever."""
        while True:
            await self._clock.sleep(self._look.total_seconds(), upkeep=True)
            now = self._clock.now()
            due = [each for each in self._messages.values() if each.needs_renewal(now)]
            # Side by side: one after the other, hundreds on a slow storage would outlast the locks of the last.
            await asyncio.gather(*map(self._renew, due))

    async def _renew(self, received: Received) -> None:
        try:
            if await received.queue.renew(received):
                return
        except EmulatorError as error:
            _log.warning("The lock of a message of queue %s could not be renewed: %s", received.queue.name, error)
            return
        # What was let go of meanwhile was deleted or given back by ourselves.
        if self._messages.pop(received.id, None) is not None:
            self._lost(received)
