"""Queue triggers of hosts that are processes: killed, stopped, several of them, with large numbers of messages."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from emulator.accounts import open_connection
from emulator.clock import SystemClock
from emulator.config.connections import parse_connection
from emulator.storage.port import StorageAccount
from tests.processes import started
from tests.running_apps import write_app
from tests.storage.bench import unique
from tests.waiting import eventually

from .apps import QUEUE_APP, encoded, notes

SLOW = """
@app.queue_trigger(arg_name="msg", queue_name="%QUEUE%", connection=STORAGE)
def work(msg: func.QueueMessage):
    text = msg.get_body().decode()
    note("begin", text, msg.dequeue_count)
    if text == "slow" and msg.dequeue_count == 1:
        time.sleep(3600)
    note("end", text)
"""


def account_of(connection: str) -> AbstractAsyncContextManager[StorageAccount]:
    return open_connection(parse_connection(connection, setting="test"), SystemClock())


async def put(account: StorageAccount, queue: str, texts: list[str]) -> None:
    await account.queue(queue).create()
    for text in texts:
        await account.queue(queue).put(encoded(text))


@pytest.fixture(params=["builtin", pytest.param("azurite", marks=[pytest.mark.azurite, pytest.mark.soak])])
def connection(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "azurite":
        return str(request.getfixturevalue("azurite"))
    return f"builtin:{tmp_path / 'storage.db'}"


async def test_messages_of_a_killed_host_are_processed_by_the_next_one(tmp_path: Path, connection: str) -> None:
    name = unique("slow")
    app = write_app(tmp_path / "app", QUEUE_APP, SLOW, settings={"AzureWebJobsStorage": connection, "QUEUE": name})
    async with account_of(connection) as account:
        await put(account, name, ["slow"])
        with started(app, "--no-reload") as host:
            await eventually(lambda: notes(app), "run")
            host.process.kill()
            host.process.wait()
        with started(app, "--no-reload") as host:
            host.wait_for(f"The previous host was killed while it was processing messages of queue '{name}'")
            await eventually(lambda: len(notes(app)) == 3, "second run")
            assert notes(app) == [["begin", "slow", 1], ["begin", "slow", 2], ["end", "slow"]]
            await eventually(lambda: _is_empty(account, name), "empty queue")


async def _is_empty(account: StorageAccount, name: str) -> bool:
    return await account.queue(name).count() == 0
