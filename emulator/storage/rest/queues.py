"""Queues over REST. Source: "Queue Service REST API" of the Azure Storage REST reference."""

from __future__ import annotations

from datetime import timedelta

from emulator.storage.error_mapping import invalid_request
from emulator.storage.message_signal import MessageSignal
from emulator.storage.port import ZERO, NotFound, QueueMessage
from emulator.storage.rest.http_dates import parse_http_date
from emulator.storage.rest.service import Query, StorageService, escaped
from emulator.storage.rest.xml import Element, parse, queue_message, text_of

_UNLIMITED = "-1"
# Year of the expiry of a message with an unlimited time to live.
_UNLIMITED_YEAR = "9999"

_XML = {"Content-Type": "application/xml"}
_CONFLICT = frozenset({409})


class RestQueue:
    """Implements storage.port.Queue."""

    def __init__(self, name: str, service: StorageService, signal: MessageSignal, *, ascii_only: bool) -> None:
        self.name = name
        self._service = service
        self._signal = signal
        self._ascii_only = ascii_only
        self._path = f"/{escaped(name)}"
        self._messages = f"{self._path}/messages"

    async def create(self) -> bool:
        # 201: created; 204: it exists; 409: it exists with other metadata, or is being deleted.
        response = await self._service.request(f"create queue {self.name}", "PUT", self._path, accept=_CONFLICT)
        return response.status == 201

    async def drop(self) -> bool:
        try:
            await self._service.request(f"delete queue {self.name}", "DELETE", self._path)
        except NotFound:
            return False
        return True

    async def put(self, body: str, *, visible_in: timedelta = ZERO, lives_for: timedelta | None = None) -> QueueMessage:
        action = f"put a message into queue {self.name}"
        # Always given: without it the service removes a message after seven days.
        query: Query = (("messagettl", _UNLIMITED if lives_for is None else _seconds(lives_for)),)
        if visible_in:
            query = (("visibilitytimeout", _seconds(visible_in)), *query)
        response = await self._service.request(
            action, "POST", self._messages, query=query, headers=_XML, body=self._text(action, body)
        )
        if not visible_in:
            self._signal.set()
        return _message(parse(response.body)[0], body)

    async def get(self, *, limit: int, hide_for: timedelta) -> list[QueueMessage]:
        # Before the request: a message that is put while it is under way may not be in its response.
        self._signal.clear()
        query = (("numofmessages", str(limit)), ("visibilitytimeout", _seconds(hide_for)))
        try:
            messages = await self._receive(f"get messages from queue {self.name}", query)
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

    async def peek(self, *, limit: int) -> list[QueueMessage]:
        return await self._receive(
            f"peek into queue {self.name}", (("peekonly", "true"), ("numofmessages", str(limit)))
        )

    async def _receive(self, action: str, query: Query) -> list[QueueMessage]:
        response = await self._service.request(action, "GET", self._messages, query=query)
        return [_message(element, text_of(element, "MessageText")) for element in parse(response.body)]

    async def hide(self, message: QueueMessage, *, hide_for: timedelta, body: str | None = None) -> QueueMessage:
        action = f"update a message of queue {self.name}"
        response = await self._service.request(
            action,
            "PUT",
            f"{self._messages}/{message.id}",
            query=(("popreceipt", message.pop_receipt), ("visibilitytimeout", _seconds(hide_for))),
            headers=None if body is None else _XML,
            body=b"" if body is None else self._text(action, body),
        )
        if not hide_for:  # The message is visible now.
            self._signal.set()
        return QueueMessage(
            id=message.id,
            body=message.body if body is None else body,
            pop_receipt=response.headers["x-ms-popreceipt"],
            dequeue_count=message.dequeue_count,
            inserted_at=message.inserted_at,
            next_visible_at=parse_http_date(response.headers["x-ms-time-next-visible"]),
            expires_at=message.expires_at,
        )

    async def delete(self, message: QueueMessage) -> None:
        await self._service.request(
            f"delete a message of queue {self.name}",
            "DELETE",
            f"{self._messages}/{message.id}",
            query=(("popreceipt", message.pop_receipt),),
        )

    async def clear(self) -> None:
        await self._service.request(f"clear queue {self.name}", "DELETE", self._messages)

    async def count(self) -> int:
        response = await self._service.request(
            f"count the messages of queue {self.name}", "GET", self._path, query=(("comp", "metadata"),)
        )
        return int(response.headers["x-ms-approximate-messages-count"])

    async def wait(self, at_most: timedelta) -> None:
        await self._signal.wait(at_most)

    def _text(self, action: str, body: str) -> bytes:
        # The service would refuse it, too, but only say that the XML is invalid.
        try:
            return queue_message(body, ascii_only=self._ascii_only)
        except ValueError as error:
            raise invalid_request(action, "InvalidXmlDocument", f"{error}.") from None


def _seconds(span: timedelta) -> str:
    """Format whole seconds, rounded down: the service accepts no fractions."""
    return str(int(span.total_seconds()))


def _message(element: Element, body: str) -> QueueMessage:
    inserted_at = parse_http_date(text_of(element, "InsertionTime"))
    next_visible = text_of(element, "TimeNextVisible")
    expires = text_of(element, "ExpirationTime")
    return QueueMessage(
        id=text_of(element, "MessageId"),
        body=body,
        pop_receipt=text_of(element, "PopReceipt"),
        dequeue_count=int(text_of(element, "DequeueCount") or 0),
        inserted_at=inserted_at,
        # A peeked message has neither pop receipt nor this time, because it is visible.
        next_visible_at=parse_http_date(next_visible) if next_visible else inserted_at,
        expires_at=None if _UNLIMITED_YEAR in expires else parse_http_date(expires),
    )
