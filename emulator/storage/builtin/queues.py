"""Queues of the built-in store.

Messages are returned in the order in which they became visible. Callers may not rely on it, because the service
promises no order.
Source: Azure Storage REST reference, queue service (Put, Get, Peek, Update, Delete, Clear Messages).
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from emulator.clock import Clock
from emulator.ids import NewId, hyphenated
from emulator.storage.builtin.database import Database, Refused
from emulator.storage.builtin.names import check_queue_name
from emulator.storage.builtin.notifications import QueueNotifications
from emulator.storage.builtin.timestamps import SECOND, from_micros, span_micros, to_micros, whole_second
from emulator.storage.port import MAX_HIDE, MAX_MESSAGE_BYTES, MAX_MESSAGES, ZERO, QueueMessage

_MAX_HIDE = span_micros(MAX_HIDE)
# Characters that XML 1.0 does not allow. Messages travel as XML.
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NOT_EXPIRED = "(expires_at IS NULL OR expires_at > :now)"
# By time first, which is what the index message_by_time gives without sorting.
_VISIBLE = f"""
    SELECT sequence, id, pop_receipt, dequeue_count, inserted_at, visible_at, expires_at, body FROM messages
    WHERE queue_id = :queue AND visible_at <= :now AND {_NOT_EXPIRED}
    ORDER BY visible_at, sequence LIMIT :limit"""
_ALL = f"""
    SELECT sequence, id, pop_receipt, dequeue_count, inserted_at, visible_at, expires_at, body FROM messages
    WHERE queue_id = :queue AND {_NOT_EXPIRED} ORDER BY sequence"""


class BuiltinQueue:
    """Implements storage.port.Queue."""

    def __init__(
        self,
        name: str,
        database: Database,
        notifications: QueueNotifications,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self.name = name
        self._database = database
        self._notifications = notifications
        self._clock = clock
        self._new_id = new_id

    async def create(self) -> bool:
        def work(connection: sqlite3.Connection) -> bool:
            check_queue_name(self.name)
            # The result shows which of several processes has created it.
            done = connection.execute("INSERT OR IGNORE INTO queues (name) VALUES (?)", (self.name,))
            return done.rowcount == 1

        return await self._database.write(f"create queue {self.name}", work)

    async def drop(self) -> bool:
        def work(connection: sqlite3.Connection) -> bool:
            with suppress(_NoQueue):
                queue = self._id(connection)
                connection.execute("DELETE FROM messages WHERE queue_id = ?", (queue,))
                connection.execute("DELETE FROM queues WHERE id = ?", (queue,))
                return True
            return False

        return await self._database.write(f"delete queue {self.name}", work, then=self._notify)

    async def put(self, body: str, *, visible_in: timedelta = ZERO, lives_for: timedelta | None = None) -> QueueMessage:
        return await self.restore_message(hyphenated(self._new_id()), body, visible_in=visible_in, lives_for=lives_for)

    async def restore_message(
        self,
        message_id: str,
        body: str,
        *,
        visible_in: timedelta = ZERO,
        lives_for: timedelta | None = None,
        dequeue_count: int = 0,
    ) -> QueueMessage:
        """Add a message with a given id and dequeue count (an import). A message with this id that exists stays."""
        hidden, life = span_micros(visible_in), None if lives_for is None else span_micros(lives_for)

        def work(connection: sqlite3.Connection) -> QueueMessage:
            _check_body(body)
            _check_hidden(hidden)
            if life is not None and life < SECOND:
                raise Refused(
                    400, "InvalidQueryParameterValue", "The time to live of a message must be at least one second."
                )
            if life is not None and hidden >= life:
                raise Refused(
                    400,
                    "InvalidQueryParameterValue",
                    "The time to live of a message must be longer than the time for which it is hidden.",
                )
            now = to_micros(self._clock.now())
            message = QueueMessage(
                id=message_id,
                body=body,
                pop_receipt=self._database.tokens.next(),
                dequeue_count=dequeue_count,
                inserted_at=whole_second(now),
                next_visible_at=from_micros(now + hidden),
                expires_at=None if life is None else from_micros(now + life),
            )
            expires = None if life is None else now + life
            # An imported message keeps its id, so the queue may have a message of that id already.
            connection.execute(
                "INSERT INTO messages (queue_id, id, pop_receipt, dequeue_count, inserted_at, visible_at, expires_at,"
                " body) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (queue_id, id) DO NOTHING",
                (
                    self._id(connection),
                    message_id,
                    message.pop_receipt,
                    dequeue_count,
                    now,
                    now + hidden,
                    expires,
                    body,
                ),
            )
            return message

        return await self._database.write(f"put a message into queue {self.name}", work, then=self._notify)

    async def get(self, *, limit: int, hide_for: timedelta) -> list[QueueMessage]:
        hidden = span_micros(hide_for)

        def work(connection: sqlite3.Connection) -> list[QueueMessage]:
            _check_limit(limit)
            # Unlike a put or an update, a dequeued message must be hidden.
            _check_hidden(hidden, least=SECOND)
            queue, now = self._id(connection), to_micros(self._clock.now())
            # Expired messages are removed here; all other statements ignore them.
            connection.execute("DELETE FROM messages WHERE queue_id = ? AND expires_at <= ?", (queue, now))
            visible = connection.execute(_VISIBLE, {"queue": queue, "now": now, "limit": limit}).fetchall()
            taken = [(self._database.tokens.next(), now + hidden, columns[0]) for columns in visible]
            # New receipts: the earlier ones of these messages are invalid from now on.
            connection.executemany(
                "UPDATE messages SET pop_receipt = ?, visible_at = ?, dequeue_count = dequeue_count + 1"
                " WHERE sequence = ?",
                taken,
            )
            return [
                _message((*columns[:2], receipt, columns[3] + 1, columns[4], until, *columns[6:]))
                for columns, (receipt, until, _) in zip(visible, taken, strict=True)
            ]

        # No notification: hiding messages makes nothing visible earlier than waiters expect.
        return await self._database.write(f"get messages from queue {self.name}", work)

    async def peek(self, *, limit: int) -> list[QueueMessage]:
        def work(connection: sqlite3.Connection) -> list[QueueMessage]:
            _check_limit(limit)
            arguments = {"queue": self._id(connection), "now": to_micros(self._clock.now()), "limit": limit}
            return [replace(_message(columns), pop_receipt="") for columns in connection.execute(_VISIBLE, arguments)]

        return await self._database.read(f"peek into queue {self.name}", work)

    async def list_messages(self) -> list[QueueMessage]:
        """List all messages, hidden ones included, without pop receipts; the oldest first. Raises NotFound."""

        def work(connection: sqlite3.Connection) -> list[QueueMessage]:
            arguments = {"queue": self._id(connection), "now": to_micros(self._clock.now())}
            return [replace(_message(columns), pop_receipt="") for columns in connection.execute(_ALL, arguments)]

        return await self._database.read(f"list the messages of queue {self.name}", work)

    async def hide(self, message: QueueMessage, *, hide_for: timedelta, body: str | None = None) -> QueueMessage:
        hidden = span_micros(hide_for)

        def work(connection: sqlite3.Connection) -> QueueMessage:
            if body is not None:
                _check_body(body)
            _check_hidden(hidden)
            now = to_micros(self._clock.now())
            current = self._find(connection, message, now)
            if current.expires_at is not None and now + hidden > current.expires_at:
                raise Refused(
                    400, "OutOfRangeQueryParameterValue", "The message would be hidden beyond its time to live."
                )
            receipt, text = self._database.tokens.next(), message.body if body is None else body
            connection.execute(
                "UPDATE messages SET pop_receipt = ?, visible_at = ?, body = coalesce(?, body) WHERE sequence = ?",
                (receipt, now + hidden, body, current.sequence),
            )
            return replace(message, body=text, pop_receipt=receipt, next_visible_at=from_micros(now + hidden))

        return await self._database.write(f"update a message of queue {self.name}", work, then=self._notify)

    async def delete(self, message: QueueMessage) -> None:
        def work(connection: sqlite3.Connection) -> None:
            current = self._find(connection, message, to_micros(self._clock.now()))
            connection.execute("DELETE FROM messages WHERE sequence = ?", (current.sequence,))

        # Waiters may be waiting for the time of this message.
        await self._database.write(f"delete a message of queue {self.name}", work, then=self._notify)

    async def clear(self) -> None:
        def work(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM messages WHERE queue_id = ?", (self._id(connection),))

        await self._database.write(f"clear queue {self.name}", work, then=self._notify)

    async def count(self) -> int:
        def work(connection: sqlite3.Connection) -> int:
            arguments = {"queue": self._id(connection), "now": to_micros(self._clock.now())}
            sql = f"SELECT count(*) FROM messages WHERE queue_id = :queue AND {_NOT_EXPIRED}"
            return int(connection.execute(sql, arguments).fetchone()[0])

        return await self._database.read(f"count the messages of queue {self.name}", work)

    async def wait(self, at_most: timedelta) -> None:
        # Upkeep: the longest wait is a polling interval, for which virtual time must not stop.
        end = asyncio.create_task(self._clock.sleep(at_most.total_seconds(), upkeep=True))
        try:
            while not end.done() and not await self._wait_for_change(end):
                pass
        finally:
            end.cancel()

    async def _wait_for_change(self, end: asyncio.Task[None]) -> bool:
        """Wait until the next message becomes visible, messages change, or `end`. True if a message is visible."""
        # Register before looking. A message that is put in between would be missed otherwise.
        async with self._notifications.change(self.name) as change:
            visible_at = await self._database.read(
                f"read the next visibility time of queue {self.name}", self._next_visible_at
            )
            remaining = None if visible_at is None else visible_at - to_micros(self._clock.now())
            if remaining is None:
                await asyncio.wait({change, end}, return_when=asyncio.FIRST_COMPLETED)
            elif remaining > 0:
                # Not upkeep: virtual time should jump to the moment at which a message becomes visible.
                sleep = self._clock.sleep(remaining / SECOND)
                visible = asyncio.create_task(sleep, name=f"hidden message of queue {self.name}")
                try:
                    await asyncio.wait({change, end, visible}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    visible.cancel()
            return remaining is not None and remaining <= 0

    def _next_visible_at(self, connection: sqlite3.Connection) -> int | None:
        """Return when the next message becomes, or became, visible; None if the queue has no message."""
        try:
            queue = self._id(connection)
        except _NoQueue:
            # It may be created, and a message put into it, before the wait is over.
            return None
        # A message that expires while it is hidden never becomes visible.
        sql = (
            f"SELECT visible_at FROM messages WHERE queue_id = :queue AND {_NOT_EXPIRED}"
            " AND (expires_at IS NULL OR expires_at > visible_at) ORDER BY visible_at LIMIT 1"
        )
        columns = connection.execute(sql, {"queue": queue, "now": to_micros(self._clock.now())}).fetchone()
        return None if columns is None else int(columns[0])

    def _notify(self) -> None:
        self._notifications.notify(self.name)

    def _id(self, connection: sqlite3.Connection) -> int:
        columns = connection.execute("SELECT id FROM queues WHERE name = ?", (self.name,)).fetchone()
        if columns is None:
            # The service reports an invalid name rather than a missing queue.
            check_queue_name(self.name)
            raise _NoQueue
        return int(columns[0])

    def _find(self, connection: sqlite3.Connection, message: QueueMessage, now: int) -> _StoredMessage:
        """Find a message. Raises Refused if it is gone, or if the pop receipt is not the last one."""
        sql = (
            f"SELECT sequence, pop_receipt, expires_at FROM messages WHERE queue_id = :queue AND id = :id"
            f" AND {_NOT_EXPIRED}"
        )
        arguments = {"queue": self._id(connection), "id": message.id, "now": now}
        columns = connection.execute(sql, arguments).fetchone()
        if columns is None:
            raise Refused(404, "MessageNotFound", "The specified message does not exist.")
        # An expired visibility timeout alone does not invalidate a receipt. Only the next `get` or `hide` does.
        if columns[1] != message.pop_receipt:
            raise Refused(
                400,
                "PopReceiptMismatch",
                "The specified pop receipt did not match the pop receipt for a dequeued message.",
            )
        return _StoredMessage(columns[0], columns[2])


@dataclass(frozen=True, slots=True)
class _StoredMessage:
    """Primary key and expiry (microseconds) of a message."""

    sequence: int
    expires_at: int | None


class _NoQueue(Refused):
    """The queue does not exist. Has its own class, because dropping a missing queue is not an error."""

    def __init__(self) -> None:
        super().__init__(404, "QueueNotFound", "The specified queue does not exist.")


def _message(columns: tuple[Any, ...]) -> QueueMessage:
    _, message_id, receipt, dequeue_count, inserted_at, visible_at, expires_at, body = columns
    return QueueMessage(
        id=message_id,
        body=body,
        pop_receipt=receipt,
        dequeue_count=dequeue_count,
        inserted_at=whole_second(inserted_at),
        next_visible_at=from_micros(visible_at),
        expires_at=None if expires_at is None else from_micros(expires_at),
    )


def _check_body(body: str) -> None:
    if _NOT_XML.search(body):
        raise Refused(400, "InvalidXmlDocument", "The message has a character that XML does not allow.")
    # A character has at most four bytes in UTF-8, so only long texts are encoded to measure them.
    if len(body) * 4 > MAX_MESSAGE_BYTES and len(body.encode("utf-8", "surrogatepass")) > MAX_MESSAGE_BYTES:
        raise Refused(
            413, "RequestBodyTooLarge", "The request body is too large and exceeds the maximum permissible limit."
        )


def _check_hidden(hidden: int, *, least: int = 0) -> None:
    if not least <= hidden <= _MAX_HIDE:
        raise Refused(
            400, "OutOfRangeQueryParameterValue", f"visibilitytimeout is {hidden // SECOND} s, which is not allowed."
        )


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= MAX_MESSAGES:
        raise Refused(400, "OutOfRangeQueryParameterValue", f"numofmessages is {limit}, not 1 to {MAX_MESSAGES}.")
