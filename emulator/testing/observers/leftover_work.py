"""Leftover work: code of the app that still runs after its function has ended, as an asyncio task or a thread.

An HTTP function may respond and leave a task that sends a mail. A test that lets time advance wants that task to be
done first, so virtual time waits for it. It waits only for a limited real time, since such code may also be an endless
loop.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
from collections.abc import Iterator
from time import monotonic
from typing import Any, cast
from weakref import WeakKeyDictionary, WeakSet

from emulator.logs import get_logger
from emulator.testing.observers.app_files import AppFiles

_log = get_logger(__name__)

# Real seconds, for each task and thread.
MAX_WAIT_SECONDS = 2.0

TaskOrThread = asyncio.Task[Any] | threading.Thread


class LeftoverWork:
    """Finds leftover work. To be used on the host's loop only. `app_loop`: the app's loop, which has its own thread."""

    def __init__(self, files: AppFiles) -> None:
        self.app_loop: asyncio.AbstractEventLoop | None = None
        self._files = files
        # Tasks and threads that time does not wait for: those that existed before any function ran, which belong to the
        # app as a whole or to the test, and those that it has waited for long enough.
        self._ignored: WeakSet[TaskOrThread] = WeakSet()
        self._threads: WeakSet[threading.Thread] = WeakSet()
        self._found_at: WeakKeyDictionary[TaskOrThread, float] = WeakKeyDictionary()
        self._running_functions = 0
        # Looking costs time, so it is done only after a function has ended, and as long as something is found.
        self._may_exist = False

    def app_loaded(self) -> None:
        """Ignore the tasks and threads that exist now."""
        self._ignored.update(self._app_tasks())
        self._ignored.update(threading.enumerate())

    def function_begins(self) -> None:
        """Note that an invocation begins."""
        if not self._running_functions and not self._may_exist:
            # Threads that the test has started since the last function ended.
            self._ignored.update(threading.enumerate())
        self._running_functions += 1

    def function_ended(self) -> None:
        """Note that an invocation has ended, so it may have left work."""
        self._running_functions -= 1
        self._may_exist = True

    def exists(self) -> bool:
        """Return whether there is leftover work that time should wait for. Called when nothing else is working."""
        if not self._may_exist:
            return False
        self._threads.update(thread for thread in threading.enumerate() if thread not in self._ignored)
        work = list(self._find())
        # What this work starts in turn is found by the next call.
        self._may_exist = bool(work)
        waits = False
        # All of them are visited, because the time limit of each begins when it is first found.
        for item, place in work:
            found_at = self._found_at.setdefault(item, monotonic())
            if monotonic() - found_at < MAX_WAIT_SECONDS:
                waits = True
                continue
            self._ignored.add(item)
            if isinstance(item, threading.Thread):
                self._threads.discard(item)
            _log.warning(
                "A function has ended, but a task or thread that it started still runs after %g s of real time, at %s. "
                "Virtual time no longer waits for it.",
                MAX_WAIT_SECONDS,
                place,
            )
        return waits

    def _find(self) -> Iterator[tuple[TaskOrThread, str]]:
        """Yield tasks and threads that are executing or awaiting in the app's code, with that place."""
        for task in self._app_tasks():
            if task in self._ignored:
                continue
            # The innermost place in the app's code: follow the chain of awaits.
            place, awaited = None, cast(object, task.get_coro())
            while inspect.iscoroutine(awaited):
                if awaited.cr_frame is not None and awaited.cr_code.co_filename in self._files:
                    place = f"{awaited.cr_code.co_filename}:{awaited.cr_frame.f_lineno}"
                awaited = awaited.cr_await
            if place is not None:
                yield task, place
        frames = sys._current_frames()
        for thread in self._threads:
            # A thread without the app's code in its stack is a library's, or an idle thread of a pool.
            if place := self._files.place_in_stack(frames.get(thread.ident or 0)):
                yield thread, place

    def _app_tasks(self) -> set[asyncio.Task[Any]]:
        return set() if self.app_loop is None or self.app_loop.is_closed() else asyncio.all_tasks(self.app_loop)
