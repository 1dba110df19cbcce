"""Files that cannot be used: each is named in a message that says what to do, and left as it is."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from emulator.clock import SystemClock
from emulator.errors import EmulatorError, StorageUnavailable
from emulator.ids import new_id
from emulator.storage.builtin import BuiltinAccount, open_builtin
from emulator.storage.builtin import schema as builtin_schema
from emulator.storage.builtin import sqlite as builtin_sqlite
from emulator.storage.builtin.file_database import FileDatabase
from emulator.storage.builtin.notifications import QueueNotifications
from emulator.storage.paging import query_rows
from emulator.storage.port import Queue, StorageUnreachable
from tests.storage.bench import bodies, collected, fill, row

CLOCK = SystemClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "storage.db"


async def filled(path: Path, *, rows: int = 0) -> None:
    """A file with one message and some rows, closed."""
    async with open_builtin(path, CLOCK) as account:
        await account.queue("letters").create()
        await account.queue("letters").put("kept")
        await account.table("Rows").create()
        await fill(account.table("Rows"), [row("p", f"{number:04}", Text="x" * 500) for number in range(rows)])


async def service_error(path: Path) -> str:
    """The message with which opening fails; the file is as before."""
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(StorageUnavailable) as refused:
        async with open_builtin(path, CLOCK):
            pass
    assert before is None or path.read_bytes() == before
    assert str(path) in str(refused.value)
    assert "storage builtin:PATH" in str(refused.value)
    return str(refused.value)


async def test_a_file_keeps_everything_and_needs_nothing_beside_it(path: Path) -> None:
    await filled(path, rows=3)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    async with open_builtin(path, CLOCK) as account:
        assert await bodies(account.queue("letters")) == ["kept"]
        assert len(await collected(query_rows(account.table("Rows")))) == 3


async def test_the_folder_of_a_new_file_is_made(tmp_path: Path) -> None:
    await filled(tmp_path / "some" / "where" / "storage.db")
    assert (tmp_path / "some" / "where" / "storage.db").is_file()


async def test_git_does_not_see_our_own_folder_and_others_are_left_alone(tmp_path: Path) -> None:
    await filled(tmp_path / ".azemu" / "storage.db")
    assert (tmp_path / ".azemu" / ".gitignore").read_text() == "*\n"
    await filled(tmp_path / "data" / "storage.db")
    assert [entry.name for entry in (tmp_path / "data").iterdir()] == ["storage.db"]


async def test_something_else_than_a_database(path: Path) -> None:
    path.write_text("These are notes, and somebody may need them.\n" * 50)
    assert "is not a file of azemu's built-in storage" in await service_error(path)


async def test_a_database_of_another_program(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.close()
    connection = sqlite3.connect(path)
    assert "not one of azemu's" in await refusal_of_rows(path, connection, "recipes")


async def refusal_of_rows(path: Path, connection: sqlite3.Connection, table: str) -> str:
    """As `refusal`, for a file whose header SQLite may touch."""
    with pytest.raises(StorageUnavailable) as refused:
        async with open_builtin(path, CLOCK):
            pass
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [(table,)]
    connection.close()
    return str(refused.value)


async def test_a_newer_azemus_file(path: Path) -> None:
    await filled(path)
    set_version(path, 99)
    message = await service_error(path)
    assert "a newer azemu" in message
    assert "format 99" in message


async def test_a_newer_azemu_that_changes_the_file_while_we_have_it_open(path: Path) -> None:
    async with open_builtin(path, CLOCK) as account:
        queue = account.queue("letters")
        await queue.create()
        set_version(path, 99)
        with pytest.raises(EmulatorError, match="a newer azemu"):
            await queue.put("must not be written in the old format")
        set_version(path, builtin_schema.SCHEMA_VERSION)
        assert await bodies(queue) == []


def set_version(path: Path, version: int) -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()


@pytest.mark.parametrize("part", [0.3, 0.5, 0.9])
async def test_a_damaged_file(path: Path, part: float) -> None:
    await filled(path, rows=400)
    content = bytearray(path.read_bytes())
    start = int(len(content) * part)
    content[start : start + 8192] = os.urandom(8192)
    path.write_bytes(content)
    message = await service_error(path)
    assert "damaged" in message
    assert ".recover" in message


async def test_a_file_that_was_cut_off(path: Path) -> None:
    await filled(path, rows=400)
    path.write_bytes(path.read_bytes()[:100_000])
    assert "damaged" in await service_error(path)


async def test_a_folder_instead_of_a_file(path: Path) -> None:
    path.mkdir()
    assert "cannot be opened" in await service_error(path)


async def test_a_file_where_the_folder_should_be(path: Path) -> None:
    path.write_text("")
    with pytest.raises(StorageUnavailable, match="cannot be created"):
        async with open_builtin(path / "storage.db", CLOCK):
            pass


async def test_a_read_only_file() -> None:
    with read_only_copy() as path, pytest.raises(StorageUnavailable) as refused:
        async with open_builtin(path, CLOCK):
            pass
    assert str(path) in str(refused.value)
    assert "permissions" in str(refused.value) or "can be written" in str(refused.value)


@contextmanager
def read_only_copy() -> Iterator[Path]:
    """A new store that this user may read but not write. Root may write anything: it becomes somebody else."""
    folder = Path(tempfile.mkdtemp())
    path = folder / "storage.db"
    connection = builtin_sqlite.open_file(path)
    connection.close()
    folder.chmod(0o555)
    path.chmod(stat.S_IREAD | stat.S_IRGRP | stat.S_IROTH)
    is_root = sys.platform != "win32" and os.geteuid() == 0
    try:
        if is_root:
            os.seteuid(65534)
        yield path
    finally:
        if is_root:
            os.seteuid(0)
        folder.chmod(0o755)
        path.chmod(stat.S_IREAD | stat.S_IWRITE)
        shutil.rmtree(folder)


async def test_a_full_disk_takes_nothing_and_loses_nothing(path: Path) -> None:
    database = FileDatabase(path, CLOCK)
    # SQLite's own limit stands for the disk's: it fails in the same places with the same error.
    [pages] = database._connection.execute("PRAGMA page_count").fetchone()
    database._connection.execute(f"PRAGMA max_page_count = {pages + 40}")
    account = BuiltinAccount(database, QueueNotifications(), CLOCK, new_id)
    queue = account.queue("letters")
    await queue.create()
    put = await fill_up(queue)
    # A small one may still fit where a large one does not; what was acknowledged is there either way.
    database._connection.execute("PRAGMA max_page_count = 1000000")
    await queue.put("after")
    found = [message.body[:5] for message in await queue.list_messages()]
    assert found == [*put, "after"]
    database.close()
    async with open_builtin(path, CLOCK) as reopened:
        assert [message.body[:5] for message in await reopened.queue("letters").list_messages()] == found


async def fill_up(queue: Queue) -> list[str]:
    """Put large messages until the disk is full; which ones were acknowledged."""
    put: list[str] = []
    with pytest.raises(StorageUnreachable, match="is full"):  # noqa: PT012 - how many fit is not known
        while True:
            name = f"{len(put):05}"
            await queue.put(name + "x" * 50_000)
            put.append(name)
    return put


async def test_a_file_that_another_program_locks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtin_sqlite, "LOCK_SECONDS", 0.05)
    await filled(path)
    other = sqlite3.connect(path, isolation_level=None)
    async with open_builtin(path, CLOCK) as account:
        queue = account.queue("letters")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageUnreachable, match=r"storage\.db is locked by another program"):
            await queue.put("lost")
        assert [message.body for message in await queue.peek(limit=32)] == ["kept"]
        assert "is locked" in await service_error(path)
        other.execute("ROLLBACK")
        await queue.put("new")
        assert await bodies(queue) == ["kept", "new"]
    other.close()
