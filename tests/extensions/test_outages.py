"""Queue, blob and timer functions on an Azurite that ends and comes back with its data."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from emulator.accounts import open_connection
from emulator.clock import SystemClock
from emulator.config.connections import SERVICES, parse_connection
from emulator.storage.azurite.process import Launch
from emulator.storage.azurite.search import find_program
from emulator.storage.azurite.server import Azurite
from emulator.storage.port import StorageAccount, StorageUnreachable
from tests.processes import Running, started
from tests.running_apps import write_app
from tests.waiting import eventually

from .queues.apps import QUEUE_APP, encoded, notes

pytestmark = [pytest.mark.azurite, pytest.mark.soak]

APP = """
@app.queue_trigger(arg_name="msg", queue_name="work", connection=STORAGE)
def on_message(msg: str):
    note("queue", msg)


@app.blob_trigger(arg_name="blob", path="work/{name}", connection=STORAGE)
def on_blob(blob: func.InputStream):
    note("blob", blob.name.removeprefix("work/"))


@app.timer_trigger(arg_name="timer", schedule="*/2 * * * * *")
def often(timer: func.TimerRequest):
    note("timer", "often")


@app.timer_trigger(arg_name="timer", schedule="0 * * * * *")
def every_minute(timer: func.TimerRequest):
    note("timer", "every minute")
"""
COUNT = 20


class StoppableAzurite:
    """An Azurite at fixed ports with its data in a folder, which can be stopped and started again."""

    def __init__(self, launch: Launch) -> None:
        self._command = launch.command()
        self._ports = launch.ports
        self.connection_string = Azurite(ports=launch.ports, started_here=True, origin="").connection_string

    @contextmanager
    def running(self) -> Iterator[None]:
        with subprocess.Popen(self._command, stdin=subprocess.PIPE) as process:
            try:
                yield
            finally:
                process.terminate()


@pytest.fixture
async def azurite_process(tmp_path: Path) -> StoppableAzurite:
    program = await find_program(tmp_path, clock=SystemClock(), print_line=print)
    with ExitStack() as sockets:
        bound = [sockets.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in SERVICES]
        ports = {service: opened.getsockname()[1] for service, opened in zip(SERVICES, bound, strict=True)}
    return StoppableAzurite(Launch(program=program, ports=ports, folder=tmp_path / "data"))


async def send(account: StorageAccount, part: str) -> None:
    """Put messages and blobs with these names; the queue and the container must exist, or be created."""
    await eventually(lambda: _created(account), "queue and container")
    for number in range(COUNT):
        await account.queue("work").put(encoded(f"{part}{number}"))
        await account.container("work").write(f"{part}{number}", b"x")


async def _created(account: StorageAccount) -> bool:
    try:
        await account.queue("work").create()
        await account.container("work").create()
    except StorageUnreachable:
        return False
    return True


async def all_run(app: Path, *parts: str) -> None:
    # As a set: a request whose response is lost is repeated, so that a message may be there or run twice.
    expected = {(kind, f"{part}{number}") for kind in ("queue", "blob") for part in parts for number in range(COUNT)}
    await eventually(lambda: expected <= {tuple(note) for note in notes(app)}, "runs for all messages and blobs")


def reports(host: Running) -> list[str]:
    """Return what the host has said of its storage."""
    return re.findall(r"Storage does not respond|Storage responds again", host.read_so_far())


async def test_an_outage_of_half_a_minute_is_reported_once_and_loses_nothing(
    tmp_path: Path, azurite_process: StoppableAzurite
) -> None:
    connection = azurite_process.connection_string
    app = write_app(tmp_path / "app", QUEUE_APP, APP, settings={"AzureWebJobsStorage": connection, "TZ": "UTC"})
    clock = SystemClock()
    async with open_connection(parse_connection(connection, setting="test"), clock) as account:
        with ExitStack() as stack:
            with azurite_process.running():
                await send(account, "before")
                host = stack.enter_context(started(app, "--no-reload"))
                await all_run(app, "before")
                # In work, or not yet received, when Azurite ends.
                await send(account, "last")
            await clock.sleep(30)
            timers = len([note for note in notes(app) if note == ["timer", "often"]])
            with azurite_process.running():
                await send(account, "after")
                await all_run(app, "before", "last", "after")
                await eventually(lambda: notes(app).count(["timer", "often"]) > timers, "timer after the outage")
                host.wait_for("Storage responds again")
                failures = [line for line in host.read_so_far().splitlines() if "does not answer" in line]
    assert reports(host) == ["Storage does not respond", "Storage responds again"], host.output
    # And at most the status of a timer that could not be stored.
    assert len(failures) <= 2, "\n".join(failures)
