"""Listener of a storage queue that runs something for each message, as queue and blob triggers do.

    processor = MessageProcessor(run=run_function, poison_queue=poison_queue_of)
    async with listening(account, "orders", processor, options, clock=clock):
        ...                       # messages are received and processed
    # no more messages are received; those in work have been processed

Source: net-sdk, Storage.Common/Listeners/QueueListener.cs, QueueProcessor.cs; docs/protocol/functions-host.md 8.3.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final, TypeVar

from emulator.background import background, run_to_completion
from emulator.clock import Clock
from emulator.errors import EmulatorError
from emulator.logs import get_logger
from emulator.polling.backoff import Backoff
from emulator.polling.crash_recovery.host_identity import FIRST_LOCK, HostIdentity
from emulator.polling.crash_recovery.receipt_journal import NoReceiptJournal, ReceiptJournal
from emulator.polling.crash_recovery.takeover import takeover
from emulator.polling.failures import Failures
from emulator.polling.lock_renewal import LockRenewer
from emulator.polling.locked_message import LockedMessage
from emulator.polling.log_once import LogOnce, short_reason
from emulator.polling.message_wait import MessageWait
from emulator.storage.port import ZERO, NotFound, Queue, QueueMessage, StorageAccount, StorageUnreachable

T = TypeVar("T")

_log = get_logger(__name__)

LOCK_TIME: Final = timedelta(minutes=10)
"""How long a received message is hidden from other hosts, and how long each renewal hides it."""
MESSAGE_LIFETIME: Final = timedelta(days=7)
"""The time to live of messages that triggers and outputs put: the default of the queue service."""

_FIRST_PAUSE: Final = timedelta(milliseconds=100)
_SHORTEST_RETRY_PAUSE: Final = timedelta(seconds=1)


class Outcome(enum.Enum):
    """What has become of a message, and so what the listener does with it."""

    DONE = enum.auto()
    """It is deleted."""
    FAILED = enum.auto()
    """It is tried again until its dequeue count has reached the limit, and then moved to the poison queue."""
    REJECTED = enum.auto()
    """It can never be processed, so it is moved to the poison queue at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerOptions:
    """Limits of a listener.

    `batch_size`: messages per request, 1 to 32. `new_batch_threshold`: the next request is made when no more messages
    than this are in work; so at most `batch_size` + `new_batch_threshold` are. `max_polling_interval`: the longest
    pause between two polls of an empty queue. `max_dequeue_count`: how often a message is tried. `retry_delay`: how
    long a message is hidden after a failure.
    """

    batch_size: int
    new_batch_threshold: int
    max_polling_interval: timedelta
    max_dequeue_count: int
    retry_delay: timedelta = ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageProcessor:
    """What a trigger does with messages.

    `run`: processes one message; several run at once. It may be cancelled when the host stops; the message is then
    visible again at once. An exception that it raises is a defect: it is logged, and the message counts as failed.
    `poison_queue`: where a message goes that was tried often enough. None: it has no such queue. Then it is never given
    up: it stays hidden for the rest of its lock and is tried again, as in the storage extension from 5.3.8 on.
    """

    run: Callable[[QueueMessage], Awaitable[Outcome]]
    poison_queue: Callable[[QueueMessage], Queue | None]


@asynccontextmanager
async def listening(
    account: StorageAccount,
    queue_name: str,
    processor: MessageProcessor,
    options: ListenerOptions,
    *,
    clock: Clock,
    identity: HostIdentity | None = None,
) -> AsyncIterator[None]:
    """Process the messages of a queue while entered. The queue need not exist, and is not created.

    `identity`: of this host at this queue (`crash_recovery.host_identity.queue_identity`). With one, the messages of a
    killed host are visible again at once; without, when their locks end. Raises StorageUnreachable if there are such
    messages and storage is away.

    Leaving receives no more messages and waits until those in work are processed, without a time limit. If the caller
    is cancelled meanwhile, `run` is cancelled, and the messages that are left are visible again at once.
    """
    listener = _MessageListener(account.queue(queue_name), processor, options, clock, identity)
    async with AsyncExitStack() as stack:
        if identity is not None:
            messages = f"messages of queue '{queue_name}'"
            again = "They are processed again now."
            await stack.enter_async_context(takeover(identity, account, clock, what=messages, consequence=again))
        # The locks are renewed until the last message is processed, so the renewer is left after the poller.
        renewing = background(listener.renewer.run(), name=f"renew messages of queue {queue_name}")
        await stack.enter_async_context(renewing)
        await stack.enter_async_context(background(listener.poll(), name=f"poll queue {queue_name}"))
        yield


class _MessageListener:
    def __init__(
        self,
        queue: Queue,
        processor: MessageProcessor,
        options: ListenerOptions,
        clock: Clock,
        identity: HostIdentity | None,
    ) -> None:
        self._queue = queue
        self._processor = processor
        self._options = options
        self._clock = clock
        # With an identity the first lock is short: a message that is just being received when the host is killed is in
        # no journal.
        self._journal: ReceiptJournal = NoReceiptJournal() if identity is None else identity.journal
        self._first_lock = LOCK_TIME if identity is None else FIRST_LOCK
        self._wait = MessageWait(queue, clock)
        self._backoff = Backoff(options.max_polling_interval, first=_FIRST_PAUSE)
        self._longest_pause = max(options.max_polling_interval, _SHORTEST_RETRY_PAUSE)
        self._failures = Failures(f"Reading queue {queue.name}", clock, longest_pause=self._longest_pause)
        self._logged = LogOnce()
        self._tasks: set[asyncio.Task[None]] = set()
        # Set by every message that ends; the loop looks at the number of tasks again then.
        self._has_ended = asyncio.Event()
        # The messages in work, also those whose lock could not be renewed.
        self._in_work: dict[str, LockedMessage] = {}
        self.renewer: LockRenewer[LockedMessage] = LockRenewer(
            clock, shortest_lock=self._first_lock, on_lost=_note_lost
        )

    async def poll(self) -> None:
        """Receive and process messages until cancelled; then process those that were received."""
        try:
            while True:
                # Below the threshold a whole batch is requested, although that may be more than has ended.
                while len(self._tasks) > self._options.new_batch_threshold:
                    self._has_ended.clear()
                    await self._has_ended.wait()
                try:
                    # Not cancelled between the response, which has hidden the messages, and the start of their tasks.
                    is_empty = await run_to_completion(self._receive())
                except Exception as error:
                    # A loop that ends would end the host, whose next start may meet the same error.
                    await self._failures.wait_before_retry(error)
                    continue
                self._failures.resolved()
                if is_empty:
                    await self._wait.wait_for_message(self._backoff)
        finally:
            await self._drain()

    async def _receive(self) -> bool:
        """Request a batch and start its messages; return whether there were none."""
        # Computed before the request, so that this host never assumes a lock that the service has ended.
        locked_until = self._clock.now() + self._first_lock
        try:
            messages = await self._queue.get(limit=self._options.batch_size, hide_for=self._first_lock)
        except NotFound:
            # Triggers do not create their queue. A queue that appears later, or again, is found by the next poll.
            return True
        self._journal.record(self._queue.name, messages)
        for message in messages:
            lock = LockedMessage(
                self._queue,
                message,
                self._clock,
                locked_until=locked_until,
                locked_for=self._first_lock,
                lock_for=LOCK_TIME,
                journal=self._journal,
            )
            known = self._in_work.get(message.id)
            if known is not None and known.message.body == message.body:
                # This process was paused for longer than the lock, for example by a debugger. Running the message a
                # second time beside itself would surprise more than the higher dequeue count. Or storage responds too
                # slowly for the short first lock: with it, the count would reach its limit without a failure.
                self._first_lock = LOCK_TIME
                known.adopt_receipt(lock)
                self.renewer.add(known)
                continue
            self._in_work[message.id] = lock
            self.renewer.add(lock)
            task = asyncio.create_task(self._process(lock), name=lock.description)
            self._tasks.add(task)
            task.add_done_callback(self._ended)
        if messages:
            self._backoff.reset()
        return not messages

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._has_ended.set()

    async def _drain(self) -> None:
        try:
            while self._tasks:
                await asyncio.wait(self._tasks)
        finally:
            # Only if this wait is cancelled, because the host has given the messages enough time.
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)

    # One message ----------------------------------------------------------------------------------------------------

    async def _process(self, lock: LockedMessage) -> None:
        try:
            message = lock.message
            is_tried_enough = message.dequeue_count > self._options.max_dequeue_count
            if is_tried_enough and self._processor.poison_queue(message) is not None:
                # It was received too often by hosts that did not come to an end with it.
                outcome = Outcome.FAILED
            else:
                outcome = await self._run(lock)
            await self._settle(lock, outcome)
        except asyncio.CancelledError:
            await run_to_completion(self._release(lock))
            raise
        except Exception as error:
            # Also at later attempts, such as for a message that the poison queue refuses.
            if self._logged.is_first(lock.id):
                # An EmulatorError has a message for users. Any other error is a defect, and needs its traceback.
                traceback = None if isinstance(error, EmulatorError) else error
                _log.error(
                    "The result of %s could not be stored. The message will be processed again. %s",
                    lock.description,
                    short_reason(error),
                    exc_info=traceback,
                )
        finally:
            # A message that is visible again may have been received, and has another lock then.
            if self.renewer.get(lock.id) is lock:
                self.renewer.remove(lock)
            self._forget(lock)

    def _forget(self, lock: LockedMessage) -> None:
        if self._in_work.get(lock.id) is lock:
            del self._in_work[lock.id]

    async def _run(self, lock: LockedMessage) -> Outcome:
        message = lock.message
        try:
            # Functions see the time that renewals lock the message for, as on Azure.
            return await self._processor.run(replace(message, next_visible_at=lock.locked_at + LOCK_TIME))
        except Exception:
            _log.exception("Processing message %s of queue %s failed.", message.id, self._queue.name)
            return Outcome.FAILED

    async def _settle(self, lock: LockedMessage, outcome: Outcome) -> None:
        """Delete, return or move the message, as its outcome demands."""
        # From now on the message may be received again at any moment, and must be processed then.
        self._forget(lock)
        if outcome is Outcome.DONE:
            if not await self._repeat(lock.delete):
                _log.debug("%s is gone or was changed by others before it could be deleted", lock.description)
            return
        limit, count = self._options.max_dequeue_count, lock.message.dequeue_count
        poison_queue = self._processor.poison_queue(lock.message)
        if outcome is Outcome.FAILED and count < limit and poison_queue is not None:
            delay = self._options.retry_delay
            if await self._repeat(lambda: lock.hide(delay)) and delay:
                self._wait.expect(delay)
        elif poison_queue is None:
            self.renewer.remove(lock)
            # After a shorter lock it would be tried in a fast loop.
            if lock.locked_for < LOCK_TIME:
                await self._repeat(lambda: lock.hide(LOCK_TIME))
            _log.warning(
                "Message %s of queue '%s' has failed (dequeue count %d). The queue has no poison queue, so the message "
                "stays in it, hidden, and is tried again within %d minutes.",
                lock.id,
                self._queue.name,
                count,
                LOCK_TIME // timedelta(minutes=1),
            )
        else:
            if outcome is Outcome.FAILED:
                # The text of QueueProcessor.
                _log.warning(
                    "Message has reached MaxDequeueCount of %d. Moving message to queue '%s'.", limit, poison_queue.name
                )
            await self._repeat(lambda: put_creating(poison_queue, lock.message.body))
            # In this order, a crash in between leaves the message in both queues instead of none.
            await self._repeat(lock.delete)

    async def _release(self, lock: LockedMessage) -> None:
        """Make a message visible that this host has not processed to its end."""
        try:
            await lock.hide(ZERO)
        except EmulatorError as error:
            _log.debug("%s could not be returned to its queue and stays hidden: %s", lock.description, error)

    async def _repeat(self, change: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Make a change of the message until storage answers. It may be cancelled between two attempts."""
        # The function has run. If its message were not deleted because storage is away for a while, it would run again.
        operation = f"Deleting or returning a message of queue {self._queue.name}"
        failures = Failures(operation, self._clock, longest_pause=self._longest_pause)
        while True:
            try:
                result = await run_to_completion(change())
            except StorageUnreachable as error:
                await failures.wait_before_retry(error)
            else:
                failures.resolved()
                return result


async def put_creating(queue: Queue, body: str) -> None:
    """Put a message that lives for seven days; create the queue if it does not exist.

    Raises InvalidRequest for a text that is too long or has a character that XML does not allow, or a bad queue name.
    """
    try:
        await queue.put(body, lives_for=MESSAGE_LIFETIME)
    except NotFound:
        await queue.create()
        await queue.put(body, lives_for=MESSAGE_LIFETIME)


def _note_lost(lock: LockedMessage) -> None:
    # Not a warning: deleting or changing the message it was started by is a usual thing for a function to do.
    _log.debug("The lock of %s has ended, or the message was deleted or changed", lock.description)
