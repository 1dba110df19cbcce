"""Tables of the built-in store.

Source: Azure Storage REST reference, table service (Insert, Update, Merge, Delete Entity, Query Entities, "Performing
Entity Group Transactions").
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from emulator import bound_json as json
from emulator.clock import Clock
from emulator.instant import Instant
from emulator.storage.builtin.database import Database, Refused
from emulator.storage.builtin.filters import is_exact, prefilter
from emulator.storage.builtin.names import check_table_name
from emulator.storage.builtin.rows import check_keys, check_properties, decode_properties, encode_properties
from emulator.storage.builtin.schema import ordinal_key, text_of_key
from emulator.storage.filters import Condition
from emulator.storage.port import ANY_ETAG, MAX_BATCH_OPERATIONS, Operation, Page, Row, TableOperation

# The service's limit of rows per page.
_MAX_PAGE = 1000
_MAX_BATCH_BYTES = 4 * 1024 * 1024
# Approximate size of the headers of an operation in a batch request.
_OPERATION_BYTES = 400
_COLUMNS = "partition_key, row_key, etag, timestamp, properties"
_NEEDS_MATCH = frozenset({Operation.REPLACE, Operation.MERGE, Operation.DELETE})


class BuiltinTable:
    """Implements storage.port.Table."""

    def __init__(self, name: str, database: Database, clock: Clock) -> None:
        self.name = name
        # Names of tables ignore case. The account lists them as they were created.
        self._folded = name.lower()
        self._database = database
        self._clock = clock

    async def create(self) -> bool:
        def work(connection: sqlite3.Connection) -> bool:
            check_table_name(self.name)
            # The result shows which of several processes has created it.
            sql = "INSERT OR IGNORE INTO tables (name, folded) VALUES (?, ?)"
            return connection.execute(sql, (self.name, self._folded)).rowcount == 1

        return await self._database.write(f"create table {self.name}", work)

    async def drop(self) -> bool:
        def work(connection: sqlite3.Connection) -> bool:
            with suppress(_NoTable):
                table = self._id(connection)
                # There are no foreign keys: SQLite would check them at every insert.
                connection.execute("DELETE FROM entities WHERE table_id = ?", (table,))
                connection.execute("DELETE FROM tables WHERE id = ?", (table,))
                return True
            return False

        return await self._database.write(f"delete table {self.name}", work)

    async def read(self, partition_key: str, row_key: str, *, select: Sequence[str] = ()) -> Row:
        def work(connection: sqlite3.Connection) -> Row:
            check_keys(Row(partition_key, row_key, {}))
            stored = _find(connection, self._id(connection), ordinal_key(partition_key), ordinal_key(row_key))
            if stored is None:
                raise _no_row()
            return _row(stored, select)

        return await self._database.read(f"read row {partition_key!r}, {row_key!r} of table {self.name}", work)

    async def page(
        self,
        where: Condition | None = None,
        *,
        select: Sequence[str] = (),
        limit: int = _MAX_PAGE,
        continuation: str | None = None,
    ) -> Page:
        def work(connection: sqlite3.Connection) -> Page:
            if not 1 <= limit <= _MAX_PAGE:
                raise Refused(400, "InvalidInput", f"$top is {limit}, not 1 to {_MAX_PAGE}.")
            rows: list[Row] = []
            for stored in _scan(connection, self._id(connection), where, continuation):
                if len(rows) == limit:
                    # The token is the keys of the first row of the next page.
                    return Page(rows, json.dumps([text_of_key(stored[0]), text_of_key(stored[1])]))
                rows.append(_row(stored, select))
            return Page(rows)

        return await self._database.read(f"query table {self.name}", work)

    async def submit(self, operations: Sequence[TableOperation]) -> list[str | None]:
        if not operations:
            return []

        def single(connection: sqlite3.Connection) -> list[str | None]:
            [operation] = operations
            return [self._apply(connection, _CheckedOperation.of(operation), self._id(connection))]

        def batch(connection: sqlite3.Connection) -> list[str | None]:
            checked = _check_batch(operations)
            table = self._id(connection)
            etags: list[str | None] = []
            for index, operation in enumerate(checked):
                try:
                    etags.append(self._apply(connection, operation, table))
                except Refused as refused:
                    refused.failed_index = index
                    raise
            return etags

        # As at the service, the limits of a transaction do not apply to one operation, and its errors have no index.
        if len(operations) == 1:
            row = operations[0].row
            action = f"{operations[0].kind.value} row {row.partition_key!r}, {row.row_key!r} of table {self.name}"
            return await self._database.write(action, single)
        return await self._database.write(f"submit {len(operations)} operations to table {self.name}", batch)

    def _apply(self, connection: sqlite3.Connection, checked: _CheckedOperation, table: int) -> str | None:
        """Execute an operation. Returns the new ETag, None for a delete. Raises Refused."""
        operation = checked.operation
        key = (table, checked.partition_key, checked.row_key)
        stored = _find(connection, *key)
        if operation.kind is Operation.INSERT and stored is not None:
            raise Refused(409, "EntityAlreadyExists", "The specified entity already exists.")
        if operation.kind in _NEEDS_MATCH:
            if stored is None:
                raise _no_row()
            if operation.if_match not in (ANY_ETAG, stored[2]):
                raise Refused(
                    412,
                    "UpdateConditionNotSatisfied",
                    "The update condition specified in the request was not satisfied.",
                )
        if operation.kind is Operation.DELETE:
            connection.execute("DELETE FROM entities WHERE table_id = ? AND partition_key = ? AND row_key = ?", key)
            return None
        properties = checked.properties
        if stored is not None and operation.kind in (Operation.MERGE, Operation.INSERT_OR_MERGE):
            row = operation.row
            merged = {**decode_properties(stored[4]), **row.properties}
            # Both parts are valid, but together they may have too many properties.
            check_properties(merged)
            properties = encode_properties(Row(row.partition_key, row.row_key, merged))
        # A new one also if nothing has changed, as at the service.
        etag = f'W/"{self._database.tokens.next()}"'
        connection.execute(
            "INSERT INTO entities VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
            " SET etag = excluded.etag, timestamp = excluded.timestamp, properties = excluded.properties",
            (*key, etag, Instant.of(self._clock.now()).ticks, properties),
        )
        return etag

    def _id(self, connection: sqlite3.Connection) -> int:
        table = connection.execute("SELECT id FROM tables WHERE folded = ?", (self._folded,)).fetchone()
        if table is None:
            # The service reports an invalid name rather than a missing table.
            check_table_name(self.name)
            raise _NoTable
        return int(table[0])


# Operations --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _CheckedOperation:
    """An operation that is valid in itself. `properties`: as stored, "" for a delete."""

    operation: TableOperation
    partition_key: bytes
    row_key: bytes
    properties: str

    @classmethod
    def of(cls, operation: TableOperation) -> _CheckedOperation:
        """Check an operation. Raises Refused."""
        row = operation.row
        check_keys(row)
        if operation.kind in _NEEDS_MATCH:
            if operation.if_match is None:
                raise Refused(400, "MissingRequiredHeader", "The operation needs an ETag, or * for any.")
            if operation.if_match != ANY_ETAG and not operation.if_match.startswith('W/"'):
                raise Refused(400, "InvalidInput", f"{operation.if_match!r} is not an ETag.")
        properties = ""
        if operation.kind is not Operation.DELETE:
            check_properties(row.properties)
            # Encoded here, because this refuses a row that is too large.
            properties = encode_properties(row)
        return cls(operation, ordinal_key(row.partition_key), ordinal_key(row.row_key), properties)


def _check_batch(operations: Sequence[TableOperation]) -> Sequence[_CheckedOperation]:
    """Check the operations of a transaction, each and together. Raises Refused."""
    if len(operations) > MAX_BATCH_OPERATIONS:
        raise Refused(400, "InvalidInput", f"A transaction can have at most {MAX_BATCH_OPERATIONS} operations.")
    checked: list[_CheckedOperation] = []
    row_keys: set[bytes] = set()
    for index, operation in enumerate(operations):
        try:
            current = _CheckedOperation.of(operation)
        except Refused as refused:
            refused.failed_index = index
            raise
        if checked and current.partition_key != checked[0].partition_key:
            raise Refused(
                400,
                "CommandsInBatchActOnDifferentPartitions",
                "All rows of a transaction must be in one partition.",
                failed_index=index,
            )
        if current.row_key in row_keys:
            raise Refused(
                400,
                "InvalidDuplicateRow",
                f"The row {operation.row.row_key!r} is in the transaction more than once.",
                failed_index=index,
            )
        row_keys.add(current.row_key)
        checked.append(current)
    # The request cannot be measured: there is none. The stored text has about the size of the JSON in it.
    if sum(len(operation.properties) + _OPERATION_BYTES for operation in checked) > _MAX_BATCH_BYTES:
        raise Refused(413, "RequestBodyTooLarge", "The transaction is larger than 4 MiB.")
    return checked


# Reading -----------------------------------------------------------------------------------------------------


def _find(connection: sqlite3.Connection, table: int, partition_key: bytes, row_key: bytes) -> tuple[Any, ...] | None:
    """Return the columns of a row, None if it does not exist."""
    columns: tuple[Any, ...] | None = connection.execute(
        f"SELECT {_COLUMNS} FROM entities WHERE table_id = ? AND partition_key = ? AND row_key = ?",
        (table, partition_key, row_key),
    ).fetchone()
    return columns


def _scan(
    connection: sqlite3.Connection, table: int, where: Condition | None, continuation: str | None
) -> Iterator[tuple[Any, ...]]:
    """Return the rows that fulfil the condition, in key order, from the token on. Raises Refused for an invalid one."""
    expression, arguments = prefilter(where)
    sql = f"SELECT {_COLUMNS} FROM entities WHERE table_id = ? AND {expression}"
    values = [table, *arguments]
    if continuation is not None:
        try:
            partition_key, row_key = json.loads(continuation)
            values += (ordinal_key(partition_key), ordinal_key(row_key))
        except (ValueError, TypeError, AttributeError):
            raise Refused(400, "InvalidInput", "The continuation token was not returned by this service.") from None
        sql += " AND (partition_key, row_key) >= (?, ?)"
    # Rows are read from the cursor as the page needs them. A large table is not loaded for a page.
    cursor = connection.execute(f"{sql} ORDER BY partition_key, row_key", values)
    if where is None or is_exact(where):
        return cursor
    return (columns for columns in cursor if where.matches(_filterable(columns)))


def _filterable(columns: tuple[Any, ...]) -> dict[str, object]:
    """Return the properties that a condition may name."""
    return {
        **decode_properties(columns[4]),
        "PartitionKey": text_of_key(columns[0]),
        "RowKey": text_of_key(columns[1]),
        "Timestamp": Instant(columns[3]),
    }


def _row(columns: tuple[Any, ...], select: Sequence[str]) -> Row:
    partition_key, row_key, etag, timestamp, properties = columns
    return Row(
        text_of_key(partition_key),
        text_of_key(row_key),
        decode_properties(properties, select),
        etag,
        Instant(timestamp),
    )


class _NoTable(Refused):
    """The table does not exist. Has its own class, because dropping a missing table is not an error."""

    def __init__(self) -> None:
        super().__init__(404, "TableNotFound", "The table specified does not exist.")


def _no_row() -> Refused:
    return Refused(404, "ResourceNotFound", "The specified resource does not exist.")
