"""The built-in store in a file: one thread, one transaction at a time, many operations in it."""

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
from emulator.errors import EmulatorError, StorageUnavailable
from emulator.storage.builtin.database import Refused, Work, in_transaction
from emulator.storage.builtin.opening import explained, open_file
from emulator.storage.builtin.schema import SCHEMA_VERSION, other_version, prepare
from emulator.storage.port import StorageUnreachable

T = TypeVar("T")

_GROUP_LIMIT = 200


@dataclass(slots=True)
class _Job:
    work: Work[Any]
    doing: str
    writes: bool
    future: asyncio.Future[Any]
    then: Callable[[], None] | None = None
    result: Any = None
    error: BaseException | None = None


class FileDatabase:
    """A file in WAL mode. What was acknowledged survives a crash of the process and of the machine.

    Several processes may have the file open. Raises StorageUnavailable at opening.
    """

    def __init__(self, path: Path, clock: Clock, *, synchronous: str = "FULL") -> None:
        self._path = path
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._data_version = 0
        self._connection = open_file(path, synchronous)
        try:
            with explained(path, StorageUnavailable):
                self.opening = in_transaction(self._connection, lambda c: prepare(c, path), "BEGIN IMMEDIATE")
        except BaseException:
            self._connection.close()
            raise
        self._thread = threading.Thread(target=self._work, name=f"storage {path.name}", daemon=True)
        self._thread.start()

    @property
    def description(self) -> str:
        return f"built-in storage in {self._path}"

    async def read(self, doing: str, work: Work[T]) -> T:
        return await self._do(_Job(work, doing, False, self._loop.create_future()))  # type: ignore[no-any-return]

    async def write(self, doing: str, work: Work[T], *, then: Callable[[], None] | None = None) -> T:
        return await self._do(_Job(work, doing, True, self._loop.create_future(), then))  # type: ignore[no-any-return]

    async def changed_by_others(self) -> bool:
        version = await self.read("look for changes", _data_version)
        changed = version != self._data_version
        self._data_version = version
        return changed

    async def _do(self, job: _Job) -> Any:
        with self._clock.busy():
            self._jobs.put(job)
            return await job.future

    def close(self) -> None:
        """Waits for the work that is under way."""
        self._jobs.put(None)
        self._thread.join()
        with suppress(sqlite3.Error):
            self._connection.close()

    # On the thread -----------------------------------------------------------------------------------------------

    def _work(self) -> None:
        ended = False
        while not ended:
            group = [self._jobs.get()]
            with suppress(queue.Empty):
                while len(group) < _GROUP_LIMIT:
                    group.append(self._jobs.get_nowait())
            ended = None in group
            jobs = [job for job in group if job is not None and not job.future.cancelled()]
            if jobs:
                self._run(jobs)
                with suppress(RuntimeError):  # the loop was closed under us: nobody waits any more
                    self._loop.call_soon_threadsafe(_deliver, jobs)

    def _run(self, jobs: list[_Job]) -> None:
        try:
            self._transact(jobs)
        except BaseException:
            # Nothing of the group was kept. Each alone gets its own answer.
            for job in jobs:
                try:
                    self._transact([job])
                except EmulatorError as error:
                    job.error = error
                except BaseException as error:
                    job.error = error

    def _transact(self, jobs: list[_Job]) -> None:
        writes = any(job.writes for job in jobs)

        def work(connection: sqlite3.Connection) -> None:
            if writes:
                self._check_version()
            for job in jobs:
                _run_in_savepoint(connection, job)

        with explained(self._path, StorageUnreachable):
            in_transaction(self._connection, work, "BEGIN IMMEDIATE" if writes else "BEGIN")

    def _check_version(self) -> None:
        """Another process may have been a newer azemu that changed the format under us."""
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version != SCHEMA_VERSION:
            raise StorageUnavailable(other_version(self._path, version))


def _run_in_savepoint(connection: sqlite3.Connection, job: _Job) -> None:
    """One job of a group: refused, it leaves nothing behind and does not disturb the others."""
    if job.writes:
        connection.execute("SAVEPOINT job")
    job.error = None
    try:
        job.result = job.work(connection)
    except Refused as refused:
        job.error = refused.explained(job.doing)
        if job.writes:
            connection.execute("ROLLBACK TO job")
    if job.writes:
        connection.execute("RELEASE job")


def _deliver(jobs: Iterable[_Job]) -> None:
    """On the loop: the group is on disk, or was refused."""
    for job in jobs:
        if job.error is None and job.then is not None:
            job.then()
        if job.future.done():
            continue
        if job.error is None:
            job.future.set_result(job.result)
        else:
            job.future.set_exception(job.error)


def _data_version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA data_version").fetchone()[0])
