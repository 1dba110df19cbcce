"""Export to a file and import from it: everything arrives, interrupted runs go on, nothing is overwritten."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from emulator.storage.builtin import open_builtin
from emulator.storage.paging import query_rows
from emulator.storage.port import Row, StorageAccount
from emulator.storage.transfer.exporting import export_account
from emulator.storage.transfer.file import Item, TransferFileError
from emulator.storage.transfer.importing import import_account
from emulator.storage.transfer.terms import LEDGER, Progress, Transferred, TransferRefused
from tests.storage.bench import Bench, bodies, collected, insert, row, take_all, unique
from tests.storage.test_rows import VALUES


@dataclass
class Stock:
    """Things of one test in an account, all under names that begin with `word`."""

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
        """All there is, but for what is not carried over. Takes the visible messages."""
        table = self.account.table(f"{self.word}Table")
        container = self.account.container(f"{self.word}blobs")
        blobs = await collected(container.list())
        return {
            "queues": await collected(self.account.queues(self.word)),
            "messages": await bodies(self.account.queue(f"{self.word}queue")),
            "rows": [
                (found.partition_key, found.row_key, dict(found.properties))
                async for found in query_rows(table)
                if found.partition_key != "links"
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


async def test_an_account_arrives_whole_in_another_one(
    bench: Bench, stock: Stock, elsewhere: StorageAccount, tmp_path: Path
) -> None:
    file = tmp_path / "all.jsonl"
    saved = await export_account(bench.account, file, clock=bench.clock, chosen=stock.chosen)
    assert (saved.items, saved.messages, saved.rows, saved.blobs) == (4, 3, 102, 2)
    assert saved.unreadable == {}
    put = await import_account(file, elsewhere, clock=bench.clock)
    assert (put.items, put.messages, put.rows, put.blobs) == (4, 3, 102, 2)
    assert await Stock(elsewhere, stock.word).seen() == await stock.seen()
    assert LEDGER not in await collected(elsewhere.tables())


async def test_and_back(bench: Bench, elsewhere: StorageAccount, tmp_path: Path) -> None:
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


async def test_a_queue_of_any_length_arrives(bench: Bench, elsewhere: StorageAccount, tmp_path: Path) -> None:
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


async def test_a_message_keeps_the_end_of_its_life(bench: Bench, elsewhere: StorageAccount, tmp_path: Path) -> None:
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
    """The process ends here."""


def killed_after(count: int) -> Callable[[Progress], None]:
    """A report that ends the run at its `count`-th call."""
    left = count

    def report(progress: Progress) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed

    return report


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7, 8])
async def test_a_killed_export_goes_on(
    bench: Bench, stock: Stock, elsewhere: StorageAccount, tmp_path: Path, count: int
) -> None:
    file = tmp_path / "all.jsonl"
    with pytest.raises(Killed):
        await export_account(bench.account, file, clock=bench.clock, chosen=stock.chosen, report=killed_after(count))
    assert not file.exists()
    await export_account(bench.account, file, clock=bench.clock, chosen=stock.chosen)
    assert not file.with_name("all.jsonl.partial").exists()
    await import_account(file, elsewhere, clock=bench.clock)
    assert await Stock(elsewhere, stock.word).seen() == await stock.seen()


async def test_messages_that_a_killed_export_had_taken_are_in_its_file(
    bench: Bench, elsewhere: StorageAccount, tmp_path: Path
) -> None:
    queue = await bench.new_queue()
    await asyncio.gather(*(queue.put(str(number)) for number in range(70)))
    file = tmp_path / "queue.jsonl"

    async def export(report: Callable[[Progress], None] = lambda progress: None) -> Transferred:
        return await export_account(
            bench.account, file, clock=bench.clock, chosen=lambda item: item.name == queue.name, report=report
        )

    over_the_network = bench.backend.startswith("azurite")
    with pytest.raises(Killed):
        await export(killed_after(3 if over_the_network else 2))  # A network queue is read 32 by 32.
    saved = len(file.with_name("queue.jsonl.partial").read_text().splitlines()) - 2
    await take_all(queue)  # As if they had never been given back.
    result = await export()
    put = await import_account(file, elsewhere, clock=bench.clock)
    assert result.went_on
    whole = 64 if over_the_network else 70
    assert (saved, put.messages) == (whole, whole)
    assert result.unreadable == ({queue.name: 6} if over_the_network else {})


async def test_an_export_that_was_cut_within_a_line_goes_on(
    bench: Bench, stock: Stock, elsewhere: StorageAccount, tmp_path: Path
) -> None:
    whole = tmp_path / "whole.jsonl"
    await export_account(bench.account, whole, clock=bench.clock, chosen=stock.chosen)
    content = whole.read_bytes()
    for share in (0.3, 0.6, 0.9):
        file = tmp_path / f"cut{share}.jsonl"
        file.with_name(file.name + ".partial").write_bytes(content[: int(len(content) * share)])
        await export_account(bench.account, file, clock=bench.clock, chosen=stock.chosen)
        await import_account(file, elsewhere, clock=bench.clock, force=True)
        copy = Stock(elsewhere, stock.word)
        assert len(await collected(query_rows(copy.account.table(f"{stock.word}Table")))) == 102
        assert len(await bodies(copy.account.queue(f"{stock.word}queue"))) == 3


@pytest.mark.parametrize("count", [1, 50, 104, 105, 106, 107, 109, 112])
async def test_a_killed_import_goes_on(bench: Bench, elsewhere: StorageAccount, tmp_path: Path, count: int) -> None:
    there = Stock(elsewhere, unique("stock"))
    await there.fill()
    file = tmp_path / "all.jsonl"
    await export_account(elsewhere, file, clock=bench.clock)
    with pytest.raises(Killed):
        await import_account(file, bench.account, clock=bench.clock, report=killed_after(count))
    await import_account(file, bench.account, clock=bench.clock)
    seen, original = await Stock(bench.account, there.word).seen(), await there.seen()
    # Messages since the last note come twice, as they may: at least once is the promise of a queue.
    assert set(seen.pop("messages")) == set(original.pop("messages"))  # type: ignore[call-overload]
    assert seen == original


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


async def test_a_partial_file_of_another_account_is_not_taken_up(bench: Bench, stock: Stock, tmp_path: Path) -> None:
    file, partial = tmp_path / "all.jsonl", tmp_path / "all.jsonl.partial"
    with pytest.raises(Killed):
        await export_account(bench.account, file, clock=bench.clock, chosen=stock.chosen, report=killed_after(1))
    header = json.loads(partial.read_text().splitlines()[0])
    partial.write_text(json.dumps({**header, "source": "somewhere else"}) + "\n")
    with pytest.raises(TransferRefused, match="somewhere else"):
        await export_account(bench.account, file, clock=bench.clock, chosen=stock.chosen)
    await export_account(bench.account, file, clock=bench.clock, chosen=stock.chosen, force=True)
    assert file.exists()


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
    ],
)
async def test_files_that_are_no_exports_are_refused_with_the_reason(
    tmp_path: Path, bench: Bench, content: str, says: str
) -> None:
    file = tmp_path / "file.jsonl"
    file.write_text(content)
    with pytest.raises(TransferFileError, match=says):
        await import_account(file, bench.account, clock=bench.clock)
