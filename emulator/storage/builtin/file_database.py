"""The database of the built-in store in a file: one thread, which executes many operations per transaction."""

from __future__ import annotations

import asyncio
import errno
import os
import queue
import shutil
import sqlite3
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from emulator.clock import Clock
from emulator.errors import StorageUnavailable
from emulator.logs import get_logger
from emulator.private_files import make_private_folder, owner_only
from emulator.storage.availability import AccountAvailability
from emulator.storage.builtin.database import Refused, TokenSource, Work, in_transaction
from emulator.storage.builtin.schema import is_known_version, other_version, prepare
from emulator.storage.builtin.sqlite import explain_errors, open_file
from emulator.storage.file_lock import try_lock
from emulator.storage.gitignore import hide_from_git
from emulator.storage.port import StorageOutage, StorageUnreachable

T = TypeVar("T")

_log = get_logger(__name__)

# Operations per transaction. The first of them waits until the last one is executed.
_MAX_GROUP = 200
# With so much free space a disk is no longer full.
_FREE_BYTES = 1 << 20


@dataclass(slots=True)
class _Job:
    """An operation on its way to the thread and back. `future` belongs to the event loop."""

    work: Work[Any]
    action: str
    writes: bool
    future: asyncio.Future[Any]
    then: Callable[[], None] | None = None
    result: Any = None
    error: BaseException | None = None


class FileDatabase:
    """A file in WAL mode, which several processes may have open.

    What was acknowledged survives a crash of the process and of the machine. If the file is deleted while it is open,
    it is written again with all that it contained. Raises StorageUnavailable when opened.
    """

    def __init__(self, path: Path, clock: Clock, *, synchronous: str = "FULL", log_outages: bool = False) -> None:
        self._path = path
        self._synchronous = synchronous
        self._clock = clock
        availability = AccountAvailability(self.description, log_outages=log_outages)
        # A full or locked file can still be read.
        self._reading, self._writing = availability.service("reading"), availability.service("writing")
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._data_version = 0
        self._is_full = False
        self._connection = open_file(path, synchronous)
        try:
            with explain_errors(path, StorageUnavailable):
                # IMMEDIATE: two processes that open a new file at once would both create the tables.
                opening = in_transaction(self._connection, lambda c: prepare(c, path), "BEGIN IMMEDIATE")
        except BaseException:
            self._connection.close()
            raise
        self.tokens = TokenSource(opening)
        self._inode, self._beside = _inode(path), _inodes_beside(path)
        # A daemon: it must not keep a process alive that ends without closing the account.
        self._thread = threading.Thread(target=self._run_thread, name=f"storage {path.name}", daemon=True)
        self._thread.start()

    @property
    def description(self) -> str:
        return f"built-in storage in {self._path}"

    async def read(self, action: str, work: Work[T]) -> T:
        return await self._execute(_Job(work, action, False, self._loop.create_future()))  # type: ignore[no-any-return]

    async def write(self, action: str, work: Work[T], *, then: Callable[[], None] | None = None) -> T:
        job = _Job(work, action, True, self._loop.create_future(), then)
        return await self._execute(job)  # type: ignore[no-any-return]

    async def changed_by_others(self) -> bool:
        # PRAGMA data_version changes when another connection has committed. It is the cheapest way to notice that.
        version = await self.read("look for changes", lambda c: int(c.execute("PRAGMA data_version").fetchone()[0]))
        changed = version != self._data_version
        self._data_version = version
        return changed

    async def _execute(self, job: _Job) -> Any:
        # Virtual time must not jump while the thread works: the event loop seems idle then.
        with self._clock.busy():
            self._jobs.put(job)
            return await job.future

    def close(self) -> None:
        self._jobs.put(None)
        self._thread.join()
        with suppress(sqlite3.Error):
            self._connection.close()

    def _deliver(self, jobs: Iterable[_Job]) -> None:
        """Give each caller its result."""
        for job in jobs:
            # Also if the caller was cancelled meanwhile: the change has happened, and others wait for it.
            if job.error is None and job.then is not None:
                job.then()
            service = self._writing if job.writes else self._reading
            if isinstance(job.error, StorageOutage):
                # The thread executes one operation after the other, so none is older than the last response.
                service.unanswered(since=service.responses)
                self._is_full = self._is_full or getattr(job.error.__cause__, "sqlite_errorname", None) == "SQLITE_FULL"
                job.error = service.error(str(job.error))
            elif not isinstance(job.error, StorageUnreachable) and not (job.writes and self._is_still_full()):
                service.answered()
            if job.future.done():
                continue
            if job.error is None:
                job.future.set_result(job.result)
            else:
                job.future.set_exception(job.error)

    def _is_still_full(self) -> bool:
        """Return whether the disk has been full and still is. Small changes may fit into pages that the file has."""
        if self._is_full:
            with suppress(OSError):
                self._is_full = shutil.disk_usage(self._path.parent).free < _FREE_BYTES
        return self._is_full

    # On the thread -----------------------------------------------------------------------------------------------

    def _run_thread(self) -> None:
        closing = False
        while not closing:
            group = [self._jobs.get()]
            # Everything that arrived while the last transaction was flushed.
            with suppress(queue.Empty):
                while len(group) < _MAX_GROUP:
                    group.append(self._jobs.get_nowait())
            closing = None in group
            # A cancelled operation that has not begun need not happen.
            jobs = [job for job in group if job is not None and not job.future.cancelled()]
            if jobs:
                self._run(jobs)
                with suppress(RuntimeError):  # The loop is closed, so no caller waits any more.
                    self._loop.call_soon_threadsafe(self._deliver, jobs)
            # Without this the contents that were read or written last would stay in memory until the next job.
            del group, jobs

    def _run(self, jobs: list[_Job]) -> None:
        try:
            self._open_again_if_deleted()
            self._transact(jobs)
        except BaseException:
            # The group was rolled back. One operation may have caused it (a value that SQLite refuses), so each is
            # executed alone and gets its own result.
            for job in jobs:
                try:
                    self._open_again_if_deleted()
                    self._transact([job])
                except BaseException as error:
                    job.error = error

    def _open_again_if_deleted(self) -> None:
        """Write the file again if it was deleted, or open it if another process has done that. Raises StorageOutage."""
        inode = _inode(self._path)
        if inode == self._inode:
            return
        with explain_errors(self._path, StorageOutage):
            if inode is None:
                try:
                    _write_copy(self._connection, self._path)
                except OSError as error:
                    raise StorageOutage(
                        f"The built-in storage {self._path} was deleted and cannot be written again "
                        f"({error.strerror}). Make its folder writable; what was written before is kept while azemu "
                        "runs."
                    ) from error
                what_happened = (
                    "The built-in storage %s was deleted while the host uses it. It was written again, with all that "
                    "it contained. To begin with an empty one, stop azemu before you delete the file."
                )
            else:
                # The old file's log would be taken for changes of the new one. If another process has written the new
                # one, the files beside it are others.
                for beside, old in self._beside.items():
                    if old is not None and _inode(beside) == old:
                        beside.unlink(missing_ok=True)
                what_happened = (
                    "The built-in storage %s was deleted or replaced by another program while the host uses it. From "
                    "now on the host uses the new file."
                )
            connection = None
            try:
                connection = open_file(self._path, self._synchronous)
                in_transaction(connection, lambda c: prepare(c, self._path), "BEGIN IMMEDIATE")
            except BaseException as error:
                if connection is not None:
                    connection.close()
                if isinstance(error, StorageUnavailable):
                    raise StorageOutage(str(error)) from error
                raise
        # Once: until it succeeds, the outage is logged.
        _log.warning(what_happened, self._path)
        # SQLite deletes the `-wal` file when it closes a database, but not if that is no longer the file of its name.
        with suppress(sqlite3.Error):
            self._connection.close()
        self._connection, self._inode, self._beside = connection, _inode(self._path), _inodes_beside(self._path)
        # No version of a new connection: what was read from the old one may be outdated.
        self._data_version = -1

    def _transact(self, jobs: list[_Job]) -> None:
        writes = any(job.writes for job in jobs)

        def work(connection: sqlite3.Connection) -> None:
            if writes:
                # A newer azemu in another process may have changed the format since this one opened the file.
                version = connection.execute("PRAGMA user_version").fetchone()[0]
                if not is_known_version(version):
                    raise StorageUnavailable(other_version(self._path, version))
                # Before the lock was taken another process may have written the deleted file again. What is written
                # into the old one would be lost.
                if self._inode != _inode(self._path):
                    raise StorageUnreachable(f"{self._path} was deleted or replaced.")
            for job in jobs:
                _run_in_savepoint(connection, job)

        # IMMEDIATE takes the write lock at the beginning. A transaction that reads first and writes later would fail
        # without waiting if another process has written in between.
        with explain_errors(self._path, StorageOutage, other=StorageUnreachable):
            in_transaction(self._connection, work, "BEGIN IMMEDIATE" if writes else "BEGIN")


def _inode(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from another of the same name; None if there is no file."""
    if sys.platform == "win32":
        return 0, 0  # An open file cannot be deleted or replaced there.
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _inodes_beside(path: Path) -> dict[Path, tuple[int, int] | None]:
    """Return the files that SQLite keeps beside an open file, with what tells them from others of the same name."""
    return {beside: _inode(beside) for beside in (path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))}


def _write_copy(connection: sqlite3.Connection, path: Path) -> None:
    """Write the content of an open database to a file. Leaves a file alone that exists by now. Raises OSError."""
    make_private_folder(path.parent)
    hide_from_git(path.parent)
    with try_lock(path.with_name(path.name + ".lock")) as lock:
        if lock is None:
            raise BlockingIOError(errno.EAGAIN, "another process writes it at this moment")
        if path.exists():
            return
        # What is left beside the deleted file belongs to it, and would be taken for changes of the new one.
        for beside in _inodes_beside(path):
            beside.unlink(missing_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            draft = Path(folder) / path.name
            with open(draft, "xb", opener=owner_only):
                pass
            with closing(sqlite3.connect(draft)) as copy:
                connection.backup(copy)
            draft.rename(path)


def _run_in_savepoint(connection: sqlite3.Connection, job: _Job) -> None:
    """Execute one operation of a group. If it is refused, it is undone without the others."""
    if job.writes:
        connection.execute("SAVEPOINT job")
    job.error = None  # That of an earlier execution.
    try:
        job.result = job.work(connection)
    except Refused as refused:
        job.error = refused.as_storage_error(job.action)
        if job.writes:
            connection.execute("ROLLBACK TO job")
    if job.writes:
        connection.execute("RELEASE job")
