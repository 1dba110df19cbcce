"""App under test: a running function app, and the methods with which an async test uses it."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, TypeVar

from emulator.chaos.report import ChaosReport
from emulator.config.connections import DEFAULT_CONNECTION
from emulator.config.queue_options import QueueMessageEncoding
from emulator.durable.core.events import HistoryEvent
from emulator.errors import ConfigurationError
from emulator.host.captured_outputs import CapturedOutput
from emulator.host.manual_invocation import ManualRequest
from emulator.host.port import ManualInput
from emulator.host.sending import (
    content_of,
    insert,
    list_blobs,
    message_encoding,
    put_message,
    read_blob,
    read_messages,
    read_rows,
    upload,
)
from emulator.host.supplied_inputs import supplied_value
from emulator.storage.port import StorageAccount
from emulator.testing.client import durable_client
from emulator.testing.errors import check_instance_id
from emulator.testing.host_thread import HostThread, RunningApp
from emulator.testing.http import Answer
from emulator.testing.manual import Invoked, check_is_timer, run_manually, send_event, supply_input
from emulator.testing.observers.log_capture import LogLine
from emulator.testing.observers.real_waits import RealWait
from emulator.testing.overrides import Fake
from emulator.testing.settling import advance_with_faults, idle_after_faults, settle
from emulator.testing.waiting import wait_for_end
from emulator.virtual_time import VirtualClock

T = TypeVar("T")

# Longer than any pause before a failed call is repeated, and than any lock.
_CHAOS_PATIENCE = timedelta(minutes=30)

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
        end within that time, or cannot end: nothing is left that could continue it, or only timer functions,
        whose runs do not.
        """
        check_instance_id(instance_id)
        patience = _CHAOS_PATIENCE if self._thread.has_chaos else timedelta(0)
        work = wait_for_end(self._running.hub, self._thread.clock, self._running.explain, instance_id, within, patience)
        await self._run(f'wait for the end of instance "{instance_id}"', work)
        # Through the client, not from the hub: the test gets the class that its own code would get.
        return await self.client.get_status(instance_id, show_input=True)

    async def history(self, instance_id: str) -> Sequence[HistoryEvent]:
        """Return the history of the instance's last execution, including large payloads."""
        check_instance_id(instance_id)
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

    async def send_event(self, function: str, event: object) -> None:
        """Run a function for an Event Grid event, or for each of a list, through the webhook that Event Grid calls.

        `function`: one with an Event Grid trigger, or with a blob trigger whose source is Event Grid. `event`: an
        object or JSON text in the schema of Event Grid, or a CloudEvent (with `specversion`); required members that it
        does not have get plausible values. Raises NotInvoked, and InvocationFailed if a run has failed.
        """
        work = send_event(self._running.app, self._running.http, self._thread.clock, function, event)
        await self._run(f'send an event to the function "{function}"', work)

    async def fire(self, function: str) -> Invoked:
        """Run a timer function now, whatever its schedule says, and return its result. The schedule is unchanged.

        Raises NotInvoked if it is not a timer function, InvocationFailed if it fails.
        """
        check_is_timer(self._running.app, function)
        return await self.invoke(function)

    # Storage -----------------------------------------------------------------------------------------------------

    async def put_message(
        self, queue: str, content: object, *, connection: str = DEFAULT_CONNECTION, hidden: timedelta = timedelta(0)
    ) -> None:
        """Put a message into a queue, in the encoding that queue triggers expect (host.json, queues.messageEncoding).

        `content`: text or bytes are sent unchanged, anything else as JSON. `hidden`: how long it stays invisible.
        `connection`: the setting of the storage account. The queue is created if it does not exist.
        """
        work = put_message(
            self._account(connection), queue, content_of(content), encoding=self._encoding, hidden=hidden
        )
        await self._run(f"put a message into queue {queue}", work)

    async def messages(self, queue: str, *, connection: str = DEFAULT_CONNECTION) -> Sequence[str | bytes]:
        """Return the visible messages of a queue, 32 at most, decoded, and leave them there.

        Messages that are not text in UTF-8 are bytes. Empty if there is no such queue.
        """
        work = read_messages(self._account(connection), queue, encoding=self._encoding)
        return await self._run(f"read the messages of queue {queue}", work)

    async def upload(
        self,
        path: str,
        content: object,
        *,
        connection: str = DEFAULT_CONNECTION,
        content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Write a blob. `path`: "container/name". `content`: as for `put_message`; text is written in UTF-8.

        The container is created if it does not exist. Raises NotStorable for a path without a name.
        """
        body = content_of(content)
        data = body.encode() if isinstance(body, str) else body
        work = upload(self._account(connection), path, data, content_type=content_type, metadata=metadata)
        await self._run(f"upload {path}", work)

    async def blob(self, path: str, *, connection: str = DEFAULT_CONNECTION) -> bytes | None:
        """Return the content of the blob "container/name"; None if it does not exist."""
        return await self._run(f"read the blob {path}", read_blob(self._account(connection), path))

    async def blobs(self, container: str, *, connection: str = DEFAULT_CONNECTION) -> Sequence[str]:
        """Return the names of the blobs in a container, sorted; empty if it does not exist."""
        return await self._run(f"list the blobs of {container}", list_blobs(self._account(connection), container))

    async def insert(self, table: str, row: Mapping[str, Any], *, connection: str = DEFAULT_CONNECTION) -> None:
        """Insert a row into a table, or replace the one with the same keys. The table is created if it does not exist.

        `row`: `PartitionKey`, `RowKey` and properties: texts, numbers, booleans, bytes, datetimes, UUIDs; None is left
        out. Raises NotStorable for anything else.
        """
        await self._run(f"insert a row into table {table}", insert(self._account(connection), table, row))

    async def rows(self, table: str, *, connection: str = DEFAULT_CONNECTION) -> Sequence[Mapping[str, Any]]:
        """Return all rows of a table, sorted by their keys, as `insert` takes them; empty if there is no table."""
        return await self._run(f"read the rows of table {table}", read_rows(self._account(connection), table))

    def _account(self, connection: str) -> StorageAccount:
        return self._running.accounts(connection)

    @property
    def _encoding(self) -> QueueMessageEncoding:
        return message_encoding(self._running.app.configuration.host)

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
        request = ManualRequest(
            given=ManualInput(data=None if data is None else content_of(data), metadata=metadata or {}),
            inputs={name: supplied_value(value) for name, value in (inputs or {}).items()},
        )
        work = run_manually(self._running.app, function, request, self._thread.clock)
        return await self._run(f'invoke the function "{function}"', work)

    def outputs(self, function: str | None = None, binding: str | None = None) -> Sequence[CapturedOutput]:
        """Return what functions have written to their output bindings, oldest first; HTTP responses are left out.

        `function`, `binding`: only of these; the binding "$return" is the return value. An element has `value`,
        `binding`, `type`, `properties`, `sent` (False: azemu does not call the service) and more.
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
        advance = advance_with_faults(self.clock, length) if self._thread.has_chaos else self.clock.advance(length)
        await self._run(f"advance by {length}", advance)

    async def run_until_idle(self, limit: timedelta | None = timedelta(days=366)) -> bool:
        """Let everything run that is due within `limit`, until only schedules of timer functions are left.

        Timer functions run on the way to other work. Return False if something else is due later. With chaos, time
        passes beyond that, but not beyond `limit`, until the host has recovered from all faults.
        """
        if self._thread.has_chaos:
            work = idle_after_faults(self.clock, self._thread.chaos.number_of_faults, limit, patience=_CHAOS_PATIENCE)
        else:
            work = self.clock.run_until_idle(limit)
        return await self._run("run until idle", work)

    async def settle(self, limit: timedelta = timedelta(minutes=10)) -> None:
        """Let triggers notice everything that is in storage, until no function has run for ten seconds.

        It follows messages and blobs from function to function, over retries and failures, for at most `limit` of the
        app's time. Raises NotSettled then. In real time four seconds are enough, with chaos it takes two minutes.
        """
        # With chaos, another host may run at the end.
        work = settle(lambda: self._running.app.host, self._thread.clock, limit, has_faults=self._thread.has_chaos)
        await self._run("wait until the app has settled", work)

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

    # Chaos -------------------------------------------------------------------------------------------------------

    async def chaos_report(self) -> ChaosReport:
        """Return the faults so far, the broken rules, and the activities that have run more than once.

        Raises ConfigurationError if the app was started without `chaos`.
        """
        work = self._thread.chaos.report(self._running.app, self._running.accounts)
        return await self._run("check the task hub", work)

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

    @property
    def dashboard_url(self) -> str:
        """The address of the app's dashboard, to look at while a test waits in a debugger."""
        url = self._running.app.dashboard_url
        assert url is not None  # Only the command line can leave it out.
        return url

    async def _run(self, doing: str, work: Coroutine[Any, Any, T]) -> T:
        return await self._thread.run_async(doing, work, self._seconds)
