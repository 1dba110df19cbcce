"""The record of lines and invocations: its limits, and whose lines it takes."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import AsyncIterator

import pytest

from emulator.clock import SystemClock
from emulator.host import recording
from emulator.host.console.categories import function_category
from emulator.host.port import TriggerEvent
from emulator.host.recording import Line, Recording
from emulator.logs import get_logger
from emulator.worker.port import Datum, Returned

log = function_category("f")


@pytest.fixture
async def record() -> AsyncIterator[Recording]:
    record = Recording(SystemClock())
    logger = get_logger("emulator")
    level = logger.level
    logger.setLevel(logging.INFO)
    with record.recording_lines():
        yield record
    logger.setLevel(level)


async def test_old_lines_are_dropped_but_errors_stay_longer(record: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "_MAX_LINES", 3)
    log.error("early error")
    for number in range(5):
        log.info("line %d", number)
    assert [(line.seq, line.message) for line in record.lines()] == [(4, "line 2"), (5, "line 3"), (6, "line 4")]
    assert [line.message for line in record.lines(after=5)] == ["line 4"]
    # A client of the host before, which had logged more.
    assert len(record.lines(after=100)) == 3
    assert [line.message for line in record.errors] == ["early error"]


async def test_long_lines_are_cut_and_count_by_their_length(record: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "_MAX_CHARACTERS", 50_000)
    for _ in range(4):
        log.info("x" * 30_000)
    lines = record.lines()
    assert len(lines) == 2
    assert lines[-1].message.endswith("x… (30000 characters)")


async def test_invocations_are_limited_for_each_function(record: Recording) -> None:
    rare = record.begin("rare", "r", TriggerEvent(value=Datum("string", "i" * 1000)), 0)
    record.end(rare, Returned(Datum("json", '{"a": 1}'), {}), None)
    for number in range(300):
        run = record.begin("busy", str(number), TriggerEvent(value=None), 0)
        record.end(run, None, ValueError("no") if number % 3 == 0 else None)
    busy = record.counts("busy")
    assert (busy.succeeded, busy.failed, len(busy.latest)) == (200, 100, 100)
    [kept] = record.counts("rare").latest
    assert kept.result == '{"a": 1}'
    assert kept.input is not None
    assert len(kept.input) == 501
    assert record.running == []


async def test_only_lines_of_this_host_are_taken(record: Recording) -> None:
    run = record.begin("f", "of-this-host", TriggerEvent(value=None), 0)

    def log_on_thread() -> None:
        log.info("of a function", extra={"invocation_id": "of-this-host"})
        log.info("of another host", extra={"invocation_id": "of-another-host"})

    thread = threading.Thread(target=log_on_thread)
    waiting = asyncio.create_task(record.wait_for_change(record.version))
    await asyncio.sleep(0)
    thread.start()
    await asyncio.wait_for(waiting, 5)
    thread.join()
    assert [line.message for line in record.lines()] == ["of a function"]
    record.end(run, None, None)


async def test_an_error_of_the_host_has_its_traceback(record: Recording) -> None:
    try:
        raise ZeroDivisionError("by zero")
    except ZeroDivisionError:
        log.exception("It failed.")
    [line] = record.lines()
    assert line.message.startswith("It failed.\nTraceback (most recent call last):")
    assert line.message.endswith("ZeroDivisionError: by zero")


async def test_an_object_that_logs_when_it_is_destroyed_does_not_block(
    record: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    destroyed: list[bool] = []

    class Loud:
        def __del__(self) -> None:
            if not destroyed:
                destroyed.append(True)
                log.info("destroyed")

    class Lines(deque[Line]):
        def append(self, line: Line) -> None:
            Loud()  # As if the garbage collector ran in the middle of keeping a line.
            super().append(line)

    monkeypatch.setattr(record, "_lines", Lines())
    record.begin("f", "i", TriggerEvent(value=None), 0)
    # On a thread of its own, which a deadlock blocks.
    thread = threading.Thread(target=log.info, args=("kept",), kwargs={"extra": {"invocation_id": "i"}}, daemon=True)
    monkeypatch.setattr(record, "belongs", lambda _: True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert sorted(line.message for line in record.lines()) == ["destroyed", "kept"]


async def test_lines_of_many_threads_all_arrive(record: Recording) -> None:
    record.begin("f", "i", TriggerEvent(value=None), 0)

    def log_lines() -> None:
        for _ in range(100):
            log.info("x", extra={"invocation_id": "i"})

    threads = [threading.Thread(target=log_lines) for _ in range(50)]
    for thread in threads:
        thread.start()
    seen: list[int] = []
    # What a follower of the log does. It must not wait for a change that has happened already.
    async with asyncio.timeout(20):
        while len(seen) < 5000:
            version = record.version
            seen += [line.seq for line in record.lines(after=seen[-1] if seen else 0)]
            if len(seen) < 5000:
                await record.wait_for_change(version)
    assert seen == list(range(1, 5001))
    for thread in threads:
        thread.join()
