"""Queue triggers: messages per second, and the time from a put until the function starts.

    python -m benchmarks.queues [memory] [file] [azurite] [--rounds 30]

Throughput: an empty function and 2000 messages, batchSize 32. For Azurite also a client that only receives and deletes,
with the same batch and parallelism. Latency: an idle host process, and messages put by this process. A store in memory
belongs to one process, so it has no latency here. Prints Markdown tables for RESULTS.md.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import random
import statistics
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from benchmarks.hosts import app_folder, first_answer, free_port, started, storage
from emulator.accounts import open_connection
from emulator.app import open_app
from emulator.clock import SystemClock
from emulator.config.connections import parse_connection
from emulator.config.start import StartOptions
from emulator.storage.port import NotFound, QueueMessage, StorageAccount

MESSAGES = 2000
BATCH = 32
THRESHOLD = BATCH // 2 * (os.cpu_count() or 1)
HOST_JSON = {"extensions": {"queues": {"batchSize": BATCH}}}
TEXT = base64.b64encode(b'{"order": 7}').decode()
LOCK = timedelta(minutes=10)

APP = """
import pathlib, time
import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.queue_trigger(arg_name="msg", queue_name="bench", connection="AzureWebJobsStorage")
async def work(msg: func.QueueMessage):
    pass


@app.queue_trigger(arg_name="msg", queue_name="timed", connection="AzureWebJobsStorage")
async def timed(msg: func.QueueMessage):
    pathlib.Path(__file__).with_name("started").write_text(f"{time.time()} {msg.get_body().decode()}")


@app.route(route="ready")
def ready(req: func.HttpRequest):
    return "ready"
"""


async def fill(account: StorageAccount) -> None:
    queue = account.queue("bench")
    await queue.create()
    numbers = iter(range(MESSAGES))

    async def put() -> None:
        for _ in numbers:
            await queue.put(TEXT)

    await asyncio.gather(*(put() for _ in range(BATCH)))


async def raw_rate(account: StorageAccount) -> float:
    """Receive and delete all messages as the listener does; return messages per second."""
    await fill(account)
    queue = account.queue("bench")

    async def delete(message: QueueMessage) -> None:
        # A request without a response is repeated, and the second one finds nothing.
        with suppress(NotFound):
            await queue.delete(message)

    running: set[asyncio.Task[None]] = set()
    left, began = MESSAGES, time.perf_counter()
    while left:
        messages = await queue.get(limit=BATCH, hide_for=LOCK)
        left -= len(messages)
        running |= {asyncio.create_task(delete(message)) for message in messages}
        while len(running) > THRESHOLD:
            _, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.wait(running)
    return MESSAGES / (time.perf_counter() - began)


async def host_rate(account: StorageAccount, connection: str) -> float:
    """Let a host in this process run the function for all messages; return messages per second."""
    await fill(account)
    async with app_folder(APP, connection, HOST_JSON) as folder:
        options = StartOptions(app=folder, port=0, storage=connection, functions=["work"])
        async with open_app(options, around_account=lambda _: account):
            # The host has begun to work before it counts as started.
            count, began = await account.queue("bench").count(), time.perf_counter()
            while await account.queue("bench").count():
                await asyncio.sleep(0.02)
            return count / (time.perf_counter() - began)


async def latency(kind: str, connection: str, rounds: int) -> list[float]:
    """Return the times in milliseconds from a put by this process until the function starts on an idle host."""
    times = []
    async with app_folder(APP, connection, HOST_JSON) as folder, started(folder, free_port(), "--no-reload") as host:
        await first_answer(host, "/api/ready")
        async with open_connection(parse_connection(connection, setting="benchmark"), SystemClock()) as account:
            await account.queue("timed").create()
            for number in range(rounds):
                # Until the pauses between polls have their full length, and then at any moment of one.
                await asyncio.sleep(random.uniform(8, 10) if kind == "azurite" else random.uniform(0.5, 1.0))
                put_at = time.time()
                await account.queue("timed").put(base64.b64encode(str(number).encode()).decode())
                times.append((await _started_at(folder / "started", str(number)) - put_at) * 1000)
    return times


async def _started_at(path: Path, text: str) -> float:
    while True:
        if path.exists():
            moment, _, found = path.read_text(encoding="utf-8").partition(" ")
            if found == text:
                return float(moment)
        await asyncio.sleep(0.005)


async def main(kinds: list[str], rounds: int) -> None:
    print("| storage | messages per second | only receive and delete |\n|---|---|---|")
    for kind in kinds:
        async with storage(kind) as connection:
            parsed = parse_connection(connection, setting="benchmark")
            async with open_connection(parsed, SystemClock()) as account:
                raw = f"{await raw_rate(account):.0f}" if kind == "azurite" else ""
                print(f"| {kind} | {await host_rate(account, connection):.0f} | {raw} |", flush=True)
    print("\n| storage | from put to start, ms: median | range |\n|---|---|---|")
    for kind in kinds:
        if kind != "memory":
            async with storage(kind) as connection:
                times = await latency(kind, connection, rounds)
            print(f"| {kind} | {statistics.median(times):.0f} | {min(times):.0f} to {max(times):.0f} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("kinds", nargs="*", default=["memory", "file", "azurite"])
    parser.add_argument("--rounds", type=int, default=30)
    arguments = parser.parse_args()
    asyncio.run(main(arguments.kinds, arguments.rounds))
