"""Many operations on a table, in as few transactions as may be."""

from __future__ import annotations

from emulator.storage.port import MAX_BATCH_OPERATIONS, Table, TableOperation

# A transaction takes 4 MiB, with what surrounds the rows in it.
_BATCH_BYTES = 3 * 1024 * 1024


class RowBatch:
    """Collects operations of one partition and submits them together."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._operations: list[TableOperation] = []
        self._bytes = 0

    async def add(self, operation: TableOperation, size: int) -> None:
        """`size`: about how many bytes it takes in a request."""
        if self._operations and (
            self._operations[0].row.partition_key != operation.row.partition_key
            or len(self._operations) == MAX_BATCH_OPERATIONS
            or self._bytes + size > _BATCH_BYTES
        ):
            await self.flush()
        self._operations.append(operation)
        self._bytes += size

    async def flush(self) -> None:
        operations, self._operations, self._bytes = self._operations, [], 0
        await self._table.submit(operations)
