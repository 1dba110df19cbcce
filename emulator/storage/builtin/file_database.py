"""The database of the built-in store in a file: one thread, which executes many operations per transaction."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from emulator.clock import Clock
from emulator.errors import StorageUnavailable
from emulator.storage.availability import AccountAvailability
from emulator.storage.builtin.database import Refused, TokenSource, Work, in_transaction
from emulator.storage.builtin.schema import is_known_version, other_version, prepare
from emulator.storage.builtin.sqlite import explain_errors, open_file
from emulator.storage.port import StorageOutage, StorageUnreachable

T = TypeVar("T")

# Operations per transaction. The first of them waits until the last one is executed.
_MAX_GROUP = 200


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

    What was acknowledged survives a crash of the process and of the machine. Raises StorageUnavailable when opened.
    """

    def __init__(self, path: Path, clock: Clock, *, synchronous: str = "FULL", log_outages: bool = False) -> None:
        self._path = path
        self._clock = clock
        availability = AccountAvailability(self.description, log_outages=log_outages)
        # A full or locked file can still be read.
        self._reading, self._writing = availability.service("reading"), availability.service("writing")
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._data_version = 0
        self._connection = open_file(path, synchronous)
        try:
            with explain_errors(path, StorageUnavailable):
                # IMMEDIATE: two processes that open a new file at once would both create the tables.
                opening = in_transaction(self._connection, lambda c: prepare(c, path), "BEGIN IMMEDIATE")
        except BaseException:
            self._connection.close()
            raise
        self.tokens = TokenSource(opening)
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
                job.error = service.error(str(job.error))
            elif not isinstance(job.error, StorageUnreachable):
                service.answered()
            if job.future.done():
                continue
            if job.error is None:
                job.future.set_result(job.result)
            else:
                job.future.set_exception(job.error)

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
            self._transact(jobs)
        except BaseException:
            # The group was rolled back. One operation may have caused it (a value that SQLite refuses), so each is
            # executed alone and gets its own result.
            for job in jobs:
                try:
                    self._transact([job])
                except BaseException as error:
                    job.error = error

    def _transact(self, jobs: list[_Job]) -> None:
        writes = any(job.writes for job in jobs)

        def work(connection: sqlite3.Connection) -> None:
            if writes:
                # A newer azemu in another process may have changed the format since this one opened the file.
                version = connection.execute("PRAGMA user_version").fetchone()[0]
                if not is_known_version(version):
                    raise StorageUnavailable(other_version(self._path, version))
            for job in jobs:
                _run_in_savepoint(connection, job)

        # IMMEDIATE takes the write lock at the beginning. A transaction that reads first and writes later would fail
        # without waiting if another process has written in between.
        with explain_errors(self._path, StorageOutage, other=StorageUnreachable):
            in_transaction(self._connection, work, "BEGIN IMMEDIATE" if writes else "BEGIN")


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
