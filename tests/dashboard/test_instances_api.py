"""The API of the pages Instances, Instance and Entities, over HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from emulator.testing import AppUnderTest, start
from tests.running_apps import DURABLE_APP, run_app, write_app
from tests.waiting import eventually

APP = """
@app.orchestration_trigger(context_name="context")
def order(context):
    item = context.get_input()
    retry = df.RetryOptions(first_retry_interval_in_milliseconds=60_000, max_number_of_attempts=3)
    yield context.call_activity_with_retry("charge", retry, item)
    left = yield context.call_entity(df.EntityId("stock", "tea"), "take", 1)
    yield context.call_sub_orchestrator("approval", item, "child-of-" + context.instance_id)
    return left


@app.orchestration_trigger(context_name="context")
def approval(context):
    return (yield context.wait_for_external_event("decision"))


@app.activity_trigger(input_name="item")
def charge(item: dict) -> str:
    if not charged:
        charged.append(item)
        raise ValueError("declined")
    return "charged " + item["name"]


charged = []


@app.entity_trigger(context_name="context")
def stock(context):
    context.set_state(context.get_state(lambda: 10) - context.get_input())
    context.set_result(context.get_state(lambda: 0))
"""


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[AppUnderTest]:
    async with start(write_app(tmp_path / "app", DURABLE_APP, APP)) as running:
        yield running


async def ask(app: AppUnderTest, path: str, status: int = 200) -> Any:
    answer = await app.get(f"/azemu/api/{path}")
    assert answer.status == status, answer.text
    return json.loads(answer.text)


async def test_an_order_on_all_tabs(app: AppUnderTest) -> None:
    await app.client.start_new("order", "order-1", {"name": "tea"})
    await app.advance(minutes=2)
    listed = await ask(app, "instances?sort=created&order=asc")
    assert [(row["instanceId"], row["status"], row["parent"]) for row in listed["instances"]] == [
        ("order-1", "Running", None),
        ("child-of-order-1", "Running", "order-1"),
    ]
    assert (listed["total"], listed["counts"], listed["isComplete"]) == (2, {"Running": 2}, True)
    assert listed["orchestrators"] == ["approval", "order"]

    await app.client.raise_event("child-of-order-1", "decision", "yes")
    await app.wait("order-1")
    order = await ask(app, "instances/order-1")
    assert (order["status"], order["output"]["text"]) == ("Completed", "9")
    # That of the orchestration, which has none; not that of its row.
    assert not order["version"]
    assert json.loads(json.loads(order["input"]["text"])) == {"name": "tea"}
    assert [child["instanceId"] for child in order["children"]] == ["child-of-order-1"]
    child = await ask(app, "instances/child-of-order-1")
    assert (child["parent"], child["raised"]) == ("order-1", ["decision"])

    timeline = await ask(app, "instances/order-1/timeline")
    assert [(row["kind"], row["name"], len(row["attempts"])) for row in timeline["rows"]] == [
        ("activity", "charge", 2),
        ("entity", "take", 1),
        ("child", "approval", 1),
    ]
    history = await ask(app, "instances/order-1/history?type=TaskFailed,TaskCompleted")
    assert [(event["type"], event["subject"]) for event in history["events"]] == [
        ("TaskFailed", "charge"),
        ("TaskCompleted", "charge"),
    ]
    completed = history["events"][1]
    assert completed["payloads"] == [{"name": "Result", "text": '"charged tea"', "length": 13}]
    whole = await ask(app, f"instances/order-1/payload?index={completed['index']}&name=Result")
    assert whole == {"text": '"charged tea"', "length": 13}
    assert (await ask(app, "instances/order-1/payload?name=output"))["text"] == "9"

    sequence = await ask(app, "instances/order-1/sequence")
    assert [line["role"] for line in sequence["lifelines"]] == ["client", "orchestrator", "activity", "entity", "child"]
    source = await ask(app, "instances/order-1/source")
    assert source["file"] == "function_app.py"
    assert source["lines"][1] == "def order(context):"
    rows = await ask(app, "instances/order-1/rows")
    assert rows["status"]["columns"]["Name"] == "order"
    assert len(rows["history"]) == timeline["events"] + 1

    await app.client.start_new("order", "order-2", {"name": "cup"})
    await app.advance(minutes=2)
    comparison = await ask(app, "instances/order-1/comparison?with=order-2")
    assert [(step["name"], step["change"]) for step in comparison["steps"]] == [
        ("charge", "outcome"),
        ("take", "same"),
        ("approval", "outcome"),
    ]
    found = await app.get("/azemu/api/instances-search?payload=cup")
    events = [json.loads(line[6:]) for line in found.text.splitlines() if line.startswith("data: ")]
    assert [event["match"]["instanceId"] for event in events if "match" in event] == ["child-of-order-2", "order-2"]
    assert events[-1] == {"searched": 4, "ended": "end"}

    entities = await ask(app, "entities")
    assert [(entity["name"], entity["key"], entity["state"]["text"]) for entity in entities["entities"]] == [
        ("stock", "tea", "8")
    ]
    entity = await ask(app, f"entity?id={quote('@stock@tea')}")
    assert (entity["exists"], entity["lockedBy"], entity["queueLength"]) == (True, None, 0)
    assert (await ask(app, f"instances/{quote('@stock@tea')}"))["isEntity"] is True


async def test_activities_that_run_are_told_from_those_that_wait_for_a_slot(tmp_path: Path) -> None:
    fan_out = """
    @app.orchestration_trigger(context_name="context")
    def fan_out(context):
        yield context.task_all([context.call_activity("wait", number) for number in range(2)])

    @app.activity_trigger(input_name="number")
    def wait(number: int) -> None:
        while not os.path.exists(os.environ["GATE"]):
            time.sleep(0.01)
    """
    gate = tmp_path / "gate"
    hub = {"extensions": {"durableTask": {"maxConcurrentActivityFunctions": 1}}}
    folder = write_app(tmp_path / "app", DURABLE_APP, fan_out, host=hub, settings={"GATE": str(gate)})
    async with run_app(folder) as app:

        async def attempts() -> list[tuple[str, bool]]:
            timeline = (await app.get("/azemu/api/instances/one/timeline")).json()
            return sorted(
                (row["attempts"][0]["outcome"], bool(row["attempts"][0]["beganAt"])) for row in timeline["rows"]
            )

        await app.post("/runtime/webhooks/durabletask/orchestrators/fan_out/one")

        async def seen(wanted: list[tuple[str, bool]]) -> bool:
            return (await app.get("/azemu/api/instances/one")).status == 200 and await attempts() == wanted

        await eventually(lambda: seen([("open", False), ("open", True)]), "one activity that runs and one that waits")
        assert (await app.get("/azemu/api/instances/one/timeline")).json()["isOnlyHost"]
        gate.touch()
        await eventually(lambda: seen([("completed", True), ("completed", True)]), "the end of both")


async def test_an_id_of_dots_is_an_id(app: AppUnderTest) -> None:
    for instance_id in (".", ".."):
        # The durable API decodes a path twice.
        encoded = instance_id.replace(".", "%252E")
        await app.post(f"/runtime/webhooks/durabletask/orchestrators/approval/{encoded}")
    await app.settle()
    # Browsers would resolve such a segment, so it is a parameter.
    for instance_id in (".", ".."):
        assert (await ask(app, f"instances/-?dots={instance_id}"))["instanceId"] == instance_id
        assert (await ask(app, f"why/-?dots={instance_id}"))["instanceId"] == instance_id
        assert (await ask(app, f"instances/-/timeline?dots={instance_id}"))["events"] > 0


async def test_a_change_before_its_stream_is_open_is_the_first_event(app: AppUnderTest) -> None:
    await app.client.start_new("approval", "seen")
    await app.settle()
    version = (await ask(app, "instances/seen"))["rowVersion"]
    await app.client.raise_event("seen", "decision", "yes")
    await app.wait("seen")
    async with aiohttp.ClientSession(app.url) as client:
        async with client.get("/azemu/api/instances/seen/changes", params={"version": version}) as stream:
            lines = [await stream.content.readline() for _ in range(3)]
            assert lines == [b": open\n", b"\n", b'data: {"isDeleted":false}\n']
        # The end of a purged instance, however late the page asks.
        await app.client.purge_instance_history("seen")
        async with client.get("/azemu/api/instances/seen/changes", params={"version": version}) as stream:
            assert await stream.text() == ': open\n\ndata: {"isDeleted":true}\n\n'


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("instances/unknown", 404, 'There is no instance with the id "unknown" in this task hub.'),
        ("instances/unknown/timeline", 404, 'There is no instance with the id "unknown" in this task hub.'),
        ("instances/unknown/rows", 404, 'There is no instance with the id "unknown" in this task hub.'),
        ("instances?status=Lost", 400, "'Lost' is not a status of an instance."),
        ("instances?sort=colour", 400, "The parameter sort must be one of"),
        ("instances?from=soon", 400, "The parameter from must be a time such as 2026-11-30T12:00:00Z."),
        ("instances-search", 400, "The parameter payload must have the text to search for."),
        ("entity?id=counter", 400, "The parameter id must be the id of an entity, such as @counter@key."),
        ("entity?id=@counter@k", 404, 'There is no entity with the id "@counter@k" in this task hub.'),
    ],
)
async def test_errors_say_what_is_wrong(app: AppUnderTest, path: str, status: int, message: str) -> None:
    assert message in (await ask(app, path, status))["error"]["message"]
