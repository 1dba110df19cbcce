"""Pauses before a host process that has ended unexpectedly is started again: growing ones, and not forever."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

_HEALTHY: Final = timedelta(minutes=1)
_FIRST_PAUSE_SECONDS: Final = 1
_LONGEST_PAUSE_SECONDS: Final = 60
MAX_USELESS_RUNS: Final = 5
"""So many runs in a row without a completed invocation, and the process is not started again."""


class RestartPauses:
    """Counts the unexpected ends of host processes since the start, or since the last change of the app."""

    def __init__(self) -> None:
        self._pauses = 0
        self._useless_runs = 0

    def next_seconds(self, ran_for: timedelta, *, served: bool) -> int | None:
        """Count an end, and return the pause before the next start.

        None: it was the fifth run in a row without a completed invocation. `ran_for`: how long the process ran.
        `served`: whether it has completed an invocation. A process that ran for a minute was healthy: counting begins
        again.
        """
        if ran_for >= _HEALTHY:
            self._pauses = self._useless_runs = 0
        self._useless_runs = 0 if served else self._useless_runs + 1
        if self._useless_runs >= MAX_USELESS_RUNS:
            return None
        pause = min(_FIRST_PAUSE_SECONDS << self._pauses, _LONGEST_PAUSE_SECONDS)
        self._pauses += 1
        return pause
