"""The control queues and the work-item queue: task messages in and out.

A `TaskQueue` speaks in task messages; what is too large for a queue goes through a blob, what cannot be read is given
back with a growing delay, and what is due later is hidden.
Source: docs/protocol/task-hub-storage.md chapters 2.1, 2.4, 6.2 and 6.6 (durabletask: Messaging/*.cs,
MessageManager.cs).
"""

from __future__ import annotations

import asyncio
import base64
import heapq
import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from emulator.clock import Clock
from emulator.durable.azurestorage.crash_recovery.receipt_journal import Ledger
from emulator.durable.azurestorage.large import LargePayloads, message_blob_name, too_large_for_queue
from emulator.durable.azurestorage.messaging import wire
from emulator.durable.azurestorage.messaging.backoff import Backoff
from emulator.durable.azurestorage.messaging.visibility import POISON_COUNT, abandoned_for, due_at, hidden_for
from emulator.durable.azurestorage.messaging.wire import MessageData, UnreadableMessage
from emulator.durable.core.messages import TaskMessage
from emulator.durable.options import MessageEncoding
from emulator.instant import Instant
from emulator.storage.port import (
    ZERO,
    NotFound,
    PopReceiptMismatch,
    Queue,
    QueueMessage,
    StorageError,
)

_log = logging.getLogger(__name__)

# A hidden message shows up by the service's clock, which this one may be ahead of.
_SLACK = timedelta(milliseconds=20)


@dataclass(slots=True, eq=False)
class Received:
    """A message in our hands. `message`, `locked_until` (by our clock) and `locked_for` change with its receipt.

    `changing`: held while its receipt is used, since every use but the last makes the one before worthless.
    """

    queue: TaskQueue = field(repr=False)
    message: QueueMessage
    data: MessageData
    task: TaskMessage
    locked_until: datetime
    locked_for: timedelta
    changing: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    @property
    def id(self) -> str:
        return self.message.id

    @property
    def dequeue_count(self) -> int:
        return self.message.dequeue_count

    @property
    def taken_at(self) -> datetime:
        """By the service's clock."""
        return self.message.next_visible_at - self.locked_for

    def needs_renewal(self, now: datetime) -> bool:
        return self.locked_until - now < self.locked_for / 2

    def superseded_by(self, newer: Received) -> None:
        """It became visible although we have it: from now on only the newer receipt is worth something."""
        self.message, self.locked_until, self.locked_for = newer.message, newer.locked_until, newer.locked_for

    @property
    def order(self) -> tuple[datetime, int]:
        """Insertion times have a resolution of one second; within it, the sender's count decides."""
        return self.message.inserted_at, self.data.sequence_number


@dataclass(frozen=True, slots=True)
class Sent:
    """`blob_url`: set when the message proper went to a blob."""

    message: QueueMessage
    blob_url: str | None


class TaskQueue:
    """One queue of a task hub.

    `first_lock`: how long a message that was taken stays ours without renewal; `lock_for`: how long after a renewal.
    """

    def __init__(
        self,
        queue: Queue,
        large: LargePayloads,
        clock: Clock,
        ledger: Ledger,
        *,
        first_lock: timedelta,
        lock_for: timedelta,
        encoding: MessageEncoding,
    ) -> None:
        self._queue = queue
        self._ledger = ledger
        self._large = large
        self._clock = clock
        self._encoding = encoding
        self._reappearing: list[datetime] = []
        self.first_lock = first_lock
        self._lock_for = lock_for

    @property
    def name(self) -> str:
        return self._queue.name

    async def create(self) -> None:
        await self._queue.create()

    async def drop(self) -> None:
        await self._queue.drop()

    async def put(self, data: MessageData) -> Sent:
        """Send; a message that is due later stays hidden till then."""
        text, blob_url = wire.encode(data), None
        assert data.message is not None
        if too_large_for_queue(text):
            event_type = data.message.event.type_name
            blob = message_blob_name(data.message.target.instance_id, data.activity_id, event_type)
            # The blob goes first: whoever finds the reference must find the message.
            blob_url = await self._large.store(blob, text)
            text = wire.encode(MessageData.reference(blob))
        hide = self._hiding(data.message)
        message = await self._queue.put(self._encoded(text), visible_in=hide)
        if hide:
            self.expect(hide)
        return Sent(message, blob_url)

    def _hiding(self, message: TaskMessage) -> timedelta:
        due = due_at(message)
        return ZERO if due is None else hidden_for(due - Instant.of(self._clock.now()))

    def _encoded(self, text: str) -> str:
        return base64.b64encode(text.encode()).decode() if self._encoding is MessageEncoding.BASE64 else text

    async def get(self, limit: int) -> list[Received]:
        """Take up to `limit` messages. Unreadable ones are given back and logged.

        Empty when the queue does not exist (yet, or any more).
        """
        locked_until = self._clock.now() + self.first_lock
        try:
            found = await self._queue.get(limit=limit, hide_for=self.first_lock)
        except NotFound:
            await self._queue.create()
            return []
        self._ledger.hold(self.name, found)
        received = await asyncio.gather(*(self._read(message, locked_until) for message in found))
        return [each for each in received if each is not None]

    async def _read(self, message: QueueMessage, locked_until: datetime) -> Received | None:
        try:
            data, task = await self._opened(message)
        except (UnreadableMessage, StorageError) as error:
            _log.error("Message %s of queue %s cannot be read and is given back: %s", message.id, self.name, error)
            await self._hide(message, abandoned_for(message.dequeue_count))
            return None
        return Received(self, message, data, task, locked_until, self.first_lock)

    async def _opened(self, message: QueueMessage) -> tuple[MessageData, TaskMessage]:
        data = wire.decode(message.body, received_at=Instant.of(message.inserted_at))
        if data.blob_name:
            data = wire.decode(await self._large.load(data.blob_name))
        if data.message is None:
            raise UnreadableMessage("The message has neither a TaskMessage nor a CompressedBlobName.")
        return data, data.message

    async def wait(self, backoff: Backoff) -> None:
        """Until there may be something to get: a message came, or one that this host hid is due, or time is up."""
        pause = backoff.next()
        now = self._clock.now()
        if self._reappearing:
            until = self._reappearing[0] + _SLACK - now
            if until <= pause:
                pause = max(until, ZERO)
                while self._reappearing and self._reappearing[0] + _SLACK <= now + pause:
                    heapq.heappop(self._reappearing)
                backoff.reset()
        if pause:
            await self._queue.wait(pause)
            if self._clock.now() - now < 0.9 * pause:  # Woken: something was put.
                backoff.reset()

    def expect(self, hidden: timedelta) -> None:
        """There may be something to get when so much time has passed."""
        heapq.heappush(self._reappearing, self._clock.now() + hidden)

    async def delete(self, received: Received) -> None:
        """Done with it. A message that is gone already is fine; one that others see now is theirs."""
        async with received.changing:
            try:
                await self._queue.delete(received.message)
            except (NotFound, PopReceiptMismatch):
                _log.debug("Message %s of queue %s is gone, or somebody else's by now", received.id, self.name)
            self._ledger.release(received.message)

    async def abandon(self, received: Received) -> None:
        """Give it back, with a delay that grows with the number of tries."""
        if received.dequeue_count >= POISON_COUNT:
            _log.warning(
                'Message %s (%s for instance "%s") was given back %d times; it stays in queue %s',
                received.id,
                received.task.event.type_name,
                received.task.target.instance_id,
                received.dequeue_count,
                self.name,
            )
        await self._give_back(received, abandoned_for(received.dequeue_count))

    async def give_back(self, received: Received) -> None:
        """Let others have it at once: nothing is wrong with it."""
        await self._give_back(received, ZERO)

    async def postpone(self, received: Received, remaining: timedelta) -> None:
        """Hide it again until it is due."""
        await self._give_back(received, hidden_for(remaining))

    async def _give_back(self, received: Received, hide_for: timedelta) -> None:
        async with received.changing:
            await self._hide(received.message, hide_for)

    async def _hide(self, message: QueueMessage, hide_for: timedelta) -> None:
        try:
            await self._queue.hide(message, hide_for=hide_for)
        except (NotFound, PopReceiptMismatch):
            hide_for = ZERO
        # One that storage does not take back stays in the ledger: a successor may have more luck.
        self._ledger.release(message)
        if hide_for:
            self.expect(hide_for)

    async def renew(self, received: Received) -> bool:
        """Keep it for another `lock_for`; False: it is not ours any more."""
        async with received.changing:
            locked_until = self._clock.now() + self._lock_for
            try:
                received.message = await self._queue.hide(received.message, hide_for=self._lock_for)
            except (NotFound, PopReceiptMismatch):
                self._ledger.release(received.message)
                return False
            self._ledger.hold(self.name, [received.message])
            received.locked_until, received.locked_for = locked_until, self._lock_for
        return True
