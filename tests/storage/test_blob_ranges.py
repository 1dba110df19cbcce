"""Parts of large blobs: ranged reads, writes in blocks, and the notice of a write."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import pytest

from emulator.storage.port import NotFound, PreconditionFailed
from tests.storage.bench import Bench, collected, unique

MIB = 1024 * 1024
FOR_EVER = timedelta(hours=1)


def content_of(blocks: int, size: int = 4 * MIB) -> Iterator[bytes]:
    """Blocks that differ, and differ from themselves when shifted."""
    for number in range(blocks):
        pattern = hashlib.sha256(str(number).encode()).digest()
        yield (pattern * (size // len(pattern) + 1))[:size]


async def sent(*blocks: bytes) -> AsyncIterator[bytes]:
    for block in blocks:
        yield block


async def test_a_range_is_a_part_of_the_content(bench: Bench) -> None:
    container = await bench.new_container()
    written = await container.write("a", b"0123456789", content_type="text/plain", metadata={"k": "v"})
    part = await container.read_range("a", 2, 3)
    assert part.content == b"234"
    assert (part.properties.name, part.properties.size, part.properties.etag) == ("a", 10, written.etag)
    assert (part.properties.content_type, part.properties.metadata) == ("text/plain", {"k": "v"})
    assert part.properties.last_modified == written.last_modified
    assert (await container.read_range("a", 8, 100)).content == b"89"
    assert (await container.read_range("a", 0, 10)).content == b"0123456789"


async def test_a_range_behind_the_end_is_empty(bench: Bench) -> None:
    container = await bench.new_container()
    await container.write("a", b"0123456789")
    await container.write("empty", b"")
    behind = await container.read_range("a", 10, 5)
    assert (behind.content, behind.properties.size) == (b"", 10)
    assert (await container.read_range("a", 99, 5)).content == b""
    empty = await container.read_range("empty", 0, 5)
    assert (empty.content, empty.properties.size) == (b"", 0)


async def test_a_range_of_a_blob_that_has_changed_is_refused(bench: Bench) -> None:
    container = await bench.new_container()
    first = await container.write("a", b"0123456789")
    assert (await container.read_range("a", 0, 2, if_match=first.etag)).content == b"01"
    second = await container.write("a", b"abcdefghij")
    with pytest.raises(PreconditionFailed):
        await container.read_range("a", 2, 2, if_match=first.etag)
    assert (await container.read_range("a", 2, 2, if_match=second.etag)).content == b"cd"


async def test_a_range_of_what_does_not_exist_is_not_found(bench: Bench) -> None:
    container = await bench.new_container()
    for missing in (container, bench.account.container(unique("missing"))):
        with pytest.raises(NotFound):
            await missing.read_range("a", 0, 1)


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_a_blob_written_in_blocks_is_read_as_a_whole_and_in_ranges(bench: Bench) -> None:
    container = await bench.new_container()
    # Pieces of other sizes than a client stores; the last is short.
    blocks = [*content_of(3, 3 * MIB), b"", b"end"]
    whole = b"".join(blocks)
    written = await container.write_blocks("a", sent(*blocks), content_type="text/plain", metadata={"k": "v"})
    properties = await container.properties("a")
    assert (properties.size, properties.etag, properties.content_type) == (len(whole), written.etag, "text/plain")
    assert (written.size, properties.metadata) == (len(whole), {"k": "v"})
    assert await container.read("a") == whole
    for offset, length in ((0, 4 * MIB), (4 * MIB - 2, 4), (5 * MIB, 4 * MIB), (len(whole) - 2, 10), (len(whole), 1)):
        part = await container.read_range("a", offset, length)
        assert part.content == whole[offset : offset + length]
        assert part.properties.size == len(whole)


async def test_a_write_without_blocks_makes_an_empty_blob(bench: Bench) -> None:
    container = await bench.new_container()
    await container.write_blocks("a", sent())
    assert await container.read("a") == b""
    await container.write_blocks("a", sent(b"small"))
    assert await container.read("a") == b"small"


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_blocks_that_end_with_an_error_leave_the_blob_as_it_was(bench: Bench) -> None:
    container = await bench.new_container()
    await container.write("old", b"old")

    async def broken() -> AsyncIterator[bytes]:
        for block in content_of(2):
            yield block
        raise RuntimeError("no more")

    for blob in ("old", "new"):
        with pytest.raises(RuntimeError, match="no more"):
            await container.write_blocks(blob, broken())
    assert [(blob.name, blob.size) for blob in await collected(container.list())] == [("old", 3)]
    assert await container.read("old") == b"old"


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_large_and_small_contents_replace_each_other(bench: Bench) -> None:
    container = await bench.new_container()
    large = list(content_of(2))
    await container.write("a", b"small")
    await container.write_blocks("a", sent(*large))
    await container.write_blocks("a", sent(*reversed(large)))
    assert await container.read("a") == large[1] + large[0]
    await container.write("a", b"small again")
    assert await container.read("a") == b"small again"
    await container.write_blocks("a", sent(*large))
    assert await container.delete("a")
    await container.write("a", b"")
    assert await container.read("a") == b""


async def test_blocks_need_a_container(bench: Bench) -> None:
    with pytest.raises(NotFound):
        await bench.account.container(unique("missing")).write_blocks("a", sent(b"x"))


async def test_a_wait_for_blobs_ends_when_one_is_written(bench: Bench) -> None:
    container = await bench.new_container()
    same = bench.account.container(container.name)
    since = container.changes()
    waiting = asyncio.create_task(container.wait(FOR_EVER, since=since))
    await asyncio.sleep(0)
    await same.write("a", b"x")
    await waiting
    assert container.changes() > since


async def test_a_write_before_the_wait_is_not_missed(bench: Bench) -> None:
    container = await bench.new_container()
    since = container.changes()
    assert await collected(container.list()) == []
    await container.write_blocks("a", sent(b"x"))
    await container.wait(FOR_EVER, since=since)


async def test_a_wait_for_blobs_ends_after_its_time(bench: Bench) -> None:
    container, other = await bench.new_container(), await bench.new_container()
    waiting = asyncio.create_task(container.wait(timedelta(seconds=1), since=container.changes()))
    await other.write("a", b"x")
    assert not waiting.done()
    await bench.passes(1.5)
    await waiting


async def test_a_wait_notices_blobs_of_another_account_object_within_its_time(bench: Bench) -> None:
    container = await bench.new_container()
    since = container.changes()
    async with bench.reopen() as other:
        await other.container(container.name).write("a", b"x")
    waiting = asyncio.create_task(container.wait(timedelta(seconds=1), since=since))
    await bench.passes(1.5)
    await waiting
    assert [blob.name for blob in await collected(container.list())] == ["a"]
