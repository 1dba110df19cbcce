"""App under test for plain (not async) tests: the methods of AppUnderTest without `await`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cached_property, wraps
from pathlib import Path
from typing import Any, Literal

from emulator.chaos.report import ChaosReport, RulesBroken
from emulator.config.connections import DEFAULT_CONNECTION
from emulator.durable.core.events import HistoryEvent
from emulator.host.captured_outputs import CapturedOutput
from emulator.testing.app import REAL_SECONDS, AppUnderTest
from emulator.testing.chaos import Chaos
from emulator.testing.host_thread import HostThread
from emulator.testing.http import Answer
from emulator.testing.manual import Invoked
from emulator.testing.observers.log_capture import LogLine
from emulator.testing.observers.real_waits import RealWait
from emulator.testing.overrides import Fake
from emulator.testing.starting import new_host_thread
from emulator.virtual_time import VirtualClock

# The async method has its own limit, whose error says more. This one only catches a host that does not react at all.
_EXTRA_SECONDS = 5


class SyncAppUnderTest:
    """A running app. See AppUnderTest for all methods. They block, so do not call them from a coroutine."""

    def __init__(self, app: AppUnderTest, thread: HostThread, real_seconds: float) -> None:
        self._app = app
        self._thread = thread
        self._seconds = real_seconds

    @cached_property
    def client(self) -> BlockingClient:
        """See AppUnderTest.client."""
        # At its first use, because it is a class of azure-functions-durable. An app without durable functions need not
        # have that package.
        return BlockingClient(self._app.client, self._run)

    @property
    def awaitable(self) -> AppUnderTest:
        """The same app for coroutines."""
        return self._app

    def wait(self, instance_id: str, *, within: timedelta | None = None) -> Any:
        """See AppUnderTest.wait."""
        return self._run(f'wait for the end of instance "{instance_id}"', self._app.wait(instance_id, within=within))

    def history(self, instance_id: str) -> Sequence[HistoryEvent]:
        """See AppUnderTest.history."""
        return self._run(f'read the history of "{instance_id}"', self._app.history(instance_id))  # type: ignore[no-any-return]

    def get(self, path: str, **options: Any) -> Answer:
        """See AppUnderTest.get."""
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> Answer:
        """See AppUnderTest.post."""
        return self.request("POST", path, **options)

    def request(self, method: str, path: str, **options: Any) -> Answer:
        """See AppUnderTest.request."""
        return self._run(f"{method} {path}", self._app.request(method, path, **options))  # type: ignore[no-any-return]

    def send_event(self, function: str, event: object) -> None:
        """See AppUnderTest.send_event."""
        self._run(f'send an event to the function "{function}"', self._app.send_event(function, event))

    def fire(self, function: str) -> Invoked:
        """See AppUnderTest.fire."""
        return self._run(f'run the timer function "{function}"', self._app.fire(function))  # type: ignore[no-any-return]

    def put_message(
        self, queue: str, content: object, *, connection: str = DEFAULT_CONNECTION, hidden: timedelta = timedelta(0)
    ) -> None:
        """See AppUnderTest.put_message."""
        work = self._app.put_message(queue, content, connection=connection, hidden=hidden)
        self._run(f"put a message into queue {queue}", work)

    def messages(self, queue: str, *, connection: str = DEFAULT_CONNECTION) -> Sequence[str | bytes]:
        """See AppUnderTest.messages."""
        return self._run(f"read queue {queue}", self._app.messages(queue, connection=connection))  # type: ignore[no-any-return]

    def upload(
        self,
        path: str,
        content: object,
        *,
        connection: str = DEFAULT_CONNECTION,
        content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """See AppUnderTest.upload."""
        work = self._app.upload(path, content, connection=connection, content_type=content_type, metadata=metadata)
        self._run(f"upload {path}", work)

    def blob(self, path: str, *, connection: str = DEFAULT_CONNECTION) -> bytes | None:
        """See AppUnderTest.blob."""
        return self._run(f"read the blob {path}", self._app.blob(path, connection=connection))  # type: ignore[no-any-return]

    def blobs(self, container: str, *, connection: str = DEFAULT_CONNECTION) -> Sequence[str]:
        """See AppUnderTest.blobs."""
        return self._run(f"list {container}", self._app.blobs(container, connection=connection))  # type: ignore[no-any-return]

    def insert(self, table: str, row: Mapping[str, Any], *, connection: str = DEFAULT_CONNECTION) -> None:
        """See AppUnderTest.insert."""
        self._run(f"insert a row into table {table}", self._app.insert(table, row, connection=connection))

    def rows(self, table: str, *, connection: str = DEFAULT_CONNECTION) -> Sequence[Mapping[str, Any]]:
        """See AppUnderTest.rows."""
        return self._run(f"read table {table}", self._app.rows(table, connection=connection))  # type: ignore[no-any-return]

    def invoke(
        self,
        function: str,
        data: object = None,
        *,
        metadata: Mapping[str, Any] | None = None,
        inputs: Mapping[str, Any] | None = None,
    ) -> Invoked:
        """See AppUnderTest.invoke."""
        work = self._app.invoke(function, data, metadata=metadata, inputs=inputs)
        return self._run(f'invoke the function "{function}"', work)  # type: ignore[no-any-return]

    def outputs(self, function: str | None = None, binding: str | None = None) -> Sequence[CapturedOutput]:
        """See AppUnderTest.outputs."""
        return self._app.outputs(function, binding)

    def supply(self, function: str, binding: str, value: object) -> None:
        """See AppUnderTest.supply."""
        self._app.supply(function, binding, value)

    @property
    def now(self) -> datetime:
        """See AppUnderTest.now."""
        return self._app.now

    @property
    def clock(self) -> VirtualClock:
        """See AppUnderTest.clock."""
        return self._app.clock

    def advance(self, span: timedelta | None = None, **parts: float) -> None:
        """See AppUnderTest.advance."""
        self._run("advance", self._app.advance(span, **parts))

    def run_until_idle(self, limit: timedelta | None = timedelta(days=366)) -> bool:
        """See AppUnderTest.run_until_idle."""
        return bool(self._run("run until idle", self._app.run_until_idle(limit)))

    def settle(self, limit: timedelta = timedelta(minutes=10)) -> None:
        """See AppUnderTest.settle."""
        self._run("wait until the app has settled", self._app.settle(limit))

    def fail(self, activity: str, *, times: int = 1, error: BaseException | None = None) -> None:
        """See AppUnderTest.fail."""
        self._app.fail(activity, times=times, error=error)

    def replace(self, activity: str, fake: Fake | None) -> None:
        """See AppUnderTest.replace."""
        self._app.replace(activity, fake)

    def chaos_report(self) -> ChaosReport:
        """See AppUnderTest.chaos_report."""
        return self._run("check the task hub", self._app.chaos_report())  # type: ignore[no-any-return]

    @property
    def logs(self) -> Sequence[LogLine]:
        """See AppUnderTest.logs."""
        return self._app.logs

    @property
    def console(self) -> str:
        """See AppUnderTest.console."""
        return self._app.console

    @property
    def real_waits(self) -> Sequence[RealWait]:
        """See AppUnderTest.real_waits."""
        return self._app.real_waits

    @property
    def url(self) -> str:
        """See AppUnderTest.url."""
        return self._app.url

    @property
    def dashboard_url(self) -> str:
        """See AppUnderTest.dashboard_url."""
        return self._app.dashboard_url

    def _run(self, doing: str, work: Any) -> Any:
        # The async method itself runs on the host's loop here, and submits its work to the same loop. This is safe,
        # because it waits without blocking.
        return self._thread.run(doing, work, self._seconds + _EXTRA_SECONDS)


class BlockingClient:
    """The SDK's durable client with blocking methods instead of coroutines."""

    def __init__(self, client: Any, run: Callable[[str, Any], Any]) -> None:
        self._client = client
        self._run = run

    def __getattr__(self, name: str) -> Any:
        # Generic, so that it has every method of the SDK that the app has installed.
        attribute = getattr(self._client, name)
        if not callable(attribute):
            return attribute

        @wraps(attribute)
        def call(*arguments: Any, **options: Any) -> Any:
            result = attribute(*arguments, **options)
            return self._run(f"call client.{name}", result) if hasattr(result, "__await__") else result

        return call


@contextmanager
def start_sync(
    path: str | Path = ".",
    *,
    storage: str | Path | None = "memory",
    clock: Literal["virtual", "real"] = "virtual",
    now: datetime | None = None,
    settings: Mapping[str, str] | None = None,
    check_determinism: bool = True,
    real_seconds: float = REAL_SECONDS,
    chaos: Chaos | None = None,
) -> Iterator[SyncAppUnderTest]:
    """Run the app in the folder `path` while entered. See `start` for the options and errors."""
    thread = new_host_thread(
        path,
        storage=storage,
        clock=clock,
        now=now,
        settings=settings,
        check_determinism=check_determinism,
        chaos=chaos,
    )
    running = thread.open()
    try:
        thread.warn_of_functions_in_error(running)
        app = SyncAppUnderTest(AppUnderTest(thread, running, real_seconds), thread, real_seconds)
        yield app
        if chaos is not None and (report := app.chaos_report()).violations:
            raise RulesBroken(report)
    finally:
        thread.close()
    thread.check_determinism()
