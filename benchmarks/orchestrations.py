"""Time of orchestrations: python -m benchmarks.orchestrations [azurite] [memory] [file]

The host runs in its own process and gets HTTP requests. Prints a Markdown table for RESULTS.md. The counted requests
are all that reach Azurite while the chain runs, also those that poll idle queues.
"""

from __future__ import annotations

import asyncio
import re
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

from benchmarks.hosts import RunningHost, app_folder, first_answer, free_port, started, storage

APP = """
import azure.durable_functions as df
import azure.functions as func

app = df.DFApp()


@app.orchestration_trigger(context_name="context")
def chain(context):
    value = 0
    for _ in range(context.get_input()):
        value = yield context.call_activity("step", value)
    return value


@app.orchestration_trigger(context_name="context")
def fan_out(context):
    return sum((yield context.task_all([context.call_activity("step", n) for n in range(context.get_input())])))


@app.activity_trigger(input_name="value")
def step(value: int) -> int:
    return value + 1
"""
HOST = {"logging": {"logLevel": {"default": "Warning"}}}
KINDS = ("azurite", "memory", "file")
_REQUEST = re.compile(rb"(?:^|\n)[A-Z]+ /\S* HTTP/1\.1\r\n")


async def timed(run: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await run()
    return time.perf_counter() - began


async def one(host: RunningHost, orchestrator: str, value: int, instance: str) -> None:
    await host.start(orchestrator, instance, value)
    await host.result(instance)


async def many(host: RunningHost, count: int, name: str) -> None:
    instances = [f"{name}-{number}" for number in range(count)]
    await asyncio.gather(*(host.start("chain", instance, 3) for instance in instances))
    for instance in instances:
        await host.result(instance)


async def median(run: Callable[[int], Awaitable[object]], rounds: int) -> float:
    return statistics.median([await timed(partial(run, number)) for number in range(rounds)])


@asynccontextmanager
async def counted(connection: str) -> AsyncIterator[tuple[str, Callable[[], int]]]:
    """Provide a connection through proxies that count requests."""
    seen = 0

    async def relay(port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, count: bool) -> None:
            nonlocal seen
            while data := await source.read(1 << 16):
                seen += len(_REQUEST.findall(data)) if count else 0
                sink.write(data)
                await sink.drain()
            sink.close()

        await asyncio.gather(pump(reader, back, count=True), pump(there, writer, count=False), return_exceptions=True)

    servers = []
    for port in {int(found) for found in re.findall(r"127\.0\.0\.1:(\d+)", connection)}:
        server = await asyncio.start_server(partial(relay, port), "127.0.0.1", 0)
        servers.append(server)
        connection = connection.replace(f":{port}", f":{server.sockets[0].getsockname()[1]}")
    try:
        yield connection, lambda: seen
    finally:
        for server in servers:
            server.close()


@asynccontextmanager
async def warm_host(connection: str) -> AsyncIterator[RunningHost]:
    async with app_folder(APP, connection, HOST) as folder, started(folder, free_port()) as host:
        await first_answer(host, "/admin/host/status")
        await one(host, "fan_out", 10, "warm")
        yield host


async def measure(kind: str) -> None:
    async with storage(kind) as connection:
        async with warm_host(connection) as host:
            three = await median(lambda n: one(host, "chain", 3, f"three-{n}"), 15)
            hundred = await median(lambda n: one(host, "chain", 100, f"hundred-{n}"), 3)
            fan_out = await median(lambda n: one(host, "fan_out", 100, f"fan-{n}"), 3)
            thousand = await timed(lambda: one(host, "fan_out", 1000, "thousand"))
            at_once = await median(lambda n: many(host, 200, f"many-{n}"), 3)
        requests = f"{await requests_per_activity(connection):.1f}" if kind == "azurite" else ""
    print(
        f"| {kind} | {three * 1e3:.0f} ms | {hundred:.2f} s | {fan_out * 1e3:.0f} ms | {thousand:.2f} s "
        f"| {200 / at_once:.0f} per second | {requests} |"
    )


async def requests_per_activity(connection: str) -> float:
    async with counted(connection) as (relayed, seen), warm_host(relayed) as host:
        before = seen()
        await host.start("chain", "counted", 100)
        await host.result("counted", every=1)  # Status requests read storage, too, so few are sent.
        return (seen() - before) / 100


async def main(kinds: list[str]) -> None:
    print(
        "| storage | three activities | chain of 100 | fan-out of 100 | of 1000 | 200 at once, 3 activities each |",
        end="",
    )
    print(" requests per chained activity |\n|---|---|---|---|---|---|---|")
    for kind in kinds:
        await measure(kind)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:] or list(KINDS)))
