"""The app's code that goes on when its function has ended: tasks on the app's loop, threads.

An HTTP function may answer and leave a task behind that sends a mail. A test that lets time pass wants this to be done
first: time does not jump under it. But only for a while, since such code may also be a loop that never ends.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
import threading
from collections.abc import Iterator
from time import monotonic
from typing import Any, cast
from weakref import WeakKeyDictionary, WeakSet

from emulator.testing.watching.appfiles import AppFiles

_log = logging.getLogger(__name__)

# Real seconds. Time waits no longer for anything that its function has left running.
PATIENCE_SECONDS = 2.0

Straggler = asyncio.Task[Any] | threading.Thread


class Stragglers:
    """Belongs to the host's loop. `loop`: the app's, which runs on a thread of its own."""

    def __init__(self, files: AppFiles) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self._files = files
        # What was there before any function ran is the app's own affair, or the test's.
        self._others: WeakSet[Straggler] = WeakSet()
        self._threads: WeakSet[threading.Thread] = WeakSet()
        self._since: WeakKeyDictionary[Straggler, float] = WeakKeyDictionary()
        self._running = 0
        self._something_ran = False

    def app_loaded(self) -> None:
        self._others.update(self._tasks())
        self._others.update(threading.enumerate())

    def function_begins(self) -> None:
        if not self._running and not self._something_ran:
            # The test's own ones, which it started in between.
            self._others.update(threading.enumerate())
        self._running += 1

    def function_ended(self) -> None:
        self._running -= 1
        self._something_ran = True

    def at_work(self) -> bool:
        """Is there one that time should wait for? Asked whenever nothing else works."""
        if not self._something_ran:
            return False
        self._threads.update(thread for thread in threading.enumerate() if thread not in self._others)
        found = list(self._found())
        # Those that it begins while it is at work are found the next time.
        self._something_ran = bool(found)
        waited_for = [self._is_waited_for(straggler, place) for straggler, place in found]
        return any(waited_for)

    def _found(self) -> Iterator[tuple[Straggler, str]]:
        """Those at work, and where."""
        for task in self._tasks():
            if task not in self._others and (place := self._place_of(task)):
                yield task, place
        frames = sys._current_frames()
        for thread in self._threads:
            if place := self._files.place(frames.get(thread.ident or 0)):
                yield thread, place

    def _is_waited_for(self, straggler: Straggler, place: str) -> bool:
        since = self._since.setdefault(straggler, monotonic())
        if monotonic() - since < PATIENCE_SECONDS:
            return True
        self._others.add(straggler)
        if isinstance(straggler, threading.Thread):
            self._threads.discard(straggler)
        _log.warning(
            "A function left code running that still runs after %g s of real time, at %s. "
            "Virtual time no longer waits for it.",
            PATIENCE_SECONDS,
            place,
        )
        return False

    def _tasks(self) -> set[asyncio.Task[Any]]:
        return set() if self.loop is None or self.loop.is_closed() else asyncio.all_tasks(self.loop)

    def _place_of(self, task: asyncio.Task[Any]) -> str | None:
        """The innermost place in the app's code where a task stands."""
        found, awaited = None, cast(object, task.get_coro())
        while inspect.iscoroutine(awaited):
            if awaited.cr_frame is not None and awaited.cr_code.co_filename in self._files:
                found = f"{awaited.cr_code.co_filename}:{awaited.cr_frame.f_lineno}"
            awaited = awaited.cr_await
        return found
