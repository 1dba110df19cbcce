"""Forks of orchestrations, through the API of the dashboard, in virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from emulator.durable.core.events import EventRaised, SubOrchestrationInstanceCreated, TaskCompleted, TaskScheduled
from emulator.testing import AppUnderTest, start
from tests.running_apps import DURABLE_APP, write_app

APP = """
@app.orchestration_trigger(context_name="context")
def order(context):
    item = context.get_input()
    price = yield context.call_activity("price", item)
    approval = context.wait_for_external_event("approve")
    timeout = context.create_timer(context.current_utc_datetime + datetime.timedelta(days=3))
    winner = yield context.task_any([approval, timeout])
    if winner is timeout:
        return "expired"
    timeout.cancel()
    paid = yield context.call_activity("pay", price)
    return [item, price, json.loads(approval.result), paid]

@app.activity_trigger(input_name="item")
def price(item: str) -> int:
    logging.info("pricing %s", item)
    return len(item)

@app.activity_trigger(input_name="amount")
def pay(amount: int) -> str:
    logging.info("paying %s", amount)
    return f"paid {amount}"

@app.orchestration_trigger(context_name="context")
def fan(context):
    results = yield context.task_all([context.call_activity("price", name) for name in ["a", "bb", "ccc"]])
    return sum(results)

@app.orchestration_trigger(context_name="context")
def counting(context):
    entity = df.EntityId("counter", "c")
    first = yield context.call_entity(entity, "add", 5)
    yield context.wait_for_external_event("go")
    second = yield context.call_entity(entity, "add", 1)
    return [first, second]

@app.entity_trigger(context_name="context")
def counter(context):
    context.set_state(context.get_state(lambda: 0) + context.get_input())
    context.set_result(context.get_state())

@app.orchestration_trigger(context_name="context")
def parent(context):
    answer = yield context.call_sub_orchestrator("order", "pear")
    return {"child": answer}
"""
IMPORTS = "import datetime\nimport json\n"


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[AppUnderTest]:
    async with start(write_app(tmp_path / "shop", DURABLE_APP, IMPORTS + APP)) as running:
        yield running


async def run_order(app: AppUnderTest) -> None:
    await app.client.start_new("order", instance_id="o-1", client_input="apple")
    await app.advance(hours=1)
    await app.client.raise_event("o-1", "approve", "yes")
    assert (await app.wait("o-1")).output == ["apple", 5, "yes", "paid 5"]


async def number_of(app: AppUnderTest, kind: type, number: int = 0, *, instance: str = "o-1") -> int:
    """The number of an event of this type in the history."""
    numbers = [at for at, event in enumerate(await app.history(instance)) if isinstance(event, kind)]
    return numbers[number]


async def fork(app: AppUnderTest, instance: str, status: int = 201, **members: Any) -> dict[str, Any]:
    answer = await app.post(f"/azemu/api/instances/{instance}/forks", json=members)
    assert answer.status == status, answer.text
    result: dict[str, Any] = answer.json()
    return result if status < 300 else result["error"]


def calls(app: AppUnderTest, text: str) -> int:
    return sum(line.message.startswith(text) for line in app.logs)


async def test_a_fork_reuses_the_results_before_the_cut_and_leaves_the_old_instance(app: AppUnderTest) -> None:
    await run_order(app)
    before = await app.history("o-1")
    at = await number_of(app, EventRaised)
    forked = await fork(app, "o-1", at=at, eventInput="no", id="o-2")
    assert (forked["instanceId"], forked["source"]) == ("o-2", "o-1")
    assert (await app.wait("o-2")).output == ["apple", 5, "no", "paid 5"]
    assert (calls(app, "pricing"), calls(app, "paying")) == (1, 2)
    assert await app.history("o-1") == before
    assert (await app.wait("o-1")).output == ["apple", 5, "yes", "paid 5"]


async def test_an_edited_result_is_used(app: AppUnderTest) -> None:
    await run_order(app)
    at = await number_of(app, TaskCompleted)
    forked = await fork(app, "o-1", at=at, eventInput=100)
    assert forked["eventsLeftOut"] == ["approve"]
    await app.client.raise_event(forked["instanceId"], "approve", "later")
    assert (await app.wait(forked["instanceId"])).output == ["apple", 100, "later", "paid 100"]


async def test_later_events_are_raised_again_on_request(app: AppUnderTest) -> None:
    await run_order(app)
    forked = await fork(app, "o-1", at=await number_of(app, TaskCompleted), eventInput=7, withEvents=True)
    assert (await app.wait(forked["instanceId"])).output == ["apple", 7, "yes", "paid 7"]


async def test_a_timer_has_the_rest_that_it_had_at_the_cut(app: AppUnderTest) -> None:
    await run_order(app)
    await app.advance(days=10)
    # The present of a fork that waits: one day of three is over.
    forked = await fork(app, "o-1", at=await number_of(app, TaskCompleted), id="o-2")
    await app.advance(days=1)
    begin = app.now
    again = await fork(app, "o-2", at=len(await app.history("o-2")), id="o-3")
    assert forked["cut"] < again["cut"]
    assert (await app.wait("o-3")).output == "expired"
    assert timedelta(days=1, hours=23) < app.now - begin < timedelta(days=2, hours=1)


async def test_a_new_input_begins_anew_or_changes_what_comes_after_the_cut(app: AppUnderTest) -> None:
    await run_order(app)
    await fork(app, "o-1", at=0, input="plum", id="anew")
    await app.client.raise_event("anew", "approve", "yes")
    assert (await app.wait("anew")).output == ["plum", 4, "yes", "paid 4"]
    await fork(app, "o-1", at=await number_of(app, EventRaised), input="plum", id="later")
    assert (await app.wait("later")).output == ["plum", 5, "yes", "paid 5"]


async def test_open_activities_get_their_recorded_results_or_run_again(app: AppUnderTest) -> None:
    await app.client.start_new("fan", instance_id="f-1")
    assert (await app.wait("f-1")).output == 6
    at = await number_of(app, TaskCompleted, instance="f-1")
    await fork(app, "f-1", at=at, id="f-2")
    assert (await app.wait("f-2")).output == 6
    assert calls(app, "pricing") == 3
    again = await fork(app, "f-1", at=at, rerun=True, id="f-3")
    assert again["rerun"] == ["price", "price", "price"]
    assert (await app.wait("f-3")).output == 6
    assert calls(app, "pricing") == 6


async def test_a_call_of_an_entity_is_not_repeated_before_the_cut(app: AppUnderTest) -> None:
    await app.client.start_new("counting", instance_id="c-1")
    await app.run_until_idle()
    at = len(await app.history("c-1"))
    await fork(app, "c-1", at=at, id="c-2")
    await app.client.raise_event("c-1", "go", None)
    assert (await app.wait("c-1")).output == [5, 6]
    await app.client.raise_event("c-2", "go", None)
    assert (await app.wait("c-2")).output == [5, 7]
    # .NET derives the ids of requests from the instance id, and finds the response in the history by them.
    names = [
        {event.name for event in await app.history(instance) if isinstance(event, EventRaised)}
        for instance in ("c-1", "c-2")
    ]
    assert names[0] & names[1] == {"go"}


async def test_a_fork_of_a_child_reports_to_no_parent(app: AppUnderTest) -> None:
    await app.client.start_new("parent", instance_id="p-1")
    await app.run_until_idle(limit=timedelta(minutes=1))
    [created] = [event for event in await app.history("p-1") if isinstance(event, SubOrchestrationInstanceCreated)]
    await fork(app, created.instance_id, at=0, id="child-2")
    await app.client.raise_event("child-2", "approve", 1)
    assert (await app.wait("child-2")).output == ["pear", 4, 1, "paid 4"]
    assert (await app.client.get_status("p-1")).runtime_status.name == "Running"
    await app.client.raise_event(created.instance_id, "approve", 2)
    assert (await app.wait("p-1")).output == {"child": ["pear", 4, 2, "paid 4"]}


async def test_only_the_start_of_an_episode_is_a_place_for_a_fork(app: AppUnderTest) -> None:
    await run_order(app)
    at = await number_of(app, TaskScheduled, 1)
    error = await fork(app, "o-1", 400, at=at)
    episode = next(place["at"] for place in reversed(await places(app)) if place["at"] < at)
    assert error["message"].startswith(f"Event {at} (TaskScheduled) is in the middle of an episode")
    assert f"Fork at event {episode}, the start of this episode, or event " in error["message"]
    assert "The history has the events 0 to" in (await fork(app, "o-1", 400, at=999))["message"]
    assert "has ended" in (await fork(app, "o-1", 400, at=len(await app.history("o-1"))))["message"]
    refused = await fork(app, "o-1", 400, at=episode, eventInput=1)
    assert refused["message"] == (
        f"There is no value to replace at event {episode} (OrchestratorStarted). "
        f"Fork at event {episode + 1} (EventRaised)."
    )


async def places(app: AppUnderTest) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await app.get("/azemu/api/instances/o-1/forks")).json()["places"]
    return found


async def test_an_existing_instance_is_never_replaced(app: AppUnderTest) -> None:
    await run_order(app)
    error = await fork(app, "o-1", 409, at=await number_of(app, EventRaised), id="o-1")
    assert error["message"].startswith('There is an instance "o-1" already, and it is left as it is.')
    assert (await fork(app, "missing", 404, at=0))["message"] == 'There is no instance "missing" in this task hub.'
    assert "must not begin with @" in (await fork(app, "o-1", 400, at=0, id="@counter@x"))["message"]
    assert "is an entity" in (await fork(app, "%40counter%40c", 400, at=0))["message"]
    assert 'The member "at"' in (await fork(app, "o-1", 400))["message"]
