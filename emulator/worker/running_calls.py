"""The calls of user code that run now: which function, and at which line of the app it is.

When the host stops, it names the functions that do not end; `azemu why` shows where they are.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from emulator.worker.origins import place_in_app


@dataclass(frozen=True, slots=True, eq=False)
class _Call:
    """`task`: of an async function; None for a sync one."""

    function: str
    thread_id: int
    task: asyncio.Task[Any] | None

    def frame(self) -> FrameType | None:
        """Return the innermost frame of the call."""
        thread = sys._current_frames().get(self.thread_id)
        if self.task is None or asyncio.current_task(self.task.get_loop()) is self.task:
            return thread
        # The task waits. Each coroutine refers to the one that it awaits; the innermost is that which has no frame of
        # the app below it, so the last frame counts.
        awaited: Any = self.task.get_coro()
        innermost = None
        while (frame := getattr(awaited, "cr_frame", None)) is not None:
            if place_in_app(frame) is not None:
                innermost = frame
            awaited = awaited.cr_await
        return innermost


class RunningCalls:
    """Calls by their order of start. Each is added on the thread that runs it."""

    def __init__(self) -> None:
        self._calls: dict[_Call, None] = {}

    @contextmanager
    def running(self, function: str, *, is_async: bool) -> Iterator[None]:
        """Note that the current thread, or the current task, runs a function."""
        call = _Call(function, threading.get_ident(), asyncio.current_task() if is_async else None)
        self._calls[call] = None
        try:
            yield
        finally:
            del self._calls[call]

    def places_of(self, function: str) -> list[str]:
        """Return where the running calls of a function are in the app's code; empty if none is in it."""
        places = (place_in_app(call.frame()) for call in list(self._calls) if call.function == function)
        return [place for place in places if place is not None]

    def describe(self) -> list[str]:
        """Return a line for each call, such as "Function 'flow' still runs (function_app.py, line 8, in flow: …)"."""
        lines = []
        for call in list(self._calls):
            place = place_in_app(call.frame())
            lines.append(f"Function '{call.function}' still runs" + (f" ({place})" if place else ""))
        return lines
