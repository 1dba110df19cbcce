"""An account to a file."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

from emulator.clock import Clock
from emulator.ids import new_id
from emulator.storage.port import ZERO, NotFound, Queue, QueueMessage, StorageAccount
from emulator.storage.transfer.file import (
    Begin,
    Blob,
    End,
    Header,
    Item,
    Kind,
    Mark,
    Message,
    header_line,
    opened,
    read_header,
    read_records,
    record_line,
)
from emulator.storage.transfer.terms import LEDGER, Progress, Transferred, TransferRefused, WholeQueue, blobs_url

_PEEK = 32
# How long a queue's messages stay hidden while they are read out; they are given back right afterwards. After a kill
# they come back by themselves, when those that a killed host had taken do, too.
_READING = timedelta(minutes=5)


async def export_account(
    account: StorageAccount,
    file: Path,
    *,
    clock: Clock,
    chosen: Callable[[Item], bool] = lambda item: True,
    force: bool = False,
    report: Callable[[Progress], None] = lambda progress: None,
) -> Transferred:
    """Save the chosen items of an account; take an interrupted export up where it stopped.

    The file is as consistent as the account is quiet: stop the hosts that work on it first. The work is done on
    `FILE.partial`, which is renamed at the end. Hidden messages of an account over the network cannot be read without
    waiting for them: they are counted in `unreadable`. Visible ones are peeked at; where a queue has more than a peek
    shows, its messages are taken and given back, which raises their dequeue count by one. A killed run leaves those
    that it had taken hidden for some minutes; they are in its file.

    Raises TransferRefused (the file exists, or a partial one is of another account) and TransferFileError.
    """
    # Files are read and written on the loop: a transfer is all that its process does.
    if file.exists() and not force:  # noqa: ASYNC240
        raise TransferRefused(f"{file} exists. Choose another name, or overwrite it with --force.")
    partial = file.with_name(file.name + ".partial")
    state = _interrupted(partial, account, force)
    if state is None:
        header = await _new_header(account, clock, chosen)
        with opened(partial, "wb") as out:
            out.write(header_line(header))
            state = _Unfinished(header, out.tell())
    with opened(partial, "r+b") as out:
        out.truncate(state.end)
        out.seek(state.end)
        export = _Export(account, clock, out, report, state)
        await export.run()
        out.flush()
        os.fsync(out.fileno())
    partial.replace(file)
    return export.done


@dataclass(slots=True)
class _Unfinished:
    """How far an export came. `end`: of what is whole. The last three belong to the item `current`: which rows, blobs
    (by name) and messages (by id) of it are in the file.
    """

    header: Header
    end: int
    finished: set[Item] = field(default_factory=set)
    unreadable: dict[str, int] = field(default_factory=dict)
    current: Item | None = None
    position: str | None = None
    blobs: set[str] = field(default_factory=set)
    messages: set[str] = field(default_factory=set)

    def begin(self, item: Item) -> None:
        # An item that is begun again goes on.
        if item != self.current:
            self.current, self.position, self.blobs, self.messages = item, None, set(), set()


def _interrupted(partial: Path, account: StorageAccount, force: bool) -> _Unfinished | None:
    if not partial.exists():
        return None
    with opened(partial, "rb") as file:
        header = read_header(file, partial)
        if header.source != account.description:
            if force:
                return None
            raise TransferRefused(
                f"{partial} is an unfinished export of {header.source}. Finish that, delete the file, or use --force."
            )
        state = _Unfinished(header, file.tell())
        for record, end in read_records(file, partial):
            match record:
                case Begin(item):
                    state.begin(item)
                case Blob(name=name):
                    state.blobs.add(name)
                    state.end = end
                case Message(id=message_id):
                    state.messages.add(message_id)
                    state.end = end
                case Mark(item, None, unreadable):
                    state.finished.add(item)
                    state.end = end
                    if unreadable:
                        state.unreadable[item.name] = unreadable
                case Mark(_, position):
                    state.position = position
                    state.end = end
                case _:
                    pass
    return state


async def chosen_items(account: StorageAccount, chosen: Callable[[Item], bool]) -> Sequence[Item]:
    """What an export would save, in its order."""
    found = [
        *[Item(Kind.TABLE, name) async for name in account.tables() if name != LEDGER],
        *[Item(Kind.CONTAINER, name) async for name in account.containers()],
        # Last: a message may refer to a blob.
        *[Item(Kind.QUEUE, name) async for name in account.queues()],
    ]
    return tuple(item for item in found if chosen(item))


async def _new_header(account: StorageAccount, clock: Clock, chosen: Callable[[Item], bool]) -> Header:
    return Header(
        id=new_id(),
        exported_at=clock.now(),
        source=account.description,
        blobs=blobs_url(account),
        items=tuple(await chosen_items(account, chosen)),
    )


class _Export:
    def __init__(
        self,
        account: StorageAccount,
        clock: Clock,
        out: BinaryIO,
        report: Callable[[Progress], None],
        state: _Unfinished,
    ) -> None:
        self._account = account
        self._clock = clock
        self._out = out
        self._report = report
        self._state = state
        self.done = Transferred(unreadable=state.unreadable, went_on=state.current is not None)

    async def run(self) -> None:
        items = self._state.header.items
        for number, item in enumerate(items):
            if item in self._state.finished:
                continue
            self._progress = Progress(item=item, records=0, done=number, total=len(items))
            self._report(self._progress)
            await self._item(item)
        self._out.write(record_line(End()))

    async def _item(self, item: Item) -> None:
        self._state.begin(item)
        self._out.write(record_line(Begin(item)))
        try:
            match item.kind:
                case Kind.QUEUE:
                    await self._queue(item.name, self._state.messages)
                case Kind.TABLE:
                    await self._table(item, self._state.position)
                case Kind.CONTAINER:
                    await self._container(item.name, self._state.blobs)
        except NotFound:
            # It was deleted since it was listed. What had been read of it stays in the file.
            pass
        unreadable = self.done.unreadable.get(item.name, 0) if item.kind is Kind.QUEUE else 0
        self._out.write(record_line(Mark(item, None, unreadable)))
        self.done.items += 1

    def _count(self, records: int) -> None:
        self._progress = replace(self._progress, records=self._progress.records + records)
        self._report(self._progress)

    async def _queue(self, name: str, there: set[str]) -> None:
        """`there`: the ids of the messages in the file."""
        queue = self._account.queue(name)
        if isinstance(queue, WholeQueue):
            self._messages(await queue.every(), there)
            return
        seen = await queue.peek(limit=_PEEK)
        if len(seen) < _PEEK:
            self._messages(seen, there)
        else:
            await self._take_all(queue, there)
        if (hidden := await queue.count() - len(there)) > 0:
            self.done.unreadable[name] = hidden

    async def _take_all(self, queue: Queue, there: set[str]) -> None:
        """All visible messages, taken and given back; saved as they were before."""
        taken: list[QueueMessage] = []
        try:
            while batch := await queue.get(limit=_PEEK, hide_for=_READING):
                taken += batch
                now = self._clock.now()
                before = [replace(each, dequeue_count=each.dequeue_count - 1, next_visible_at=now) for each in batch]
                self._messages(before, there)
                # At once: if the process is killed now, they are hidden for a while.
                self._out.flush()
        finally:
            for message in taken:
                await queue.hide(message, hide_for=ZERO)

    def _messages(self, messages: Sequence[QueueMessage], there: set[str]) -> None:
        now = self._clock.now()
        new = [message for message in messages if message.id not in there]
        for message in new:
            self._out.write(record_line(Message.of(message, now)))
            there.add(message.id)
        self.done.messages += len(new)
        self._count(len(new))

    async def _table(self, item: Item, position: str | None) -> None:
        table = self._account.table(item.name)
        while True:
            page = await table.page(continuation=position)
            for row in page.rows:
                self._out.write(record_line(row))
            self.done.rows += len(page.rows)
            self._count(len(page.rows))
            position = page.continuation
            if position is None:
                return
            self._out.write(record_line(Mark(item, position)))

    async def _container(self, name: str, there: set[str]) -> None:
        container = self._account.container(name)
        async for properties in container.list():
            if properties.name in there:
                continue
            try:
                content = await container.read(properties.name)
            except NotFound:  # deleted since it was listed
                continue
            self._out.write(record_line(Blob.of(properties, content)))
            self.done.blobs += 1
            self._count(1)
