"""Operations on many rows of a table, grouped into as few transactions as possible."""

from __future__ import annotations

from emulator.storage.port import MAX_BATCH_OPERATIONS, Table, TableOperation

# Azure limits a transaction request to 4 MiB. The rest is for the headers of each operation and for JSON annotations,
# which the sizes that callers pass do not include.
_BATCH_BYTES = 3 * 1024 * 1024


class RowBatch:
    """Operations on rows of one table, submitted when the partition changes or the transaction is full."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._operations: list[TableOperation] = []
        self._bytes = 0

    async def add(self, operation: TableOperation, size: int) -> None:
        """Add an operation of approximately `size` bytes. May submit the operations before it."""
        if self._operations and (
            self._operations[0].row.partition_key != operation.row.partition_key
            or len(self._operations) == MAX_BATCH_OPERATIONS
            or self._bytes + size > _BATCH_BYTES
        ):
            await self.flush()
        self._operations.append(operation)
        self._bytes += size

    async def flush(self) -> None:
        """Submit the operations that were added since the last flush."""
        # Emptied first: after an error the caller ends, and must not submit the same operations again.
        operations, self._operations, self._bytes = self._operations, [], 0
        await self._table.submit(operations)
