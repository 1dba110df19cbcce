"""What a user sees and does on the pages Instances, Instance and Entities."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from emulator.testing import AppUnderTest, start
from tests.browser.conftest import ATTACK, Visitor, visiting
from tests.running_apps import DURABLE_APP, write_app

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

APP = """
@app.orchestration_trigger(context_name="context")
def order(context):
    item = context.get_input()
    retry = df.RetryOptions(first_retry_interval_in_milliseconds=5_000, max_number_of_attempts=3)
    receipt = yield context.call_activity_with_retry("charge", retry, item)
    left = yield context.call_entity(df.EntityId("stock", "tea"), "take", 1)
    packed = yield context.task_all([context.call_activity("pack", box) for box in range(3)])
    label = yield context.call_sub_orchestrator("ship", item, "shipment-of-" + context.instance_id)
    return {"receipt": receipt, "left": left, "label": label}


@app.orchestration_trigger(context_name="context")
def ship(context):
    yield context.create_timer(context.current_utc_datetime + timedelta(seconds=4))
    return (yield context.call_activity("pack", 1))


@app.orchestration_trigger(context_name="context")
def approval(context):
    return (yield context.wait_for_external_event("decision"))


attempts = []


@app.activity_trigger(input_name="item")
def charge(item: dict) -> str:
    attempts.append(item)
    if len(attempts) == 1:
        raise ValueError("the card was declined")
    return "receipt for " + item["name"]


@app.activity_trigger(input_name="box")
def pack(box: int) -> str:
    return f"box {box}"


@app.entity_trigger(context_name="context")
def stock(context):
    left = context.get_state(lambda: 10) - context.get_input()
    context.set_state(left)
    context.set_result(left)
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shop(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AppUnderTest]:
    """An app with two orders that have ended, of which the first one has retried."""
    folder = write_app(tmp_path_factory.mktemp("durable") / "orders", DURABLE_APP, APP)
    async with start(folder) as app:
        for number, name in ((1, "tea"), (2, ATTACK)):
            await app.client.start_new("order", f"order-{number}", {"name": name})
            await app.wait(f"order-{number}")
        yield app


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def only_visitor(browser: Any, shop: AppUnderTest, request: pytest.FixtureRequest) -> AsyncIterator[Visitor]:
    """A page of the browser for all tests of this module, which have an app of their own."""
    async with visiting(browser, shop, request) as visitor:
        yield visitor


async def test_instances_are_filtered_sorted_and_searched(visitor: Visitor) -> None:
    await visitor.open("instances")
    page = visitor.page
    table = page.get_by_role("table", name="Instances")
    await table.get_by_role("link", name="shipment-of-order-1").wait_for()
    assert await table.get_by_role("row").count() == 5
    await visitor.picture("instances")
    await page.get_by_label("hide sub-orchestrations").check()
    await table.get_by_role("link", name="shipment-of-order-1").wait_for(state="detached")
    await table.get_by_role("button", name="Instance").click()
    assert await table.locator("tbody a").all_inner_texts() == ["order-2", "order-1"]
    await page.keyboard.press("/")
    await page.keyboard.type("order-1")
    await table.get_by_role("link", name="order-2").wait_for(state="detached")
    await page.get_by_label("Search ids and names").fill("")
    await page.get_by_label("Beginning of the id").fill("shipment-")
    await table.get_by_role("link", name="shipment-of-order-1").wait_for(state="detached")
    await page.get_by_text("No instance matches").wait_for()
    await page.get_by_label("hide sub-orchestrations").uncheck()
    await table.get_by_role("link", name="shipment-of-order-1").first.wait_for()
    assert await table.locator(".instance-id > a").all_inner_texts() == ["shipment-of-order-2", "shipment-of-order-1"]
    await page.get_by_label("Beginning of the id").fill("")
    await page.get_by_label("hide sub-orchestrations").check()
    await page.get_by_label("Search ids and names").fill("onerror")
    await page.get_by_text("No instance matches").wait_for()
    await page.get_by_role("button", name="Search payloads").click()
    await page.get_by_text("1 found, 4 searched").wait_for()
    await table.get_by_role("link", name="order-2").click()
    await page.get_by_role("heading", name="order-2").wait_for()


async def test_an_instance_is_shown_from_all_sides(visitor: Visitor) -> None:
    await visitor.open("instances/order-1")
    page = visitor.page
    rows = page.get_by_role("listbox")
    await rows.get_by_role("option", name="activity charge, completed, 2 attempts").click()
    await page.get_by_role("region", name="Chosen task").get_by_text("the card was declined").first.wait_for()
    await visitor.picture("instance")
    # Only with the keyboard: to the sub-orchestration, open it, zoom and show all.
    await rows.focus()
    await page.keyboard.press("End")
    await page.keyboard.press("Enter")
    await rows.get_by_role("option", name="timer 4 s, completed").wait_for()
    await page.keyboard.press("+")
    await page.get_by_role("button", name="Fit").click()
    await page.get_by_role("button", name="Table", exact=True).click()
    assert await page.get_by_role("table", name="Tasks").get_by_text("entity call").count() == 1

    await page.get_by_role("tab", name="History").click()
    history = page.get_by_role("table", name="History")
    await history.get_by_text("TaskFailed").click()
    await history.get_by_text("Scheduled by").wait_for()
    assert await history.get_by_text("OrchestratorStarted").count() == 0
    await visitor.picture("instance-history")
    await page.get_by_role("tab", name="Sequence").click()
    await page.get_by_role("img", name="order to shipment-of-order-1: start").wait_for()
    await visitor.picture("instance-sequence")
    await page.get_by_role("tab", name="Source").click()
    await page.get_by_text("receipt = yield context.call_activity_with_retry").wait_for()
    await page.get_by_role("tab", name="Stored rows").click()
    await page.get_by_label("Status row", exact=True).get_by_text("LastUpdatedTime").wait_for()
    await page.get_by_role("tab", name="Compare").click()
    await page.get_by_label("Compare with").fill("order-2")
    await page.get_by_role("button", name="Compare", exact=True).click()
    await page.get_by_text("1 of 6 steps differ; the first is charge.").wait_for()
    # The payload of the other run is a text, whatever it contains.
    assert ATTACK in await page.get_by_role("table", name="Both runs").inner_text()
    await visitor.picture("instance-comparison")
    await page.get_by_role("button", name="Copy as").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_text("azemu durable show order-1 --history").wait_for()
    assert 'client_input={"name": "tea"}' in await dialog.inner_text()


async def test_an_instance_is_started_gets_an_event_and_is_purged(visitor: Visitor) -> None:
    await visitor.open("instances")
    page = visitor.page
    await page.get_by_role("button", name="Start").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Orchestrator").select_option("approval")
    await dialog.get_by_label("Instance id").fill("asked")
    await dialog.get_by_label("Input (JSON)").fill("{not json")
    await dialog.get_by_text("This is not JSON").wait_for()
    await dialog.get_by_label("Input (JSON)").fill("")
    await visitor.picture("instance-start")
    await dialog.get_by_role("button", name="Start", exact=True).click()
    await page.get_by_role("heading", name="asked").wait_for()
    await page.get_by_text("Running", exact=True).first.wait_for()
    # The page tells what the instance waits for, marks the line, and offers the name of the event.
    reason = page.get_by_role("region", name="Why it does not progress")
    await reason.get_by_text('waits for the event "decision"').first.wait_for()
    await page.get_by_role("option", name="awaited event decision, not raised yet").click()
    await page.get_by_role("region", name="Chosen task").get_by_text("which was never raised").wait_for()
    await page.get_by_role("tab", name="Source").click()
    await page.locator(".source .current", has_text="wait_for_external_event").wait_for()
    await visitor.open("instances")
    await page.get_by_role("button", name="Why waiting?").click()
    waiting = page.get_by_role("table", name="Waiting instances").get_by_role("row", name="asked")
    assert 'waits for the event "decision"' in await waiting.inner_text()
    await waiting.get_by_role("link", name="asked").click()
    await reason.wait_for()
    await visitor.picture("instance-waiting")
    await page.get_by_role("button", name="Raise event").click()
    assert await dialog.get_by_label("Event").input_value() == "decision"
    await dialog.get_by_label("Value (JSON)").fill('{"by": "ada"}')
    await dialog.get_by_role("button", name="Raise").click()
    # The page follows the instance without a reload.
    await page.get_by_role("button", name="Purge").wait_for()
    status = await visitor.app.client.get_status("asked")
    assert status.output == {"by": "ada"}

    await visitor.open("instances?text=asked")
    await page.get_by_label("Select asked").check()
    await page.get_by_role("region", name="Selected instances").get_by_role("button", name="Purge").click()
    await dialog.get_by_role("button", name="Purge").click()
    await page.get_by_text("1 instance purged.").wait_for()
    await page.get_by_text("No instance matches").wait_for()


async def test_ids_that_look_like_paths_are_ids(visitor: Visitor) -> None:
    page = visitor.page
    for instance_id in ("..", "a+b%41"):
        await visitor.open("instances")
        await page.get_by_role("button", name="Start", exact=True).click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("Orchestrator").select_option("approval")
        await dialog.get_by_label("Instance id").fill(instance_id)
        await dialog.get_by_role("button", name="Start", exact=True).click()
        await page.get_by_role("heading", name=f"{instance_id} Copy the id", exact=True).wait_for()
        await page.get_by_role("listbox").get_by_text("awaited event").wait_for()
        await page.get_by_role("button", name="Terminate", exact=True).click()
        await dialog.get_by_role("button", name="Terminate", exact=True).click()
        await page.get_by_role("button", name="Purge", exact=True).click()
        await dialog.get_by_role("button", name="Purge", exact=True).click()
        await page.get_by_role("heading", name="Instances").wait_for()
    # Those whose ids are not paths are still there.
    assert (await visitor.app.client.get_status("order-1")).runtime_status.name == "Completed"


async def test_an_instance_that_others_purge_disappears(visitor: Visitor) -> None:
    await visitor.app.client.start_new("approval", "short-lived")
    await visitor.app.client.terminate("short-lived", "not needed")
    await visitor.app.settle()
    await visitor.open("instances/short-lived")
    await visitor.page.get_by_text("Terminated", exact=True).wait_for()
    await visitor.app.client.purge_instance_history("short-lived")
    await visitor.page.get_by_text("There is no such instance").wait_for()
    # The browser reports the 404 of the deleted instance.
    visitor.problems[:] = [problem for problem in visitor.problems if "/api/instances/short-lived" not in problem]


async def test_a_purge_is_shown_although_the_list_is_being_loaded(visitor: Visitor) -> None:
    app, page = visitor.app, visitor.page
    await app.client.start_new("approval", "to-purge")
    await app.client.terminate("to-purge", "not needed")
    await app.settle()
    await visitor.open("instances?text=to-purge")
    await page.get_by_label("Select to-purge").check()
    held: list[Any] = []
    is_held = asyncio.Event()

    async def hold(route: Any) -> None:
        held.append(route)
        is_held.set()

    await page.route("**/api/instances?*", hold, times=1)
    # A change, after which the page loads the list; that request gets its response after the purge only.
    await app.client.start_new("approval", "to-purge-later")
    await is_held.wait()
    await page.get_by_role("region", name="Selected instances").get_by_role("button", name="Purge").click()
    await page.get_by_role("dialog").get_by_role("button", name="Purge").click()
    # It closes when the instance is purged and the list was asked to load again.
    await page.get_by_role("dialog").wait_for(state="detached")
    # A deletion leaves no trace in the table, so the page has to ask for a new reading.
    async with page.expect_response("**/api/instances?*reread=true*"):
        await held[0].continue_()
    await page.get_by_label("Select to-purge", exact=True).wait_for(state="detached")
    await app.client.terminate("to-purge-later", "not needed")


async def test_an_instance_is_forked_with_another_event_and_its_run_is_used(visitor: Visitor) -> None:
    app, page = visitor.app, visitor.page
    await app.client.start_new("approval", "to-fork")
    await app.run_until_idle()
    await app.client.raise_event("to-fork", "decision", {"by": "ada"})
    await app.wait("to-fork")
    await visitor.open("instances/to-fork?tab=history")
    await page.get_by_role("table", name="History").get_by_text("EventRaised").click()
    await page.get_by_role("button", name="Fork from here").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_text("azemu history fork to-fork --at").wait_for(state="attached")
    assert await dialog.get_by_label("Input (JSON)").input_value() == '{"by": "ada"}'
    await dialog.get_by_label("Input (JSON)").fill('{"by": "bob"}')
    await dialog.get_by_label("Instance id").fill("forked")
    await visitor.picture("instance-fork")
    await dialog.get_by_role("button", name="Fork", exact=True).click()
    await page.get_by_role("heading", name="forked").wait_for()
    await page.get_by_role("link", name="to-fork").first.wait_for()
    # The SDK gives the events of its own client to an orchestrator as JSON texts.
    assert (await app.wait("forked")).output == '{"by": "bob"}'
    assert (await app.wait("to-fork")).output == '{"by": "ada"}'

    await page.get_by_role("button", name="Export, fork, replay").click()
    await dialog.get_by_role("button", name="Choose the event in the history").click()
    await page.get_by_role("tab", name="History", selected=True).wait_for()
    await page.get_by_role("button", name="Export, fork, replay").click()
    await dialog.get_by_role("button", name="Replay", exact=True).click()
    # The replay is a process of its own.
    await dialog.get_by_text("The code follows the history: 2 episodes agree.").wait_for(timeout=60_000)
    await dialog.get_by_role("button", name="Make a test").click()
    async with page.expect_download() as download:
        await dialog.get_by_role("button", name="tests/test_forked.py").click()
    assert (await download.value).suggested_filename == "test_forked.py"
    await visitor.picture("instance-replay")


async def test_an_entity_is_signalled(visitor: Visitor) -> None:
    await visitor.open("entities")
    page = visitor.page
    row = page.get_by_role("table", name="Entities").get_by_role("row", name="stock tea")
    assert "8" in await row.inner_text()
    await visitor.picture("entities")
    await row.click()
    await page.get_by_role("dialog").get_by_role("button", name="Signal").click()
    dialog = page.get_by_role("dialog", name="Signal an entity")
    await dialog.get_by_label("Operation").fill("take")
    await dialog.get_by_label("Input (JSON)").fill("3")
    await dialog.get_by_role("button", name="Send").click()
    await row.get_by_text("5", exact=True).wait_for()


async def test_nothing_is_outside_of_a_narrow_screen(visitor: Visitor) -> None:
    long = "x" * 100
    await visitor.app.client.start_new("approval", instance_id=long)
    page = visitor.page
    await page.set_viewport_size({"width": 390, "height": 844})
    for address in ("", "functions", "instances", f"instances/{long}", "entities", "storage", "logs", "settings"):
        await visitor.open(address)
        if address == "instances":
            row = page.get_by_role("row").filter(has_text=long)
            await row.get_by_text("Running", exact=True).wait_for()
            box = await row.get_by_text("Running", exact=True).bounding_box()
            assert box["x"] + box["width"] <= 390
        elif long in address:
            await page.get_by_role("region", name="Why it does not progress").wait_for()
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390, address
    await page.set_viewport_size({"width": 1280, "height": 800})


async def test_an_instance_is_opened_before_it_has_a_history(visitor: Visitor) -> None:
    """The link of a response leads to the page before a host has processed the message that starts the instance."""
    row = {"PartitionKey": "early", "RowKey": "", "Name": "approval", "RuntimeStatus": "Pending", "Input": "null"}
    times = dict.fromkeys(("CreatedTime", "LastUpdatedTime"), visitor.app.now)
    await visitor.app.insert("TestHubNameInstances", {**row, **times})
    await visitor.open("instances/early")
    await visitor.page.get_by_text("The orchestration has not begun").wait_for()
    # The id of a row that is pending cannot be used.
    await visitor.app.insert("TestHubNameInstances", {**row, **times, "RuntimeStatus": "Terminated"})
    await visitor.app.client.start_new("approval", "early")
    await visitor.app.settle()
    await visitor.page.get_by_role("option", name="awaited event decision").wait_for()
