"""Queues over REST. Facts: the Queue Service part of the Azure Storage REST reference."""

from __future__ import annotations

from datetime import timedelta

from emulator.storage.arrivals import Arrivals
from emulator.storage.error_mapping import invalid
from emulator.storage.port import ZERO, NotFound, QueueMessage
from emulator.storage.rest.dates import parse_http_date
from emulator.storage.rest.http import Service, escaped
from emulator.storage.rest.xml import Element, parse, queue_message, text_of

_FOR_EVER = "-1"
# The service writes "for ever" as this year.
_LAST_YEAR = "9999"

_XML = {"Content-Type": "application/xml"}
_CONFLICT = frozenset({409})

Query = tuple[tuple[str, str], ...]


class RestQueue:
    """See storage.api.Queue."""

    def __init__(self, name: str, service: Service, arrivals: Arrivals, *, ascii_only: bool) -> None:
        self.name = name
        self._service = service
        self._arrivals = arrivals
        self._ascii_only = ascii_only
        self._path = f"/{escaped(name)}"
        self._messages = f"{self._path}/messages"

    async def create(self) -> bool:
        # 204: it is there; 409: it is there with other metadata.
        answer = await self._service.ask(f"create queue {self.name}", "PUT", self._path, accept=_CONFLICT)
        return answer.status == 201

    async def drop(self) -> bool:
        try:
            await self._service.ask(f"delete queue {self.name}", "DELETE", self._path)
        except NotFound:
            return False
        return True

    async def put(self, body: str, *, visible_in: timedelta = ZERO, lives_for: timedelta | None = None) -> QueueMessage:
        doing = f"put a message into queue {self.name}"
        query: Query = (("messagettl", _FOR_EVER if lives_for is None else _seconds(lives_for)),)
        if visible_in:
            query = (("visibilitytimeout", _seconds(visible_in)), *query)
        answer = await self._service.ask(
            doing, "POST", self._messages, query=query, headers=_XML, body=self._text(doing, body)
        )
        if not visible_in:
            self._arrivals.announce()
        return _message(parse(answer.body)[0], body)

    async def get(self, *, limit: int, hide_for: timedelta) -> list[QueueMessage]:
        self._arrivals.looking()
        query = (("numofmessages", str(limit)), ("visibilitytimeout", _seconds(hide_for)))
        try:
            messages = await self._look(f"get messages from queue {self.name}", query)
        except BaseException:
            self._arrivals.announce()
            raise
        if len(messages) == limit:
            self._arrivals.announce()
        return messages

    async def peek(self, *, limit: int) -> list[QueueMessage]:
        return await self._look(f"peek into queue {self.name}", (("peekonly", "true"), ("numofmessages", str(limit))))

    async def _look(self, doing: str, query: Query) -> list[QueueMessage]:
        answer = await self._service.ask(doing, "GET", self._messages, query=query)
        return [_message(element, text_of(element, "MessageText")) for element in parse(answer.body)]

    async def hide(self, message: QueueMessage, *, hide_for: timedelta, body: str | None = None) -> QueueMessage:
        doing = f"update a message of queue {self.name}"
        answer = await self._service.ask(
            doing,
            "PUT",
            f"{self._messages}/{message.id}",
            query=(("popreceipt", message.pop_receipt), ("visibilitytimeout", _seconds(hide_for))),
            headers=None if body is None else _XML,
            body=b"" if body is None else self._text(doing, body),
        )
        if not hide_for:
            self._arrivals.announce()
        return QueueMessage(
            id=message.id,
            body=message.body if body is None else body,
            pop_receipt=answer.headers["x-ms-popreceipt"],
            dequeue_count=message.dequeue_count,
            inserted_at=message.inserted_at,
            next_visible_at=parse_http_date(answer.headers["x-ms-time-next-visible"]),
            expires_at=message.expires_at,
        )

    async def delete(self, message: QueueMessage) -> None:
        await self._service.ask(
            f"delete a message of queue {self.name}",
            "DELETE",
            f"{self._messages}/{message.id}",
            query=(("popreceipt", message.pop_receipt),),
        )

    async def clear(self) -> None:
        await self._service.ask(f"clear queue {self.name}", "DELETE", self._messages)

    async def count(self) -> int:
        answer = await self._service.ask(
            f"count the messages of queue {self.name}", "GET", self._path, query=(("comp", "metadata"),)
        )
        return int(answer.headers["x-ms-approximate-messages-count"])

    async def wait(self, at_most: timedelta) -> None:
        await self._arrivals.wait(at_most)

    def _text(self, doing: str, body: str) -> bytes:
        try:
            return queue_message(body, ascii_only=self._ascii_only)
        except ValueError as error:
            raise invalid(doing, "InvalidXmlDocument", f"{error}.") from None


def _seconds(span: timedelta) -> str:
    """Whole seconds, rounded down: what the service keeps."""
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
        # A peeked message has none: it is visible.
        next_visible_at=parse_http_date(next_visible) if next_visible else inserted_at,
        expires_at=None if _LAST_YEAR in expires else parse_http_date(expires),
    )
