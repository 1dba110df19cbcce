"""Locked message: a received queue message with its pop receipt; how it is renewed, returned and deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from emulator.clock import Clock
from emulator.polling.crash_recovery.receipt_journal import NoReceiptJournal, ReceiptJournal
from emulator.storage.port import NotFound, PopReceiptMismatch, Queue, QueueMessage


class LockedMessage:
    """A received message (`polling.lock_renewal.Renewable`).

    `locked_until`: the end of the lock by this host's clock, computed before the message was requested. `locked_for`:
    the visibility timeout of that request. `lock_for`: the visibility timeout of each renewal. `journal`: gets the new
    receipts, and the end of the lock; the caller records the first receipt.
    """

    def __init__(
        self,
        queue: Queue,
        message: QueueMessage,
        clock: Clock,
        *,
        locked_until: datetime,
        locked_for: timedelta,
        lock_for: timedelta,
        journal: ReceiptJournal | None = None,
    ) -> None:
        self.message = message
        self._journal: ReceiptJournal = journal or NoReceiptJournal()
        self._queue = queue
        self._clock = clock
        self._locked_until = locked_until
        self._locked_for = locked_for
        self._lock_for = lock_for
        # Every update of a message gives it a new pop receipt and invalidates the old one. Two requests with the same
        # receipt must therefore not overlap: a deletion during a renewal would be refused.
        self._receipt_lock = asyncio.Lock()

    @property
    def id(self) -> str:
        """The id of the message; it stays the same when the message is received again."""
        return self.message.id

    @property
    def description(self) -> str:
        """Message and queue, for the log."""
        return f"message {self.id} of queue {self._queue.name}"

    @property
    def locked_for(self) -> timedelta:
        """The visibility timeout of the request that has received or renewed the message."""
        return self._locked_for

    @property
    def locked_at(self) -> datetime:
        """When the message was received or renewed, by the clock of the storage service."""
        return self.message.next_visible_at - self._locked_for

    def needs_renewal(self, now: datetime) -> bool:
        """Whether half of the lock time has passed."""
        return self._locked_until - now < self._locked_for / 2

    def adopt_receipt(self, newer: LockedMessage) -> None:
        """Take the receipt with which this host received the message again after its lock ended.

        The older receipt is invalid by then.
        """
        self.message = newer.message
        self._locked_until, self._locked_for = newer._locked_until, newer._locked_for

    async def renew(self) -> bool:
        """Lock the message for another `lock_for`. False: the lock had ended and another host may have it."""
        async with self._receipt_lock:
            # Computed before the request, so that this host never assumes a lock that the service has ended.
            locked_until = self._clock.now() + self._lock_for

            async def renew() -> None:
                self.message = await self._queue.hide(self.message, hide_for=self._lock_for)

            is_renewed = await self._is_accepted(renew)
            if is_renewed:
                # A host that is killed before this line leaves the old receipt in the journal. The service refuses that
                # one, and the lock runs out in its time.
                self._journal.record(self._queue.name, [self.message])
                self._locked_until, self._locked_for = locked_until, self._lock_for
            else:
                self._journal.forget(self.message)
        return is_renewed

    async def hide(self, hide_for: timedelta) -> bool:
        """Return the message, visible after `hide_for` (zero: at once). False: it is gone, or another host has it."""

        async def hide() -> None:
            # The new receipt is dropped. A renewal that waits for this request would otherwise succeed with it, and
            # lock a message that this host does not have any more.
            await self._queue.hide(self.message, hide_for=hide_for)

        return await self._give_up(hide)

    async def delete(self) -> bool:
        """Delete the message. False: it is gone, or another host has it."""
        return await self._give_up(lambda: self._queue.delete(self.message))

    async def _give_up(self, request: Callable[[], Awaitable[None]]) -> bool:
        async with self._receipt_lock:
            was_ours = await self._is_accepted(request)
            # Only when the service has responded. A message that could not be returned stays in the journal, so that
            # the next host returns it.
            self._journal.forget(self.message)
        return was_ours

    async def _is_accepted(self, request: Callable[[], Awaitable[None]]) -> bool:
        """Make a request with the receipt of `message`; return whether the service has accepted it."""
        while True:
            sent = self.message
            try:
                await request()
            except (NotFound, PopReceiptMismatch):
                # The service refuses an old receipt. That is normal after the process was stopped, for example in a
                # debugger, for longer than the lock. But then this host may have received the message again during the
                # request (`adopt_receipt`), and has it.
                if self.message is sent:
                    return False
            else:
                return True
