"""Reader of the queues of a task hub: peeks at their messages and receives none."""

from __future__ import annotations

import asyncio
from typing import Protocol, runtime_checkable

from emulator.diagnosis.facts import QueueFacts, SeenMessage
from emulator.durable.azurestorage.large import LargePayloads
from emulator.durable.azurestorage.messaging import wire
from emulator.durable.azurestorage.messaging.wire import UnreadableMessage
from emulator.durable.azurestorage.names import HubNames
from emulator.instant import Instant
from emulator.storage.port import NotFound, QueueMessage, StorageAccount, StorageError

MAX_PEEK = 32
"""The largest number of messages that the service shows at once."""

_MAX_LISTED = 1000


# A protocol, because only the built-in store has such queues, and only composition names a store.
@runtime_checkable
class ListableQueue(Protocol):
    """A queue that lists hidden messages, too."""

    async def list_messages(self) -> list[QueueMessage]:
        """List all messages, hidden ones included, the oldest first. Raises NotFound."""


async def control_queue_count(account: StorageAccount, hub: str) -> int:
    """Return how many control queues the hub has; 0 if it does not exist. Raises StorageUnreachable."""
    prefix = f"{hub.lower()}-control-"
    names = [name async for name in account.queues(prefix)]
    return sum(name.removeprefix(prefix).isdecimal() for name in names)


async def read_queues(account: StorageAccount, names: HubNames, large: LargePayloads) -> dict[str, QueueFacts]:
    """Read all queues of a hub. Raises StorageUnreachable."""
    queues = (*names.control_queues, names.work_item_queue)
    found = await asyncio.gather(*(_read_queue(account, name, large) for name in queues))
    return {queue.name: queue for queue in found}


async def _read_queue(account: StorageAccount, name: str, large: LargePayloads) -> QueueFacts:
    queue = account.queue(name)
    try:
        shows_hidden = isinstance(queue, ListableQueue)
        peeked = await (queue.list_messages() if isinstance(queue, ListableQueue) else queue.peek(limit=MAX_PEEK))
        # Counted after the peek: messages that were put in between count as not seen, and not as lost.
        count = len(peeked) if shows_hidden else await queue.count()
    except NotFound:
        return QueueFacts(name=name, exists=False)
    messages = [await _read_message(message, large, hidden=shows_hidden) for message in peeked[:_MAX_LISTED]]
    return QueueFacts(name=name, count=count, messages=messages, shows_hidden=shows_hidden)


async def _read_message(message: QueueMessage, large: LargePayloads, *, hidden: bool) -> SeenMessage:
    inserted = Instant.of(message.inserted_at)
    visible = Instant.of(message.next_visible_at) if hidden else None
    target = execution = event = None
    problem = ""
    try:
        data = wire.decode(message.body, received_at=inserted)
        if data.blob_name:
            data = wire.decode(await large.load(data.blob_name), received_at=inserted)
        if data.message is None:
            problem = "it has neither a TaskMessage nor a CompressedBlobName"
        else:
            target, execution = data.message.target.instance_id, data.message.target.execution_id
            event = data.message.event
    except (UnreadableMessage, StorageError) as error:
        problem = str(error)
    return SeenMessage(
        id=message.id,
        target=target,
        execution_id=execution,
        event=event,
        problem=problem,
        inserted_at=inserted,
        visible_at=visible,
        dequeue_count=message.dequeue_count,
    )
