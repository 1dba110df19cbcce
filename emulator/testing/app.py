"""A running app and the verbs of its tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

from emulator.clock import Clock, SystemClock
from emulator.config.start import StartOptions
from emulator.durable.core.events import HistoryEvent
from emulator.errors import ConfigurationError
from emulator.testing.client import durable_client
from emulator.testing.hosting import Hosted, HostThread
from emulator.testing.http import Answer
from emulator.testing.overrides import Fake
from emulator.testing.queues import put_message
from emulator.testing.waiting import wait_for_end
from emulator.testing.watching.records import LogLine
from emulator.testing.watching.slowness import RealWait
from emulator.virtual_time import VirtualClock

T = TypeVar("T")

REAL_SECONDS = 60.0
"""How long any verb may take in real time, unless it is told otherwise: user code that hangs should fail its test."""


class AppUnderTest:
    """One app. Usable from the event loop that it was opened on, whatever that is.

    `client`: the SDK's DurableOrchestrationClient, with all that it can.
    """

    def __init__(self, thread: HostThread, hosted: Hosted, real_seconds: float) -> None:
        self._thread = thread
        self._hosted = hosted
        self._seconds = real_seconds

    # Orchestrations ----------------------------------------------------------------------------------------------

    @cached_property
    def client(self) -> Any:
        return durable_client(self._hosted.app, self.request)

    async def wait(self, instance_id: str, *, within: timedelta | None = None) -> Any:
        """The status object (SDK) of the instance once it has ended; time jumps as far as that needs.

        `within`: not further than this. Raises NothingLeft when it cannot end, TookTooLong.
        """
        work = wait_for_end(self._hosted.hub, self._thread.clock, self._thread.awaited, instance_id, within)
        await self._run(f'wait for the end of instance "{instance_id}"', work)
        return await self.client.get_status(instance_id, show_input=True)

    async def history(self, instance_id: str) -> Sequence[HistoryEvent]:
        """What happened in the instance, large payloads included."""
        return await self._run(f'read the history of "{instance_id}"', self._hosted.hub.history(instance_id))

    # Triggers ----------------------------------------------------------------------------------------------------

    async def get(self, path: str, **options: Any) -> Answer:
        """`path`: as in "/api/greet?name=Ada". `options`: aiohttp's (params, headers …)."""
        return await self.request("GET", path, **options)

    async def post(self, path: str, **options: Any) -> Answer:
        """`options`: aiohttp's (json, data, params, headers …)."""
        return await self.request("POST", path, **options)

    async def request(self, method: str, path: str, **options: Any) -> Answer:
        return await self._run(f"{method} {path}", self._hosted.http.request(method, path, **options))

    async def put_message(
        self, queue: str, content: object, *, connection: str = "AzureWebJobsStorage", hidden: timedelta = timedelta(0)
    ) -> None:
        """Put a message as a queue trigger expects it: text or bytes as they are, anything else as JSON."""
        work = put_message(self._hosted.app, connection, queue, content, hidden)
        await self._run(f"put a message into queue {queue}", work)

    # Time --------------------------------------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        """The app's time; UTC."""
        return self._thread.clock.now()

    @property
    def clock(self) -> VirtualClock:
        """For `frozen`, `explain`, `sleepers`. Its coroutines belong to the host's loop. Raises ConfigurationError."""
        if not isinstance(self._thread.clock, VirtualClock):
            raise ConfigurationError('The app runs with clock="real": its time cannot be moved.')
        return self._thread.clock

    async def advance(self, span: timedelta | None = None, **parts: float) -> None:
        """Let time pass, `advance(days=3)`: whatever falls due on the way runs, in order and to its end."""
        length = (span or timedelta(0)) + timedelta(**parts)
        await self._run(f"advance by {length}", self.clock.advance(length))

    async def run_until_idle(self, limit: timedelta | None = timedelta(days=366)) -> bool:
        """Let everything happen that is due within `limit`; False: something waits beyond it."""
        return await self._run("run until idle", self.clock.run_until_idle(limit))

    # Steering activities -----------------------------------------------------------------------------------------

    def fail(self, activity: str, *, times: int = 1, error: BaseException | None = None) -> None:
        """The next `times` calls of the activity raise `error` instead of running. Raises UnknownActivity."""
        self._thread.steering.fail(activity, times, error or RuntimeError(f"{activity} fails, as the test wants it"))

    def replace(self, activity: str, fake: Fake | None) -> None:
        """Call `fake` instead, with the activity's input; None: the real one again. Raises UnknownActivity.

        A function or a coroutine function; it runs on a thread of the host, or on the host's loop.
        """
        self._thread.steering.replace(activity, fake)

    # What was said -----------------------------------------------------------------------------------------------

    @property
    def logs(self) -> Sequence[LogLine]:
        """What functions logged and printed so far."""
        return tuple(self._thread.records.lines)

    @property
    def console(self) -> str:
        """What `azemu start` would have shown so far."""
        return self._thread.records.output.getvalue()

    @property
    def real_waits(self) -> Sequence[RealWait]:
        """Functions that took long in real time so far, while virtual time stood still."""
        return tuple(self._thread.slowness.seen)

    @property
    def url(self) -> str:
        return self._hosted.app.url

    async def _run(self, doing: str, work: Coroutine[Any, Any, T]) -> T:
        return await self._thread.run_async(doing, work, self._seconds)


@asynccontextmanager
async def start(
    path: str | Path = ".",
    *,
    storage: str | Path | None = "memory",
    clock: Literal["virtual", "real"] = "virtual",
    now: datetime | None = None,
    settings: Mapping[str, str] | None = None,
    check_determinism: bool = True,
    real_seconds: float = REAL_SECONDS,
) -> AsyncIterator[AppUnderTest]:
    """Run the app in the folder `path` while entered.

    `storage`: "memory", a file for the built-in store, or what `azemu start --storage` takes; None: what the settings
    say. Anything but the built-in store needs clock="real".
    `now`: when virtual time begins (aware); None: now. `settings`: win over local.settings.json and the environment.
    `check_determinism`: run every orchestrator twice and watch what it calls (see watching/determinism.py).
    Raises AppBroken, ConfigurationError, StorageUnavailable; at the end NotDeterministic.
    """
    thread = host_thread(
        path, storage=storage, clock=clock, now=now, settings=settings, check_determinism=check_determinism
    )
    hosted = await asyncio.to_thread(thread.open)
    try:
        yield AppUnderTest(thread, hosted, real_seconds)
    finally:
        await asyncio.to_thread(thread.close)
    thread.check()


def host_thread(
    path: str | Path,
    *,
    storage: str | Path | None,
    clock: str,
    now: datetime | None,
    settings: Mapping[str, str] | None,
    check_determinism: bool,
) -> HostThread:
    """Not opened yet. Raises ConfigurationError."""
    options = StartOptions(
        app=Path(path),
        port=0,
        storage=_storage_option(storage),
        settings=dict(settings or {}),
        create_host_json=False,
    )
    return HostThread(options, _clock(clock, now), check_determinism=check_determinism)


def _storage_option(storage: str | Path | None) -> str | None:
    if isinstance(storage, Path):
        return f"builtin:{storage.resolve()}"
    return "builtin:memory" if storage == "memory" else storage


def _clock(kind: str, now: datetime | None) -> Clock:
    match kind:
        case "virtual":
            if now is not None and now.tzinfo is None:
                raise ConfigurationError(f"now={now!r} has no time zone. Give it one: datetime(…, tzinfo=UTC).")
            return VirtualClock(now)
        case "real":
            return SystemClock()
        case _:
            raise ConfigurationError(f'clock="{kind}" is not known. Allowed: "virtual", "real".')
