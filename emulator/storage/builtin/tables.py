"""Tables of the built-in store.

Facts: REST reference of the table service (Insert, Update, Merge, Delete Entity, Query Entities, "Performing Entity
Group Transactions").
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from emulator.clock import Clock
from emulator.instant import Instant
from emulator.storage.builtin.database import Database, Refused
from emulator.storage.builtin.filters import decides, prefilter
from emulator.storage.builtin.names import check_table_name
from emulator.storage.builtin.rows import check_keys, check_properties, loaded, stored
from emulator.storage.builtin.schema import ordinal_key, text_of_key
from emulator.storage.builtin.stamps import Stamps
from emulator.storage.filters import Condition
from emulator.storage.port import ANY_ETAG, MAX_BATCH_OPERATIONS, Operation, Page, Row, TableOperation

_PAGE = 1000
_MAX_BATCH_BYTES = 4 * 1024 * 1024
# The headers of one operation in the body of a batch request, about.
_OPERATION_BYTES = 400
_COLUMNS = "partition_key, row_key, etag, timestamp, properties"
_NEEDS_MATCH = frozenset({Operation.REPLACE, Operation.MERGE, Operation.DELETE})


class BuiltinTable:
    """See storage.api.Table."""

    def __init__(self, name: str, database: Database, clock: Clock, stamps: Stamps) -> None:
        self.name = name
        self._folded = name.lower()
        self._database = database
        self._clock = clock
        self._stamps = stamps

    async def create(self) -> bool:
        def work(connection: sqlite3.Connection) -> bool:
            check_table_name(self.name)
            sql = "INSERT OR IGNORE INTO tables (name, folded) VALUES (?, ?)"
            return connection.execute(sql, (self.name, self._folded)).rowcount == 1

        return await self._database.write(f"create table {self.name}", work)

    async def drop(self) -> bool:
        def work(connection: sqlite3.Connection) -> bool:
            with suppress(_NoTable):
                table = self._id(connection)
                connection.execute("DELETE FROM entities WHERE table_id = ?", (table,))
                connection.execute("DELETE FROM tables WHERE id = ?", (table,))
                return True
            return False

        return await self._database.write(f"delete table {self.name}", work)

    async def read(self, partition_key: str, row_key: str, *, select: Sequence[str] = ()) -> Row:
        def work(connection: sqlite3.Connection) -> Row:
            check_keys(Row(partition_key, row_key, {}))
            found = _find(connection, self._id(connection), ordinal_key(partition_key), ordinal_key(row_key))
            if found is None:
                raise _no_row()
            return _row(found, select)

        return await self._database.read(f"read row {partition_key!r}, {row_key!r} of table {self.name}", work)

    async def page(
        self,
        where: Condition | None = None,
        *,
        select: Sequence[str] = (),
        limit: int = _PAGE,
        continuation: str | None = None,
    ) -> Page:
        def work(connection: sqlite3.Connection) -> Page:
            if not 1 <= limit <= _PAGE:
                raise Refused(400, "InvalidInput", f"$top is {limit}, not 1 to {_PAGE}.")
            start = _start(continuation)
            rows: list[Row] = []
            for found in _scan(connection, self._id(connection), where, start):
                if len(rows) == limit:
                    return Page(rows, _continuation(found))
                rows.append(_row(found, select))
            return Page(rows)

        return await self._database.read(f"query table {self.name}", work)

    async def submit(self, operations: Sequence[TableOperation]) -> list[str | None]:
        if not operations:
            return []
        if len(operations) == 1:
            [operation] = operations
            doing = f"{operation.kind.value} row {operation.row.partition_key!r}, {operation.row.row_key!r}"
            return await self._database.write(f"{doing} of table {self.name}", self._single(operation))
        doing = f"submit {len(operations)} operations to table {self.name}"
        return await self._database.write(doing, self._batch(operations))

    def _single(self, operation: TableOperation) -> Callable[[sqlite3.Connection], list[str | None]]:
        def work(connection: sqlite3.Connection) -> list[str | None]:
            return [self._apply(connection, _Checked.of(operation), self._id(connection))]

        return work

    def _batch(self, operations: Sequence[TableOperation]) -> Callable[[sqlite3.Connection], list[str | None]]:
        def work(connection: sqlite3.Connection) -> list[str | None]:
            checked = _checked_batch(operations)
            table = self._id(connection)
            etags: list[str | None] = []
            for index, operation in enumerate(checked):
                with _at(index):
                    etags.append(self._apply(connection, operation, table))
            return etags

        return work

    def _apply(self, connection: sqlite3.Connection, checked: _Checked, table: int) -> str | None:
        operation = checked.operation
        key = (table, checked.partition_key, checked.row_key)
        found = _find(connection, *key)
        _check_presence(operation, found)
        if operation.kind is Operation.DELETE:
            connection.execute("DELETE FROM entities WHERE table_id = ? AND partition_key = ? AND row_key = ?", key)
            return None
        properties = checked.properties
        if found is not None and operation.kind in (Operation.MERGE, Operation.INSERT_OR_MERGE):
            properties = _merged(operation.row, found)
        etag = f'W/"{self._stamps.next()}"'
        connection.execute(
            "INSERT INTO entities VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
            " SET etag = excluded.etag, timestamp = excluded.timestamp, properties = excluded.properties",
            (*key, etag, Instant.of(self._clock.now()).ticks, properties),
        )
        return etag

    def _id(self, connection: sqlite3.Connection) -> int:
        found = connection.execute("SELECT id FROM tables WHERE folded = ?", (self._folded,)).fetchone()
        if found is None:
            check_table_name(self.name)
            raise _NoTable
        return int(found[0])


# Operations --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Checked:
    """An operation that is valid in itself, ready to be stored."""

    operation: TableOperation
    partition_key: bytes
    row_key: bytes
    properties: str

    @classmethod
    def of(cls, operation: TableOperation) -> _Checked:
        row = operation.row
        check_keys(row)
        _check_if_match(operation)
        properties = ""
        if operation.kind is not Operation.DELETE:
            check_properties(row.properties)
            properties = stored(row)
        return cls(operation, ordinal_key(row.partition_key), ordinal_key(row.row_key), properties)


def _checked_batch(operations: Sequence[TableOperation]) -> Sequence[_Checked]:
    """Raises Refused: too many, several partitions, a row twice, too large."""
    if len(operations) > MAX_BATCH_OPERATIONS:
        raise Refused(400, "InvalidInput", f"A transaction takes at most {MAX_BATCH_OPERATIONS} operations.")
    checked: list[_Checked] = []
    rows: set[bytes] = set()
    for index, operation in enumerate(operations):
        with _at(index):
            one = _Checked.of(operation)
            if checked and one.partition_key != checked[0].partition_key:
                raise Refused(
                    400, "CommandsInBatchActOnDifferentPartitions", "All operations must be of one partition."
                )
            if one.row_key in rows:
                raise Refused(
                    400, "InvalidDuplicateRow", f"The row {operation.row.row_key!r} is in the transaction twice."
                )
        rows.add(one.row_key)
        checked.append(one)
    if sum(len(one.properties) + _OPERATION_BYTES for one in checked) > _MAX_BATCH_BYTES:
        raise Refused(413, "RequestBodyTooLarge", "The transaction is larger than 4 MiB.")
    return checked


class _at:  # noqa: N801 - reads as the preposition it is
    """Refusals inside are about this operation of the batch."""

    __slots__ = ("_index",)

    def __init__(self, index: int) -> None:
        self._index = index

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: object, _traceback: object) -> None:
        if isinstance(error, Refused):
            error.failed_index = self._index


def _check_if_match(operation: TableOperation) -> None:
    if operation.kind not in _NEEDS_MATCH:
        return
    if operation.if_match is None:
        raise Refused(400, "MissingRequiredHeader", "The operation needs an ETag, or * for any.")
    if operation.if_match != ANY_ETAG and not operation.if_match.startswith('W/"'):
        raise Refused(400, "InvalidInput", f"{operation.if_match!r} is no ETag.")


def _check_presence(operation: TableOperation, found: tuple[Any, ...] | None) -> None:
    """Is the row there, or absent, as the operation needs it, and unchanged? Raises Refused."""
    if operation.kind is Operation.INSERT and found is not None:
        raise Refused(409, "EntityAlreadyExists", "The specified entity already exists.")
    if operation.kind not in _NEEDS_MATCH:
        return
    if found is None:
        raise _no_row()
    if operation.if_match not in (ANY_ETAG, found[2]):
        raise Refused(
            412, "UpdateConditionNotSatisfied", "The update condition specified in the request was not satisfied."
        )


def _merged(row: Row, found: tuple[Any, ...]) -> str:
    """The stored text of the row as found, overlaid with the new properties."""
    properties = {**loaded(found[4]), **row.properties}
    check_properties(properties)
    return stored(Row(row.partition_key, row.row_key, properties))


# Reading -----------------------------------------------------------------------------------------------------


def _find(connection: sqlite3.Connection, table: int, partition_key: bytes, row_key: bytes) -> tuple[Any, ...] | None:
    found: tuple[Any, ...] | None = connection.execute(
        f"SELECT {_COLUMNS} FROM entities WHERE table_id = ? AND partition_key = ? AND row_key = ?",
        (table, partition_key, row_key),
    ).fetchone()
    return found


def _scan(
    connection: sqlite3.Connection, table: int, where: Condition | None, start: tuple[bytes, bytes] | None
) -> Iterator[tuple[Any, ...]]:
    """The rows that fulfil the condition, from `start` on, in key order."""
    expression, arguments = prefilter(where)
    sql = f"SELECT {_COLUMNS} FROM entities WHERE table_id = ? AND {expression}"
    values = [table, *arguments]
    if start is not None:
        sql += " AND (partition_key, row_key) >= (?, ?)"
        values += start
    cursor = connection.execute(f"{sql} ORDER BY partition_key, row_key", values)
    if where is None or decides(where):
        return cursor
    return (found for found in cursor if where.matches(_visible(found)))


def _visible(found: tuple[Any, ...]) -> dict[str, object]:
    """What a condition can see of a row."""
    return {
        **loaded(found[4]),
        "PartitionKey": text_of_key(found[0]),
        "RowKey": text_of_key(found[1]),
        "Timestamp": Instant(found[3]),
    }


def _row(found: tuple[Any, ...], select: Sequence[str]) -> Row:
    partition_key, row_key, etag, timestamp, properties = found
    return Row(text_of_key(partition_key), text_of_key(row_key), loaded(properties, select), etag, Instant(timestamp))


def _continuation(found: tuple[Any, ...]) -> str:
    """The keys of the first row of the next page; opaque to callers."""
    return json.dumps([text_of_key(found[0]), text_of_key(found[1])])


def _start(continuation: str | None) -> tuple[bytes, bytes] | None:
    if continuation is None:
        return None
    try:
        partition_key, row_key = json.loads(continuation)
        return ordinal_key(partition_key), ordinal_key(row_key)
    except (ValueError, TypeError, AttributeError):
        raise Refused(400, "InvalidInput", "The continuation token is not one of this service.") from None


class _NoTable(Refused):
    def __init__(self) -> None:
        super().__init__(404, "TableNotFound", "The table specified does not exist.")


def _no_row() -> Refused:
    return Refused(404, "ResourceNotFound", "The specified resource does not exist.")
