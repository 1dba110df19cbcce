"""Which queue a message goes to, and the envelope that it goes in.

Source: docs/protocol/task-hub-storage.md chapters 2.3 and 5.1 (durabletask: AzureStorageOrchestrationService.cs,
MessageManager.cs).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from datetime import timedelta

from emulator.clock import Clock
from emulator.durable.azurestorage.crash_recovery.receipt_journal import Ledger
from emulator.durable.azurestorage.large import LargePayloads
from emulator.durable.azurestorage.messaging import wire
from emulator.durable.azurestorage.messaging.queues import Sent, TaskQueue
from emulator.durable.azurestorage.messaging.wire import MessageData
from emulator.durable.azurestorage.names import HubNames
from emulator.durable.core.identity import OrchestrationInstance
from emulator.durable.core.messages import TaskMessage
from emulator.durable.options import AzureStorageProvider
from emulator.ids import NewId, hyphenated
from emulator.storage.port import MAX_HIDE, StorageAccount


class MessageSender:
    """Finds the queue of every message, and numbers and seals what this process sends."""

    def __init__(
        self, names: HubNames, new_id: NewId, *, control_queue: Callable[[str], TaskQueue], work_items: TaskQueue
    ) -> None:
        self._names = names
        self._new_id = new_id
        self._open_control_queue = control_queue
        self._control = {name: control_queue(name) for name in names.control_queues}
        self._numbers = itertools.count(1)
        self.work_items = work_items

    @property
    def control_queues(self) -> Sequence[TaskQueue]:
        return tuple(self._control.values())

    def control_queue(self, name: str) -> TaskQueue:
        """Also one that a formerly larger partition count has left behind: it is read until it is empty."""
        if name not in self._control:
            self._control[name] = self._open_control_queue(name)
        return self._control[name]

    def queue_of(self, instance_id: str) -> TaskQueue:
        return self._control[self._names.control_queue_of(instance_id)]

    async def send(
        self, message: TaskMessage, *, sender: OrchestrationInstance = wire.CLIENT, episode: int | None = None
    ) -> Sent:
        """To the control queue of the target."""
        return await self.queue_of(message.target.instance_id).put(self._sealed(message, sender, episode))

    async def send_work(self, message: TaskMessage, *, sender: OrchestrationInstance, episode: int | None) -> Sent:
        """To the work-item queue."""
        return await self.work_items.put(self._sealed(message, sender, episode))

    def _sealed(self, message: TaskMessage, sender: OrchestrationInstance, episode: int | None) -> MessageData:
        return MessageData(
            activity_id=hyphenated(self._new_id()),
            message=message,
            sequence_number=next(self._numbers),
            sender=sender,
            episode=episode,
        )


def open_sender(
    account: StorageAccount,
    names: HubNames,
    large: LargePayloads,
    clock: Clock,
    new_id: NewId,
    ledger: Ledger,
    provider: AzureStorageProvider,
    *,
    first_lock: timedelta = MAX_HIDE,
) -> MessageSender:
    """`first_lock`: the longest one for what was not renewed yet."""

    def queue(name: str, timeout: timedelta) -> TaskQueue:
        return TaskQueue(
            account.queue(name),
            large,
            clock,
            ledger,
            first_lock=min(timeout, first_lock),
            lock_for=timeout,
            encoding=encoding,
        )

    encoding = provider.queue_client_message_encoding
    return MessageSender(
        names,
        new_id,
        control_queue=lambda name: queue(name, provider.control_queue_visibility_timeout),
        work_items=queue(names.work_item_queue, provider.work_item_queue_visibility_timeout),
    )
