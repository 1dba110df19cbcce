"""Queues through azure-storage-queue."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from azure.storage.queue import QueueMessage as SdkMessage
from azure.storage.queue.aio import QueueClient

from emulator.storage.azure.sdk_calls import SdkCalls
from emulator.storage.message_signal import MessageSignal
from emulator.storage.port import ZERO, NotFound, QueueMessage, StorageError

# Time to live that does not end.
_UNLIMITED = -1
# Year of the expiry of a message with an unlimited time to live.
_UNLIMITED_YEAR = 9999


class AzureQueue:
    """Implements storage.port.Queue."""

    def __init__(self, client: QueueClient, calls: SdkCalls, signal: MessageSignal) -> None:
        self._client = client
        self._calls = calls
        self._signal = signal
        self.name: str = client.queue_name

    async def create(self) -> bool:
        try:
            await self._calls.run(f"create queue {self.name}", self._client.create_queue())
        except StorageError as refused:
            # The service responds 204 if the queue exists, 409 if it has other metadata. The client raises for both.
            if refused.code != "QueueAlreadyExists":
                raise
            return False
        return True

    async def drop(self) -> bool:
        try:
            await self._calls.run(f"delete queue {self.name}", self._client.delete_queue())
        except NotFound:
            return False
        return True

    async def put(self, body: str, *, visible_in: timedelta = ZERO, lives_for: timedelta | None = None) -> QueueMessage:
        message = await self._calls.run(
            f"put a message into queue {self.name}",
            self._client.send_message(
                body,
                visibility_timeout=_seconds(visible_in) or None,
                time_to_live=_UNLIMITED if lives_for is None else _seconds(lives_for),
            ),
        )
        if not visible_in:
            self._signal.set()
        return _message(message, body)

    async def get(self, *, limit: int, hide_for: timedelta) -> list[QueueMessage]:
        # Before the request: a message that is put while it is under way may not be in its response.
        self._signal.clear()
        try:
            messages = await self._calls.run(
                f"get messages from queue {self.name}", self._receive(limit, _seconds(hide_for))
            )
        except NotFound:
            # A queue that does not exist has no messages. If the next wait returned at once, its listener would poll
            # without pauses.
            raise
        except BaseException:
            # The messages that the signal was set for may still be visible.
            self._signal.set()
            raise
        if len(messages) == limit:
            # There may be more than this request could return.
            self._signal.set()
        return messages

    async def _receive(self, limit: int, hide_seconds: int) -> list[QueueMessage]:
        # Only the first page is one request. Iterating over the messages would request more until the queue is empty.
        pages = self._client.receive_messages(messages_per_page=limit, visibility_timeout=hide_seconds).by_page()
        async for page in pages:
            return [_message(message, message.content) async for message in page]
        return []

    async def peek(self, *, limit: int) -> list[QueueMessage]:
        messages = await self._calls.run(f"peek into queue {self.name}", self._client.peek_messages(max_messages=limit))
        return [_message(message, message.content) for message in messages]

    async def hide(self, message: QueueMessage, *, hide_for: timedelta, body: str | None = None) -> QueueMessage:
        response = await self._calls.run(
            f"update a message of queue {self.name}",
            self._client.update_message(
                message.id, pop_receipt=message.pop_receipt, content=body, visibility_timeout=_seconds(hide_for)
            ),
        )
        if not hide_for:  # The message is visible now.
            self._signal.set()
        return QueueMessage(
            id=message.id,
            body=message.body if body is None else body,
            pop_receipt=str(response.pop_receipt),
            dequeue_count=message.dequeue_count,
            inserted_at=message.inserted_at,
            next_visible_at=_utc(response.next_visible_on),
            expires_at=message.expires_at,
        )

    async def delete(self, message: QueueMessage) -> None:
        await self._calls.run(
            f"delete a message of queue {self.name}",
            self._client.delete_message(message.id, pop_receipt=message.pop_receipt),
        )

    async def clear(self) -> None:
        await self._calls.run(f"clear queue {self.name}", self._client.clear_messages())

    async def count(self) -> int:
        properties = await self._calls.run(
            f"count the messages of queue {self.name}", self._client.get_queue_properties()
        )
        return int(properties.approximate_message_count or 0)

    async def wait(self, at_most: timedelta) -> None:
        await self._signal.wait(at_most)


def _seconds(span: timedelta) -> int:
    """Return whole seconds, rounded down: the service accepts no fractions."""
    return int(span.total_seconds())


def _message(message: SdkMessage, body: str) -> QueueMessage:
    expires_at = _utc(message.expires_on)
    return QueueMessage(
        id=message.id,
        body=body or "",
        pop_receipt=message.pop_receipt or "",
        dequeue_count=int(message.dequeue_count or 0),
        inserted_at=_utc(message.inserted_on),
        # A peeked message has neither pop receipt nor this time, because it is visible.
        next_visible_at=_utc(message.next_visible_on or message.inserted_on),
        expires_at=None if expires_at.year == _UNLIMITED_YEAR else expires_at,
    )


def _utc(moment: datetime | None) -> datetime:
    # The SDK returns naive times in UTC.
    return moment.replace(tzinfo=UTC) if moment is not None else datetime.max.replace(tzinfo=UTC)
