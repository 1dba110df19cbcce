"""Real waits: functions that take long in real time, during which virtual time does not advance.

A `time.sleep` or `asyncio.sleep` in a function takes real time under a virtual clock too, as does a request to a real
service. If a test takes long because of that, its report should show the reason.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from emulator.logs import get_logger
from emulator.testing.observers.app_files import AppFiles

_log = get_logger(__name__)

# Real seconds after which a function is reported. Computation is rarely that long in a test, so it probably sleeps.
SLOW_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class RealWait:
    """A function that has run for longer than SLOW_SECONDS. `places`: `file:line` of the app's code at that moment."""

    function: str
    places: tuple[str, ...]

    def __str__(self) -> str:
        where = f" at {', '.join(self.places)}" if self.places else ""
        return (
            f'Function "{self.function}" has been running for {SLOW_SECONDS:g} s of real time{where}. Virtual time '
            "does not advance while user code runs, and a sleep in user code takes real time. Use a durable timer "
            "instead of a sleep, or replace the activity in the test (app.replace)."
        )


class RealWaits:
    """The real waits of one app. To be used on the host's loop only."""

    def __init__(self, files: AppFiles) -> None:
        self._files = files
        self.waits: list[RealWait] = []

    @contextmanager
    def observe(self, function: str) -> Iterator[None]:
        """Report the function if this block takes long."""
        # asyncio's own timer, which is real, not the clock: virtual time does not pass here.
        timer = asyncio.get_running_loop().call_later(SLOW_SECONDS, self._report, function)
        try:
            yield
        finally:
            timer.cancel()

    def _report(self, function: str) -> None:
        # Which thread runs the function is not known here, so the places of all threads are named, except for this one.
        host_thread = threading.get_ident()
        places = {
            place
            for thread, frame in sys._current_frames().items()
            if thread != host_thread and (place := self._files.place_in_stack(frame)) is not None
        }
        wait = RealWait(function, tuple(sorted(places)))
        self.waits.append(wait)
        _log.warning("%s", wait)
