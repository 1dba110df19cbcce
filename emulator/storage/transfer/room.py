"""Before an import: is the place free, and if not, may it be cleared?"""

from __future__ import annotations

from collections.abc import Sequence

from emulator.storage.paging import query_rows
from emulator.storage.port import ANY_ETAG, NotFound, Operation, Row, StorageAccount, TableOperation
from emulator.storage.row_batches import RowBatch
from emulator.storage.transfer.file import Item, Kind
from emulator.storage.transfer.terms import TransferRefused

# About what one deletion takes in a request.
_DELETE_BYTES = 512


async def make_room(account: StorageAccount, items: Sequence[Item], *, force: bool) -> None:
    """See that nothing is in the way. Raises TransferRefused, unless `force`, which removes it."""
    there = [item for item in items if not await _is_empty(account, item)]
    if there and not force:
        names = ", ".join(str(item) for item in there[:5]) + (", …" if len(there) > 5 else "")
        raise TransferRefused(
            f"{account.description} has something already: {names}. Import into another account, or replace what is "
            "there with --force."
        )
    for item in there:
        await _empty(account, item)


async def _is_empty(account: StorageAccount, item: Item) -> bool:
    """Also true when it is not there."""
    try:
        match item.kind:
            case Kind.QUEUE:
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


async def _empty(account: StorageAccount, item: Item) -> None:
    """Remove the content, not the thing itself: Azure takes a while before a deleted name can be used again."""
    match item.kind:
        case Kind.QUEUE:
            await account.queue(item.name).clear()
        case Kind.TABLE:
            batch = RowBatch(account.table(item.name))
            async for row in query_rows(account.table(item.name), select=["RowKey"]):
                await batch.add(
                    TableOperation(Operation.DELETE, Row(row.partition_key, row.row_key, {}), ANY_ETAG), _DELETE_BYTES
                )
            await batch.flush()
        case Kind.CONTAINER:
            container = account.container(item.name)
            for name in [blob.name async for blob in container.list()]:
                await container.delete(name)
