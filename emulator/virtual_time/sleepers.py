"""Who waits for virtual time: a heap that can forget."""

from __future__ import annotations

import asyncio
import heapq
import types
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

_TIDY_ABOVE = 64


@dataclass(frozen=True, slots=True)
class Sleeper:
    """Somebody who waits for time. `where`: `file:line (function)`, or the name of a task that does nothing else."""

    due: datetime
    upkeep: bool
    where: str


class SleeperEntry:
    """A sleeper in a heap: by due time, first come first woken."""

    __slots__ = ("_code", "_line", "_task", "due", "future", "number", "woken")

    def __init__(self, due: datetime, number: int, future: asyncio.Future[None], frame: types.FrameType) -> None:
        self.due = due
        self.number = number
        self.future = future
        self.woken = False
        # The code and line, not the frame: a frame would keep the sleeper's variables alive.
        self._code, self._line = frame.f_code, frame.f_lineno
        self._task = asyncio.current_task()

    def __lt__(self, other: SleeperEntry) -> bool:
        return (self.due, self.number) < (other.due, other.number)

    def wake(self) -> None:
        self.woken = True
        if not self.future.done():
            self.future.set_result(None)

    @property
    def where(self) -> str:
        if self._code.co_filename == asyncio.events.__file__ and self._task is not None:
            return self._task.get_name()
        return place_of(self._code, self._line)


class Sleepers:
    """A heap that forgets: cancelled entries stay until they surface or are the majority."""

    def __init__(self) -> None:
        self._heap: list[SleeperEntry] = []
        # How many of them were cancelled, about: a cancelled one can surface before its sleeper says so.
        self._gone = 0

    def __bool__(self) -> bool:
        return self.next_due() is not None

    def __iter__(self) -> Iterator[SleeperEntry]:
        return (entry for entry in self._heap if not entry.future.done())

    def add(self, entry: SleeperEntry) -> None:
        heapq.heappush(self._heap, entry)

    def forget(self, entry: SleeperEntry) -> None:
        entry.future.cancel()
        self._gone += 1
        if self._gone > _TIDY_ABOVE and self._gone * 2 > len(self._heap):
            self._heap = list(self)
            heapq.heapify(self._heap)
            self._gone = 0

    def next_due(self) -> datetime | None:
        while self._heap and self._heap[0].future.done():
            heapq.heappop(self._heap)
            self._gone = max(self._gone - 1, 0)
        return self._heap[0].due if self._heap else None

    def due(self, moment: datetime) -> Iterator[SleeperEntry]:
        while (due := self.next_due()) is not None and due <= moment:
            yield heapq.heappop(self._heap)


def place_of(code: types.CodeType, line: int) -> str:
    """For people: `file:line (function)`."""
    return f"{code.co_filename}:{line} ({code.co_qualname})"
