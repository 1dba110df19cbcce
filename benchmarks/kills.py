"""Episodes that are repeated after a kill, and throughput, by maxConcurrentOrchestratorFunctions.

    python -m benchmarks.kills [ROUNDS]

An app with sixty orchestrations of ten activities each runs on the built-in store in a file. Per limit, one run is
left alone and one host is killed three times. An episode is repeated if its function is called again with the same
number of events. The limits take turns, so that other load on the machine affects both. Prints lines for RESULTS.md.
"""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import sys
import time
from collections import Counter
from pathlib import Path

from benchmarks.hosts import app_folder, first_answer, free_port, started, storage

APP = """
import os
import azure.durable_functions as df

app = df.DFApp()
with open(os.path.join(os.path.dirname(__file__), "pid.txt"), "w") as file:
    file.write(str(os.getpid()))
calls = os.open(os.path.join(os.path.dirname(__file__), "calls.txt"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)


@app.orchestration_trigger(context_name="context")
def chain(context):
    os.write(calls, f"{context.instance_id} {len(context.histories)}\\n".encode())
    for number in range(10):
        yield context.call_activity("echo", number)


@app.activity_trigger(input_name="value")
def echo(value):
    return value
"""
_INSTANCES = 60
_KILLS = 3
# How long a host works before it is killed.
_WORKS_SECONDS = 0.7
_PER_CORE = (5, 10)


async def process_of(folder: Path) -> int:
    """Wait until the host has loaded the app. Return the id of its process."""
    file = folder / "pid.txt"
    while not file.exists() or not file.read_text():
        await asyncio.sleep(0.01)
    process_id = int(file.read_text())
    file.unlink()
    return process_id


async def run(limit: int, kills: int) -> tuple[float, int]:
    """Return the seconds until all orchestrations have completed, and the number of repeated episodes."""
    options = {"extensions": {"durableTask": {"maxConcurrentOrchestratorFunctions": limit}}}
    async with storage("file") as connection, app_folder(APP, connection, options) as folder:
        port, began = free_port(), 0.0
        for number in range(kills + 1):
            async with started(folder, port, "--no-reload") as host:
                process_id = await process_of(folder)
                await first_answer(host, "/admin/host/status")
                if number == 0:
                    await asyncio.gather(*(host.start("chain", f"i{number}") for number in range(_INSTANCES)))
                    began = time.perf_counter()
                if number < kills:
                    await asyncio.sleep(_WORKS_SECONDS)
                    os.kill(process_id, getattr(signal, "SIGKILL", signal.SIGTERM))
                else:
                    for instance in range(_INSTANCES):
                        await host.result(f"i{instance}", every=0.05)
        seconds = time.perf_counter() - began
        counts = Counter((folder / "calls.txt").read_text().splitlines())
        return seconds, sum(count - 1 for count in counts.values())


async def main(rounds: int) -> None:
    cores = os.cpu_count() or 1
    alone: dict[int, list[float]] = {limit: [] for limit in _PER_CORE}
    repeated: dict[int, list[int]] = {limit: [] for limit in _PER_CORE}
    for _ in range(rounds):
        for limit in _PER_CORE:
            repeated[limit].append((await run(limit * cores, _KILLS))[1])
            alone[limit].append((await run(limit * cores, 0))[0])
            print(
                f"{limit} per core: {alone[limit][-1]:.1f} s, {repeated[limit][-1]} repeated",
                file=sys.stderr,
                flush=True,
            )
    for limit in _PER_CORE:
        print(
            f"| {limit} per core | {statistics.median(alone[limit]):.1f} s | "
            f"{statistics.mean(repeated[limit]) / _KILLS:.1f} (of {_INSTANCES * 11} episodes) |",
            flush=True,
        )


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 3))
