"""When storage does not answer a loop that lives on it."""

from __future__ import annotations

import logging

from emulator.clock import Clock

_log = logging.getLogger(__name__)

_LONGEST_PAUSE = 30.0


class Outage:
    """Says once that something fails, lets it be tried again more and more slowly, and says when it works again."""

    def __init__(self, doing: str, clock: Clock) -> None:
        self._doing = doing
        self._clock = clock
        self._pause = 0.0

    async def wait(self, error: Exception) -> None:
        """It failed (again)."""
        if not self._pause:
            _log.warning("%s failed and is tried again until it works: %s", self._doing, error)
        self._pause = min(self._pause * 2 or 1.0, _LONGEST_PAUSE)
        await self._clock.sleep(self._pause, upkeep=True)

    def over(self) -> None:
        """It works."""
        if self._pause:
            _log.info("%s works again", self._doing)
        self._pause = 0.0
