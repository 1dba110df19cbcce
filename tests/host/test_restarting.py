"""Restarting of listeners and engines that fail: docs/protocol/functions-host.md 11.3."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from emulator.background import background
from emulator.errors import ConfigurationError
from emulator.host.restarting import Restartable, keep_running
from emulator.virtual_time import VirtualClock, VirtualTimeLoop


@dataclass
class RecordingReporter:
    """Records what is reported, with the seconds since the beginning."""

    clock: VirtualClock
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.began = self.clock.now()

    def failed(self, error: Exception, *, entered: bool) -> None:
        self._record(f"{'broke' if entered else 'failed'}: {error}")

    def restarting(self, attempt: int) -> None:
        self._record(f"restarting {attempt}")

    def started(self, retries: int) -> None:
        self._record(f"started after {retries}")

    def cancelled(self) -> None:
        self._record("cancelled")

    def _record(self, text: str) -> None:
        self.lines.append(f"{(self.clock.now() - self.began).total_seconds():g} {text}")


@pytest.fixture
async def reporter() -> RecordingReporter:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    return RecordingReporter(loop.clock)


def keep(
    reporter: RecordingReporter,
    *opens: Callable[[], AbstractAsyncContextManager[None]],
    stop_seconds: float | None = None,
) -> AbstractAsyncContextManager[Callable[[], None]]:
    restartables = [Restartable(str(number), open, reporter) for number, open in enumerate(opens)]
    limit = None if stop_seconds is None else lambda: stop_seconds
    return keep_running(restartables, reporter.clock, stop_seconds=limit)


class Service:
    """Fails to start with each of `errors`, then runs; `left` counts orderly stops."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.left = 0
        self.running = asyncio.Event()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        if self.errors:
            raise self.errors.pop(0)
        self.running.set()
        try:
            yield
        finally:
            self.left += 1


async def test_services_are_entered_before_the_body_and_left_after_it(reporter: RecordingReporter) -> None:
    services = [Service(), Service()]
    async with keep(reporter, *(service.open for service in services)):
        assert all(service.running.is_set() for service in services)
        assert [service.left for service in services] == [0, 0]
    assert [service.left for service in services] == [1, 1]


async def test_a_service_that_fails_is_restarted_with_growing_delays(
    reporter: RecordingReporter,
) -> None:
    broken, sound = Service(*(OSError(f"no {n}") for n in range(3))), Service()
    async with keep(reporter, broken.open, sound.open):
        # The body does not wait for a service that has failed.
        assert not broken.running.is_set()
        assert sound.running.is_set()
        await reporter.clock.advance(timedelta(seconds=60), upkeep=True)
        assert broken.running.is_set()
    assert reporter.lines == [
        "0 failed: no 0",
        "0 started after 0",
        "2 restarting 1",
        "2 failed: no 1",
        "6 restarting 2",
        "6 failed: no 2",
        "14 restarting 3",
        "14 started after 3",
    ]


async def test_a_configuration_error_is_not_retried(reporter: RecordingReporter) -> None:
    service = Service(ConfigurationError("no such setting"))
    async with keep(reporter, service.open):
        await reporter.clock.advance(timedelta(hours=1), upkeep=True)
    assert reporter.lines == ["0 failed: no such setting"]


async def test_a_service_that_fails_while_running_is_restarted(reporter: RecordingReporter) -> None:
    failures = [RuntimeError("broke off")]

    @asynccontextmanager
    async def breaking() -> AsyncIterator[None]:
        async def run() -> None:
            await reporter.clock.sleep(10)
            if failures:
                raise failures.pop()

        async with background(run()):
            yield

    async with keep(reporter, breaking):
        await reporter.clock.advance(timedelta(minutes=1), upkeep=True)
    assert reporter.lines == ["0 started after 0", "10 broke: broke off", "12 restarting 1", "12 started after 1"]


async def test_an_error_while_stopping_is_reported_and_stops_no_other_service(reporter: RecordingReporter) -> None:
    @asynccontextmanager
    async def failing_to_stop() -> AsyncIterator[None]:
        yield
        raise OSError("no stop")

    other = Service()
    async with keep(reporter, failing_to_stop, other.open):
        pass
    assert other.left == 1
    assert "0 broke: no stop" in reporter.lines


async def test_services_can_be_stopped_while_the_body_continues(reporter: RecordingReporter) -> None:
    service, late = Service(), Service(OSError("not yet"))
    async with keep(reporter, service.open, late.open) as stop:
        stop()
        await reporter.clock.advance(timedelta(hours=1), upkeep=True)
        assert service.left == 1
        assert not late.running.is_set()


class SlowToStop:
    """Needs `seconds` to stop."""

    def __init__(self, clock: VirtualClock, seconds: float) -> None:
        self.clock = clock
        self.seconds = seconds
        self.stopped = False

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        yield
        await self.clock.sleep(self.seconds, upkeep=True)
        self.stopped = True


@pytest.mark.parametrize(("stop_seconds", "stopped"), [(None, True), (61, True), (5, False)])
async def test_a_service_that_does_not_stop_in_time_is_cancelled(
    reporter: RecordingReporter, stop_seconds: float | None, stopped: bool
) -> None:
    slow, quick = SlowToStop(reporter.clock, 60), SlowToStop(reporter.clock, 1)
    async with keep(reporter, slow.open, quick.open, stop_seconds=stop_seconds):
        stopping = asyncio.create_task(reporter.clock.advance(timedelta(seconds=70), upkeep=True))
    await stopping
    assert (slow.stopped, quick.stopped) == (stopped, True)
    assert reporter.lines[2:] == ([] if stopped else ["5 cancelled"])
