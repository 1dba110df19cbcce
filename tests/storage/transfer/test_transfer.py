"""Export and import of accounts: completeness, interruption, overwriting, files of earlier versions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from emulator.storage.builtin import open_builtin
from emulator.storage.paging import query_rows
from emulator.storage.port import NotFound, Queue, QueueMessage, Row, StorageAccount
from emulator.storage.transfer.export_file import Item, TransferFileError
from emulator.storage.transfer.exporting import export_account
from emulator.storage.transfer.importing import import_account
from emulator.storage.transfer.target import MARK_TABLE
from emulator.storage.transfer.types import Progress, TransferRefused
from tests.storage.bench import Bench, bodies, collected, insert, keys, row, take_all, unique
from tests.storage.test_rows import VALUES


@dataclass
class Stock:
    """Content of an account for one test, under names that begin with `word`."""

    account: StorageAccount
    word: str

    def chosen(self, item: Item) -> bool:
        return item.name.startswith(self.word)

    async def fill(self) -> None:
        queue = self.account.queue(f"{self.word}queue")
        await queue.create()
        for number in range(3):
            await queue.put(f"message {number} <ä>")
        await self.account.queue(f"{self.word}empty").create()
        table = self.account.table(f"{self.word}Table")
        await table.create()
        await table.submit([insert(Row("p'1", "a b", VALUES))])
        await table.submit([insert(row("many", f"{number:03}", n=number)) for number in range(100)])
        container = self.account.container(f"{self.word}blobs")
        await container.create()
        await container.write("a/b.txt", b"hello", content_type="text/plain", metadata={"by": "ada"})
        await container.write("bytes", bytes(range(256)))
        await table.submit([insert(row("links", "r", link=container.url("a/b.txt"), text="http://else.where/x"))])

    async def seen(self) -> dict[str, object]:
        """Return everything that an export transfers. Dequeues the visible messages."""
        table = self.account.table(f"{self.word}Table")
        container = self.account.container(f"{self.word}blobs")
        blobs = await collected(container.list())
        return {
            "queues": await collected(self.account.queues(self.word)),
            "messages": await bodies(self.account.queue(f"{self.word}queue")),
            "rows": [
                (row.partition_key, row.row_key, dict(row.properties))
                async for row in query_rows(table)
                if row.partition_key != "links"
            ],
            "link": (await table.read("links", "r")).properties["link"] == container.url("a/b.txt"),
            "blobs": [(blob.name, blob.content_type, dict(blob.metadata)) for blob in blobs],
            "contents": [await container.read(blob.name) for blob in blobs],
        }


@pytest.fixture
async def stock(bench: Bench) -> Stock:
    stock = Stock(bench.account, unique("stock"))
    await stock.fill()
    return stock


@pytest.fixture
async def elsewhere(bench: Bench) -> AsyncIterator[StorageAccount]:
    async with open_builtin(None, bench.clock) as account:
        yield account


async def test_exported_account_is_imported_completely(
    bench: Bench, stock: Stock, elsewhere: StorageAccount, tmp_path: Path
) -> None:
    file = tmp_path / "all.jsonl"
    saved = await export_account(bench.account, file, clock=bench.clock, chosen=stock.chosen)
    assert (saved.items, saved.messages, saved.rows, saved.blobs) == (4, 3, 102, 2)
    assert saved.unreadable == {}
    put = await import_account(file, elsewhere, clock=bench.clock)
    assert (put.items, put.messages, put.rows, put.blobs) == (4, 3, 102, 2)
    assert await Stock(elsewhere, stock.word).seen() == await stock.seen()
    assert MARK_TABLE not in await collected(elsewhere.tables())


async def test_built_in_account_is_imported_into_every_storage(
    bench: Bench, elsewhere: StorageAccount, tmp_path: Path
) -> None:
    there = Stock(elsewhere, unique("stock"))
    await there.fill()
    file = tmp_path / "all.jsonl"
    await export_account(elsewhere, file, clock=bench.clock)
    await import_account(file, bench.account, clock=bench.clock)
    assert await Stock(bench.account, there.word).seen() == await there.seen()


async def test_exporting_leaves_the_messages_as_they_were(bench: Bench, stock: Stock, tmp_path: Path) -> None:
    await export_account(bench.account, tmp_path / "all.jsonl", clock=bench.clock, chosen=stock.chosen)
    messages = await take_all(bench.account.queue(f"{stock.word}queue"))
    assert sorted(message.dequeue_count for message in messages) == [1, 1, 1]


async def test_queue_with_more_messages_than_a_peek_returns_is_exported_completely(
    bench: Bench, elsewhere: StorageAccount, tmp_path: Path
) -> None:
    queue = await bench.new_queue()
    await asyncio.gather(*(queue.put(str(number)) for number in range(70)))
    file = tmp_path / "queue.jsonl"
    await export_account(bench.account, file, clock=bench.clock, chosen=lambda item: item.name == queue.name)
    assert await queue.count() == 70
    await import_account(file, elsewhere, clock=bench.clock)
    copied = await take_all(elsewhere.queue(queue.name))
    assert sorted(int(message.body) for message in copied) == list(range(70))
    assert {message.dequeue_count for message in copied} == {1}
    assert len(await take_all(queue)) == 70


async def test_hidden_messages_keep_their_time_or_are_counted(
    bench: Bench, elsewhere: StorageAccount, tmp_path: Path
) -> None:
    queue = await bench.new_queue()
    await queue.put("seen")
    await queue.put("hidden", visible_in=timedelta(hours=2))
    file = tmp_path / "queue.jsonl"
    saved = await export_account(bench.account, file, clock=bench.clock, chosen=lambda item: item.name == queue.name)
    put = await import_account(file, elsewhere, clock=bench.clock)
    assert put.unreadable == saved.unreadable
    there = elsewhere.queue(queue.name)
    assert await bodies(there) == ["seen"]
    if bench.backend.startswith("azurite"):
        assert saved.unreadable == {queue.name: 1}
        return
    await bench.passes(3600)
    assert "hidden" not in await bodies(there)
    await bench.passes(3601)
    assert "hidden" in await bodies(there)


async def test_message_keeps_its_expiry(bench: Bench, elsewhere: StorageAccount, tmp_path: Path) -> None:
    queue = await bench.new_queue()
    await queue.put("mortal", lives_for=timedelta(hours=1))
    file = tmp_path / "queue.jsonl"
    await export_account(bench.account, file, clock=bench.clock, chosen=lambda item: item.name == queue.name)
    await import_account(file, elsewhere, clock=bench.clock)
    [original], [copy] = await queue.peek(limit=1), await elsewhere.queue(queue.name).peek(limit=1)
    assert original.expires_at is not None
    assert copy.expires_at is not None
    assert abs(copy.expires_at - original.expires_at) <= timedelta(seconds=2)


class Killed(BaseException):
    """Raised instead of the end of the process."""


def killed_after(count: int) -> Callable[[Progress], None]:
    """Return a progress callback that raises Killed when it is called for the `count`-th time."""
    left = count

    def report(progress: Progress) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed

    return report


def moments(*counts: int, on_servers: int) -> pytest.MarkDecorator:
    """Parametrise `bench` and `count`: every moment on the store in memory, one of them on each other store.

    What is interrupted is the transfer, which is the same for all of them.
    """
    return pytest.mark.parametrize(
        ("bench", "count"),
        [
            *(("memory", count) for count in counts),
            ("file", on_servers),
            *(pytest.param(name, on_servers, marks=pytest.mark.azurite) for name in ("azurite", "azurite-sdk")),
        ],
        indirect=["bench"],
    )


@moments(1, 2, 50, 108, 111, on_servers=50)
async def test_killed_export_leaves_no_file_and_can_be_repeated(
    bench: Bench, stock: Stock, elsewhere: StorageAccount, tmp_path: Path, count: int
) -> None:
    file = tmp_path / "all.jsonl"
    with pytest.raises(Killed):
        await export_account(bench.account, file, clock=bench.clock, chosen=stock.chosen, report=killed_after(count))
    assert list(tmp_path.glob("all*")) == []
    await export_account(bench.account, file, clock=bench.clock, chosen=stock.chosen)
    await import_account(file, elsewhere, clock=bench.clock)
    assert await Stock(elsewhere, stock.word).seen() == await stock.seen()


async def test_killed_export_returns_the_messages_it_had_dequeued(bench: Bench, tmp_path: Path) -> None:
    queue = await bench.new_queue()
    await asyncio.gather(*(queue.put(str(number)) for number in range(70)))
    with pytest.raises(Killed):
        await export_account(
            bench.account,
            tmp_path / "queue.jsonl",
            clock=bench.clock,
            chosen=lambda item: item.name == queue.name,
            report=killed_after(40),
        )
    assert len(await take_all(queue)) == 70


class NetworkQueue:
    """A queue without the operations that only the built-in store has. Its first message is gone at `hide`."""

    def __init__(self, queue: Queue) -> None:
        self.peek, self.get, self.count = queue.peek, queue.get, queue.count
        self._hide = queue.hide
        self._lost: str | None = None

    async def hide(self, message: QueueMessage, *, hide_for: timedelta) -> QueueMessage:
        self._lost = self._lost or message.id
        if message.id == self._lost:
            raise NotFound("It has expired.", status=404, code="MessageNotFound")
        return await self._hide(message, hide_for=hide_for)


async def test_messages_are_exported_although_one_expires_meanwhile(
    bench: Bench, elsewhere: StorageAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = elsewhere.queue("many")
    await queue.create()
    await asyncio.gather(*(queue.put(str(number)) for number in range(40)))
    monkeypatch.setattr(elsewhere, "queue", lambda name: NetworkQueue(queue))
    result = await export_account(elsewhere, tmp_path / "all.jsonl", clock=bench.clock)
    assert result.messages == 40
    assert len(await take_all(queue)) == 39


async def test_partial_file_of_an_earlier_run_is_overwritten(bench: Bench, stock: Stock, tmp_path: Path) -> None:
    file, partial = tmp_path / "all.jsonl", tmp_path / "all.jsonl.partial"
    partial.write_text('{"format":"azemu-storage","version":1,"source":"somewhere else"}\n')
    result = await export_account(bench.account, file, clock=bench.clock, chosen=stock.chosen)
    assert result.rows == 102
    assert not partial.exists()


@moments(1, 50, 104, 105, 106, 107, 109, 112, on_servers=106)
async def test_killed_import_is_repeated_from_the_beginning_without_force(
    bench: Bench, elsewhere: StorageAccount, tmp_path: Path, count: int
) -> None:
    original = Stock(elsewhere, unique("stock"))
    await original.fill()
    file = tmp_path / "all.jsonl"
    await export_account(elsewhere, file, clock=bench.clock)
    with pytest.raises(Killed):
        await import_account(file, bench.account, clock=bench.clock, report=killed_after(count))
    assert MARK_TABLE in await collected(bench.account.tables())
    result = await import_account(file, bench.account, clock=bench.clock)
    assert (result.items, result.messages, result.rows, result.blobs) == (4, 3, 102, 2)
    assert await Stock(bench.account, original.word).seen() == await original.seen()
    assert MARK_TABLE not in await collected(bench.account.tables())


async def test_repeated_import_refuses_what_others_wrote_into_items_it_had_not_begun(
    bench: Bench, stock: Stock, elsewhere: StorageAccount, tmp_path: Path
) -> None:
    file = tmp_path / "all.jsonl"
    await export_account(bench.account, file, clock=bench.clock, chosen=stock.chosen)
    with pytest.raises(Killed):
        await import_account(file, elsewhere, clock=bench.clock, report=killed_after(50))  # In the table, the first.
    queue = elsewhere.queue(f"{stock.word}queue")
    await queue.create()
    await queue.put("of the user")
    with pytest.raises(TransferRefused, match=f"queue {stock.word}queue"):
        await import_account(file, elsewhere, clock=bench.clock)
    assert await queue.count() == 1
    await queue.clear()
    await import_account(file, elsewhere, clock=bench.clock)
    assert await Stock(elsewhere, stock.word).seen() == await stock.seen()


async def test_unfinished_import_does_not_let_another_file_overwrite(
    bench: Bench, stock: Stock, elsewhere: StorageAccount, tmp_path: Path
) -> None:
    file, other = tmp_path / "all.jsonl", tmp_path / "other.jsonl"
    for path in (file, other):
        await export_account(bench.account, path, clock=bench.clock, chosen=stock.chosen)
    with pytest.raises(Killed):
        await import_account(file, elsewhere, clock=bench.clock, report=killed_after(50))
    with pytest.raises(TransferRefused, match=f"{stock.word}Table"):
        await import_account(other, elsewhere, clock=bench.clock)


async def test_repeated_copy_removes_what_its_source_has_no_longer(
    bench: Bench, stock: Stock, elsewhere: StorageAccount, tmp_path: Path
) -> None:
    file = tmp_path / "copy.jsonl"
    await export_account(bench.account, file, clock=bench.clock, chosen=stock.chosen, export_id="copy-1")
    with pytest.raises(Killed):
        await import_account(file, elsewhere, clock=bench.clock, report=killed_after(50))
    await bench.account.table(f"{stock.word}Table").drop()
    await export_account(bench.account, file, clock=bench.clock, chosen=stock.chosen, export_id="copy-1", force=True)
    await import_account(file, elsewhere, clock=bench.clock)
    assert await collected(query_rows(elsewhere.table(f"{stock.word}Table"))) == []


async def test_nothing_is_overwritten_without_force(
    bench: Bench, stock: Stock, elsewhere: StorageAccount, tmp_path: Path
) -> None:
    file = tmp_path / "all.jsonl"
    await export_account(bench.account, file, clock=bench.clock, chosen=stock.chosen)
    with pytest.raises(TransferRefused, match="--force"):
        await export_account(bench.account, file, clock=bench.clock)
    await import_account(file, elsewhere, clock=bench.clock)
    extra = elsewhere.table(f"{stock.word}Table")
    await extra.submit([insert(row("extra", "r"))])
    await elsewhere.queue(f"{stock.word}queue").put("extra")
    with pytest.raises(TransferRefused, match=f"{stock.word}Table"):
        await import_account(file, elsewhere, clock=bench.clock)
    await import_account(file, elsewhere, clock=bench.clock, force=True)
    assert await Stock(elsewhere, stock.word).seen() == await stock.seen()


# Lines that earlier versions of azemu wrote. They resumed interrupted exports and imports.
RESUMED = [
    '{"format":"azemu-storage","version":1,"id":"73f1","exportedAt":"2026-11-24T08:00:00+00:00","source":"Azurite",'
    '"blobs":"http://127.0.0.1:10000/devstoreaccount1","items":[["table","Old"],["queue","old"]]}',
    '{"begin":["table","Old"]}',
    '{"row":["a","1",{"n":1}]}',
    '{"mark":["table","Old"],"position":"1!4!YQ-- 1!4!Mg--"}',
    '{"begin":["table","Old"]}',
    '{"row":["a","2",{"n":2}]}',
    '{"mark":["table","Old"],"position":null}',
    '{"begin":["queue","old"]}',
    '{"message":"text","id":"c9da6455-213d-42c9-9a79-3e9149a57833","dequeueCount":0}',
    '{"mark":["queue","old"],"position":null,"unreadableMessages":2}',
    '{"end":true}',
]


def write_lines(file: Path, lines: Sequence[str]) -> Path:
    file.write_text("".join(f"{line}\n" for line in lines))
    return file


async def test_resumed_export_of_an_earlier_version_is_imported(
    bench: Bench, elsewhere: StorageAccount, tmp_path: Path
) -> None:
    result = await import_account(write_lines(tmp_path / "old.jsonl", RESUMED), elsewhere, clock=bench.clock)
    assert (result.items, result.rows, result.messages, result.unreadable) == (2, 2, 1, {"old": 2})
    assert await keys(query_rows(elsewhere.table("Old"))) == [("a", "1"), ("a", "2")]
    assert await bodies(elsewhere.queue("old")) == ["text"]


@pytest.mark.parametrize("count", [1, 4, 7, 10])
async def test_interrupted_export_of_an_earlier_version_is_refused(
    bench: Bench, elsewhere: StorageAccount, tmp_path: Path, count: int
) -> None:
    file = write_lines(tmp_path / "old.jsonl.partial", RESUMED[:count])
    with pytest.raises(TransferFileError, match=r"incomplete: its export was interrupted\. Export again"):
        await import_account(file, elsewhere, clock=bench.clock)
    assert await collected(elsewhere.tables()) == []


async def test_import_that_an_earlier_version_began_is_repeated_without_force(
    bench: Bench, elsewhere: StorageAccount, tmp_path: Path
) -> None:
    file = write_lines(tmp_path / "old.jsonl", RESUMED)
    for name in (MARK_TABLE, "Old"):
        await elsewhere.table(name).create()
    await elsewhere.table("Old").submit([insert(row("a", "1", n=1))])
    position = {"Position": "300", "Kind": "table", "Name": "Old"}
    await elsewhere.table(MARK_TABLE).submit([insert(Row("73f1", "", position))])
    await import_account(file, elsewhere, clock=bench.clock)
    assert await keys(query_rows(elsewhere.table("Old"))) == [("a", "1"), ("a", "2")]
    assert await collected(elsewhere.tables()) == ["Old"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "not a storage export"),
        ("hello\n", "not a storage export"),
        ('{"format":"other","version":1}\n', "not a storage export"),
        ('{"format":"azemu-storage","version":99}\n', "newer azemu"),
        (
            '{"format":"azemu-storage","version":1,"id":"x","exportedAt":"2026-01-01T00:00:00+00:00","source":"s",'
            '"blobs":"b","items":[]}\n',
            "incomplete",
        ),
        (
            '{"format":"azemu-storage","version":1,"id":"x","exportedAt":"2026-01-01T00:00:00+00:00","source":"s",'
            '"blobs":"b","items":[]}\n{"nonsense":1}\n{"end":true}\n',
            "damaged",
        ),
        (
            '{"format":"azemu-storage","version":1,"id":"x","exportedAt":"2026-01-01T00:00:00+00:00","source":"s",'
            '"blobs":"b","items":[]}\n{"begin":["table","Users"]}\n{"end":true}\n',
            "table Users, which its header does not list",
        ),
    ],
)
async def test_invalid_files_are_refused_with_the_reason(tmp_path: Path, bench: Bench, content: str, says: str) -> None:
    file = tmp_path / "file.jsonl"
    file.write_text(content)
    with pytest.raises(TransferFileError, match=says):
        await import_account(file, bench.account, clock=bench.clock)
