"""A host that is started after a killed one on the same machine takes over its name and returns its messages."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from emulator.durable.azurestorage.hub import AzureStorageTaskHub
from emulator.ids import new_id
from emulator.polling.crash_recovery.host_identity import HostIdentity, open_host_identities
from emulator.polling.crash_recovery.receipt_journal import (
    FileReceiptJournal,
    JournalEntry,
    read_journal,
    return_messages,
)
from emulator.polling.crash_recovery.takeover import takeover
from emulator.storage.port import QueueMessage, StorageAccount
from emulator.virtual_time import VirtualClock
from tests.storage.bench import Bench, unique

from .crashing import CrashPoint
from .world import OPTIONS, open_world

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROOT = Path(__file__).parents[3]


# Seats -------------------------------------------------------------------------------------------------------


@contextmanager
def claimed(folder: Path) -> Iterator[HostIdentity]:
    with open_host_identities(folder, new_id) as claim_identity:
        identity = claim_identity()
        assert identity is not None
        yield identity


def test_hosts_of_a_folder_have_different_names_which_later_hosts_take_over(tmp_path: Path) -> None:
    with claimed(tmp_path) as first, claimed(tmp_path) as second:
        assert first.name != second.name
    with claimed(tmp_path) as third:
        assert third.name == first.name
        with claimed(tmp_path) as fourth:
            assert fourth.name == second.name


def test_the_lowest_free_identity_is_claimed(tmp_path: Path) -> None:
    with claimed(tmp_path) as first:
        pass
    with claimed(tmp_path) as second, claimed(tmp_path) as third:
        assert (second.name, third.name != first.name) == (first.name, True)


def test_a_copied_folder_copies_neither_name_nor_messages(tmp_path: Path) -> None:
    with claimed(tmp_path / "app") as original:
        original.journal.record("letters", [message("m1")])
        shutil.copytree(tmp_path / "app", tmp_path / "copy")
        with claimed(tmp_path / "copy") as copy:
            assert copy.name != original.name
            assert copy.journal.previous == ()
    with claimed(tmp_path / "copy") as again:
        assert again.name == copy.name


def test_a_folder_from_another_machine_gets_new_identities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with claimed(tmp_path) as here:
        pass
    monkeypatch.setattr(platform, "node", lambda: "elsewhere")
    with claimed(tmp_path) as there:
        assert there.name != here.name
        assert there.name.startswith("elsewhere-")


def test_no_identity_is_claimed_if_the_folder_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("a file")
    with open_host_identities(tmp_path / "hosts", new_id) as claim_identity:
        assert claim_identity() is None


def test_the_folder_is_ignored_by_git(tmp_path: Path) -> None:
    with claimed(tmp_path):
        assert (tmp_path / ".gitignore").read_text() == "*\n"


# The journal --------------------------------------------------------------------------------------------------


def message(id: str, receipt: str = "r1") -> QueueMessage:
    return QueueMessage(id, "", receipt, 1, NOW, NOW)


def held(path: Path) -> dict[str, str]:
    """The ids and receipts in the file."""
    return {each.message_id: each.pop_receipt for each in read_journal(path)[1]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "0.ledger"


@pytest.fixture
def journal(path: Path) -> Iterator[FileReceiptJournal]:
    with closing(FileReceiptJournal(path, "title")) as journal:
        yield journal


def test_the_journal_contains_locked_messages_with_their_last_receipts(journal: FileReceiptJournal, path: Path) -> None:
    journal.record("letters", [message("m1"), message("m2"), message("m3")])
    journal.record("letters", [message("m2", "r2")])
    journal.forget(message("m1"))
    journal.forget(message("never held"))
    assert read_journal(path) == ("title", (JournalEntry("letters", "m2", "r2"), JournalEntry("letters", "m3", "r1")))


def test_entries_of_the_previous_host_stay_until_they_are_removed(journal: FileReceiptJournal, path: Path) -> None:
    journal.record("letters", [message("m1"), message("m2")])
    with closing(FileReceiptJournal(path, "title", read_journal(path)[1])) as second:
        second.remove("m1")
    assert held(path) == {"m2": "r1"}


def test_a_host_that_stops_in_order_leaves_no_entries(path: Path) -> None:
    with closing(FileReceiptJournal(path, "title")) as journal:
        journal.record("letters", [message("m1")])
        journal.forget(message("m1"))
    assert path.read_text() == "title\n"


@pytest.mark.parametrize(
    "spoiled",
    [
        pytest.param(b"title\n+\tletters\tm1\tr1\n+\tletters\tm2\tr", id="a line was torn off"),
        pytest.param(b"title\n+\tletters\tm1\tr1\n-\tm1", id="a line that strikes out was torn off"),
        pytest.param(b"title\n\0\0\0\0\n+\tletters\tm1\tr1\n", id="zeros, as power cuts leave them"),
        pytest.param(b"title\n+\tletters\tm1\tr1\n\xff\xfe\t\t\t\n?\tm1\n+\n", id="lines of nobody"),
        pytest.param(b"title\n+\tletters\tm1\tr1\n+\tletters\tm2\tr1\n-\tm2\n-\tm2\n", id="struck out twice"),
    ],
)
def test_the_readable_lines_of_a_damaged_journal_are_used(path: Path, spoiled: bytes) -> None:
    path.write_bytes(spoiled)
    assert read_journal(path)[0] == "title"
    assert held(path) == {"m1": "r1"}


@pytest.mark.parametrize("content", [b"", b"titl", b"\xff\xff\xff"])
def test_a_journal_without_a_title_is_empty(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert read_journal(path) == ("", ())


def test_the_file_stays_small_and_keeps_all_entries_when_it_is_rewritten(
    journal: FileReceiptJournal, path: Path
) -> None:
    journal.record("letters", [message("kept")])
    largest, anew = 0, 0
    for number in range(40_000):
        before = path.read_bytes() if largest > 1_000_000 and not anew else b""
        journal.record("letters", [message(f"m{number}", "r" * 30)])
        journal.forget(message(f"m{number}"))
        size = path.stat().st_size
        if before and size < len(before):
            anew += 1
            # A kill after the writing and before the cutting off leaves both, one over the other.
            after = path.read_bytes()
            path.with_name("torn").write_bytes(after + before[len(after) :])
            assert held(path.with_name("torn")) == {"kept": "r1"}
        largest = max(largest, size)
    assert anew == 1
    assert largest < 1_100_000
    assert held(path) == {"kept": "r1"}


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit for the size of files")
def test_entries_that_a_full_disk_refused_are_written_later(journal: FileReceiptJournal, path: Path) -> None:
    journal.record("letters", [message("m1")])
    with full_disk(path.stat().st_size + 5):
        journal.record("letters", [message("m2")])
        assert held(path) == {"m1": "r1"}
    journal.record("letters", [message("m3")])
    assert held(path) == {"m1": "r1", "m2": "r1", "m3": "r1"}


@contextmanager
def full_disk(limit: int) -> Iterator[None]:
    """No file of this process can grow beyond the limit."""
    if sys.platform == "win32":
        raise OSError("Windows has no limit for the size of files")
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


# Giving back -------------------------------------------------------------------------------------------------


async def test_messages_of_a_killed_process_are_visible_at_once(bench: Bench, tmp_path: Path) -> None:
    """The holder is a process, so that nothing of it but its file outlives the kill."""
    queue = bench.account.queue(unique("letters"))
    await queue.create()
    for body in ("first", "second", "third"):
        await queue.put(body)
    taken = await queue.get(limit=32, hide_for=timedelta(minutes=5))
    hold_and_be_killed(tmp_path, queue.name, taken)
    await queue.delete(taken[0])
    renewed = await queue.hide(taken[1], hide_for=timedelta(minutes=5))
    assert await queue.get(limit=32, hide_for=timedelta(minutes=5)) == []
    with claimed(tmp_path) as identity:
        assert await return_messages(identity.journal, bench.account)
        # One was done, one is in other hands by now.
        assert [each.body for each in await queue.get(limit=32, hide_for=timedelta(minutes=5))] == ["third"]
    with claimed(tmp_path) as next_identity:
        assert next_identity.journal.previous == ()
    await queue.delete(renewed)


def hold_and_be_killed(folder: Path, queue_name: str, messages: Sequence[QueueMessage]) -> None:
    command = [sys.executable, "-m", "tests.durable.azurestorage.holder", str(folder), queue_name]
    command += [f"{each.id}={each.pop_receipt}" for each in messages]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        holder.kill()


async def test_messages_that_could_not_be_returned_are_returned_by_the_next_host(
    account: StorageAccount, clock: VirtualClock, tmp_path: Path
) -> None:
    async with open_world(account, clock) as client:
        await client.start("chain", 1)
    crash = CrashPoint()
    with claimed(tmp_path) as identity:
        hub = AzureStorageTaskHub(OPTIONS, crash.account(account), clock=clock, new_id=new_id, identity=identity)
        async with hub.working():
            item = await hub.next_orchestration()
            crash.happened.set()
            await hub.abandon_orchestration(item)
    with claimed(tmp_path) as identity:
        hub = AzureStorageTaskHub(OPTIONS, account, clock=clock, new_id=new_id, identity=identity)
        before = clock.now()
        async with hub.working():
            item = await hub.next_orchestration()
            assert clock.now() == before
            await hub.abandon_orchestration(item)


async def test_messages_of_a_killed_host_are_returned_by_a_running_host(
    account: StorageAccount, clock: VirtualClock, tmp_path: Path
) -> None:
    """If no host is started in its place. Messages of running hosts are not touched."""
    queue = account.queue("letters")
    await queue.create()
    for body in ("of the living", "of the dead"):
        await queue.put(body)
    [living, dead] = await queue.get(limit=2, hide_for=timedelta(hours=1))
    with claimed(tmp_path) as survivor, claimed(tmp_path) as other:
        with claimed(tmp_path) as victim:
            other.journal.record("letters", [living])
            victim.journal.record("letters", [dead])
        async with takeover(survivor, account, clock, what="messages", consequence="They are retried."):
            await clock.sleep(60)
            [found] = await queue.get(limit=2, hide_for=timedelta(hours=1))
            assert found.body == dead.body
            assert found.dequeue_count == 2
