"""Sending of task messages: which queue a message goes to, and the MessageData envelope around it.

Source: docs/protocol/task-hub-storage.md chapters 2.3 and 5.1 (durabletask: AzureStorageOrchestrationService.cs,
MessageManager.cs).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from datetime import timedelta

from emulator.clock import Clock
from emulator.durable.azurestorage.large import LargePayloads
from emulator.durable.azurestorage.messaging import wire
from emulator.durable.azurestorage.messaging.checks import TO_INSTANCES, TO_WORKERS, Accepted
from emulator.durable.azurestorage.messaging.queues import EncodedMessage, TaskQueue
from emulator.durable.azurestorage.messaging.wire import MessageData
from emulator.durable.azurestorage.names import HubNames
from emulator.durable.core.identity import OrchestrationInstance
from emulator.durable.core.messages import TaskMessage
from emulator.durable.options import AzureStorageProvider
from emulator.ids import NewId, hyphenated
from emulator.polling.crash_recovery.receipt_journal import ReceiptJournal
from emulator.storage.port import MAX_HIDE, StorageAccount


class MessageSender:
    """Puts each message of this process into its queue, in a numbered envelope."""

    def __init__(
        self, names: HubNames, new_id: NewId, *, control_queue: Callable[[str], TaskQueue], work_items: TaskQueue
    ) -> None:
        self._names = names
        self._new_id = new_id
        self._open_control_queue = control_queue
        # Opened once: the polling loop of a queue and its senders must share one object, so that sending ends a wait.
        self._control_queues = {name: control_queue(name) for name in names.control_queues}
        # One counter for all queues, as in .NET. It restarts with the process, so it only orders messages of one
        # process.
        self._sequence_numbers = itertools.count(1)
        self.work_items = work_items

    @property
    def control_queues(self) -> Sequence[TaskQueue]:
        """All control queues that are in use."""
        return tuple(self._control_queues.values())

    def control_queue(self, name: str) -> TaskQueue:
        """Return the control queue of this name."""
        # The lease records may name a queue above the partition count, if the count was reduced. Its messages are
        # still processed, but nothing is sent to it any more.
        if name not in self._control_queues:
            self._control_queues[name] = self._open_control_queue(name)
        return self._control_queues[name]

    def queue_of(self, instance_id: str) -> TaskQueue:
        """Return the control queue that all messages to this instance go to."""
        return self._control_queues[self._names.control_queue_of(instance_id)]

    def encode(
        self, message: TaskMessage, *, sender: OrchestrationInstance = wire.CLIENT, episode: int | None = None
    ) -> EncodedMessage:
        """Serialize a message for the control queue of its target. `sender` and `episode`: see `MessageData`."""
        return self.queue_of(message.target.instance_id).encode(self._envelope(message, sender, episode))

    async def send(
        self, message: TaskMessage, *, sender: OrchestrationInstance = wire.CLIENT, episode: int | None = None
    ) -> None:
        """Send a message to the control queue of its target."""
        encoded = self.encode(message, sender=sender, episode=episode)
        await encoded.queue.put(encoded)

    async def send_work_item(self, message: TaskMessage, *, sender: OrchestrationInstance, episode: int | None) -> None:
        """Send an activity's TaskScheduled to the work-item queue."""
        await self.work_items.put(self.work_items.encode(self._envelope(message, sender, episode)))

    def _envelope(self, message: TaskMessage, sender: OrchestrationInstance, episode: int | None) -> MessageData:
        return MessageData(
            activity_id=hyphenated(self._new_id()),
            message=message,
            sequence_number=next(self._sequence_numbers),
            sender=sender,
            episode=episode,
        )


def open_sender(
    account: StorageAccount,
    names: HubNames,
    large: LargePayloads,
    clock: Clock,
    new_id: NewId,
    journal: ReceiptJournal,
    provider: AzureStorageProvider,
    *,
    first_lock: timedelta = MAX_HIDE,
) -> MessageSender:
    """Open the queues of a task hub. `first_lock`: the longest lock of a message that was not renewed yet."""

    def queue(name: str, timeout: timedelta, accepted: Accepted) -> TaskQueue:
        return TaskQueue(
            account.queue(name),
            large,
            clock,
            journal,
            first_lock=min(timeout, first_lock),
            lock_for=timeout,
            encoding=encoding,
            accepted=accepted,
        )

    encoding = provider.queue_client_message_encoding
    return MessageSender(
        names,
        new_id,
        control_queue=lambda name: queue(name, provider.control_queue_visibility_timeout, TO_INSTANCES),
        work_items=queue(names.work_item_queue, provider.work_item_queue_visibility_timeout, TO_WORKERS),
    )
