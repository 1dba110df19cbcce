"""Export of a storage account, or of chosen queues, tables and containers, to a file.

The format is in docs/storage-file-format.md. Not exported: leases, ETags, timestamps, the order of messages.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

from emulator.clock import Clock
from emulator.ids import new_id
from emulator.storage.paging import query_rows
from emulator.storage.port import MAX_MESSAGES, ZERO, NotFound, Queue, QueueMessage, StorageAccount
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
    header_line,
    opened,
    record_line,
)
from emulator.storage.transfer.target import MARK_TABLE
from emulator.storage.transfer.types import Progress, RestorableQueue, TransferRefused, TransferResult, blobs_url

# Visibility timeout of messages while a queue is read. They are made visible again right afterwards. If the process is
# killed in between, they reappear after this time, like the messages that a killed host was processing.
_READ_TIMEOUT = timedelta(minutes=5)


async def export_account(
    account: StorageAccount,
    file: Path,
    *,
    clock: Clock,
    chosen: Callable[[Item], bool] = lambda item: True,
    force: bool = False,
    export_id: str | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
) -> TransferResult:
    """Save the chosen items of an account to a file.

    Everything is written to `FILE.partial`, which is renamed when it is complete, so `file` never has half an export.
    An interrupted export starts from the beginning. Stop the hosts that use the account first: the items are read one
    after the other. `export_id`: the id in the header; a new one if absent.

    Hidden messages of an account over the network cannot be read: their number is in `unreadable`. Where a queue has
    more visible messages than one peek returns, they are dequeued and made visible again, which raises their dequeue
    count by one.

    Raises TransferRefused (the file exists, and not `force`), TransferFileError (it cannot be written), and what the
    storage port raises.
    """
    # Files are read and written on the event loop, because a transfer is all that its process does.
    if file.exists() and not force:  # noqa: ASYNC240
        raise TransferRefused(f"{file} exists. Choose another name, or overwrite it with --force.")
    header = Header(
        id=new_id() if export_id is None else export_id,
        exported_at=clock.now(),
        source=account.description,
        blobs=blobs_url(account),
        items=await list_items(account, chosen),
    )
    # A partial file that a killed run left (earlier versions resumed from it) is overwritten.
    partial = file.with_name(file.name + ".partial")
    try:
        with opened(partial, "wb") as out:
            out.write(header_line(header))
            export = _Export(account, clock, out, report)
            await export.run(header.items)
            # The rename may reach the disk before the content does. After a power cut the file would be empty.
            out.flush()
            os.fsync(out.fileno())
        partial.replace(file)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise
    return export.result


async def list_items(account: StorageAccount, chosen: Callable[[Item], bool]) -> tuple[Item, ...]:
    """List what an export would save, in its order."""
    items = [
        *[Item(Kind.TABLE, name) async for name in account.tables() if name != MARK_TABLE],
        *[Item(Kind.CONTAINER, name) async for name in account.containers()],
        # Queues come last, so that an import writes a large payload before the message that refers to its blob.
        *[Item(Kind.QUEUE, name) async for name in account.queues()],
    ]
    return tuple(item for item in items if chosen(item))


class _Export:
    """The records of an export, read from the account and written to the file one after the other."""

    def __init__(
        self, account: StorageAccount, clock: Clock, out: BinaryIO, report: Callable[[Progress], None]
    ) -> None:
        self._account = account
        self._clock = clock
        self._out = out
        self._report = report
        self.result = TransferResult()

    async def run(self, items: Sequence[Item]) -> None:
        for number, item in enumerate(items):
            self._progress = Progress(item=item, records=0, done=number, total=len(items))
            self._report(self._progress)
            self._out.write(record_line(Begin(item)))
            unreadable = 0
            # An item that was deleted since it was listed ends here. The rows or blobs read so far stay in the file.
            with suppress(NotFound):
                match item.kind:
                    case Kind.QUEUE:
                        unreadable = await self._export_queue(self._account.queue(item.name))
                    case Kind.TABLE:
                        async for row in query_rows(self._account.table(item.name)):
                            self._write(row)
                            self.result.rows += 1
                    case Kind.CONTAINER:
                        container = self._account.container(item.name)
                        async for properties in container.list():
                            with suppress(NotFound):  # The blob was deleted since it was listed.
                                self._write(Blob.of(properties, await container.read(properties.name)))
                                self.result.blobs += 1
            if unreadable:
                self.result.unreadable[item.name] = unreadable
            self._out.write(record_line(Mark(item, unreadable)))
            self.result.items += 1
        self._out.write(record_line(End()))

    async def _export_queue(self, queue: Queue) -> int:
        """Write the messages of a queue. Return how many hidden messages could not be read."""
        if isinstance(queue, RestorableQueue):
            self._write_messages(await queue.list_messages())
            return 0
        # Peeking changes nothing, but shows 32 messages at most, always the same ones.
        messages = await queue.peek(limit=MAX_MESSAGES)
        if len(messages) == MAX_MESSAGES:
            messages = await self._dequeue_and_return(queue)
        self._write_messages(messages)
        return max(0, await queue.count() - len(messages))

    async def _dequeue_and_return(self, queue: Queue) -> list[QueueMessage]:
        """Read all visible messages as they were before they were dequeued, and make them visible again."""
        # By id: if reading takes longer than the visibility timeout, the first messages come a second time.
        dequeued: dict[str, QueueMessage] = {}
        try:
            while batch := await queue.get(limit=MAX_MESSAGES, hide_for=_READ_TIMEOUT):
                is_new = any(message.id not in dequeued for message in batch)
                dequeued.update((message.id, message) for message in batch)
                if not is_new:
                    break
        finally:
            for message in dequeued.values():
                # It may have expired. The caller takes NotFound for a deleted queue, and would leave out all messages.
                with suppress(NotFound):
                    await queue.hide(message, hide_for=ZERO)
        now = self._clock.now()
        return [
            replace(message, dequeue_count=message.dequeue_count - 1, next_visible_at=now)
            for message in dequeued.values()
        ]

    def _write_messages(self, messages: Sequence[QueueMessage]) -> None:
        now = self._clock.now()
        for message in messages:
            self._write(Message.of(message, now))
        self.result.messages += len(messages)

    def _write(self, record: Record) -> None:
        self._out.write(record_line(record))
        self._progress = replace(self._progress, records=self._progress.records + 1)
        self._report(self._progress)
