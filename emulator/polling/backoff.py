"""Polling back-off: how long a listener waits after a poll that returned no message.

Source: docs/protocol/task-hub-storage.md chapter 7.3 (durabletask: BackoffPollingHelper.cs) and
docs/protocol/functions-host.md 8.3, whose queue trigger uses the same formula with a first pause of 100 ms.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from emulator.random_numbers import uniform


class Backoff:
    """Growing pauses between empty polls: `first`, about 2, 3, 5, 9 … times `first`, at most `longest`."""

    def __init__(
        self,
        longest: timedelta,
        *,
        first: timedelta = timedelta(milliseconds=50),
        jitter: Callable[[], float] = lambda: uniform(0.8, 1.2),
    ) -> None:
        # Tests and users set limits below the first pause.
        self._first = min(first, longest)
        self._longest = longest
        self._jitter = jitter
        self.reset()

    def reset(self) -> None:
        """Start again with the first pause, because a message was received or is expected."""
        self._current = self._first
        self._exponent = 0

    def next(self) -> timedelta:
        """Return the pause before the next poll and lengthen the one after it."""
        pause = self._current
        if pause != self._longest:
            self._current = min(self._first + self._jitter() * 2**self._exponent * self._first, self._longest)
            # Only counted below the limit: an idle queue is polled for days, and 2**n would outgrow a float.
            self._exponent += 1
        return pause
