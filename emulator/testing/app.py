"""App under test: a running function app, and the methods with which an async test uses it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

from emulator import bound_json as json
from emulator.clock import Clock, SystemClock
from emulator.config.queue_options import QueuesOptions
from emulator.config.start import StartOptions
from emulator.durable.core.events import HistoryEvent
from emulator.errors import ConfigurationError
from emulator.host.captured_outputs import CapturedOutput
from emulator.host.manual_invocation import ManualRequest
from emulator.host.port import ManualInput
from emulator.host.supplied_inputs import supplied_value
from emulator.testing.client import durable_client
from emulator.testing.host_thread import HostThread, RunningApp
from emulator.testing.http import Answer
from emulator.testing.manual import Invoked, run_manually, supply_input
from emulator.testing.observers.log_capture import LogLine
from emulator.testing.observers.real_waits import RealWait
from emulator.testing.overrides import Fake
from emulator.testing.waiting import wait_for_end
from emulator.virtual_time import VirtualClock

T = TypeVar("T")

REAL_SECONDS = 60.0
"""Default limit of a method in real time. User code that never returns should fail its test, not block the test run."""


class AppUnderTest:
    """A running app. Its methods may be called on any event loop.

    `client` is the SDK's DurableOrchestrationClient. All async methods raise TookTooLong after `real_seconds`.
    """

    def __init__(self, thread: HostThread, running: RunningApp, real_seconds: float) -> None:
        self._thread = thread
        self._running = running
        self._seconds = real_seconds

    # Orchestrations ----------------------------------------------------------------------------------------------

    @cached_property
    def client(self) -> Any:
        """The durable client, as a function with a durableClient binding gets it."""
        return durable_client(self._running.app, self.request)

    async def wait(self, instance_id: str, *, within: timedelta | None = None) -> Any:
        """Wait until the instance has ended and return its status (an object of the SDK).

        Virtual time jumps as far as needed, but not further than `within`. Raises NothingLeft if the instance does not
        end within that time, or cannot end.
        """
        tools = self._thread.instrumentation
        work = wait_for_end(self._running.hub, self._thread.clock, tools.awaited_events, instance_id, within)
        await self._run(f'wait for the end of instance "{instance_id}"', work)
        # Through the client, not from the hub: the test gets the class that its own code would get.
        return await self.client.get_status(instance_id, show_input=True)

    async def history(self, instance_id: str) -> Sequence[HistoryEvent]:
        """Return the history of the instance's last execution, including large payloads."""
        return await self._run(f'read the history of "{instance_id}"', self._running.hub.history(instance_id))

    # Triggers ----------------------------------------------------------------------------------------------------

    async def get(self, path: str, **options: Any) -> Answer:
        """Send a GET request. `path`: for example "/api/greet?name=Ada". `options`: aiohttp's (params, headers …)."""
        return await self.request("GET", path, **options)

    async def post(self, path: str, **options: Any) -> Answer:
        """Send a POST request. `options`: aiohttp's (json, data, params, headers …)."""
        return await self.request("POST", path, **options)

    async def request(self, method: str, path: str, **options: Any) -> Answer:
        """Send an HTTP request. Redirects are not followed."""
        return await self._run(f"{method} {path}", self._running.http.request(method, path, **options))

    async def put_message(
        self, queue: str, content: object, *, connection: str = "AzureWebJobsStorage", hidden: timedelta = timedelta(0)
    ) -> None:
        """Put a message into a queue, in the encoding that queue triggers expect (host.json, queues.messageEncoding).

        `content`: text or bytes are sent unchanged, anything else as JSON. `hidden`: how long it stays invisible.
        """
        if not isinstance(content, str | bytes):
            content = json.dumps(content)
        body = self._running.app.configuration.host.section(QueuesOptions).message_encoding.encode(content)

        async def put() -> None:
            target = self._running.app.accounts(connection).queue(queue)
            # A queue trigger creates its queue too, so a test need not.
            await target.create()
            await target.put(body, visible_in=hidden)

        await self._run(f"put a message into queue {queue}", put())

    # Manual invocations and bindings of services that azemu does not connect to ----------------------------------

    async def invoke(
        self,
        function: str,
        data: object = None,
        *,
        metadata: Mapping[str, Any] | None = None,
        inputs: Mapping[str, Any] | None = None,
    ) -> Invoked:
        """Run a function that is not called over HTTP, as if its trigger had fired, and return its result.

        `data`: the message or event; text or bytes unchanged, anything else as JSON. `metadata`: members of the trigger
        metadata, such as `{"DeliveryCount": 3}`. `inputs`: values of input bindings, for this invocation only. Retry
        policies apply; virtual time jumps over their delays. Raises NotInvoked if the function cannot be run in this
        way, InvocationFailed if it fails.
        """
        given = data if data is None or isinstance(data, str | bytes) else json.dumps(data)
        request = ManualRequest(
            given=ManualInput(data=given, metadata=metadata or {}),
            inputs={name: supplied_value(value) for name, value in (inputs or {}).items()},
        )
        work = run_manually(self._running.app, function, request, self._thread.clock)
        return await self._run(f'invoke the function "{function}"', work)

    def outputs(self, function: str | None = None, binding: str | None = None) -> Sequence[CapturedOutput]:
        """Return what functions have written to services that azemu does not connect to, oldest first.

        `function`, `binding`: only of these; the binding "$return" is the return value. An element has `value`,
        `binding`, `type`, `properties` and more.
        """
        return self._running.app.captured_outputs.of(function, binding)

    def supply(self, function: str, binding: str, value: object) -> None:
        """Give an input binding of a service that azemu does not read a value, for all further invocations.

        Text and bytes are passed on unchanged, anything else as JSON. Raises NotInvoked for an unknown function or
        binding.
        """
        supply_input(self._running.app, function, binding, value)

    # Time --------------------------------------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        """The app's time, in UTC."""
        return self._thread.clock.now()

    @property
    def clock(self) -> VirtualClock:
        """The virtual clock: `frozen`, `explain`, `sleepers`. Its coroutines must run on the host's loop.

        Raises ConfigurationError if the app runs in real time.
        """
        if not isinstance(self._thread.clock, VirtualClock):
            raise ConfigurationError(
                'The app runs with clock="real", so a test cannot control its time. Start it with clock="virtual".'
            )
        return self._thread.clock

    async def advance(self, span: timedelta | None = None, **parts: float) -> None:
        """Let time pass, for example `advance(days=3)`. Everything that falls due in that time runs, in order."""
        length = (span or timedelta(0)) + timedelta(**parts)
        await self._run(f"advance by {length}", self.clock.advance(length))

    async def run_until_idle(self, limit: timedelta | None = timedelta(days=366)) -> bool:
        """Let everything run that is due within `limit`. Return False if something is due later."""
        return await self._run("run until idle", self.clock.run_until_idle(limit))

    # Overrides of activities -------------------------------------------------------------------------------------

    def fail(self, activity: str, *, times: int = 1, error: BaseException | None = None) -> None:
        """Let the next `times` calls of the activity raise `error` instead of running. Raises UnknownActivity."""
        error = error or RuntimeError(f"{activity} fails because the test has called app.fail")
        self._thread.instrumentation.overrides.fail(activity, times, error)

    def replace(self, activity: str, fake: Fake | None) -> None:
        """Call `fake` with the activity's input instead of the activity; None: call the activity again.

        A function runs on a thread of the host, a coroutine function on the host's loop. Raises UnknownActivity.
        """
        self._thread.instrumentation.overrides.replace(activity, fake)

    # Output ------------------------------------------------------------------------------------------------------

    @property
    def logs(self) -> Sequence[LogLine]:
        """The lines that functions have logged and printed so far."""
        return tuple(self._thread.instrumentation.logs.lines)

    @property
    def console(self) -> str:
        """What `azemu start` would have shown so far."""
        return self._thread.instrumentation.logs.console.getvalue()

    @property
    def real_waits(self) -> Sequence[RealWait]:
        """The functions that have taken long in real time so far, while virtual time stood still."""
        return tuple(self._thread.instrumentation.real_waits.waits)

    @property
    def url(self) -> str:
        """The app's address, for example "http://127.0.0.1:7071"."""
        return self._running.app.url

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

    `storage`: "memory", a file for the built-in store, or a value of `azemu start --storage`; None: what the settings
    say. Anything but the built-in store needs clock="real".
    `now`: the virtual time at the beginning (aware); None: the real time now.
    `settings`: override local.settings.json and the environment.
    `check_determinism`: run every orchestrator twice and observe what it calls (see observers/determinism.py).
    `real_seconds`: how long a method may take in real time.
    Raises AppBroken, ConfigurationError, StorageUnavailable, TookTooLong; at the end NotDeterministic.
    """
    thread = new_host_thread(
        path, storage=storage, clock=clock, now=now, settings=settings, check_determinism=check_determinism
    )
    # Opening and closing block, and the test's loop may have other things to do.
    running = await asyncio.to_thread(thread.open)
    try:
        yield AppUnderTest(thread, running, real_seconds)
    finally:
        await asyncio.to_thread(thread.close)
    # Only if the test has passed: its own error is more important.
    thread.check_determinism()


def new_host_thread(
    path: str | Path,
    *,
    storage: str | Path | None,
    clock: str,
    now: datetime | None,
    settings: Mapping[str, str] | None,
    check_determinism: bool,
) -> HostThread:
    """Return a host for these options of `start`, not opened yet. Raises ConfigurationError."""
    if isinstance(storage, Path):
        storage = f"builtin:{storage.resolve()}"
    elif storage == "memory":
        storage = "builtin:memory"
    host_clock: Clock
    match clock:
        case "virtual":
            if now is not None and now.tzinfo is None:
                raise ConfigurationError(f"now={now!r} has no time zone. Use an aware time: datetime(…, tzinfo=UTC).")
            host_clock = VirtualClock(now)
        case "real":
            host_clock = SystemClock()
        case _:
            raise ConfigurationError(f'unknown clock "{clock}". Use "virtual" or "real".')
    folder = Path(path)
    # A host would take a folder that does not exist for an app without functions, and the test would fail elsewhere.
    if not folder.is_dir():
        problem = "is not a folder" if folder.exists() else "does not exist"
        raise ConfigurationError(
            f"The app folder '{folder.absolute()}' {problem}. Pass the folder that contains function_app.py; relative "
            "paths begin at the current folder, in the azemu marker at pytest's rootdir."
        )
    options = StartOptions(
        app=folder,
        # Any free port: several apps may run at the same time.
        port=0,
        storage=storage,
        settings=dict(settings or {}),
        # A test must not change the app's folder.
        create_host_json=False,
    )
    return HostThread(options, host_clock, check_determinism=check_determinism)
