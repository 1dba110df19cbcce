"""How the built-in store's work gets into an SQLite transaction and its answer back to the event loop.

A piece of work is a function of a connection. In memory it runs at once on the event loop. For a file there is one
thread: whatever came in while it was waiting for the disk goes into its next transaction together, so that many
acknowledged operations share one flush. Work may therefore be run again, alone, when the group it was in failed.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from emulator.clock import Clock
from emulator.errors import EmulatorError, StorageUnavailable
from emulator.storage.api import StorageUnreachable
from emulator.storage.builtin_schema import SCHEMA_VERSION, other_version, prepare
from emulator.storage.refusals import refusal

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

# How long one process waits for another one's transaction. They take milliseconds.
LOCK_SECONDS = 30.0
_GROUP_LIMIT = 200
_PAGE_BYTES = 8192
# A file is looked through when it is opened, at about a millisecond for each megabyte. In a larger one damage is found
# by whoever reads the damaged part.
_CHECKED_BYTES = 256 * 1024 * 1024


class Refused(Exception):
    """The store refuses the operation: raised by work, which is then undone. `code`: Azure's error code."""

    def __init__(self, status: int, code: str, detail: str, *, failed_index: int | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.failed_index = failed_index

    def explained(self, doing: str) -> EmulatorError:
        return refusal(doing, status=self.status, code=self.code, detail=self.detail, failed_index=self.failed_index)


class Database(Protocol):
    """`doing` completes "Storage refused to …". `then` runs on the loop once the work is acknowledged, even if its
    caller has gone. Raises StorageError for a Refused, StorageUnreachable when SQLite cannot do it.
    """

    opening: int

    @property
    def description(self) -> str: ...

    async def read(self, doing: str, work: Work[T]) -> T: ...

    async def write(self, doing: str, work: Work[T], *, then: Callable[[], None] | None = None) -> T: ...

    async def changed_by_others(self) -> bool:
        """Has another process (or account object) written since the last call?"""

    def close(self) -> None: ...


class MemoryDatabase:
    """Gone when closed. Everything happens on the event loop, in the order of the calls."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._connection = _connect(":memory:")
        self.opening = prepare(self._connection, None)

    @property
    def description(self) -> str:
        return "built-in storage in memory"

    async def read(self, doing: str, work: Work[T]) -> T:
        # A request to a real service lets others run, too; without that, a loop of calls would starve everybody.
        await self._clock.sleep(0)
        try:
            return work(self._connection)
        except Refused as refused:
            raise refused.explained(doing) from None

    async def write(self, doing: str, work: Work[T], *, then: Callable[[], None] | None = None) -> T:
        await self._clock.sleep(0)
        try:
            result = _in_transaction(self._connection, work)
        except Refused as refused:
            raise refused.explained(doing) from None
        if then is not None:
            then()
        return result

    async def changed_by_others(self) -> bool:
        return False

    def close(self) -> None:
        self._connection.close()


def _in_transaction(connection: sqlite3.Connection, work: Work[T], begin: str = "BEGIN") -> T:
    connection.execute(begin)
    try:
        result = work(connection)
        connection.execute("COMMIT")
    except BaseException:
        # SQLite has rolled back by itself after some errors.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result


# Files -------------------------------------------------------------------------------------------------------


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
            with _explained(path, StorageUnavailable):
                self.opening = _in_transaction(self._connection, lambda c: prepare(c, path), "BEGIN IMMEDIATE")
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

        with _explained(self._path, StorageUnreachable):
            _in_transaction(self._connection, work, "BEGIN IMMEDIATE" if writes else "BEGIN")

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


# Opening and explaining --------------------------------------------------------------------------------------


def _connect(target: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        target, timeout=LOCK_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
    return connection


def open_file(path: Path, synchronous: str = "FULL") -> sqlite3.Connection:
    """A connection to the file, made with its folder if it is not there. Raises StorageUnavailable."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageUnavailable(
            f"The folder {path.parent} for the built-in storage cannot be made: {error.strerror}. "
            "Choose another place: azemu start --storage builtin:PATH"
        ) from error
    with _explained(path, StorageUnavailable):
        connection = _connect(str(path))
        try:
            _configure(connection, path, synchronous)
        except BaseException:
            connection.close()
            raise
        return connection


def _configure(connection: sqlite3.Connection, path: Path, synchronous: str) -> None:
    [mode] = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StorageUnavailable(
            f"{path} cannot be used for built-in storage: its folder does not support SQLite's WAL mode "
            "(a network drive?). Choose a folder on a local disk: azemu start --storage builtin:PATH"
        )
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    # On macOS an ordinary flush does not reach the disk itself; elsewhere this changes nothing.
    connection.execute("PRAGMA fullfsync = ON")
    connection.execute("PRAGMA checkpoint_fullfsync = ON")
    if path.stat().st_size <= _CHECKED_BYTES:
        [found] = connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise StorageUnavailable(_CORRUPT.format(path=path, reason=str(found).splitlines()[-1]))


_CORRUPT = (
    "The built-in storage {path} is damaged ({reason}). It was left as it is. Restore it from a copy, or save what "
    "can be read with `sqlite3 {path} .recover`, or start with an empty one: azemu start --storage builtin:PATH"
)
_MESSAGES = {
    "SQLITE_FULL": "The disk with the built-in storage {path} is full: nothing was written. Free some space; "
    "what was acknowledged before is safe.",
    "SQLITE_BUSY": "The built-in storage {path} is locked by another program for more than {seconds:.0f} seconds. "
    "End it, or use another file: azemu start --storage builtin:PATH",
    "SQLITE_READONLY": "The built-in storage {path} cannot be written: the file or its folder is read-only for this "
    "user. Change its permissions, or use another file: azemu start --storage builtin:PATH",
    "SQLITE_CANTOPEN": "The built-in storage {path} cannot be opened ({reason}). Check that its folder exists and can "
    "be written and that the path is not a folder, or use another file: azemu start --storage builtin:PATH",
    "SQLITE_PERM": "The built-in storage {path} cannot be opened: access denied. Change its permissions, or use "
    "another file: azemu start --storage builtin:PATH",
    "SQLITE_CORRUPT": _CORRUPT,
    "SQLITE_NOTADB": "{path} is not a file of azemu's built-in storage, or it is damaged ({reason}). It was left as it "
    "is. Use another file: azemu start --storage builtin:PATH",
    "SQLITE_IOERR": "The disk with the built-in storage {path} fails ({reason}): nothing was written.",
}


@contextmanager
def _explained(path: Path, kind: type[EmulatorError]) -> Iterator[None]:
    """SQLite's errors as ours."""
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "") or ""
        # Extended names begin with the primary one: SQLITE_IOERR_WRITE.
        template = next((text for known, text in _MESSAGES.items() if name.startswith(known)), None)
        if template is None:
            template = "The built-in storage {path} failed ({reason})."
        reason = f"{name}: {error}" if name else str(error)
        raise kind(template.format(path=path, reason=reason, seconds=LOCK_SECONDS)) from error
