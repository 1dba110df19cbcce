"""An idle host: storage requests per minute, and processor time, for an app with one function of each trigger.

    python -m benchmarks.idle [azurite] [file] [--seconds 60]

The queue and the containers of the triggers do not exist. Each request costs money on an account in Azure, and battery
on a laptop. The processor time is that of host and benchmark together, without Azurite. Prints Markdown tables for
RESULTS.md.
"""

from __future__ import annotations

import argparse
import asyncio
import inspect
import time
from collections import Counter
from typing import Any, cast

from benchmarks.hosts import app_folder, storage
from emulator.app import open_app
from emulator.config.start import StartOptions
from emulator.storage.port import StorageAccount

# The first minute has the shorter pauses of the back-off.
SETTLING_SECONDS = 20

APP = """
import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.queue_trigger(arg_name="msg", queue_name="missing", connection="AzureWebJobsStorage")
def on_message(msg: func.QueueMessage):
    pass


@app.blob_trigger(arg_name="blob", path="missing/{name}", connection="AzureWebJobsStorage")
def on_blob(blob: func.InputStream):
    pass


@app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *")
def on_timer(timer: func.TimerRequest):
    pass


@app.orchestration_trigger(context_name="context")
def orchestrate(context):
    yield context.wait_for_external_event("never")


@app.entity_trigger(context_name="context")
def entity(context):
    pass
"""


class Requests:
    """Calls of a storage account that reach the service. `counts`: by kind of object and method."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def around(self, account: StorageAccount) -> StorageAccount:
        return cast(StorageAccount, _Counting(account, self.counts, "account"))


class _Counting:
    def __init__(self, real: Any, counts: Counter[str], kind: str) -> None:
        self._real = real
        self._counts = counts
        self._kind = kind

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if name in ("queue", "table", "container", "lease"):
            return lambda *args, **named: _Counting(found(*args, **named), self._counts, name)
        # `wait` only waits for what this process writes.
        if name == "wait" or not (inspect.iscoroutinefunction(found) or inspect.isasyncgenfunction(found)):
            return found

        def call(*args: Any, **named: Any) -> Any:
            self._counts[f"{self._kind}.{name}"] += 1
            return found(*args, **named)

        return call


async def idle(connection: str, seconds: float) -> tuple[Counter[str], float]:
    """Return the requests per minute and the processor time in milliseconds per second."""
    requests = Requests()
    async with app_folder(APP, connection) as folder:
        options = StartOptions(app=folder, port=0, storage=connection)
        async with open_app(options, around_account=requests.around):
            await asyncio.sleep(SETTLING_SECONDS)
            requests.counts.clear()
            used, began = time.process_time(), time.perf_counter()
            await asyncio.sleep(seconds)
            passed = time.perf_counter() - began
            counts = Counter({call: round(count * 60 / passed) for call, count in requests.counts.items()})
            return counts, (time.process_time() - used) * 1000 / passed


async def main(kinds: list[str], seconds: float) -> None:
    for kind in kinds:
        async with storage(kind) as connection:
            counts, busy = await idle(connection, seconds)
        print(f"\n| {kind} | per minute |\n|---|---|")
        for call, count in counts.most_common():
            print(f"| {call} | {count} |")
        print(f"| all | {counts.total()} |\n\nProcessor time: {busy:.1f} ms a second.", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("kinds", nargs="*", default=["azurite", "file"])
    parser.add_argument("--seconds", type=float, default=60)
    arguments = parser.parse_args()
    asyncio.run(main(arguments.kinds, arguments.seconds))
