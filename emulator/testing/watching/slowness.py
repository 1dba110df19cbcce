"""User code that takes its time: virtual time stands still under it, and a test that waits should know why.

A `time.sleep` or `asyncio.sleep` in a function is real, whatever the clock says; so is a request to a real service.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from emulator.testing.watching.appfiles import AppFiles

_log = logging.getLogger(__name__)

# Work that takes longer than this in real time is worth pointing out: most likely user code sleeps.
SLOW_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class RealWait:
    """A function that ran for longer than SLOW_SECONDS of real time. `places`: `file:line` where its threads stood."""

    function: str
    places: tuple[str, ...]

    def __str__(self) -> str:
        where = f" at {', '.join(self.places)}" if self.places else ""
        return (
            f'Function "{self.function}" has been running for {SLOW_SECONDS:g} s of real time{where}. Virtual time '
            "stands still under user code, and sleeping in it stays real: use a durable timer, or replace the activity."
        )


class Slowness:
    """Belongs to the host's loop."""

    def __init__(self, files: AppFiles) -> None:
        self._files = files
        self.seen: list[RealWait] = []

    @contextmanager
    def watching(self, function: str) -> Iterator[None]:
        timer = asyncio.get_running_loop().call_later(SLOW_SECONDS, self._notice, function)
        try:
            yield
        finally:
            timer.cancel()

    def _notice(self, function: str) -> None:
        wait = RealWait(function, tuple(sorted(self._places())))
        self.seen.append(wait)
        _log.warning("%s", wait)

    def _places(self) -> set[str]:
        """Where the app's own code stands at this moment, on any thread."""
        here = threading.get_ident()
        found = (self._files.place(frame) for thread, frame in sys._current_frames().items() if thread != here)
        return {place for place in found if place is not None}
