"""How long to wait before the next look at a queue.

Source: docs/protocol/task-hub-storage.md chapter 7.3 (durabletask: BackoffPollingHelper.cs).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta

_FIRST_PAUSE = timedelta(milliseconds=50)


class Backoff:
    """How long to wait after a look that found nothing: 50, about 100, 150, 250 ms … up to `longest`."""

    def __init__(self, longest: timedelta, *, jitter: Callable[[], float] = lambda: random.uniform(0.8, 1.2)) -> None:
        self._longest = longest
        self._jitter = jitter
        self.reset()

    def reset(self) -> None:
        """Something was found, or will be: look again soon."""
        self._current = min(_FIRST_PAUSE, self._longest)
        self._exponent = 0

    def next(self) -> timedelta:
        pause = self._current
        if pause != self._longest:
            self._current = min(_FIRST_PAUSE + self._jitter() * 2**self._exponent * _FIRST_PAUSE, self._longest)
            self._exponent += 1
        return pause
