"""Control queues and the work-item queue of a task hub: putting, getting, locking and returning task messages.

A `TaskQueue` converts between task messages and queue messages. Messages over the size limit go through a blob,
unreadable ones are set aside, and messages that are due later stay hidden until then.
Source: docs/protocol/task-hub-storage.md chapters 2.1, 2.4, 6.2 and 6.6 (durabletask: Messaging/*.cs,
MessageManager.cs).
"""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from emulator.clock import Clock
from emulator.durable.azurestorage.large import LargePayloads, message_blob_name, too_large_for_queue
from emulator.durable.azurestorage.messaging import wire
from emulator.durable.azurestorage.messaging.checks import Accepted, check
from emulator.durable.azurestorage.messaging.visibility import POISON_COUNT, abandoned_for, hidden_for
from emulator.durable.azurestorage.messaging.wire import MessageData, UnreadableMessage
from emulator.durable.core.messages import TaskMessage, due_at
from emulator.durable.options import MessageEncoding
from emulator.errors import EmulatorError
from emulator.instant import Instant
from emulator.logs import get_logger
from emulator.polling.backoff import Backoff
from emulator.polling.crash_recovery.receipt_journal import ReceiptJournal
from emulator.polling.locked_message import LockedMessage
from emulator.polling.log_once import LogOnce, short_reason
from emulator.polling.message_wait import MessageWait
from emulator.storage.port import ZERO, NotFound, Queue, QueueMessage, StorageOutage

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class ReceivedMessage:
    """A task message that this host has locked (`polling.lock_renewal.Renewable`)."""

    queue: TaskQueue = field(repr=False)
    lock: LockedMessage
    data: MessageData
    task: TaskMessage

    @property
    def id(self) -> str:
        """The id of the queue message; it stays the same when the message is received again."""
        return self.lock.id

    @property
    def description(self) -> str:
        """Message and queue, for the log."""
        return self.lock.description

    @property
    def dequeue_count(self) -> int:
        """How often the message was received, this time included."""
        return self.lock.message.dequeue_count

    @property
    def order(self) -> tuple[datetime, int]:
        """Sort key of the order in which messages were sent."""
        # The service rounds insertion times to whole seconds. Within a second, only the sequence number shows the
        # order, and only among messages of one sender.
        return self.lock.message.inserted_at, self.data.sequence_number

    def needs_renewal(self, now: datetime) -> bool:
        """Whether half of the lock time has passed."""
        return self.lock.needs_renewal(now)

    async def renew(self) -> bool:
        """Lock the message for another `lock_for`. False: the lock had ended and another host may have it."""
        return await self.lock.renew()


@dataclass(slots=True)
class EncodedMessage:
    """A serialized message for `queue`. `blob`: the name of the blob for its text, if the queue cannot take it.

    When the blob is stored, `text` becomes the reference to it.
    """

    queue: TaskQueue
    text: str
    blob: str | None
    due: Instant | None


class TaskQueue:
    """One queue of a task hub.

    `first_lock`: how long a received message is locked. `lock_for`: how long each renewal locks it. `accepted`: the
    events that the queue may have.
    """

    def __init__(
        self,
        queue: Queue,
        large: LargePayloads,
        clock: Clock,
        journal: ReceiptJournal,
        *,
        first_lock: timedelta,
        lock_for: timedelta,
        encoding: MessageEncoding,
        accepted: Accepted,
    ) -> None:
        self._queue = queue
        self._journal = journal
        self._large = large
        self._clock = clock
        self._encoding = encoding
        self._accepted = accepted
        self._set_aside = LogOnce()
        # One per queue for the whole life of the process: it remembers when hidden messages become visible.
        self._wait = MessageWait(queue, clock)
        self.first_lock = first_lock
        self._lock_for = lock_for

    @property
    def name(self) -> str:
        """The name of the storage queue."""
        return self._queue.name

    async def create(self) -> None:
        """Create the storage queue if it is missing."""
        await self._queue.create()

    async def drop(self) -> None:
        """Delete the storage queue with its messages."""
        await self._queue.drop()

    async def count(self) -> int:
        """Count all messages, hidden ones included."""
        return await self._queue.count()

    def encode(self, data: MessageData) -> EncodedMessage:
        """Serialize a message and decide whether it needs a blob."""
        assert data.message is not None
        text, blob = wire.encode(data), None
        if too_large_for_queue(text):
            event_type = data.message.event.type_name
            blob = message_blob_name(data.message.target.instance_id, data.activity_id, event_type)
        return EncodedMessage(self, text, blob, due_at(data.message))

    async def put(self, message: EncodedMessage) -> str | None:
        """Send a message; one that is due later stays hidden until then.

        Returns the URL of the blob with the message, or None if the message fits into the queue.
        """
        blob_url = None
        if message.blob is not None:
            # The blob is written before the queue message: a host may receive the message at once and must find
            # the body then. If that is this host, the body would be in memory twice.
            blob_url = await self._large.store(message.blob, message.text)
            message.text = wire.encode(MessageData.reference(message.blob))
        text = message.text
        if self._encoding is MessageEncoding.BASE64:
            text = base64.b64encode(text.encode()).decode()
        delay = ZERO if message.due is None else hidden_for(message.due - Instant.of(self._clock.now()))
        await self._queue.put(text, visible_in=delay)
        if delay:
            self.expect(delay)
        return blob_url

    async def get(self, limit: int) -> list[ReceivedMessage]:
        """Receive and lock up to `limit` (1 to 32) messages. Creates the queue if it does not exist.

        Messages that cannot be read are set aside: logged once, and hidden for longer after every attempt.
        """
        # Computed before the request, so that this host never assumes a lock that the service has ended.
        locked_until = self._clock.now() + self.first_lock
        try:
            queue_messages = await self._queue.get(limit=limit, hide_for=self.first_lock)
        except NotFound:
            # The queue was deleted while the host runs (Azurite lost its data, or a user cleaned up).
            await self._queue.create()
            return []
        # Before the messages are decoded, which may have to load blobs. A host that is killed meanwhile has locked
        # them.
        self._journal.record(self.name, queue_messages)
        locks = [
            LockedMessage(
                self._queue,
                message,
                self._clock,
                locked_until=locked_until,
                locked_for=self.first_lock,
                lock_for=self._lock_for,
                journal=self._journal,
            )
            for message in queue_messages
        ]
        # In parallel, because several messages of a batch may have to be loaded from blobs.
        received = await asyncio.gather(*map(self._read, locks))
        return [message for message in received if message is not None]

    async def _read(self, lock: LockedMessage) -> ReceivedMessage | None:
        try:
            data, task = await read_message(lock.message, self._large)
            check(task, self._accepted)
        except Exception as error:
            # Not deleted: another version of the app may be able to read it, and a blob may be restored. A blob service
            # that does not respond is no reason to stop either: the queue has responded.
            if not isinstance(error, StorageOutage) and self._set_aside.is_first(lock.id):
                known = isinstance(error, EmulatorError)
                _log.error(
                    "Message %s of queue %s cannot be read. It stays in the queue and is tried again every ten "
                    "minutes: %s",
                    lock.id,
                    self.name,
                    short_reason(error),
                    exc_info=None if known else error,
                )
            await self._return(lock, abandoned_for(lock.message.dequeue_count))
            return None
        return ReceivedMessage(self, lock, data, task)

    async def wait_for_message(self, backoff: Backoff) -> None:
        """Wait until a message may be visible; see `polling.message_wait`."""
        await self._wait.wait_for_message(backoff)

    def expect(self, delay: timedelta) -> None:
        """End a wait after `delay`, because a message becomes visible then."""
        self._wait.expect(delay)

    async def delete(self, message: ReceivedMessage) -> None:
        """Delete a processed message; does nothing if it is gone or locked by another host."""
        if not await message.lock.delete():
            # Harmless: the effects are stored, and the host that has the message now recognises it.
            _log.debug("Message %s of queue %s is gone or locked by another host", message.id, self.name)

    async def abandon(self, message: ReceivedMessage) -> None:
        """Return a message whose processing failed, with a delay that grows with every attempt."""
        # As in .NET there is no poison queue. The message is retried every ten minutes, because dropping it would leave
        # an orchestration waiting forever.
        if message.dequeue_count >= POISON_COUNT and self._set_aside.is_first(message.id):
            _log.warning(
                'Message %s (%s for instance "%s") was retried %d times; it stays in queue %s',
                message.id,
                message.task.event.type_name,
                message.task.target.instance_id,
                message.dequeue_count,
                self.name,
            )
        await self._return(message.lock, abandoned_for(message.dequeue_count))

    async def give_back(self, message: ReceivedMessage) -> None:
        """Make an unprocessed message visible at once for other hosts."""
        await self._return(message.lock, ZERO)

    async def postpone(self, message: ReceivedMessage, remaining: timedelta) -> None:
        """Hide a message that is not due yet for the `remaining` time."""
        await self._return(message.lock, hidden_for(remaining))

    async def _return(self, lock: LockedMessage, hide_for: timedelta) -> None:
        if await lock.hide(hide_for) and hide_for:
            self.expect(hide_for)


async def read_message(message: QueueMessage, large: LargePayloads) -> tuple[MessageData, TaskMessage]:
    """Return the envelope and the task message of a queue message, from its blob if it is large.

    Raises UnreadableMessage, and what the storage raises, such as NotFound for a blob that is gone.
    """
    received_at = Instant.of(message.inserted_at)
    data = wire.decode(message.body, received_at=received_at)
    # The queue message is only a reference then. Its own envelope fields are empty; those in the blob count.
    if blob := data.blob_name:
        text = await large.load(blob)
        try:
            data = wire.decode(text, received_at=received_at)
        except UnreadableMessage as error:
            raise UnreadableMessage(f"Blob {blob}: {error}") from error
    if data.message is None:
        raise UnreadableMessage("The message has neither a TaskMessage nor a CompressedBlobName.")
    return data, data.message
