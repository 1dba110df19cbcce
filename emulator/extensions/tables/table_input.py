"""The table input: rows of a table as a JSON array.

Source: Extensions.Tables, TableExtension; docs/protocol/functions-host.md 8.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from emulator.errors import ConfigurationError, EmulatorError
from emulator.extensions.tables.entities import entities_text
from emulator.extensions.tables.names import check_table_name, text_member
from emulator.host.port import BindingContext
from emulator.storage.filter_parser import parse_filter
from emulator.storage.filters import Condition, eq
from emulator.storage.paging import query_rows
from emulator.storage.port import NotFound, Row, StorageAccount, Table
from emulator.worker.port import Binding, Datum, member_of

# The largest page of the service.
_MAX_PAGE = 1000


class TableMissing(EmulatorError):
    """The table of an input does not exist."""

    def __init__(self, table: str, account: StorageAccount) -> None:
        super().__init__(
            f"The table specified does not exist. Table '{table}', {account.description}. A table input does not "
            "create its table; a table output does, with its first row."
        )


async def read_rows(context: BindingContext, account: StorageAccount, *, whole_partition: bool) -> Datum:
    """Return the rows that the binding selects as the text of a JSON array.

    `whole_partition`: ignore the row key, as the Functions host does. Raises InvalidTableName, InvalidFilter,
    TableMissing, StorageError, StorageUnreachable.
    """
    name = text_member(context.properties, "tableName")
    check_table_name(name)
    table = account.table(name)
    row_key = "" if whole_partition else text_member(context.properties, "rowKey")
    where = selection(
        text_member(context.properties, "partitionKey"), row_key, text_member(context.properties, "filter")
    )
    take = limit_of(context.binding)
    try:
        rows = await _first_rows(table, where, take) if take else [row async for row in query_rows(table, where)]
    except NotFound as error:
        raise TableMissing(name, account) from error
    return Datum("json", entities_text(rows))


def selection(partition_key: str, row_key: str, filter_text: str) -> Condition | None:
    """Return the condition of a query; None: all rows. An empty text selects nothing. Raises InvalidFilter."""
    keys = [eq(name, key) for name, key in (("PartitionKey", partition_key), ("RowKey", row_key)) if key]
    # The extension joins the texts. So an `or` in the filter is not limited to the partition, there and here.
    texts = [*(key.odata() for key in keys), *([filter_text] if filter_text else [])]
    return parse_filter(" and ".join(texts)) if texts else None


def limit_of(binding: Binding) -> int:
    """Return the largest number of rows; 0: all. Raises ConfigurationError."""
    take: Any = member_of(binding.properties, "take")
    if take in (None, ""):
        return 0
    try:
        # A setting (%TAKE%) is a text.
        return max(int(take), 0)
    except (TypeError, ValueError):
        raise ConfigurationError(
            f"'take' of the table input '{binding.name}' is {take!r}; allowed: a number of rows, 0 for all."
        ) from None


async def _first_rows(table: Table, where: Condition | None, take: int) -> Sequence[Row]:
    rows: list[Row] = []
    continuation: str | None = None
    while len(rows) < take:
        # The service may end a page before its limit, so a short page is not the last one.
        page = await table.page(where, limit=min(take - len(rows), _MAX_PAGE), continuation=continuation)
        rows += page.rows
        continuation = page.continuation
        if continuation is None:
            break
    return rows
