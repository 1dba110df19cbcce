"""The same verbs for tests that are no coroutines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import wraps
from pathlib import Path
from typing import Any, Literal

from emulator.durable.core.events import HistoryEvent
from emulator.testing.app import REAL_SECONDS, AppUnderTest, host_thread
from emulator.testing.hosting import HostThread
from emulator.testing.http import Answer
from emulator.testing.overrides import Fake
from emulator.testing.watching.records import LogLine
from emulator.testing.watching.slowness import RealWait
from emulator.virtual_time import VirtualClock


class SyncAppUnderTest:
    """See AppUnderTest: every verb of it, without `await`. Not from a coroutine: it blocks."""

    def __init__(self, app: AppUnderTest, thread: HostThread, real_seconds: float) -> None:
        self._app = app
        self._thread = thread
        self._seconds = real_seconds
        self.client = BlockingClient(app.client, self._run)

    @property
    def awaitable(self) -> AppUnderTest:
        """The same app for coroutines."""
        return self._app

    def wait(self, instance_id: str, *, within: timedelta | None = None) -> Any:
        return self._run(f'wait for the end of instance "{instance_id}"', self._app.wait(instance_id, within=within))

    def history(self, instance_id: str) -> Sequence[HistoryEvent]:
        return self._run(f'read the history of "{instance_id}"', self._app.history(instance_id))  # type: ignore[no-any-return]

    def get(self, path: str, **options: Any) -> Answer:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> Answer:
        return self.request("POST", path, **options)

    def request(self, method: str, path: str, **options: Any) -> Answer:
        return self._run(f"{method} {path}", self._app.request(method, path, **options))  # type: ignore[no-any-return]

    def put_message(
        self, queue: str, content: object, *, connection: str = "AzureWebJobsStorage", hidden: timedelta = timedelta(0)
    ) -> None:
        work = self._app.put_message(queue, content, connection=connection, hidden=hidden)
        self._run(f"put a message into queue {queue}", work)

    @property
    def now(self) -> datetime:
        return self._app.now

    @property
    def clock(self) -> VirtualClock:
        return self._app.clock

    def advance(self, span: timedelta | None = None, **parts: float) -> None:
        self._run("advance", self._app.advance(span, **parts))

    def run_until_idle(self, limit: timedelta | None = timedelta(days=366)) -> bool:
        return bool(self._run("run until idle", self._app.run_until_idle(limit)))

    def fail(self, activity: str, *, times: int = 1, error: BaseException | None = None) -> None:
        self._app.fail(activity, times=times, error=error)

    def replace(self, activity: str, fake: Fake | None) -> None:
        self._app.replace(activity, fake)

    @property
    def logs(self) -> Sequence[LogLine]:
        return self._app.logs

    @property
    def console(self) -> str:
        return self._app.console

    @property
    def real_waits(self) -> Sequence[RealWait]:
        return self._app.real_waits

    @property
    def url(self) -> str:
        return self._app.url

    def _run(self, doing: str, work: Any) -> Any:
        # All the verbs end on the host's loop anyhow; here the coroutine around them runs there, too.
        return self._thread.run(doing, work, self._seconds + 5)


class BlockingClient:
    """The SDK's client, its coroutine methods blocking."""

    def __init__(self, client: Any, run: Callable[[str, Any], Any]) -> None:
        self._client = client
        self._run = run

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if not callable(found):
            return found

        @wraps(found)
        def call(*arguments: Any, **options: Any) -> Any:
            result = found(*arguments, **options)
            return self._run(f"call {name} of the client", result) if hasattr(result, "__await__") else result

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
) -> Iterator[SyncAppUnderTest]:
    """See `start`."""
    thread = host_thread(
        path, storage=storage, clock=clock, now=now, settings=settings, check_determinism=check_determinism
    )
    hosted = thread.open()
    try:
        yield SyncAppUnderTest(AppUnderTest(thread, hosted, real_seconds), thread, real_seconds)
    finally:
        thread.close()
    thread.check()
