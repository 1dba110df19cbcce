"""What users do with several triggers, or between two starts: settings that change, folders that move, two hosts."""

from __future__ import annotations

import signal
import sys
from collections import Counter
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from emulator.accounts import open_connection
from emulator.clock import SystemClock
from emulator.config.connections import parse_connection
from emulator.testing import start
from emulator.virtual_time import VirtualClock
from tests.processes import started
from tests.running_apps import HTTP_APP, copy_app, run_app, write_app
from tests.waiting import eventually

from .queues.apps import QUEUE_APP, encoded, notes

BLOB_FUNCTIONS = """
@app.blob_trigger(arg_name="blob", path="c-work/{name}", connection=STORAGE)
def first(blob: func.InputStream):
    note("first", blob.name)

@app.blob_trigger(arg_name="blob", path="c-work/{name}", connection=STORAGE)
@app.blob_output(arg_name="copied", path="c-copies/{name}", connection=STORAGE)
def second(blob: func.InputStream, copied: func.Out[bytes]):
    note("second", blob.name)
    copied.set(blob.read())
"""
# Names that a path, a URL or an expression could take for something else.
NAMES = ["a b.txt", "ä/ö.txt", "a#b?c", "a%20b", "a+b&c", "x/../y", "//z", "{name}", "a'b\"", "😀", ".", "q."]


async def test_all_blobs_run_again_when_the_folder_of_the_project_has_moved(
    tmp_path: Path, clock: VirtualClock
) -> None:
    """Situation 23: the host id, which receipts belong to, is made of the path of the folder."""
    storage = f"builtin:{tmp_path / 'storage.db'}"
    folder = write_app(tmp_path / "before", QUEUE_APP, BLOB_FUNCTIONS)
    moved = copy_app(folder, tmp_path / "after")
    expected = sorted([function, f"c-work/{name}"] for function in ("first", "second") for name in NAMES)
    for app in (folder, folder, moved, moved):
        async with run_app(app, clock=clock, storage=storage) as running:
            container = running.app.accounts("AzureWebJobsStorage").container("c-work")
            if await container.create():
                for name in NAMES:
                    await container.write(name, name.encode())
            await eventually(partial(_has_notes, app, len(expected)), "runs", clock=clock)
            # A second start in the same folder finds nothing new.
            await clock.sleep(10)
            assert sorted(notes(app)) == expected
            copies = running.app.accounts("AzureWebJobsStorage").container("c-copies")
            assert {blob.name: (await copies.read(blob.name)).decode() async for blob in copies.list()} == {
                name: name for name in NAMES
            }


def _has_notes(app: Path, count: int) -> bool:
    return len(notes(app)) >= count


CRON = """
import json

@app.timer_trigger(arg_name="timer", schedule="%CRON%")
def report(timer: func.TimerRequest):
    print(json.dumps([timer.past_due, timer.schedule_status["Next"]]))
"""
HOURLY, DAILY = {"CRON": "0 0 * * * *", "TZ": "UTC"}, {"CRON": "0 0 3 * * *", "TZ": "UTC"}
NO_REPORT = {"AzureWebJobs_report_Disabled": "1"}


async def test_a_timer_whose_settings_change_while_the_host_is_down(tmp_path: Path) -> None:
    """What was missed counts for the schedule that was in force, and not while the function was disabled."""
    app, storage = write_app(tmp_path / "app", HTTP_APP, CRON), tmp_path / "storage.db"

    async def runs(hour: int, minutes: int, settings: dict[str, str]) -> list[str]:
        now = datetime(2026, 11, 29, hour, 30, tzinfo=UTC)
        async with start(app, storage=storage, now=now, settings=settings) as running:
            await running.advance(minutes=minutes)
            return [line.message for line in running.logs if line.message.startswith("[")]

    assert await runs(10, 40, HOURLY) == ['[false, "2026-11-29T11:00:00+00:00"]']
    # 12:00 was missed, but the new schedule has no such time.
    assert await runs(13, 10, DAILY) == []
    assert await runs(14, 40, HOURLY) == ['[false, "2026-11-29T15:00:00+00:00"]']
    assert await runs(17, 40, HOURLY | NO_REPORT) == []
    assert await runs(19, 10, HOURLY) == ['[true, "2026-11-29T16:00:00+00:00"]']


TWO_QUEUES = """
@app.queue_trigger(arg_name="msg", queue_name="%QUEUE%", connection="%WHICH%")
@app.queue_output(arg_name="out", queue_name="new-{queueTrigger}", connection=STORAGE)
def work(msg: str, out: func.Out[str]):
    note(msg)
    out.set("x" * (48 * 1024 + 1) if msg == "large" else "x" * 48 * 1024)

@app.queue_trigger(arg_name="msg", queue_name="first-poison", connection=STORAGE)
def poisoned(msg: func.QueueMessage):
    note("poison", msg.get_body().decode(), msg.dequeue_count)
"""


async def test_a_queue_function_whose_settings_change_between_two_starts(
    tmp_path: Path, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Messages of the old queue stay there, a too large output fails the run, and the poison queue has a trigger."""
    storage = f"builtin:{tmp_path / 'storage.db'}"
    host = {"extensions": {"queues": {"maxDequeueCount": 2}}}
    folder = tmp_path / "app"
    for queue, which in (("first", "Storage"), ("SECOND", "AzureWebJobsStorage")):
        write_app(folder, QUEUE_APP, TWO_QUEUES, host=host, settings={"QUEUE": queue, "WHICH": which})
        async with run_app(folder, clock=clock, storage=storage) as running:
            account = running.app.accounts("AzureWebJobsStorage")
            for name in ("first", "second"):
                if await account.queue(name).create():
                    for text in ("abc", "large"):
                        await account.queue(name).put(encoded(text))
            await clock.sleep(20)
            left = {name: await account.queue(name).count() for name in ("first", "second")}
        assert left == ({"first": 0, "second": 2} if queue == "first" else {"first": 0, "second": 0})
        assert len(await _bodies(storage, clock, "new-abc")) == (1 if queue == "first" else 2)
        assert await _bodies(storage, clock, "new-large") == []
    assert Counter(map(tuple, notes(folder))) == {("abc",): 2, ("large",): 4, ("poison", "large", 1): 1}
    assert "Error while handling parameter out after function returned: Storage refused to put a message" in caplog.text


async def _bodies(storage: str, clock: VirtualClock, queue: str) -> list[str]:
    async with open_connection(parse_connection(storage, setting="test"), clock) as account:
        if queue not in [name async for name in account.queues()]:
            return []
        return [message.body for message in await account.queue(queue).peek(limit=32)]


TWO_HOSTS = """
import os

@app.timer_trigger(arg_name="timer", schedule="* * * * * *")
def tick(timer: func.TimerRequest):
    note("tick", os.environ["HOST"])

@app.queue_trigger(arg_name="msg", queue_name="work", connection=STORAGE)
def work(msg: str):
    note("message", msg, os.environ["HOST"])

@app.blob_trigger(arg_name="blob", path="c-work/{name}", connection=STORAGE)
def blob(blob: func.InputStream):
    note("blob", blob.name)
"""


@pytest.mark.soak
@pytest.mark.timeout(300)
@pytest.mark.skipif(sys.platform == "win32", reason="a process cannot send SIGINT to another one")
async def test_two_hosts_on_one_storage(tmp_path: Path) -> None:
    """Situation 40: shared by two hosts of one folder, and by hosts of two folders."""
    connection = f"builtin:{tmp_path / 'storage.db'}"
    app = write_app(tmp_path / "app", QUEUE_APP, TWO_HOSTS, settings={"AzureWebJobsStorage": connection})
    other = copy_app(app, tmp_path / "other")

    def ticks() -> list[str]:
        return [note[1] for note in notes(app) if note[0] == "tick"]

    async with open_connection(parse_connection(connection, setting="test"), SystemClock()) as account:
        await account.queue("work").create()
        await account.container("c-work").create()
        with (
            started(app, "--no-reload", env={"HOST": "a"}) as first,
            started(app, "--no-reload", env={"HOST": "b"}) as second,
        ):
            hosts = {"a": first, "b": second}
            await eventually(lambda: len(ticks()) >= 5, "ticks")
            for number in range(40):
                await account.queue("work").put(encoded(str(number)))
                await account.container("c-work").write(str(number), b"x")
            await eventually(lambda: len([note for note in notes(app) if note[0] == "message"]) >= 40, "messages")
            await eventually(lambda: len([note for note in notes(app) if note[0] == "blob"]) >= 40, "blobs")
            # One host has run all occurrences so far.
            [holder] = set(ticks())
            [waiting] = set(hosts) - {holder}
            hosts[holder].process.send_signal(signal.SIGINT)
            # Within a minute.
            await eventually(lambda: ticks()[-1] == waiting, "ticks of the other host", within=90)
            count = len(ticks())
            hosts[waiting].process.kill()
            hosts[waiting].process.wait()
            with started(app, "--no-reload", env={"HOST": "c"}), started(other, "--no-reload", env={"HOST": "d"}):
                await eventually(lambda: ticks()[count:].count("c") >= 3, "ticks after the kill", within=150)
                # Another folder is another app: its timer runs as well, and every blob.
                await eventually(lambda: ["tick", "d"] in notes(other), "ticks of the other folder")
                await eventually(lambda: len([note for note in notes(other) if note[0] == "blob"]) >= 40, "blobs")
    counts = Counter(note[1] for note in notes(app) if note[0] != "tick")
    # The queue is shared by both folders; each message was there once.
    assert {counts[str(number)] for number in range(40)} == {1}
    assert {counts[f"c-work/{number}"] for number in range(40)} == {1}
    blobs = Counter(note[1] for note in notes(other) if note[0] == "blob")
    assert blobs == {f"c-work/{number}": 1 for number in range(40)}
