"""Reader of the queues of a task hub: peeks at their messages and receives none."""

from __future__ import annotations

import asyncio

from emulator.diagnosis.facts import QueueFacts, SeenMessage
from emulator.durable.azurestorage.large import LargePayloads
from emulator.durable.azurestorage.messaging.queues import read_message
from emulator.durable.azurestorage.messaging.wire import UnreadableMessage
from emulator.durable.azurestorage.names import HubNames
from emulator.instant import Instant
from emulator.storage.port import (
    MAX_MESSAGES,
    ListableQueue,
    NotFound,
    QueueMessage,
    StorageAccount,
    StorageError,
)

# Large messages are read from their blobs, so a full queue would take minutes.
_MAX_LISTED = 1000


async def control_queue_count(account: StorageAccount, hub: str) -> int:
    """Return how many control queues the hub has; 0 if it does not exist. Raises StorageUnreachable."""
    prefix = f"{hub.lower()}-control-"
    names = [name async for name in account.queues(prefix)]
    # Another hub may have a name that begins with this prefix.
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
        # The service shows the first 32 visible messages only, the built-in store all, with the times of hidden ones.
        peeked = await (queue.list_messages() if isinstance(queue, ListableQueue) else queue.peek(limit=MAX_MESSAGES))
        # Counted after the peek: messages that were put in between count as not seen, and not as lost.
        count = len(peeked) if shows_hidden else await queue.count()
    except NotFound:
        return QueueFacts(name=name, exists=False)
    messages = [await _read_message(message, large, hidden=shows_hidden) for message in peeked[:_MAX_LISTED]]
    return QueueFacts(name=name, count=count, messages=messages, shows_hidden=shows_hidden)


async def _read_message(message: QueueMessage, large: LargePayloads, *, hidden: bool) -> SeenMessage:
    task, problem = None, ""
    try:
        _, task = await read_message(message, large)
    except (UnreadableMessage, StorageError) as error:
        problem = str(error)
    return SeenMessage(
        id=message.id,
        target=None if task is None else task.target.instance_id,
        event=None if task is None else task.event,
        problem=problem,
        inserted_at=Instant.of(message.inserted_at),
        visible_at=Instant.of(message.next_visible_at) if hidden else None,
        dequeue_count=message.dequeue_count,
    )
