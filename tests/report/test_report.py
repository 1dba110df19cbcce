"""`azemu report` and its endpoint: what is counted in a run, and what is estimated from it."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from emulator.cli.report_arguments import parse_report
from emulator.cli.reporting import run_report
from emulator.report.prices import prices
from tests.running_apps import DURABLE_APP, HTTP_APP, RunningApp, run_app
from tests.waiting import eventually

APP = """
@app.orchestration_trigger(context_name="context")
def flow(context):
    return (yield context.call_activity("double", 21))

@app.activity_trigger(input_name="n")
def double(n: int) -> int:
    return 2 * n

@app.queue_trigger(arg_name="msg", queue_name="orders", connection="AzureWebJobsStorage")
@app.blob_output(arg_name="out", path="done/{id}.txt", connection="AzureWebJobsStorage")
def consume(msg: func.QueueMessage, out: func.Out[str]) -> None:
    out.set("x")

@app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *")
def yearly(timer: func.TimerRequest) -> None:
    pass
"""
HUB = {"extensions": {"durableTask": {"hubName": "Hub", "storageProvider": {"partitionCount": 3}}}}


async def run_orchestrations(app: RunningApp, number: int) -> None:
    for index in range(number):
        await app.post(f"/runtime/webhooks/durabletask/orchestrators/flow/i{index}", json={})
    for index in range(number):
        await eventually(partial(has_ended, app, f"i{index}"), f"end of instance i{index}")


async def has_ended(app: RunningApp, instance_id: str) -> bool:
    return (await app.get(f"/runtime/webhooks/durabletask/instances/{instance_id}")).status != 202


async def report_of(app: RunningApp, query: str = "") -> dict[str, Any]:
    report: dict[str, Any] = (await app.get(f"/azemu/api/report{query}")).json()
    return report


def requests(report: dict[str, Any], purpose: str, operation: str) -> int:
    rows = report["storage"]["purposes"]
    return sum(
        row["requests"] - row["idlePolls"]
        for row in rows
        if row["purpose"] == purpose and row["operation"] == operation
    )


async def test_requests_of_orchestrations_are_counted_and_extrapolated(tmp_path: Path) -> None:
    async with run_app(tmp_path / "app", DURABLE_APP, APP, host=HUB) as app:
        await run_orchestrations(app, 2)
        report = await report_of(app)
        again = await report_of(app)
    # A start, and the result of the activity; each is deleted after it was processed.
    assert requests(report, "durable: control queues", "put") == 4
    assert requests(report, "durable: work-item queue", "put") == 2
    assert requests(report, "durable: work-item queue", "delete") == 2
    # Two episodes of each orchestration are one transaction each.
    assert requests(report, "durable: history", "write") == 4
    causes = {row["function"]: row["requests"] for row in report["storage"]["functions"]}
    assert causes["flow"] > causes["double"] > 0
    runs = {run["function"]: run for run in report["executions"]}
    assert (runs["flow"]["runs"], runs["double"]["runs"], runs["flow"]["failed"]) == (4, 2, 0)
    # 256 MB for at least 100 ms each.
    assert runs["double"]["gigabyteSeconds"] >= 2 * 0.25 * 0.1
    assert report["orchestrations"] == 2
    thousand = report["perThousandOrchestrations"]
    assert thousand["executions"] == 3000
    assert thousand["storageRequests"] >= 500 * (4 + 2 + 2 + 4)
    assert thousand["price"] == pytest.approx(thousand["storagePrice"] + thousand["executionPrice"], abs=1e-6)
    # The report itself reads the task hub, which is not counted.
    assert requests(again, "durable: instances", "query") == requests(report, "durable: instances", "query")


async def test_entities_are_not_counted_as_orchestrations(tmp_path: Path) -> None:
    counter = """
@app.entity_trigger(context_name="context")
def counter(context):
    context.set_state(1)
"""
    async with run_app(tmp_path / "app", DURABLE_APP, APP + counter, host=HUB) as app:
        await run_orchestrations(app, 1)
        entity = "/runtime/webhooks/durabletask/entities/counter/c1"
        await app.post(f"{entity}?op=set", json={})

        async def has_state() -> bool:
            return (await app.get(entity)).status == 200

        await eventually(has_state, "state of the entity")
        report = await report_of(app)
    assert report["orchestrations"] == 1


async def test_idle_month_shows_the_polls_of_the_app_on_azure(tmp_path: Path) -> None:
    async with run_app(tmp_path / "app", DURABLE_APP, APP, host=HUB) as app:
        idle = (await report_of(app))["idleMonth"]
    parts = {part["what"]: part for part in idle["parts"]}
    # 30 days: each of three queues every 30 s (maxQueuePollingInterval).
    assert parts["durable: polls of 3 control queues"]["requests"] == 3 * 2 * 60 * 24 * 30
    assert parts["durable: polls of 3 control queues"]["price"] == pytest.approx(259_200 * 0.004 / 10_000)
    assert parts["consume: polls of its queue"]["everySeconds"] == 60
    assert parts["yearly: lease of its schedule"]["everySeconds"] == 30
    assert idle["requests"] == sum(part["requests"] for part in parts.values())


BLOB_APP = """
@app.blob_trigger(arg_name="blob", path="photos/{name}.jpg", connection="AzureWebJobsStorage")
def shrink(blob: func.InputStream):
    pass

@app.blob_trigger(arg_name="blob", path="photos/{name}.png", connection="AzureWebJobsStorage")
def convert(blob: func.InputStream):
    pass

@app.blob_trigger(arg_name="blob", path="events/{name}", connection="AzureWebJobsStorage", source="EventGrid")
def pushed(blob: func.InputStream):
    pass
"""


async def test_idle_month_has_the_requests_of_blob_triggers(tmp_path: Path) -> None:
    async with run_app(tmp_path / "app", HTTP_APP, BLOB_APP) as app:
        parts = {part["what"]: part for part in (await report_of(app))["idleMonth"]["parts"]}
    passes = 6 * 60 * 24 * 30
    # One scan for both functions of a container; the logs of two hours with each; no scan for events.
    assert {what: part["requests"] for what, part in parts.items() if what.startswith("blob triggers")} == {
        "blob triggers: polls of their queue": 60 * 24 * 30,
        "blob triggers: scans of the container photos": passes,
        "blob triggers: listings of $logs": 2 * passes,
        "blob triggers: lease of the scanner": 2 * 60 * 24 * 30,
    }
    # Listings have the price of writes.
    assert parts["blob triggers: listings of $logs"]["price"] == pytest.approx(2 * passes * 0.05 / 10_000)


@pytest.mark.parametrize(
    ("service", "operation", "price"),
    [("blob", "list", 0.05), ("blob", "set metadata", 0.004), ("blob", "lease", 0.004), ("blob", "delete", 0.0)],
)
def test_prices_of_ten_thousand_requests(service: str, operation: str, price: float) -> None:
    assert prices().of_requests(service, operation, 10_000) == pytest.approx(price)


async def test_other_functions_and_memory(tmp_path: Path) -> None:
    async with run_app(tmp_path / "app", DURABLE_APP, APP, host=HUB) as app:
        await app.app.accounts("AzureWebJobsStorage").queue("orders").create()
        await app.app.accounts("AzureWebJobsStorage").queue("orders").put("eyJpZCI6IDd9")
        await eventually(lambda: app.app.recording.counts("consume").succeeded, "run of function consume")
        report, small = await report_of(app), await report_of(app, "?memory=100")
        refused = await app.get("/azemu/api/report?memory=x")
    assert report["perThousandOrchestrations"] is None
    # The first one is refused, because there is no container; it is created then.
    assert requests(report, "app: done", "write") == 2
    assert requests(report, "app: done", "create") == 1
    assert {"function": "consume", "requests": 3} in report["storage"]["functions"]
    # Rounded up to 128 MB, half of the default.
    assert small["run"]["gigabyteSeconds"] == pytest.approx(report["run"]["gigabyteSeconds"] / 2, abs=0.002)
    assert refused.status == 400


async def test_command_prints_tables_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with run_app(tmp_path / "app", DURABLE_APP, APP, host=HUB) as app:
        await run_orchestrations(app, 1)
        options = ["--port", str(app.app.port), "--app", str(tmp_path / "app")]
        assert await asyncio.to_thread(run_report, parse_report(options)) == 0
        text = capsys.readouterr().out
        assert await asyncio.to_thread(run_report, parse_report(["--json", "--memory", "512", *options])) == 0
        document = json.loads(capsys.readouterr().out)
    for part in (
        "durable: control queues",
        "1,000 orchestrations (from 1)",
        "A month in which one instance has nothing to do",
        "Estimate for Azure (USD, US regions, prices of",
        "* Each execution uses 256 MB",
    ):
        assert part in text
    assert document["version"] == 1
    assert document["app"] == "app"
    assert any("512 MB" in text for text in document["assumptions"])
