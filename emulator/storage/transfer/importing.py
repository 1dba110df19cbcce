"""Import of an export file into a storage account."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO, Final

from emulator.clock import Clock
from emulator.storage.port import ZERO, Operation, Row, StorageAccount, TableOperation, Value
from emulator.storage.transfer.export_file import (
    Begin,
    Blob,
    End,
    Header,
    Item,
    Kind,
    Mark,
    Message,
    Record,
    TransferFileError,
    opened,
    read_header,
    read_records,
    record_line,
)
from emulator.storage.transfer.row_batches import RowBatch
from emulator.storage.transfer.target import UnfinishedMark, prepare_target
from emulator.storage.transfer.types import Progress, RestorableQueue, TransferResult, blobs_url

_END = record_line(End())
_KINDS: Final[Mapping[type[Record], Kind]] = {Message: Kind.QUEUE, Row: Kind.TABLE, Blob: Kind.CONTAINER}


async def import_account(
    file: Path,
    account: StorageAccount,
    *,
    clock: Clock,
    force: bool = False,
    report: Callable[[Progress], None] = lambda progress: None,
) -> TransferResult:
    """Write everything in an export file into an account.

    A hidden message becomes visible at the time it had in the exported account, at once if that is over. Until the
    import is complete, its items are marked in the target (see `target.UnfinishedMark`). An import that is repeated
    after an interruption starts from the beginning and overwrites the marked items. `force`: overwrite all items.

    Raises TransferRefused (an item exists in the account and is not empty), TransferFileError (the file is not a
    complete export), and what the storage port raises.
    """
    with opened(file, "rb") as source:
        header = read_header(source, file)
        start = source.tell()
        # Before anything is cleared or written: a file that is cut short or damaged must leave the target as it is.
        size = _complete_size(source, file)
        source.seek(start)
        await asyncio.to_thread(deque, _checked_records(source, file, header), 0)
        await prepare_target(account, header.items, header.id, force=force)
        source.seek(start)
        mark = UnfinishedMark(account, header.id)
        importing = _Import(account, clock, header, mark)
        position = start
        for record, end in _checked_records(source, file, header):
            await importing.write(record, size=end - position)
            position = end
            # The end belongs to no item, and a file may have none.
            if not isinstance(record, End):
                report(importing.progress(position, size))
    # If the process is killed before this, the next run writes everything again. That costs time only.
    await mark.remove()
    return importing.result


def _complete_size(source: BinaryIO, file: Path) -> int:
    """Return the size of a file in bytes. Raises TransferFileError if its last line is not the end of an export."""
    size = source.seek(0, 2)
    source.seek(max(0, size - len(_END)))
    if source.read() != _END:
        raise TransferFileError(f"{file} is incomplete: its export was interrupted. Export again.")
    return size


def _checked_records(source: BinaryIO, file: Path, header: Header) -> Iterator[tuple[Record, int]]:
    """Yield what `read_records` does. Raises TransferFileError for a record that does not belong where it is, too."""
    item: Item | None = None
    for record, position in read_records(source, file):
        match record:
            case Begin() if record.item not in header.items:
                # The target was not checked for it, so it may have content there that the user wants to keep.
                raise TransferFileError(
                    f"{file} is damaged: it has the {record.item}, which its header does not list. Export again."
                )
            case Begin():
                item = record.item
            case Mark() if record.item != item:
                raise TransferFileError(
                    f"{file} is damaged: the {record.item} ends where it has not begun. Export again."
                )
            case Message() | Row() | Blob() if item is None or item.kind is not _KINDS[type(record)]:
                what, kind = type(record).__name__.lower(), _KINDS[type(record)].value
                raise TransferFileError(f"{file} is damaged: it has a {what} outside of a {kind}. Export again.")
            case _:
                pass
        yield record, position


class _Import:
    """The records of an import, written into the account one after the other."""

    def __init__(self, account: StorageAccount, clock: Clock, header: Header, mark: UnfinishedMark) -> None:
        self._account = account
        self._clock = clock
        self._links = _BlobLinks(header, account)
        self._mark = mark
        self._item: Item | None = None
        self._batch: RowBatch | None = None
        self.result = TransferResult()

    async def write(self, record: Record, *, size: int) -> None:
        """Write one record. `size`: its length in the file, in bytes."""
        match record:
            case Begin(item):
                await self._begin(item)
            case Message():
                await self._message(record)
            case Row():
                assert self._batch is not None  # `_checked_records` yields rows in tables only.
                # Not INSERT: the client repeats a request that got no answer, and would then get "already exists".
                await self._batch.add(TableOperation(Operation.INSERT_OR_REPLACE, self._links.moved(record)), size)
                self.result.rows += 1
            case Blob():
                container = self._account.container(self._current().name)
                await container.write(
                    record.name, record.content, content_type=record.content_type, metadata=record.metadata
                )
                self.result.blobs += 1
            case Mark(item, unreadable):
                # Before the item counts as imported, and before messages that may refer to its rows.
                await self._flush()
                self.result.items += 1
                if unreadable:
                    self.result.unreadable[item.name] = unreadable
            case End():
                pass

    def progress(self, position: int, size: int) -> Progress:
        records = self.result.messages + self.result.rows + self.result.blobs
        return Progress(item=self._current(), records=records, done=position, total=size)

    async def _begin(self, item: Item) -> None:
        # Earlier versions resumed exports: their files may begin an item a second time, with rows left in the batch.
        await self._flush()
        self._item, self._batch = item, None
        # Before the item is created. After a crash in between, the mark names an empty item, which is harmless.
        await self._mark.add(item)
        match item.kind:
            case Kind.QUEUE:
                await self._account.queue(item.name).create()
            case Kind.TABLE:
                await self._account.table(item.name).create()
                self._batch = RowBatch(self._account.table(item.name))
            case Kind.CONTAINER:
                await self._account.container(item.name).create()

    async def _message(self, message: Message) -> None:
        now = self._clock.now()
        lives_for = None if message.expires_at is None else message.expires_at - now
        if lives_for is not None and lives_for < timedelta(seconds=1):
            # It has expired since the export. The service refuses a time to live of less than a second.
            return
        visible_in = ZERO if message.visible_at is None else max(message.visible_at - now, ZERO)
        queue = self._account.queue(self._current().name)
        # Over the network a message gets a new id, and its dequeue count begins at zero.
        if isinstance(queue, RestorableQueue):
            await queue.restore_message(
                message.id,
                message.text,
                visible_in=visible_in,
                lives_for=lives_for,
                dequeue_count=message.dequeue_count,
            )
        else:
            await queue.put(message.text, visible_in=visible_in, lives_for=lives_for)
        self.result.messages += 1

    async def _flush(self) -> None:
        if self._batch is not None:
            await self._batch.flush()

    def _current(self) -> Item:
        assert self._item is not None
        return self._item


class _BlobLinks:
    """URLs in rows that point to exported blobs, such as the large payloads of a task hub. They move with the blobs."""

    def __init__(self, header: Header, account: StorageAccount) -> None:
        # With a slash at the end, so that "hub-large" does not match "hub-largemessages".
        containers = (item.name for item in header.items if item.kind is Kind.CONTAINER)
        self._prefixes = tuple(f"{header.blobs}/{name}/" for name in containers)
        self._old = header.blobs
        self._new = blobs_url(account)

    def moved(self, row: Row) -> Row:
        # The usual case is a copy between two stores of one kind, or a file without blobs: then no row changes.
        if self._old == self._new or not self._prefixes:
            return row
        properties = {name: self._moved(value) for name, value in row.properties.items()}
        return Row(row.partition_key, row.row_key, properties)

    def _moved(self, value: Value) -> Value:
        # Only URLs of containers that are in the file: other blobs stay where they are.
        if isinstance(value, str) and value.startswith(self._prefixes):
            return self._new + value.removeprefix(self._old)
        return value
