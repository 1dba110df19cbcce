"""Log lines and retry pauses of loops whose requests to storage fail.

An outage of the account is logged by the account (`storage.availability`). All other failures concern one loop and are
logged by it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from emulator.clock import Clock
from emulator.errors import EmulatorError
from emulator.logs import get_logger
from emulator.storage.port import StorageOutage

_log = get_logger(__name__)

_LONGEST_PAUSE: Final = timedelta(seconds=30)


class Failures:
    """Consecutive failures of one loop: the first and the recovery are logged, the pauses grow from one second on.

    `operation` names what fails, as the subject of a sentence: "Reading control queue x".
    """

    def __init__(self, operation: str, clock: Clock, *, longest_pause: timedelta = _LONGEST_PAUSE) -> None:
        self._operation = operation
        self._clock = clock
        self._longest_pause_seconds = longest_pause.total_seconds()
        self._is_logged = False
        self._pause_seconds = 0.0

    def note(self, error: Exception) -> None:
        """Log the first of consecutive failures, unless it is an outage of the account."""
        if self._is_logged or isinstance(error, StorageOutage):
            return
        self._is_logged = True
        # An EmulatorError has a message for users. Any other error is a defect, and needs its traceback.
        traceback = None if isinstance(error, EmulatorError) else error
        _log.warning("%s failed and is retried until it succeeds: %s", self._operation, error, exc_info=traceback)

    async def wait_before_retry(self, error: Exception) -> None:
        """Note a failure, then wait; the pause grows with every failure."""
        self.note(error)
        # Doubled from one second on. A short outage is over soon after storage is back, a long one costs two requests a
        # minute.
        self._pause_seconds = min(self._pause_seconds * 2 or 1.0, self._longest_pause_seconds)
        # Upkeep: in virtual time, an unreachable storage must not make days pass.
        await self._clock.sleep(self._pause_seconds, upkeep=True)

    def resolved(self) -> None:
        """Note a success; log it if a failure before it was logged."""
        if self._is_logged:
            # A warning, because the console shows the failure by default, and would not show this.
            _log.warning("%s works again", self._operation)
        self._is_logged = False
        self._pause_seconds = 0.0
