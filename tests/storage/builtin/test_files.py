"""Files of the built-in store: those that cannot be used are named with advice, and not changed."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from emulator.clock import SystemClock
from emulator.errors import EmulatorError, StorageUnavailable
from emulator.ids import new_id
from emulator.storage.blob_signal import BlobSignal
from emulator.storage.builtin import BuiltinAccount, open_builtin
from emulator.storage.builtin import schema as builtin_schema
from emulator.storage.builtin import sqlite as builtin_sqlite
from emulator.storage.builtin.file_database import FileDatabase
from emulator.storage.builtin.notifications import QueueNotifications
from emulator.storage.paging import query_rows
from emulator.storage.port import Queue, StorageOutage, StorageUnreachable
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


async def opening_error(path: Path) -> str:
    """Open the file, which must fail and leave it unchanged. Return the message."""
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(StorageUnavailable) as refused:
        async with open_builtin(path, CLOCK):
            pass
    assert before is None or path.read_bytes() == before
    assert str(path) in str(refused.value)
    assert "storage builtin:PATH" in str(refused.value)
    return str(refused.value)


async def test_closed_file_has_everything(path: Path) -> None:
    await filled(path, rows=3)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    async with open_builtin(path, CLOCK) as account:
        assert await bodies(account.queue("letters")) == ["kept"]
        assert len(await collected(query_rows(account.table("Rows")))) == 3


async def test_folder_of_a_new_file_is_created(tmp_path: Path) -> None:
    await filled(tmp_path / "some" / "where" / "storage.db")
    assert (tmp_path / "some" / "where" / "storage.db").is_file()


async def test_azemus_folder_is_ignored_by_git_and_others_are_not(tmp_path: Path) -> None:
    await filled(tmp_path / ".azemu" / "storage.db")
    assert (tmp_path / ".azemu" / ".gitignore").read_text() == "*\n"
    await filled(tmp_path / "data" / "storage.db")
    assert [entry.name for entry in (tmp_path / "data").iterdir()] == ["storage.db"]


async def test_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_text("These are notes, and they may be important.\n" * 50)
    assert "is not a file of azemu's built-in storage" in await opening_error(path)


async def test_database_of_another_program_is_refused(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.close()
    connection = sqlite3.connect(path)
    assert "not one of azemu's" in await opening_error_of_rows(path, connection, "recipes")


async def opening_error_of_rows(path: Path, connection: sqlite3.Connection, table: str) -> str:
    """As `opening_error`, for a file whose header SQLite may touch."""
    with pytest.raises(StorageUnavailable) as refused:
        async with open_builtin(path, CLOCK):
            pass
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [(table,)]
    connection.close()
    return str(refused.value)


async def test_file_of_a_newer_version_is_refused(path: Path) -> None:
    await filled(path)
    set_version(path, 99)
    message = await opening_error(path)
    assert "a newer azemu" in message
    assert "format 99" in message


async def test_file_that_a_newer_version_changes_while_it_is_open_is_refused(path: Path) -> None:
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
async def test_damaged_file_is_refused(path: Path, part: float) -> None:
    await filled(path, rows=400)
    content = bytearray(path.read_bytes())
    start = int(len(content) * part)
    content[start : start + 8192] = os.urandom(8192)
    path.write_bytes(content)
    message = await opening_error(path)
    assert "damaged" in message
    assert ".recover" in message


async def test_truncated_file_is_refused(path: Path) -> None:
    await filled(path, rows=400)
    path.write_bytes(path.read_bytes()[:100_000])
    assert "damaged" in await opening_error(path)


async def test_folder_instead_of_a_file_is_refused(path: Path) -> None:
    path.mkdir()
    assert "cannot be opened" in await opening_error(path)


async def test_file_instead_of_the_folder_is_refused(path: Path) -> None:
    path.write_text("")
    with pytest.raises(StorageUnavailable, match="cannot be created"):
        async with open_builtin(path / "storage.db", CLOCK):
            pass


async def test_read_only_file_is_refused() -> None:
    with read_only_copy() as path, pytest.raises(StorageUnavailable) as refused:
        async with open_builtin(path, CLOCK):
            pass
    assert str(path) in str(refused.value)
    assert "permissions" in str(refused.value) or "can be written" in str(refused.value)


@contextmanager
def read_only_copy() -> Iterator[Path]:
    """A new store that this user may read but not write. Root may write anything, so the test changes the user."""
    folder = Path(tempfile.mkdtemp())
    path = folder / "storage.db"
    connection = builtin_sqlite.open_file(path)
    connection.close()
    folder.chmod(0o555)
    path.chmod(stat.S_IREAD | stat.S_IRGRP | stat.S_IROTH)
    try:
        if sys.platform != "win32" and os.getuid() == 0:
            os.seteuid(65534)
        yield path
    finally:
        if sys.platform != "win32" and os.getuid() == 0:
            os.seteuid(0)
        folder.chmod(0o755)
        path.chmod(stat.S_IREAD | stat.S_IWRITE)
        shutil.rmtree(folder)


async def test_full_disk_loses_nothing_that_was_acknowledged(path: Path) -> None:
    database = FileDatabase(path, CLOCK)
    # SQLite's own limit instead of a full disk: it fails in the same places with the same error.
    [pages] = database._connection.execute("PRAGMA page_count").fetchone()
    database._connection.execute(f"PRAGMA max_page_count = {pages + 40}")
    account = BuiltinAccount(database, QueueNotifications(), BlobSignal(CLOCK), CLOCK, new_id)
    queue = account.queue("letters")
    await queue.create()
    put = await fill_up(queue)
    # A small one may still fit where a large one does not; what was acknowledged is there either way.
    database._connection.execute("PRAGMA max_page_count = 1000000")
    await queue.put("after")
    texts = [message.body[:5] for message in await queue.list_messages()]
    assert texts == [*put, "after"]
    database.close()
    async with open_builtin(path, CLOCK) as reopened:
        assert [message.body[:5] for message in await reopened.queue("letters").list_messages()] == texts


async def test_a_full_disk_is_reported_once_though_small_writes_fit(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    free = 0
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    database = FileDatabase(path, CLOCK, log_outages=True)
    account = BuiltinAccount(database, QueueNotifications(), BlobSignal(CLOCK), CLOCK, new_id)
    queue = account.queue("letters")
    await queue.create()
    await queue.put("small")
    [pages] = database._connection.execute("PRAGMA page_count").fetchone()
    database._connection.execute(f"PRAGMA max_page_count = {pages + 40}")
    await fill_up(queue)
    for _ in range(3):
        assert await queue.get(limit=1, hide_for=timedelta(minutes=1))
        with pytest.raises(StorageOutage, match="is full"):
            await queue.put("x" * 50_000)
    assert caplog.text.count("Storage does not respond") == 1
    assert "Storage responds again" not in caplog.text
    free = 2**30
    database._connection.execute("PRAGMA max_page_count = 1000000")
    await queue.put("x" * 50_000)
    assert caplog.text.count("Storage responds again") == 1
    database.close()


async def fill_up(queue: Queue) -> list[str]:
    """Put large messages until the disk is full. Return those that were acknowledged."""
    put: list[str] = []
    with pytest.raises(StorageUnreachable, match="is full"):  # noqa: PT012 - how many fit is not known
        while True:
            name = f"{len(put):05}"
            await queue.put(name + "x" * 50_000)
            put.append(name)
    return put


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not delete open files")
@pytest.mark.parametrize("deleted", ["folder", "file"])
async def test_a_deleted_file_is_written_again(tmp_path: Path, caplog: pytest.LogCaptureFixture, deleted: str) -> None:
    path = tmp_path / ".azemu" / "storage.db"
    async with open_builtin(path, CLOCK) as one, open_builtin(path, CLOCK) as other:
        await one.queue("letters").create()
        await one.queue("letters").put("before")
        if deleted == "folder":
            shutil.rmtree(path.parent)
        else:
            path.unlink()
        await one.queue("letters").put("after")
        await other.queue("letters").put("of the other")
        for account in (one, other):
            assert sorted(m.body for m in await account.queue("letters").peek(limit=32)) == [
                "after",
                "before",
                "of the other",
            ]
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert caplog.text.count("It was written again, with all that it contained.") == 1
    async with open_builtin(path, CLOCK) as reopened:
        assert sorted(m.body for m in await reopened.queue("letters").peek(limit=32)) == [
            "after",
            "before",
            "of the other",
        ]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not replace open files")
async def test_a_replaced_file_is_used_and_not_mixed_with_the_old_one(
    tmp_path: Path, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await filled(tmp_path / "copy.db", rows=200)
    async with open_builtin(path, CLOCK) as account:
        await account.queue("letters").create()
        # These are in the log beside the file.
        for number in range(50):
            await account.queue("letters").put(f"old {number}")
        (tmp_path / "garbage").write_bytes(b"no database" * 1000)
        (tmp_path / "garbage").replace(path)
        for _ in range(2):
            with pytest.raises(StorageOutage, match="is not a file of azemu's built-in storage"):
                await account.queue("letters").put("lost")
        (tmp_path / "copy.db").replace(path)
        await account.queue("letters").put("new")
        assert sorted(m.body for m in await account.queue("letters").peek(limit=32)) == ["kept", "new"]
    assert caplog.text.count("From now on the host uses the new file.") == 1
    async with open_builtin(path, CLOCK) as reopened:
        assert sorted(m.body for m in await reopened.queue("letters").peek(limit=32)) == ["kept", "new"]
        assert len([row async for row in query_rows(reopened.table("Rows"))]) == 200


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not delete open files")
async def test_a_deleted_file_that_cannot_be_written_again_is_an_outage(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "data"
    async with open_builtin(folder / "storage.db", CLOCK, log_outages=True) as account:
        await account.queue("letters").create()
        shutil.rmtree(folder)
        folder.write_text("a file where the folder was")
        for _ in range(2):
            with pytest.raises(StorageOutage, match="was deleted and cannot be written again"):
                await account.queue("letters").put("lost")
        folder.unlink()
        await account.queue("letters").put("kept")
        assert sorted(m.body for m in await account.queue("letters").peek(limit=32)) == ["kept"]
    assert caplog.text.count("Storage does not respond") == caplog.text.count("Storage responds again") == 1


async def test_file_locked_by_another_program_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(builtin_sqlite, "LOCK_SECONDS", 0.05)
    await filled(path)
    other = sqlite3.connect(path, isolation_level=None)
    async with open_builtin(path, CLOCK, log_outages=True) as account:
        queue = account.queue("letters")
        other.execute("BEGIN IMMEDIATE")
        for _ in range(2):
            with pytest.raises(StorageOutage, match=r"storage\.db has been locked by another program"):
                await queue.put("lost")
        assert [message.body for message in await queue.peek(limit=32)] == ["kept"]
        assert "has been locked" in await opening_error(path)
        other.execute("ROLLBACK")
        await queue.put("new")
        assert await bodies(queue) == ["kept", "new"]
    other.close()
    # Reading was possible all the time.
    away, back = caplog.messages
    assert away.startswith("Storage does not respond")
    assert back == f"Storage responds again: built-in storage in {path}"
