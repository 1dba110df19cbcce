"""Large blobs in the file of the built-in store: which tables it has, and that nothing of a replaced blob remains."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from emulator.clock import SystemClock
from emulator.storage.builtin import open_builtin
from emulator.storage.port import StorageAccount

CLOCK = SystemClock()
BLOCK = 4 * 1024 * 1024


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "storage.db"


async def blocks(count: int) -> AsyncIterator[bytes]:
    for number in range(count):
        yield bytes([number]) * BLOCK


async def stored(path: Path) -> int:
    """The number of stored blocks."""
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute("SELECT count(*) FROM content_blocks").fetchone()[0])
    finally:
        connection.close()


def version(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])
    finally:
        connection.close()


async def test_only_a_large_blob_changes_the_format_of_the_file(path: Path) -> None:
    async with open_builtin(path, CLOCK) as account:
        container = account.container("things")
        await container.create()
        await container.write("small", b"x")
        assert version(path) == 1
        await container.write_blocks("large", blocks(2))
        assert version(path) == 2
    async with open_builtin(path, CLOCK) as account:
        assert (await account.container("things").read_range("large", BLOCK, 3)).content == b"\1\1\1"


async def test_content_that_is_written_at_once_is_stored_in_blocks_if_it_is_large(path: Path) -> None:
    content = b"".join([bytes([number]) * BLOCK for number in range(4)]) + b"end"
    async with open_builtin(path, CLOCK) as account:
        container = account.container("things")
        await container.create()
        await container.write("large", content)
        assert await stored(path) == 5
        assert await container.read("large") == content
        assert (await container.properties("large")).size == len(content)


async def drop(account: StorageAccount) -> None:
    await account.container("things").drop()


async def delete(account: StorageAccount) -> None:
    await account.container("things").delete("large")


async def overwrite(account: StorageAccount) -> None:
    await account.container("things").write("large", b"small")


async def fail(account: StorageAccount) -> None:
    async def broken() -> AsyncIterator[bytes]:
        async for block in blocks(2):
            yield block
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError):
        await account.container("things").write_blocks("other", broken())
    await delete(account)


@pytest.mark.parametrize("remove", [drop, delete, overwrite, fail])
async def test_blocks_are_removed_with_their_blob(path: Path, remove: object) -> None:
    assert callable(remove)
    async with open_builtin(path, CLOCK) as account:
        container = account.container("things")
        await container.create()
        await container.write_blocks("large", blocks(3))
        assert await stored(path) == 3
        await remove(account)
        assert await stored(path) == 0
