"""The line about a pause of the host that was longer than its leases."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from emulator.clock import SystemClock
from emulator.process.pauses import report_pauses
from tests.processes import started
from tests.running_apps import write_app


class LateClock(SystemClock):
    """Clock whose waits end late by the given seconds, one after the other; then they do not end."""

    def __init__(self, late: Sequence[float]) -> None:
        self._late = list(late)
        self._passed = timedelta()
        self.ended = asyncio.Event()

    def now(self) -> datetime:
        return datetime(2026, 1, 1) + self._passed

    async def sleep(self, seconds: float, *, upkeep: bool = False, recurring: bool = False) -> None:
        if not self._late:
            self.ended.set()
            await asyncio.Event().wait()
        self._passed += timedelta(seconds=seconds + self._late.pop(0))


async def test_a_pause_longer_than_the_leases_is_reported_once() -> None:
    lines: list[str] = []
    clock = LateClock([0, 29, 45, 0.1])
    task = asyncio.create_task(report_pauses(clock, lines.append))
    await clock.ended.wait()
    task.cancel()
    [line] = lines
    assert line.startswith("The host was paused for 45 seconds, longer than its leases last (30 seconds)")


@pytest.mark.soak
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_stopped_process_says_so_when_it_goes_on(tmp_path: Path) -> None:
    with started(write_app(tmp_path), "--no-reload") as azemu:
        azemu.url()
        os.kill(azemu.process.pid, getattr(signal, "SIGSTOP", 0))
        timer = threading.Timer(37, os.kill, (azemu.process.pid, getattr(signal, "SIGCONT", 0)))
        timer.start()
        azemu.wait_for(r"^The host was paused for \d\d seconds, longer than its leases last")
        azemu.interrupt()
        assert azemu.wait() == 0
