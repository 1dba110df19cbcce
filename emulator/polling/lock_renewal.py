"""Renewal of the locks (visibility timeouts) of the queue messages that this host is processing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

from emulator.clock import Clock
from emulator.errors import EmulatorError
from emulator.logs import get_logger
from emulator.polling.failures import Failures

_log = get_logger(__name__)

_LONGEST_INTERVAL = timedelta(seconds=30)


class Renewable(Protocol):
    """A message, or another item, that other hosts cannot take while its lock is renewed."""

    @property
    def id(self) -> str:
        """Identifies the item."""

    @property
    def description(self) -> str:
        """Noun phrase that names the item in the log."""

    def needs_renewal(self, now: datetime) -> bool:
        """Whether to renew now; usually when half of the lock time has passed."""

    async def renew(self) -> bool:
        """Extend the lock. False: the lock had ended and another host may have the item.

        Raises EmulatorError if the service does not respond; the renewal is repeated after the next interval.
        """


Item = TypeVar("Item", bound=Renewable)


class LockRenewer(Generic[Item]):
    """Renews the locks of the items that were added, while `run` runs.

    `shortest_lock`: the shortest time that a lock lasts when it has not been renewed yet. `on_lost`: called with an
    item that another host may have taken. Its lock is not renewed any more.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        shortest_lock: timedelta,
        on_lost: Callable[[Item], None],
    ) -> None:
        self._clock = clock
        self._failures = Failures("Renewing the locks of messages", clock)
        # Locks are renewed in their second half. With a quarter as interval, two of three checks can fail or be late
        # before the lock ends.
        self._interval = min(_LONGEST_INTERVAL, shortest_lock / 4)
        self._on_lost = on_lost
        # By id and not by object: a message that is received a second time is another object with the same id.
        self._items: dict[str, Item] = {}

    def __len__(self) -> int:
        return len(self._items)

    def get(self, item_id: str) -> Item | None:
        """Return the item with this id; None if it was not added."""
        return self._items.get(item_id)

    def items(self) -> Sequence[Item]:
        """Return the items that were added and not removed."""
        return tuple(self._items.values())

    def add(self, item: Item) -> None:
        """Renew the item's lock from now on."""
        self._items[item.id] = item

    def remove(self, item: Item) -> bool:
        """Stop renewing the item's lock. Returns False, and does nothing, if it was not added.

        Not that of another object with its id: this host may have lost the item and received it again.
        """
        is_renewed = self._items.get(item.id) is item
        if is_renewed:
            del self._items[item.id]
        return is_renewed

    async def run(self) -> None:
        """Renew locks until cancelled."""
        while True:
            await self._clock.sleep(self._interval.total_seconds(), upkeep=True)
            now = self._clock.now()
            due = [item for item in self._items.values() if item.needs_renewal(now)]
            # All at the same time: one after the other, the last of several hundred renewals would come after its
            # lock has ended if storage is slow.
            failures = [error for error in await asyncio.gather(*map(self._renew, due)) if error is not None]
            if failures:
                # One line, not one for each item and attempt.
                self._failures.note(failures[0])
            elif due:
                self._failures.resolved()

    async def _renew(self, item: Item) -> EmulatorError | None:
        """Renew the lock of an item. Return the error if the service does not respond."""
        try:
            if await item.renew():
                return None
        except EmulatorError as error:
            _log.debug("Renewing the lock of %s failed: %s", item.description, error)
            return error
        except Exception:
            # One item must not end the renewal of the others.
            _log.exception("Renewing the lock of %s failed.", item.description)
            return None
        # The item may have been removed while the request was under way, because this host deleted it or gave it
        # back. Then the refusal is expected, and nothing was lost.
        if self.remove(item):
            self._on_lost(item)
        return None
