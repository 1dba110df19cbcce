"""In-process cache of a task hub's histories, executions and messages, which saves reading them from storage again.

Correctness never depends on the cache: every entry may be dropped at any time, and entries of a control queue that is
handed over to another host are dropped. A cached history is verified by the ETag of its sentinel row at the next
checkpoint.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from emulator.durable.azurestorage.tracking.history import History
from emulator.durable.core.identity import RuntimeStatus

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class LruCache(Generic[K, V]):
    """The most recently used entries, up to a total weight of `limit`."""

    def __init__(self, limit: int, *, weigh: Callable[[V], int] = lambda _: 1) -> None:
        self._limit = limit
        self._weigh = weigh
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._weight = 0

    def __setitem__(self, key: K, value: V) -> None:
        self.forget(key)
        weight = self._weigh(value)
        self._entries[key] = (value, weight)
        self._weight += weight
        # An entry that is heavier than the limit is dropped as well.
        while self._weight > self._limit:
            _, (_, dropped_weight) = self._entries.popitem(last=False)
            self._weight -= dropped_weight

    def get(self, key: K) -> V | None:
        """Return the value of `key` and mark it as used."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        # The first entry is the one that is dropped next.
        self._entries.move_to_end(key)
        return entry[0]

    def forget(self, key: K) -> None:
        """Drop an entry; does nothing if there is none."""
        _, weight = self._entries.pop(key, (None, 0))
        self._weight -= weight

    def clear(self) -> None:
        """Drop all entries."""
        self._entries.clear()
        self._weight = 0

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def __iter__(self) -> Iterator[K]:
        # A copy, so that callers may drop entries while they iterate.
        return iter(tuple(self._entries))

    def __len__(self) -> int:
        return len(self._entries)


# At one to four bytes per character, 64 to 256 MB. The other entries are ids.
_HISTORY_CHARACTERS = 64_000_000
_EXECUTIONS = 10_000
_MESSAGES = 50_000


class HubCache:
    """Histories, executions and messages of one task hub.

    `histories`: by instance id, as this process stored them; of a finished instance only its status and ETag.
    `replaced`: ids of executions that another execution of their instance has replaced.
    `consumed`: by id of a queue message whose effects are stored, its queue: a copy that is received again is deleted.
    `started`: by instance id, the execution whose start message and status row this process has written.
    """

    def __init__(self) -> None:
        self.histories: LruCache[str, History] = LruCache(_HISTORY_CHARACTERS, weigh=lambda history: history.weight)
        self.replaced: LruCache[str, None] = LruCache(_EXECUTIONS)
        self.consumed: LruCache[str, str] = LruCache(_MESSAGES)
        self.started: LruCache[str, str] = LruCache(_EXECUTIONS)
        self._starting: dict[str, asyncio.Event] = {}

    @contextmanager
    def starting(self, instance_id: str) -> Iterator[None]:
        """Mark the instance while a client of this process writes its start message and its status row."""
        done = self._starting[instance_id] = asyncio.Event()
        try:
            yield
        finally:
            # A failed start ends the wait as well. The worker then reads the status row, which may not exist.
            done.set()
            # Another client may have begun to start the same id and set its own event.
            if self._starting.get(instance_id) is done:
                del self._starting[instance_id]

    async def wait_until_start_stored(self, instance_id: str) -> None:
        """Wait while a client of this process is starting the instance."""
        done = self._starting.get(instance_id)
        if done is not None:
            await done.wait()

    def keep(self, history: History) -> None:
        """Cache a history that was just stored or verified."""
        if history.status is None or not history.status.is_terminal:
            self.histories[history.instance_id] = history
        elif history.status is RuntimeStatus.FAILED:
            # A rewind changes rows of a failed instance without changing the ETag of the sentinel, so an outdated
            # entry would not be noticed.
            self.histories.forget(history.instance_id)
        else:
            self.histories[history.instance_id] = history.without_events()

    def clear(self) -> None:
        """Drop all entries, because the task hub was deleted."""
        for entries in (self.histories, self.replaced, self.consumed, self.started):
            entries.clear()

    def forget(self, instance_id: str) -> None:
        """Drop the entries of one instance."""
        self.histories.forget(instance_id)
        self.started.forget(instance_id)
