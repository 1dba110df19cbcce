"""External events of one client to waiting orchestrators: events per second, and processor time of the host.

    python -m benchmarks.events [memory] [file] [azurite] [--events 1000]

The client is this process. `accepted`: from the first request to the last response (202: the message is stored).
`consumed`: until all orchestrators have got all their events and completed. `cpu`: processor time of the host in
milliseconds per event, over both. `sdk` rows call `client.raise_event` in an HTTP function, 32 at once, so that the
client is in the host's process as well. Prints Markdown tables for RESULTS.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from dataclasses import dataclass

from benchmarks.hosts import RunningHost, app_folder, first_answer, free_port, started, storage

_EVENT_URL = "/runtime/webhooks/durabletask/instances/{}/raiseEvent/next"

APP = """
import asyncio, os
import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.orchestration_trigger(context_name="context")
def waiter(context):
    for _ in range(context.get_input()):
        yield context.wait_for_external_event("next")


@app.route(route="send")
@app.durable_client_input(client_name="client")
async def send(req: func.HttpRequest, client: df.DurableOrchestrationClient):
    numbers = iter(range(int(req.params["events"])))
    ids = [f"{req.params['prefix']}-{number}" for number in range(int(req.params["instances"]))]

    async def raise_events():
        for number in numbers:
            await client.raise_event(ids[number % len(ids)], "next", {"number": number})

    await asyncio.gather(*(raise_events() for _ in range(32)))
    return "sent"


@app.route(route="cpu")
def cpu(req: func.HttpRequest):
    return str(sum(os.times()[:2]))
"""


@dataclass(frozen=True)
class Case:
    """`at_once`: requests in flight; 0: the events are raised with the SDK."""

    name: str
    instances: int
    at_once: int


CASES = (
    Case("100 instances, one after the other", 100, 1),
    Case("100 instances, 32 at once", 100, 32),
    Case("100 instances, sdk", 100, 0),
    Case("one instance, one after the other", 1, 1),
    Case("one instance, 32 at once", 1, 32),
    Case("one instance, sdk", 1, 0),
)


async def post_events(host: RunningHost, ids: list[str], *, events: int, at_once: int) -> None:
    numbers = iter(range(events))

    async def post() -> None:
        for number in numbers:
            url = host.url + _EVENT_URL.format(ids[number % len(ids)])
            async with host.session.post(url, json={"number": number}) as answer:
                assert answer.status == 202, await answer.text()

    await asyncio.gather(*(post() for _ in range(at_once)))


async def measure(host: RunningHost, case: Case, prefix: str, events: int) -> str:
    """Return a row of the table."""
    ids = [f"{prefix}-{number}" for number in range(case.instances)]
    await asyncio.gather(*(host.start("waiter", instance, events // case.instances) for instance in ids))
    for instance in ids:
        await running(host, instance)
    used = float(await first_answer(host, "/api/cpu"))
    began = time.perf_counter()
    if case.at_once:
        await post_events(host, ids, events=events, at_once=case.at_once)
    else:
        await first_answer(host, f"/api/send?events={events}&instances={case.instances}&prefix={prefix}")
    accepted = events / (time.perf_counter() - began)
    for instance in ids:
        await host.result(instance, every=0.02)
    consumed = events / (time.perf_counter() - began)
    used = float(await first_answer(host, "/api/cpu")) - used
    return f"{accepted:.0f} | {consumed:.0f} | {used / events * 1000:.1f}"


async def running(host: RunningHost, instance: str) -> None:
    """Wait until an orchestrator has begun to wait for its first event."""
    url = f"{host.url}/runtime/webhooks/durabletask/instances/{instance}"
    while True:
        async with host.session.get(url) as answer:
            if json.loads(await answer.text())["runtimeStatus"] == "Running":
                return
        await asyncio.sleep(0.02)


async def main(kinds: list[str], events: int) -> None:
    print("| storage | events | accepted/s | consumed/s | cpu, ms |\n|---|---|---|---|---|")
    for kind in kinds:
        async with (
            storage(kind) as connection,
            app_folder(APP, connection) as folder,
            started(folder, free_port(), "--no-reload") as host,
        ):
            await first_answer(host, "/api/cpu")
            for number, case in enumerate(CASES):
                figures = await measure(host, case, f"bench{number}", events)
                print(f"| {kind} | {case.name} | {figures} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("kinds", nargs="*", default=["memory", "file"])
    parser.add_argument("--events", type=int, default=1000)
    arguments = parser.parse_args()
    asyncio.run(main(arguments.kinds, arguments.events))
