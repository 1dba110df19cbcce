"""Memory of large payloads: python -m benchmarks.payloads [MEGABYTES] [STORAGE]

An orchestration gets its input over HTTP, or the output of an activity, in a new host process for each line. Prints a
Markdown table for RESULTS.md: the peak above the idle host, also as a multiple of the payload, and what is left after a
minute. Only on Linux, which reports the peak memory of another process.
"""

from __future__ import annotations

import asyncio
import random
import socket
import sys
from dataclasses import dataclass

from benchmarks.hosts import RunningHost, app_folder, first_answer, started, storage

APP = """
import random
import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.orchestration_trigger(context_name="context")
def nothing(context):
    yield context.call_activity("make", 1)
    return 1


@app.orchestration_trigger(context_name="context")
def takes(context):
    return len(context.get_input())
    yield


@app.orchestration_trigger(context_name="context")
def receives(context):
    text = yield context.call_activity("make", context.get_input())
    return len(text)


@app.activity_trigger(input_name="count")
def make(count):
    return random.randbytes(count // 2).hex()


@app.route(route="memory")
def memory(req: func.HttpRequest) -> func.HttpResponse:
    lines = open("/proc/self/status").read().splitlines()
    found = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith(("VmHWM", "VmRSS"))}
    # From now on the peak is that of the next step.
    open("/proc/self/clear_refs", "w").write("5")
    return func.HttpResponse(f"{found['VmRSS']} {found['VmHWM']}")
"""


async def memory(host: RunningHost) -> tuple[float, float]:
    """Return the memory of the host process and its peak since the last call, in MiB."""
    async with host.session.get(f"{host.url}/api/memory") as answer:
        now, peak = (await answer.text()).split()
        return int(now) / 1024, int(peak) / 1024


async def ended(host: RunningHost, instance: str) -> object:
    # Without the input, which would be 60 MB at each look.
    url = f"{host.url}/runtime/webhooks/durabletask/instances/{instance}?showInput=false"
    while True:
        async with host.session.get(url) as answer:
            status = await answer.json()
            if answer.status == 200:
                assert status["runtimeStatus"] == "Completed", str(status)[:500]
                return status["output"]
        await asyncio.sleep(0.2)


async def takes(host: RunningHost, size: int) -> None:
    await host.start("takes", "one", random.randbytes(size // 2).hex())
    assert await ended(host, "one") == size


async def receives(host: RunningHost, size: int) -> None:
    await host.start("receives", "one", size)
    assert await ended(host, "one") == size


@dataclass(frozen=True)
class Memory:
    """Memory of a host process in MiB: idle, its peak above that, and what is left above it a minute later."""

    idle: float
    peak: float
    left: float


SCENARIOS = {"input over HTTP": takes, "output of an activity": receives}


async def measured(scenario: str, megabytes: int, kind: str) -> Memory:
    """Run a scenario in a new host."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with storage(kind) as connection, app_folder(APP, connection) as folder, started(folder, port) as host:
        await first_answer(host, "/api/memory")
        await host.start("nothing", "first")
        await ended(host, "first")
        await memory(host)
        await asyncio.sleep(2)
        idle, _ = await memory(host)
        await SCENARIOS[scenario](host, megabytes << 20)
        _, peak = await memory(host)
        await asyncio.sleep(60)
        left, _ = await memory(host)
    return Memory(idle, peak - idle, left - idle)


async def main(megabytes: int, kinds: list[str]) -> None:
    print(f"| {megabytes} MB | storage | idle, MiB | peak above it | payloads | left after a minute |")
    print("|---|---|---|---|---|---|")
    for kind in kinds:
        for scenario in SCENARIOS:
            found = await measured(scenario, megabytes, kind)
            figures = f"{found.idle:.0f} | {found.peak:.0f} | {found.peak / megabytes:.1f} | {found.left:.0f}"
            print(f"| {scenario} | {kind} | {figures} |", flush=True)


if __name__ == "__main__":
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    asyncio.run(main(megabytes, sys.argv[2:] or ["file"]))
