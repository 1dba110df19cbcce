"""Busy periods: `with clock.busy():` blocks during which virtual time must not advance.

They stand for work that the event loop cannot see: user code on a thread, a request to another process.
"""

from __future__ import annotations

import threading
import types
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from emulator.clock import real_seconds
from emulator.virtual_time.sleepers import location_of


@dataclass(frozen=True, slots=True)
class OngoingWork:
    """A busy period that has not ended. `where`: the code that entered `busy()`; `seconds`: real time since then."""

    where: str
    seconds: float


@dataclass(slots=True, eq=False)
class _BusyPeriod:
    """One `with clock.busy():` block. It may be left on another thread than it was entered on."""

    periods: BusyPeriods
    # Code and line instead of the frame: a frame would keep the caller's local variables alive.
    code: types.CodeType
    line: int
    # Real time: this is for messages that explain why virtual time does not advance.
    since: float = field(default_factory=real_seconds)

    def __enter__(self) -> None:
        self.periods.begin(self)

    def __exit__(self, *_: object) -> None:
        self.periods.end(self)


class BusyPeriods:
    """All busy periods of a clock. Thread-safe. `on_last_end` is called on the thread that ends the last one."""

    def __init__(self, on_last_end: Callable[[], None]) -> None:
        self._on_last_end = on_last_end
        self._lock = threading.Lock()
        # A dict as an ordered set, so that `ongoing` lists the oldest first.
        self._periods: dict[_BusyPeriod, None] = {}

    def new(self, frame: types.FrameType) -> AbstractContextManager[None]:
        """Return a period that begins when it is entered. `frame`: the frame of the code that calls `busy()`."""
        return _BusyPeriod(self, frame.f_code, frame.f_lineno)

    def __bool__(self) -> bool:
        # Without the lock: the loop asks before every wait, and a period that ends right now wakes the loop again.
        return bool(self._periods)

    def begin(self, period: _BusyPeriod) -> None:
        """Note that a period begins; called by the period itself."""
        period.since = real_seconds()
        with self._lock:
            self._periods[period] = None

    def end(self, period: _BusyPeriod) -> None:
        """Note that a period ends; called by the period itself."""
        with self._lock:
            del self._periods[period]
            was_last = not self._periods
        # Outside the lock: the callback wakes the loop, whose thread may be about to enter a period.
        if was_last:
            self._on_last_end()

    def ongoing(self) -> Sequence[OngoingWork]:
        """Return the periods that have not ended, the oldest first."""
        with self._lock:
            periods = list(self._periods)
        return [OngoingWork(location_of(period.code, period.line), real_seconds() - period.since) for period in periods]
