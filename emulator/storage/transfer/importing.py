"""A file to an account."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

from emulator.clock import Clock
from emulator.storage.paging import query_rows
from emulator.storage.port import (
    ANY_ETAG,
    ZERO,
    NotFound,
    Operation,
    Row,
    StorageAccount,
    Table,
    TableOperation,
    Value,
)
from emulator.storage.row_batches import RowBatch
from emulator.storage.transfer.file import (
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
from emulator.storage.transfer.room import make_room
from emulator.storage.transfer.terms import LEDGER, Progress, Transferred, WholeQueue, blobs_url

# Messages are the only thing that a repetition would double; not every one is worth a note of its own.
_MESSAGES_PER_NOTE = 32

_END = record_line(End())


async def import_account(
    file: Path,
    account: StorageAccount,
    *,
    clock: Clock,
    force: bool = False,
    report: Callable[[Progress], None] = lambda progress: None,
) -> Transferred:
    """Put everything of an export into an account; take an interrupted import up where it stopped.

    A hidden message becomes visible when it would have in its old place, at once if that is over. Up to 32 messages of
    a queue may come twice when a run was killed. `force`: empty the queues, tables and containers that are there.

    Raises TransferRefused (one of them is there and not empty) and TransferFileError.
    """
    with opened(file, "rb") as source:
        header = read_header(source, file)
        first = source.tell()
        size = _whole_size(source, file)
        ledger = _Ledger(account.table(LEDGER), header.id)
        begun = await ledger.read()
        went_on = begun is not None
        if begun is None:
            await make_room(account, header.items, force=force)
            await ledger.begin(first)
            begun = first, None
        place, item = begun
        source.seek(place)
        importing = _Import(account, clock, header, ledger, item)
        importing.done.went_on = went_on
        for record, end in read_records(source, file):
            await importing.carry(record, end, end - place)
            place = end
            if not isinstance(record, End):
                report(importing.progress(place, size))
    await ledger.close()
    return importing.done


def _whole_size(source: BinaryIO, file: Path) -> int:
    """Raises TransferFileError when the end is missing."""
    size = source.seek(0, 2)
    source.seek(max(0, size - len(_END)))
    if source.read() != _END:
        raise TransferFileError(f"{file} is incomplete: its export was interrupted. Export again to the same file.")
    return size


class _Ledger:
    """How far the import of one file came, kept in the target account."""

    def __init__(self, table: Table, file_id: str) -> None:
        self._table = table
        self._file_id = file_id

    async def read(self) -> tuple[int, Item | None] | None:
        """The place up to which the file is imported, and the item that is half done; None: nothing was begun."""
        try:
            row = await self._table.read(self._file_id, "")
        except NotFound:
            return None
        kind, name = row.properties.get("Kind"), row.properties.get("Name")
        return int(str(row.properties["Position"])), None if kind is None else Item(Kind(kind), str(name))

    async def begin(self, position: int) -> None:
        await self._table.create()
        await self.note(position, None)

    async def note(self, position: int, item: Item | None) -> None:
        place = {} if item is None else {"Kind": item.kind.value, "Name": item.name}
        row = Row(self._file_id, "", {"Position": str(position), **place})
        await self._table.submit([TableOperation(Operation.INSERT_OR_REPLACE, row)])

    async def close(self) -> None:
        await self._table.submit([TableOperation(Operation.DELETE, Row(self._file_id, "", {}), ANY_ETAG)])
        async for _ in query_rows(self._table):
            return  # another import is unfinished
        await self._table.drop()


class _Import:
    """Carries record after record. `item` and `batch`: what is being filled."""

    def __init__(
        self, account: StorageAccount, clock: Clock, header: Header, ledger: _Ledger, item: Item | None
    ) -> None:
        self._account = account
        self._clock = clock
        self._links = _Links(header, account)
        self._ledger = ledger
        self._item = item
        self._batch = _batch_for(account, item)
        self._messages_since_note = 0
        self.done = Transferred()

    async def carry(self, record: Record, place: int, size: int) -> None:
        """`place`: where the record ends in the file; `size`: its length there."""
        match record:
            case Begin(item):
                self._item = item
                self._batch = _batch_for(self._account, item)
                await _create(self._account, item)
            case Message():
                await self._message(record, place)
            case Row():
                await self._rows().add(TableOperation(Operation.INSERT_OR_REPLACE, self._links.moved(record)), size)
                self.done.rows += 1
            case Blob():
                await self._blob(record)
            case Mark():
                await self._mark(record, place)
            case End():
                pass

    async def _message(self, message: Message, place: int) -> None:
        now = self._clock.now()
        lives_for = None if message.expires_at is None else message.expires_at - now
        if lives_for is not None and lives_for < timedelta(seconds=1):
            return
        visible_in = ZERO if message.visible_at is None else max(message.visible_at - now, ZERO)
        queue = self._account.queue(self._current().name)
        if isinstance(queue, WholeQueue):
            await queue.put_as(
                message.id,
                message.text,
                visible_in=visible_in,
                lives_for=lives_for,
                dequeue_count=message.dequeue_count,
            )
        else:
            await queue.put(message.text, visible_in=visible_in, lives_for=lives_for)
        self.done.messages += 1
        self._messages_since_note += 1
        if self._messages_since_note == _MESSAGES_PER_NOTE:
            await self._note(place)

    async def _blob(self, blob: Blob) -> None:
        container = self._account.container(self._current().name)
        await container.write(blob.name, blob.content, content_type=blob.content_type, metadata=blob.metadata)
        self.done.blobs += 1

    async def _mark(self, mark: Mark, place: int) -> None:
        if self._batch is not None:
            await self._batch.flush()
        if mark.position is None:
            self.done.items += 1
        if mark.unreadable:
            self.done.unreadable[mark.item.name] = mark.unreadable
        await self._note(place)

    async def _note(self, place: int) -> None:
        await self._ledger.note(place, self._item)
        self._messages_since_note = 0

    def progress(self, place: int, size: int) -> Progress:
        records = self.done.messages + self.done.rows + self.done.blobs
        return Progress(item=self._current(), records=records, done=place, total=size)

    def _current(self) -> Item:
        if self._item is None:
            raise TransferFileError("The export has a record that belongs to no queue, table or container.")
        return self._item

    def _rows(self) -> RowBatch:
        if self._batch is None:
            raise TransferFileError("The export has a row that belongs to no table.")
        return self._batch


def _batch_for(account: StorageAccount, item: Item | None) -> RowBatch | None:
    return RowBatch(account.table(item.name)) if item is not None and item.kind is Kind.TABLE else None


async def _create(account: StorageAccount, item: Item) -> None:
    match item.kind:
        case Kind.QUEUE:
            await account.queue(item.name).create()
        case Kind.TABLE:
            await account.table(item.name).create()
        case Kind.CONTAINER:
            await account.container(item.name).create()


class _Links:
    """Rows may hold the URL of a blob that was carried over, too (large payloads of a task hub): it moves with it."""

    def __init__(self, header: Header, account: StorageAccount) -> None:
        containers = (item.name for item in header.items if item.kind is Kind.CONTAINER)
        self._places = tuple(f"{header.blobs}/{name}/" for name in containers)
        self._old = header.blobs
        self._new = blobs_url(account)

    def moved(self, row: Row) -> Row:
        if self._old == self._new or not self._places:
            return row
        properties = {name: self._moved(value) for name, value in row.properties.items()}
        return Row(row.partition_key, row.row_key, properties)

    def _moved(self, value: Value) -> Value:
        if isinstance(value, str) and value.startswith(self._places):
            return self._new + value.removeprefix(self._old)
        return value
