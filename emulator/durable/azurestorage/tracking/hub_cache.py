"""What one process remembers of a task hub, so as not to ask storage again.

Nothing here is needed for correctness: everything may be forgotten at any time, and is when a control queue goes to
another host. What is remembered of a history is proven by the sentinel's ETag at the next checkpoint.
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
    """The entries used last, up to `limit` of weight."""

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
        while self._weight > self._limit:
            _, (_, lightened) = self._entries.popitem(last=False)
            self._weight -= lightened

    def get(self, key: K) -> V | None:
        found = self._entries.get(key)
        if found is None:
            return None
        self._entries.move_to_end(key)
        return found[0]

    def forget(self, key: K) -> None:
        _, weight = self._entries.pop(key, (None, 0))
        self._weight -= weight

    def clear(self) -> None:
        self._entries.clear()
        self._weight = 0

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def __iter__(self) -> Iterator[K]:
        return iter(tuple(self._entries))

    def __len__(self) -> int:
        return len(self._entries)


_HISTORY_CHARACTERS = 64_000_000
_EXECUTIONS = 10_000
_MESSAGES = 50_000


class HubCache:
    """`histories`: as last stored by us; of a finished instance only that it has ended, and how. `over`: executions
    that were replaced. `consumed`: ids of queue messages whose effects are stored, to be deleted if they come again.
    `started`: the execution of each instance whose start this process stored completely.
    """

    def __init__(self) -> None:
        self.histories: LruCache[str, History] = LruCache(_HISTORY_CHARACTERS, weigh=lambda history: history.weight)
        self.over: LruCache[str, None] = LruCache(_EXECUTIONS)
        self.consumed: LruCache[str, None] = LruCache(_MESSAGES)
        self.started: LruCache[str, str] = LruCache(_EXECUTIONS)
        self._starting: dict[str, asyncio.Event] = {}

    @contextmanager
    def starting(self, instance_id: str) -> Iterator[None]:
        """This process starts the instance: its message may be out already, its status row not yet written."""
        done = self._starting[instance_id] = asyncio.Event()
        try:
            yield
        finally:
            done.set()
            if self._starting.get(instance_id) is done:
                del self._starting[instance_id]

    async def start_stored(self, instance_id: str) -> None:
        """Wait while this process starts the instance."""
        done = self._starting.get(instance_id)
        if done is not None:
            await done.wait()

    def keep(self, history: History) -> None:
        """Stored just now. A failed instance is not kept: a rewind changes its rows without moving the ETag."""
        if history.status is None or not history.status.is_terminal:
            self.histories[history.instance_id] = history
        elif history.status is RuntimeStatus.FAILED:
            self.histories.forget(history.instance_id)
        else:
            self.histories[history.instance_id] = history.without_events()

    def clear(self) -> None:
        for recent in (self.histories, self.over, self.consumed, self.started):
            recent.clear()

    def forget(self, instance_id: str) -> None:
        self.histories.forget(instance_id)
        self.started.forget(instance_id)
