"""Log lines and retry pauses of polling loops while the storage service does not respond.

When an account goes away, every loop and every request that is under way fails. One line reports that, and one that the
account is back. Other failures concern one loop and are reported by it.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final
from weakref import WeakKeyDictionary

from emulator.clock import Clock
from emulator.errors import EmulatorError
from emulator.logs import get_logger
from emulator.storage.port import StorageUnreachable

_log = get_logger(__name__)

_LONGEST_PAUSE: Final = timedelta(seconds=30)


# The accounts that do not answer, with the loop's time of the last failure. By event loop, for tests of several hosts.
_away: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, float]] = WeakKeyDictionary()
# Loops retry within half a minute. After a longer time without a failure, a new one is a new outage.
_OVER_AFTER_SECONDS: Final = 90.0


def report_outage(error: BaseException) -> bool:
    """Log that an account does not answer, if it has answered before. False: the error is another one; not logged."""
    if not isinstance(error, StorageUnreachable):
        return False
    loop = asyncio.get_running_loop()
    accounts, now = _away.setdefault(loop, {}), loop.time()
    last = accounts.get(error.account)
    accounts[error.account] = now
    if last is None or now - last > _OVER_AFTER_SECONDS:
        _log.warning("Storage does not respond. What needs it waits and is retried until it does. %s", error)
    return True


def _report_recovery(account: str) -> None:
    if _away.get(asyncio.get_running_loop(), {}).pop(account, None) is not None:
        # A warning, because the console shows the failure by default, and would not show this.
        _log.warning("Storage responds again")


class StorageOutage:
    """Consecutive failures of one loop: the first and the recovery are logged, the pauses grow from one second on.

    `operation` names what fails, as the subject of a sentence: "Reading control queue x".
    """

    def __init__(self, operation: str, clock: Clock, *, longest_pause: timedelta = _LONGEST_PAUSE) -> None:
        self._operation = operation
        self._clock = clock
        self._longest_pause_seconds = longest_pause.total_seconds()
        self._is_down = False
        # The account that did not answer, if that was the reason.
        self._account: str | None = None
        self._pause_seconds = 0.0

    def began(self, error: Exception) -> None:
        """Note a failure; log the first of consecutive ones. Also for failures beside the loop."""
        if report_outage(error):
            assert isinstance(error, StorageUnreachable)
            self._account = error.account
        elif not self._is_down:
            # An EmulatorError has a message for users. Any other error is a defect, and needs its traceback.
            traceback = None if isinstance(error, EmulatorError) else error
            _log.warning("%s failed and is retried until it succeeds: %s", self._operation, error, exc_info=traceback)
        self._is_down = True

    async def wait_before_retry(self, error: Exception) -> None:
        """Log the first of consecutive failures, then wait; the pause grows with every failure."""
        self.began(error)
        # Doubled from one second on. A short outage is over soon after storage is back, a long one costs two requests a
        # minute.
        self._pause_seconds = min(self._pause_seconds * 2 or 1.0, self._longest_pause_seconds)
        # Upkeep: in virtual time, an unreachable storage must not make days pass.
        await self._clock.sleep(self._pause_seconds, upkeep=True)

    def resolved(self) -> None:
        """Note a success; log it if the calls before it failed."""
        if self._account is not None:
            _report_recovery(self._account)
            self._account = None
        elif self._is_down:
            _log.warning("%s works again", self._operation)
        self._is_down = False
        self._pause_seconds = 0.0
