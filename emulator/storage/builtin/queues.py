"""Queues of the built-in store.

Facts: REST reference of the queue service (Put, Get, Peek, Update, Delete, Clear Messages). Visible messages come in
the order in which they became visible; callers may not rely on it, with the real service they cannot.
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
from emulator.storage.builtin.arrivals import Arrivals
from emulator.storage.builtin.database import Database, Refused
from emulator.storage.builtin.names import check_queue_name
from emulator.storage.builtin.stamps import Stamps
from emulator.storage.builtin.times import SECOND, micros, moment, whole_second, whole_seconds
from emulator.storage.port import MAX_HIDE, MAX_MESSAGE_BYTES, ZERO, QueueMessage

_MAX_HIDE = whole_seconds(MAX_HIDE)
_MAX_MESSAGES = 32
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NOT_EXPIRED = "(expires_at IS NULL OR expires_at > :now)"
_VISIBLE = f"""
    SELECT sequence, id, pop_receipt, dequeue_count, inserted_at, visible_at, expires_at, body FROM messages
    WHERE queue_id = :queue AND visible_at <= :now AND {_NOT_EXPIRED}
    ORDER BY visible_at, sequence LIMIT :limit"""
_EVERY = f"""
    SELECT sequence, id, pop_receipt, dequeue_count, inserted_at, visible_at, expires_at, body FROM messages
    WHERE queue_id = :queue AND {_NOT_EXPIRED} ORDER BY sequence"""


class BuiltinQueue:
    """See storage.api.Queue."""

    def __init__(
        self, name: str, database: Database, arrivals: Arrivals, clock: Clock, stamps: Stamps, new_id: NewId
    ) -> None:
        self.name = name
        self._database = database
        self._arrivals = arrivals
        self._clock = clock
        self._stamps = stamps
        self._new_id = new_id

    async def create(self) -> bool:
        def work(connection: sqlite3.Connection) -> bool:
            check_queue_name(self.name)
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

        return await self._database.write(f"delete queue {self.name}", work, then=self._announce)

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
        hidden, life = whole_seconds(visible_in), None if lives_for is None else whole_seconds(lives_for)

        def work(connection: sqlite3.Connection) -> QueueMessage:
            _check_body(body)
            _check_times(hidden, life)
            now = micros(self._clock.now())
            message = QueueMessage(
                id=message_id,
                body=body,
                pop_receipt=self._stamps.next(),
                dequeue_count=dequeue_count,
                inserted_at=whole_second(now),
                next_visible_at=moment(now + hidden),
                expires_at=None if life is None else moment(now + life),
            )
            expires = None if life is None else now + life
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

        return await self._database.write(f"put a message into queue {self.name}", work, then=self._announce)

    async def get(self, *, limit: int, hide_for: timedelta) -> list[QueueMessage]:
        hidden = whole_seconds(hide_for)

        def work(connection: sqlite3.Connection) -> list[QueueMessage]:
            _check_limit(limit)
            _check_hidden(hidden, least=SECOND)
            queue, now = self._id(connection), micros(self._clock.now())
            connection.execute("DELETE FROM messages WHERE queue_id = ? AND expires_at <= ?", (queue, now))
            found = connection.execute(_VISIBLE, {"queue": queue, "now": now, "limit": limit}).fetchall()
            taken = [(self._stamps.next(), now + hidden, found_one[0]) for found_one in found]
            connection.executemany(
                "UPDATE messages SET pop_receipt = ?, visible_at = ?, dequeue_count = dequeue_count + 1"
                " WHERE sequence = ?",
                taken,
            )
            return [
                _message((*row[:2], receipt, row[3] + 1, row[4], until, *row[6:]))
                for row, (receipt, until, _) in zip(found, taken, strict=True)
            ]

        # What was taken, waiters need not be told: what they wait for comes no sooner than they think. When it is
        # deleted, they are.
        return await self._database.write(f"get messages from queue {self.name}", work)

    async def peek(self, *, limit: int) -> list[QueueMessage]:
        def work(connection: sqlite3.Connection) -> list[QueueMessage]:
            _check_limit(limit)
            arguments = {"queue": self._id(connection), "now": micros(self._clock.now()), "limit": limit}
            return [_without_receipt(row) for row in connection.execute(_VISIBLE, arguments)]

        return await self._database.read(f"peek into queue {self.name}", work)

    async def list_messages(self) -> list[QueueMessage]:
        """List all messages, hidden ones included, without pop receipts; the oldest first. Raises NotFound."""

        def work(connection: sqlite3.Connection) -> list[QueueMessage]:
            arguments = {"queue": self._id(connection), "now": micros(self._clock.now())}
            return [_without_receipt(row) for row in connection.execute(_EVERY, arguments)]

        return await self._database.read(f"list the messages of queue {self.name}", work)

    async def hide(self, message: QueueMessage, *, hide_for: timedelta, body: str | None = None) -> QueueMessage:
        hidden = whole_seconds(hide_for)

        def work(connection: sqlite3.Connection) -> QueueMessage:
            if body is not None:
                _check_body(body)
            _check_hidden(hidden)
            now = micros(self._clock.now())
            found = self._held(connection, message, now)
            if found.expires_at is not None and now + hidden > found.expires_at:
                raise Refused(400, "OutOfRangeQueryParameterValue", "It would be hidden beyond its time to live.")
            receipt, text = self._stamps.next(), message.body if body is None else body
            connection.execute(
                "UPDATE messages SET pop_receipt = ?, visible_at = ?, body = coalesce(?, body) WHERE sequence = ?",
                (receipt, now + hidden, body, found.sequence),
            )
            return replace(message, body=text, pop_receipt=receipt, next_visible_at=moment(now + hidden))

        return await self._database.write(f"update a message of queue {self.name}", work, then=self._announce)

    async def delete(self, message: QueueMessage) -> None:
        def work(connection: sqlite3.Connection) -> None:
            found = self._held(connection, message, micros(self._clock.now()))
            connection.execute("DELETE FROM messages WHERE sequence = ?", (found.sequence,))

        await self._database.write(f"delete a message of queue {self.name}", work, then=self._announce)

    async def clear(self) -> None:
        def work(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM messages WHERE queue_id = ?", (self._id(connection),))

        await self._database.write(f"clear queue {self.name}", work, then=self._announce)

    async def count(self) -> int:
        def work(connection: sqlite3.Connection) -> int:
            arguments = {"queue": self._id(connection), "now": micros(self._clock.now())}
            sql = f"SELECT count(*) FROM messages WHERE queue_id = :queue AND {_NOT_EXPIRED}"
            return int(connection.execute(sql, arguments).fetchone()[0])

        return await self._database.read(f"count the messages of queue {self.name}", work)

    async def wait(self, at_most: timedelta) -> None:
        end = asyncio.create_task(self._clock.sleep(at_most.total_seconds(), upkeep=True))
        try:
            while not end.done() and not await self._found_one(end):
                pass
        finally:
            end.cancel()

    async def _found_one(self, end: asyncio.Task[None]) -> bool:
        """True: a message is visible. False: look again, for something changed, or the end has come."""
        # Listen first, then look: what comes in between is not missed.
        async with self._arrivals.change(self.name) as change:
            visible_at = await self._database.read(f"look into queue {self.name}", self._next_visible_at)
            remaining = None if visible_at is None else visible_at - micros(self._clock.now())
            if remaining is None:
                await asyncio.wait({change, end}, return_when=asyncio.FIRST_COMPLETED)
            elif remaining > 0:
                # Not upkeep: a message that becomes visible is something to jump to.
                sleep = self._clock.sleep(remaining / SECOND)
                visible = asyncio.create_task(sleep, name=f"hidden message of queue {self.name}")
                try:
                    await asyncio.wait({change, end, visible}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    visible.cancel()
            return remaining is not None and remaining <= 0

    def _next_visible_at(self, connection: sqlite3.Connection) -> int | None:
        """When the next message becomes, or became, visible; None: there is none."""
        try:
            queue = self._id(connection)
        except _NoQueue:
            return None
        sql = (
            f"SELECT visible_at FROM messages WHERE queue_id = :queue AND {_NOT_EXPIRED}"
            " AND (expires_at IS NULL OR expires_at > visible_at) ORDER BY visible_at LIMIT 1"
        )
        found = connection.execute(sql, {"queue": queue, "now": micros(self._clock.now())}).fetchone()
        return None if found is None else int(found[0])

    def _announce(self) -> None:
        self._arrivals.announce(self.name)

    def _id(self, connection: sqlite3.Connection) -> int:
        found = connection.execute("SELECT id FROM queues WHERE name = ?", (self.name,)).fetchone()
        if found is None:
            check_queue_name(self.name)
            raise _NoQueue
        return int(found[0])

    def _held(self, connection: sqlite3.Connection, message: QueueMessage, now: int) -> _Held:
        """The message, if the receipt is the last one that was given out for it."""
        sql = (
            f"SELECT sequence, pop_receipt, expires_at FROM messages WHERE queue_id = :queue AND id = :id"
            f" AND {_NOT_EXPIRED}"
        )
        arguments = {"queue": self._id(connection), "id": message.id, "now": now}
        found = connection.execute(sql, arguments).fetchone()
        if found is None:
            raise Refused(404, "MessageNotFound", "The specified message does not exist.")
        if found[1] != message.pop_receipt:
            raise Refused(
                400,
                "PopReceiptMismatch",
                "The specified pop receipt did not match the pop receipt for a dequeued message.",
            )
        return _Held(found[0], found[2])


@dataclass(frozen=True, slots=True)
class _Held:
    sequence: int
    expires_at: int | None


class _NoQueue(Refused):
    def __init__(self) -> None:
        super().__init__(404, "QueueNotFound", "The specified queue does not exist.")


def _message(row: tuple[Any, ...]) -> QueueMessage:
    _, message_id, receipt, dequeue_count, inserted_at, visible_at, expires_at, body = row
    return QueueMessage(
        id=message_id,
        body=body,
        pop_receipt=receipt,
        dequeue_count=dequeue_count,
        inserted_at=whole_second(inserted_at),
        next_visible_at=moment(visible_at),
        expires_at=None if expires_at is None else moment(expires_at),
    )


def _without_receipt(row: tuple[Any, ...]) -> QueueMessage:
    return replace(_message(row), pop_receipt="")


def _check_body(body: str) -> None:
    if _NOT_XML.search(body):
        # The body of the request would be no XML.
        raise Refused(400, "InvalidXmlDocument", "The message has a character that XML does not have.")
    # At most four bytes a character: most texts need no encoding.
    if len(body) * 4 > MAX_MESSAGE_BYTES and len(body.encode("utf-8", "surrogatepass")) > MAX_MESSAGE_BYTES:
        raise Refused(
            413, "RequestBodyTooLarge", "The request body is too large and exceeds the maximum permissible limit."
        )


def _check_times(hidden: int, life: int | None) -> None:
    _check_hidden(hidden)
    if life is None:
        return
    if life < SECOND:
        raise Refused(400, "InvalidQueryParameterValue", "A message lives for at least one second.")
    if hidden >= life:
        raise Refused(400, "InvalidQueryParameterValue", "A message must live longer than it is hidden.")


def _check_hidden(hidden: int, *, least: int = 0) -> None:
    if not least <= hidden <= _MAX_HIDE:
        raise Refused(
            400, "OutOfRangeQueryParameterValue", f"visibilitytimeout is {hidden // SECOND} s, beyond what is allowed."
        )


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= _MAX_MESSAGES:
        raise Refused(400, "OutOfRangeQueryParameterValue", f"numofmessages is {limit}, not 1 to {_MAX_MESSAGES}.")
