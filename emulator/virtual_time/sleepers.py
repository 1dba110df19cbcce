"""Sleepers: the asyncio tasks that wait for a point in virtual time, in a heap ordered by that time."""

from __future__ import annotations

import asyncio
import heapq
import types
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

# Below this number of cancelled entries, removing them would cost more than they do.
_MIN_CANCELLED = 64


@dataclass(frozen=True, slots=True)
class Sleeper:
    """A task that waits until `due`, for messages.

    `where` is `file:line (function)`, or the name of the task if the task only sleeps. `upkeep` and
    `recurring`: see emulator.clock.
    """

    due: datetime
    upkeep: bool
    where: str
    recurring: bool = False


class SleeperEntry:
    """An entry of the heap. Entries with the same due time are woken in the order of their numbers."""

    __slots__ = ("_code", "_line", "_task", "due", "future", "number", "recurring", "woken")

    def __init__(
        self,
        due: datetime,
        number: int,
        future: asyncio.Future[None],
        frame: types.FrameType,
        recurring: bool,
    ) -> None:
        self.due = due
        self.number = number
        self.future = future
        self.recurring = recurring
        self.woken = False
        # Code and line instead of the frame: a frame would keep the sleeper's local variables alive.
        self._code, self._line = frame.f_code, frame.f_lineno
        self._task = asyncio.current_task()

    def __lt__(self, other: SleeperEntry) -> bool:
        return (self.due, self.number) < (other.due, other.number)

    def wake(self) -> None:
        """Let the sleeper continue."""
        self.woken = True
        # The sleeper may have been cancelled in the same pass of the loop.
        if not self.future.done():
            self.future.set_result(None)

    @property
    def where(self) -> str:
        """See Sleeper.where."""
        # `create_task(clock.sleep(…))`: the calling frame is asyncio's own, and says nothing.
        if self._code.co_filename == asyncio.events.__file__ and self._task is not None:
            return self._task.get_name()
        return location_of(self._code, self._line)


class Sleepers:
    """A heap of sleepers from which entries can be removed.

    A removed entry stays in the heap until it reaches the top, or until removed entries are the majority. Removing it
    at once would need a search through the heap, and most sleeps (time limits) are cancelled.
    """

    def __init__(self) -> None:
        self._heap: list[SleeperEntry] = []
        # Approximately: an entry can leave the heap at the top before its sleeper reports the cancellation.
        self._cancelled = 0

    def __bool__(self) -> bool:
        return self.next_due() is not None

    def __iter__(self) -> Iterator[SleeperEntry]:
        return (entry for entry in self._heap if not entry.future.done())

    def add(self, entry: SleeperEntry) -> None:
        """Add a sleeper."""
        heapq.heappush(self._heap, entry)

    def remove(self, entry: SleeperEntry) -> None:
        """Remove a sleeper that has been cancelled."""
        entry.future.cancel()
        self._cancelled += 1
        if self._cancelled > _MIN_CANCELLED and self._cancelled * 2 > len(self._heap):
            self._heap = list(self)
            heapq.heapify(self._heap)
            self._cancelled = 0

    def next_due(self) -> datetime | None:
        """Return the time of the next sleeper; None if there is none."""
        while self._heap and self._heap[0].future.done():
            heapq.heappop(self._heap)
            self._cancelled = max(self._cancelled - 1, 0)
        return self._heap[0].due if self._heap else None

    def pop_due(self, now: datetime) -> Iterator[SleeperEntry]:
        """Remove and yield the sleepers that are due at `now`, in order."""
        while (due := self.next_due()) is not None and due <= now:
            yield heapq.heappop(self._heap)


def location_of(code: types.CodeType, line: int) -> str:
    """Return `file:line (function)`."""
    return f"{code.co_filename}:{line} ({code.co_qualname})"
