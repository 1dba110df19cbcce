"""The functions host with small extensions: what starts, and how long stopping may take."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from datetime import timedelta
from typing import Any, Self

import pytest

from emulator.config.hostjson import HostOptions
from emulator.config.settings import Settings
from emulator.host.console.output import category_for
from emulator.host.drain import Drain
from emulator.host.host import Host, HostParts
from emulator.host.port import Extension, Function, Invoke, Listen, Trigger, TriggerEvent
from emulator.host.status import HostState, HostStatus
from emulator.virtual_time import VirtualClock, VirtualTimeLoop
from emulator.worker.port import Binding, FunctionMetadata, Invocation, RetryPolicy, Returned
from tests.counting_ids import counting_ids

RETRY = RetryPolicy("fixed_delay", 1)


class SlowWorker:
    """A worker with functions that need `seconds` to return."""

    def __init__(self, clock: VirtualClock, *names: str, seconds: float = 0, retry: RetryPolicy | None = None) -> None:
        self.clock = clock
        self.names = names
        self.seconds = seconds
        self.retry = retry

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None: ...

    async def load(self) -> Sequence[FunctionMetadata]:
        trigger = Binding("thingTrigger", "x", "in", None, {"type": "thingTrigger", "name": "x", "direction": "IN"})
        return [FunctionMetadata(name=name, id=name, bindings=[trigger], retry=self.retry) for name in self.names]

    async def invoke(self, invocation: Invocation) -> Returned:
        await self.clock.sleep(self.seconds, upkeep=True)
        return Returned(None)


@pytest.fixture
async def clock() -> VirtualClock:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    return loop.clock


def host_of(worker: SlowWorker, listen: Listen, **facts: Any) -> Host:
    extension = Extension(name="things", triggers={"thingtrigger": Trigger(listen=listen, **facts)})
    parts = HostParts(
        worker=worker, extensions=[extension], options=HostOptions(), settings=Settings({}), status=HostStatus()
    )
    return Host(parts, clock=worker.clock, new_id=counting_ids())


def slow_to_stop(clock: VirtualClock, seconds: float, stopped: list[str]) -> Listen:
    @asynccontextmanager
    async def listen(function: Function, binding: Binding, invoke: Invoke) -> AsyncIterator[None]:
        yield
        await clock.sleep(seconds, upkeep=True)
        stopped.append(function.name)

    return listen


async def stop_seconds(host: Host, clock: VirtualClock, *, drain_seconds: float, invoke: bool = False) -> float:
    """Run the host, and return how many seconds it needs to stop."""
    stopped = asyncio.Event()

    async def run() -> None:
        async with host.running(Drain(clock, drain_seconds)):
            if invoke:
                background.append(asyncio.create_task(host.invoke("f", TriggerEvent(value=None))))
                await asyncio.sleep(0)
        stopped.set()

    background: list[asyncio.Task[Returned]] = []
    began = clock.now()
    running = asyncio.create_task(run())
    while not stopped.is_set():
        await clock.advance(timedelta(seconds=0.5), upkeep=True)
    await running
    for task in background:
        task.cancel()
    return (clock.now() - began).total_seconds()


def logged(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(record.getMessage() for record in caplog.records)


async def test_a_listener_may_stop_as_slowly_as_the_drain_time_allows(clock: VirtualClock) -> None:
    stopped: list[str] = []
    host = host_of(SlowWorker(clock, "f", "g"), slow_to_stop(clock, 8, stopped))
    assert await stop_seconds(host, clock, drain_seconds=10) == pytest.approx(8, abs=1)
    assert sorted(stopped) == ["f", "g"]


async def test_a_listener_that_stops_too_slowly_is_cancelled_at_the_end_of_the_drain_time(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    stopped: list[str] = []
    host = host_of(SlowWorker(clock, "f"), slow_to_stop(clock, 3600, stopped))
    assert await stop_seconds(host, clock, drain_seconds=10) == pytest.approx(10, abs=1)
    assert stopped == []
    assert host.status.state is HostState.STOPPED
    assert "The listener for function 'Functions.f' did not stop within its allotted time" in logged(caplog)


async def test_listeners_and_invocations_share_the_drain_time(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    host = host_of(SlowWorker(clock, "f", seconds=3600), slow_to_stop(clock, 8, []))
    assert await stop_seconds(host, clock, drain_seconds=10, invoke=True) == pytest.approx(10, abs=1)
    assert "1 invocations are given up" in logged(caplog)


@pytest.mark.parametrize("supported", [True, False])
async def test_a_retry_policy_on_a_trigger_without_support_is_a_warning(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture, supported: bool
) -> None:
    worker = SlowWorker(clock, "f", retry=RETRY)
    async with host_of(worker, lambda *facts: nullcontext(), supports_retry=supported).running(Drain(clock)):
        pass
    assert ("Soon retries will not be supported for function 'f'" in logged(caplog)) is not supported


async def test_a_trigger_names_the_log_category_of_its_extension(clock: VirtualClock) -> None:
    def listen(function: Function, binding: Binding, invoke: Invoke) -> nullcontext[None]:
        return nullcontext()

    listen.__module__ = "emulator.extensions.things.listener"
    host_of(SlowWorker(clock), listen, log_category="Host.Triggers.Things")
    assert category_for("emulator.extensions.things.polling") == "Host.Triggers.Things"


@pytest.fixture(autouse=True)
def _record_warnings(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
