"""The table output: rows written in transactions after the function has succeeded.

Source: Extensions.Tables, TableEntityWriter; docs/protocol/functions-host.md 8.5.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from emulator.errors import EmulatorError
from emulator.extensions.tables.entities import DefaultKeys, table_operation
from emulator.extensions.tables.names import check_table_name, text_member
from emulator.host.output_items import output_items
from emulator.host.port import BindingContext
from emulator.storage.port import MAX_BATCH_OPERATIONS, NotFound, StorageAccount, StorageError, Table, TableOperation
from emulator.worker.port import Datum

_TABLE_NOT_FOUND = "TableNotFound"
# The service's texts for errors of single rows, which the extension shows.
_TEXTS = {
    "EntityAlreadyExists": "The specified entity already exists.",
    "UpdateConditionNotSatisfied": "The update condition specified in the request was not satisfied.",
    "ResourceNotFound": "The specified resource does not exist.",
}
_ADVICE = {
    "EntityAlreadyExists": ' A table output inserts rows. To replace an existing row, add the member "ETag": "*".',
    "UpdateConditionNotSatisfied": " The row has changed since its ETag was read.",
}


class RowRefused(EmulatorError):
    """The service has refused a row. Nothing of its transaction is stored, but earlier transactions are."""

    def __init__(self, error: StorageError, table: str, transaction: Sequence[TableOperation]) -> None:
        index = error.failed_index or 0
        row = transaction[index].row
        super().__init__(
            f"{index}:{_TEXTS.get(error.code, str(error))} Status: {error.status}, ErrorCode: {error.code}. Table "
            f"'{table}', PartitionKey '{row.partition_key}', RowKey '{row.row_key}'.{_ADVICE.get(error.code, '')}"
        )


async def write_rows(context: BindingContext, datum: Datum, account: StorageAccount) -> None:
    """Write the rows of an output value; create the table if it does not exist.

    Raises InvalidTableName, UnreadableOutput, InvalidEntity (nothing is written then), RowRefused, StorageUnreachable.
    """
    name = text_member(context.properties, "tableName")
    check_table_name(name)
    keys = DefaultKeys(
        text_member(context.properties, "partitionKey") or None, text_member(context.properties, "rowKey") or None
    )
    # All items are read before the first is written, so that a mistake in one of them leaves the table as it is. The
    # extension has written the full transactions before it then.
    operations = [table_operation(item, keys) for item in output_items(datum)]
    table = account.table(name)
    for transaction in transactions(operations):
        try:
            await _submit(table, transaction)
        except StorageError as error:
            raise RowRefused(error, name, transaction) from error


def transactions(operations: Iterable[TableOperation]) -> list[list[TableOperation]]:
    """Return the transactions of writes, in order.

    A transaction has up to 100 rows of one partition. One that is full, or in which a row key would occur twice, comes
    at that moment; the others come at the end, in the order of their partitions' first rows.
    """
    done: list[list[TableOperation]] = []
    open_by_partition: dict[str, dict[str, TableOperation]] = {}
    for operation in operations:
        partition = open_by_partition.setdefault(operation.row.partition_key, {})
        # The service refuses a transaction that names a row twice.
        if operation.row.row_key in partition:
            done.append(list(partition.values()))
            partition.clear()
        partition[operation.row.row_key] = operation
        if len(partition) == MAX_BATCH_OPERATIONS:
            done.append(list(partition.values()))
            partition.clear()
    return done + [list(partition.values()) for partition in open_by_partition.values() if partition]


async def _submit(table: Table, transaction: Sequence[TableOperation]) -> None:
    try:
        await table.submit(transaction)
    except NotFound as error:
        # Created after a refusal, as by the extension: a table that exists, which is the usual case, costs no request.
        if error.code != _TABLE_NOT_FOUND:
            raise
        await table.create()
        await table.submit(transaction)
