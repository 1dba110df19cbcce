"""Queue triggers of hosts that are processes: killed, stopped, several of them, with large numbers of messages."""

from __future__ import annotations

import asyncio
from collections import Counter
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


MANY = """
@app.queue_trigger(arg_name="msg", queue_name="%QUEUE%", connection=STORAGE)
async def work(msg: func.QueueMessage):
    note(msg.get_body().decode())
"""
# As many as a host with these options processes at once.
HOST_JSON = {"extensions": {"queues": {"batchSize": 32, "newBatchThreshold": 16}}}
IN_WORK = 32 + 16


async def put_many(account: StorageAccount, queue: str, count: int) -> list[str]:
    texts = [str(number) for number in range(count)]
    await asyncio.gather(*(put(account, queue, texts[first::16]) for first in range(16)))
    return texts


@pytest.mark.soak
async def test_no_message_of_many_is_lost_when_a_host_is_killed(tmp_path: Path, connection: str) -> None:
    # Azurite needs longer to delete a message, the more there are: with 1,000 in the queue 8 ms, with 3,000 25 ms, with
    # 10,000 more than 600 ms, without azemu. 1,500 are thirty times as many as the host processes at once.
    count = 10_000 if connection.startswith("builtin:") else 1500
    name = unique("many")
    settings = {"AzureWebJobsStorage": connection, "QUEUE": name}
    app = write_app(tmp_path / "app", QUEUE_APP, MANY, host=HOST_JSON, settings=settings)
    async with account_of(connection) as account:
        texts = await put_many(account, name, count)
        with started(app, "--no-reload") as host:
            await eventually(lambda: len(notes(app)) > count * 0.3, "runs", within=600, every=0.2)
            host.process.kill()
            host.process.wait()
        with started(app, "--no-reload"):
            await eventually(lambda: _is_empty(account, name), "empty queue", within=600, every=1)
    counts = Counter(text for [text] in notes(app))
    assert set(counts) == set(texts)
    assert sum(counts.values()) <= len(texts) + IN_WORK


@pytest.mark.soak
async def test_two_hosts_share_the_messages(tmp_path: Path, connection: str) -> None:
    name = unique("shared")
    settings = {"AzureWebJobsStorage": connection, "QUEUE": name}
    app = write_app(tmp_path / "app", QUEUE_APP, MANY, host=HOST_JSON, settings=settings)
    async with account_of(connection) as account:
        with started(app, "--no-reload") as first, started(app, "--no-reload") as second:
            for host in (first, second):
                host.wait_for("Functions:")
            texts = await put_many(account, name, 2000)
            await eventually(lambda: _is_empty(account, name), "empty queue", within=600, every=1)
    assert sorted(text for [text] in notes(app)) == sorted(texts)


async def _is_empty(account: StorageAccount, name: str) -> bool:
    return await account.queue(name).count() == 0
