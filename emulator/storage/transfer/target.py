"""The target of an import: whether it is empty, which items an unfinished import wrote, and how to clear them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress

from emulator.storage.filters import Condition, eq
from emulator.storage.paging import query_rows
from emulator.storage.port import ANY_ETAG, NotFound, Operation, Row, StorageAccount, Table, TableOperation
from emulator.storage.transfer.export_file import Item, Kind
from emulator.storage.transfer.row_batches import RowBatch
from emulator.storage.transfer.types import TransferRefused

# Not exported, and not part of any task hub. Earlier versions used the same table for their notes.
MARK_TABLE = "AzemuTransfer"

# Approximate size of one deletion in a transaction request.
_DELETE_BYTES = 512


class UnfinishedMark:
    """Rows in the table AzemuTransfer of the target that name the items an unfinished import has begun to write.

    One row per item. PartitionKey: the id of the export; RowKey: kind and name of the item. They are removed when the
    import is complete.
    """

    def __init__(self, account: StorageAccount, export_id: str) -> None:
        self._table = account.table(MARK_TABLE)
        self._own_rows = eq("PartitionKey", export_id)
        self._export_id = export_id

    async def items(self, exported: Iterable[Item]) -> set[Item]:
        """List the marked items. `exported`: the items of the file."""
        marked: set[Item] = set()
        with suppress(NotFound):
            async for row in query_rows(self._table, self._own_rows):
                if row.row_key:
                    kind, _, name = row.row_key.partition(" ")
                    marked.add(Item(Kind(kind), name))
                else:
                    # Earlier versions, which resumed imports, wrote one row without a RowKey for the whole file, after
                    # they had made sure that all its items were empty. So that import wrote all that is there now.
                    marked.update(exported)
        return marked

    async def add(self, item: Item) -> None:
        """Mark an item. Must be called before anything is written into it."""
        await self._table.create()
        await self._table.submit([TableOperation(Operation.INSERT_OR_REPLACE, Row(self._export_id, str(item), {}))])

    async def remove(self) -> None:
        """Remove the rows of this import, and the table unless another import is unfinished."""
        # There is no table if the file had no items.
        with suppress(NotFound):
            await _delete_rows(self._table, self._own_rows)
            async for _ in query_rows(self._table, select=["RowKey"]):
                return
            await self._table.drop()


async def check_target(account: StorageAccount, items: Sequence[Item], export_id: str) -> None:
    """Raise TransferRefused if one of the items exists in the account, has content, and is not marked as unfinished."""
    marked = await UnfinishedMark(account, export_id).items(items)
    occupied = [item for item in items if item not in marked and not await _is_empty(account, item)]
    if occupied:
        # A task hub alone has ten items.
        names = ", ".join(str(item) for item in occupied[:5]) + (", …" if len(occupied) > 5 else "")
        raise TransferRefused(
            f"{account.description} is not empty, it has: {names}. Import into another account, or use --force to "
            "replace what is there."
        )


async def prepare_target(account: StorageAccount, items: Sequence[Item], export_id: str, *, force: bool) -> None:
    """Clear the items that an unfinished import of the same export wrote; with `force`, all items.

    Raises TransferRefused as `check_target`, unless `force`.
    """
    if not force:
        await check_target(account, items, export_id)
    # A repeated copy reads its source again. What was deleted there since is marked, but not among `items`.
    marked = await UnfinishedMark(account, export_id).items(items)
    for item in marked.union(items) if force else marked:
        with suppress(NotFound):
            await _clear(account, item)


async def _is_empty(account: StorageAccount, item: Item) -> bool:
    """Return whether an item has no content or does not exist."""
    try:
        match item.kind:
            case Kind.QUEUE:
                # Hidden messages count, too: they are work that a host has not finished.
                return await account.queue(item.name).count() == 0
            case Kind.TABLE:
                async for _ in query_rows(account.table(item.name), select=["RowKey"]):
                    return False
            case Kind.CONTAINER:
                async for _ in account.container(item.name).list():
                    return False
    except NotFound:
        pass
    return True


async def _clear(account: StorageAccount, item: Item) -> None:
    # The queue, table or container itself stays: Azure refuses to create a deleted name again for a while.
    match item.kind:
        case Kind.QUEUE:
            await account.queue(item.name).clear()
        case Kind.TABLE:
            await _delete_rows(account.table(item.name))
        case Kind.CONTAINER:
            container = account.container(item.name)
            # The names are listed first, so that no page of the listing moves while blobs are deleted.
            for name in [blob.name async for blob in container.list()]:
                await container.delete(name)


async def _delete_rows(table: Table, where: Condition | None = None) -> None:
    batch = RowBatch(table)
    async for row in query_rows(table, where, select=["RowKey"]):
        deletion = TableOperation(Operation.DELETE, Row(row.partition_key, row.row_key, {}), ANY_ETAG)
        await batch.add(deletion, _DELETE_BYTES)
    await batch.flush()
