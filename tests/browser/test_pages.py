"""What a user sees and does on the pages Home, Functions, Storage, Settings and Logs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from emulator.clock import SystemClock
from emulator.config.start import StartOptions, configure
from emulator.host.http.keys.key_store import HOST_SYSTEM_KEYS
from emulator.host.site import open_keys
from emulator.testing import start
from tests.browser.conftest import ATTACK, PATIENCE_MILLISECONDS, Visitor, visiting
from tests.dashboard.conftest import APP, HUB
from tests.running_apps import DURABLE_APP, run_app, write_app
from tests.storage_calls import StorageCalls

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_home_shows_numbers_queues_partitions_and_errors(visitor: Visitor) -> None:
    await visitor.open()
    page = visitor.page
    await page.get_by_role("heading", name="shop", exact=True).wait_for()
    await page.get_by_text("in the poison queue").wait_for()
    await page.get_by_role("table", name="Queues").get_by_text("dashhub-workitems").wait_for()
    partitions = page.get_by_role("table", name="Partitions")
    assert await partitions.get_by_role("row").count() == 3
    assert "a bad order" in await page.get_by_role("table", name="Recent errors").inner_text()
    await visitor.picture("home")


async def test_home_changes_when_a_function_has_run(visitor: Visitor) -> None:
    await visitor.open()
    number = visitor.page.locator(".number", has_text="invocations").locator("strong")
    before = int(await number.inner_text())
    await visitor.app.get("/api/items/5")
    await visitor.page.wait_for_function(
        "before => Number(document.querySelectorAll('.number strong')[1].textContent) === before + 1", arg=before
    )


async def test_an_http_function_is_called_and_its_response_shown(visitor: Visitor) -> None:
    await visitor.open("functions")
    page = visitor.page
    table = page.get_by_role("table", name="Functions")
    await table.get_by_text("/api/items/{id:int}").wait_for()
    await visitor.picture("functions")
    await table.get_by_role("link", name="items").click()
    await page.get_by_label("Body", exact=True).fill(ATTACK)
    await page.get_by_role("button", name="Send").click()
    await page.get_by_text("200 OK").wait_for()
    assert await page.get_by_label("Response body", exact=True).inner_text() == f"item 1: {ATTACK}"
    await visitor.picture("function-run")
    await page.get_by_role("tab", name="Invocations").click()
    await page.get_by_role("table", name="Invocations").get_by_text("Succeeded").first.click()
    await page.get_by_role("log").get_by_text("Executed 'Functions.items'").wait_for()
    await visitor.picture("function-invocations")


async def test_a_function_of_another_service_runs_and_its_outputs_are_kept(visitor: Visitor) -> None:
    await visitor.open("functions/bus")
    page = visitor.page
    await page.get_by_label("Data of the trigger").fill("over the dashboard")
    await page.get_by_role("button", name="Run").click()
    assert await page.get_by_label("Value", exact=True).inner_text() == "from the bus: over the dashboard"
    await page.get_by_role("tab", name="Outputs").click()
    await page.get_by_role("table", name="Outputs").get_by_text(f"from the bus: {ATTACK}").wait_for()
    await page.get_by_role("tab", name="Bindings").click()
    await page.get_by_role("table", name="Bindings").get_by_text("serviceBusTrigger").wait_for()


async def test_a_poison_message_is_read_and_moved_back(visitor: Visitor) -> None:
    await visitor.app.put_message("tried-poison", f'{{"order": "{ATTACK}"}}')
    await visitor.open("storage")
    page = visitor.page
    await page.get_by_role("link", name="tried-poison").wait_for()
    await visitor.picture("storage")
    await page.get_by_role("link", name="tried-poison").click()
    await page.get_by_role("table", name="Messages").get_by_text(ATTACK).click()
    assert ATTACK in await page.get_by_label("Message", exact=True).inner_text()
    await visitor.picture("queue")
    await page.get_by_role("button", name="Move back to its queue").click()
    await page.get_by_text("1 message moved to tried.").wait_for()
    assert await visitor.app.messages("tried-poison") == []
    await visitor.open("storage/queues/tried")
    await page.get_by_role("button", name="Delete the message").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    await page.get_by_text("Message deleted.").wait_for()
    assert await visitor.app.messages("tried") == []


async def test_rows_are_filtered_and_blobs_shown(visitor: Visitor) -> None:
    await visitor.open("storage/tables/DashHubHistory?filter=EventType eq 'TaskScheduled'")
    page = visitor.page
    rows = page.get_by_role("table", name="Rows")
    await rows.get_by_text("TaskScheduled").wait_for()
    assert await rows.get_by_role("row").count() == 2
    await visitor.picture("table")
    await visitor.open("storage/blobs/documents")
    await page.get_by_text("<b>report</b>.json").click()
    assert ATTACK in await page.get_by_label("Content", exact=True).inner_text()
    await visitor.picture("blobs")
    async with page.expect_download() as download:
        await page.get_by_role("button", name="Download").click()
    assert (await download.value).suggested_filename.endswith(".json")


async def test_a_secret_is_shown_on_demand_only(visitor: Visitor) -> None:
    await visitor.open("settings")
    page = visitor.page
    await page.get_by_text("API_SECRET").wait_for()
    assert "s3cr3t" not in await page.content()
    await visitor.picture("settings")
    await page.get_by_role("button", name="Show API_SECRET").click()
    await page.get_by_text("s3cr3t").wait_for()
    await page.get_by_role("tab", name="host.json").click()
    await page.get_by_text("extensions.durableTask.storageProvider.partitionCount").wait_for()


async def test_logs_are_filtered_paused_and_follow(visitor: Visitor) -> None:
    await visitor.open("logs")
    page = visitor.page
    await page.get_by_role("log").get_by_text("the flow begins").wait_for()
    # Once: the line of the replay is hidden.
    assert await page.get_by_role("log").get_by_text("the flow begins").count() == 1
    await visitor.picture("logs")
    await page.get_by_label("Lowest level").select_option("Warning")
    await page.get_by_text("the flow begins").wait_for(state="detached")
    await page.get_by_label("Lowest level").select_option("")
    await page.keyboard.press("/")
    await page.keyboard.type("paused-1")
    await page.get_by_text("No lines match the filters").wait_for()
    await page.get_by_role("button", name="Pause").click()
    await visitor.app.put_message("orders", "paused-1")
    await page.get_by_role("button", name="new line").click()
    await page.get_by_role("log").get_by_text("received paused-1").wait_for()


async def test_the_keyboard_reaches_the_pages(visitor: Visitor) -> None:
    await visitor.open()
    page = visitor.page
    await page.keyboard.press("?")
    await page.get_by_role("dialog", name="Keyboard shortcuts").wait_for()
    await page.keyboard.press("Escape")
    await page.get_by_role("dialog").wait_for(state="detached")
    await page.keyboard.press("g")
    await page.keyboard.press("s")
    await page.get_by_role("heading", name="Storage").wait_for()
    await page.go_back()
    await page.get_by_role("heading", name="shop").wait_for()


async def test_pages_say_that_the_storage_does_not_respond(visitor: Visitor, tmp_path: Path) -> None:
    calls, released = StorageCalls(), asyncio.Event()

    async def wait_until_released() -> None:
        await released.wait()

    folder = write_app(tmp_path / "shop", DURABLE_APP, APP, host=HUB)
    async with run_app(folder, around_account=calls.around) as app:
        await app.post("/api/start?id=order-1")
        context = await visitor.page.context.browser.new_context()
        context.set_default_timeout(PATIENCE_MILLISECONDS)
        home, instance = await context.new_page(), await context.new_page()
        await home.goto(f"{app.url}/azemu/")
        await home.get_by_role("table", name="Queues").get_by_text("dashhub-workitems").wait_for()
        # Calls have no answer, as of an Azurite that is frozen.
        calls.before_failing = wait_until_released
        calls.cut_off = True
        await instance.goto(f"{app.url}/azemu/#/instances/order-1")
        await home.get_by_role("alert").get_by_text("The page shows data of").wait_for()
        assert await home.get_by_text("dashhub-workitems").count() == 1
        await instance.get_by_role("alert").get_by_text("does not respond, or takes long").wait_for()
        # They end with an error, as after a timeout or the end of Azurite.
        released.set()
        await home.get_by_text("the test has cut the storage off").first.wait_for()
        assert await home.get_by_text("has not been created yet").count() == 0
        await instance.get_by_role("heading", name="order-1").wait_for()
        await instance.get_by_role("alert").get_by_text("the test has cut the storage off").wait_for()
        calls.cut_off = False
        await instance.get_by_role("tab", name="Timeline").wait_for()
        await home.get_by_role("table", name="Queues").get_by_text("dashhub-workitems").wait_for()
        assert await instance.get_by_role("alert").count() == 0
        await context.close()


async def test_many_windows_share_the_connections_of_the_browser(visitor: Visitor) -> None:
    # A browser has six for a host; each page would take two or three for itself.
    context = await visitor.page.context.browser.new_context()
    hide = "value => { Object.defineProperty(document, 'hidden', { configurable: true, get: () => value });"
    hide += " document.dispatchEvent(new Event('visibilitychange')); }"
    tabs = []
    for _ in range(4):
        tab = await context.new_page()
        tab.set_default_timeout(PATIENCE_MILLISECONDS)
        await tab.goto(f"{visitor.app.dashboard_url}#/instances")
        await tab.get_by_role("heading", name="Instances").wait_for()
        await tab.get_by_label("Search ids and names").wait_for()
        tabs.append(tab)
    # All of them follow what happens; those that have no stream look from time to time.
    await visitor.app.post("/api/start?id=for-all-windows")
    for tab in tabs:
        await tab.get_by_role("link", name="for-all-windows").wait_for()
    # One that is hidden leaves its connections to the others, and shows later what has happened meanwhile.
    await tabs[0].evaluate(hide, True)
    await visitor.app.post("/api/start?id=in-the-background")
    await tabs[3].get_by_role("link", name="in-the-background").wait_for()
    assert await tabs[0].get_by_role("link", name="in-the-background").count() == 0
    await tabs[0].evaluate(hide, False)
    await tabs[0].get_by_role("link", name="in-the-background").wait_for()
    await context.close()


async def test_the_theme_is_kept(visitor: Visitor) -> None:
    await visitor.open()
    page = visitor.page
    await page.get_by_role("button", name="Use the dark theme").click()
    await page.reload()
    assert await page.evaluate("document.documentElement.dataset.theme") == "dark"
    await page.get_by_role("button", name="Use the light theme").click()


async def test_the_page_asks_for_the_key(visitor: Visitor, tmp_path: Path) -> None:
    folder = write_app(tmp_path)
    keys = open_keys(configure(StartOptions(app=folder), {}), SystemClock())
    await keys.put(HOST_SYSTEM_KEYS, "_master", "the-master-key")
    async with run_app(folder, enable_auth=True) as app:
        context = await visitor.page.context.browser.new_context()
        page = await context.new_page()
        page.set_default_timeout(PATIENCE_MILLISECONDS)
        await page.goto(f"{app.url}/azemu/")
        await page.get_by_label("Master key").wait_for()
        # The host that asks for its key responds, and the cursor is where the key belongs.
        assert await page.get_by_text("The host does not respond").count() == 0
        await page.keyboard.type("the-master-key")
        await page.keyboard.press("Enter")
        await page.get_by_role("table", name="Queues").or_(page.get_by_text("The app reads no queues")).wait_for()
        # A link with the key needs no dialog, and the key does not stay in the address.
        linked = await context.new_page()
        await linked.goto(f"{app.url}/azemu/#code=the-master-key")
        await linked.locator("main h1").wait_for()
        assert "the-master-key" not in linked.url
        # What is not a key leads to the question for it: wrong percent-encoding, and letters that no header may have.
        for wrong in ("%E0%A4%A", "%E2%82%AC"):
            other = await context.new_page()
            await other.goto(f"{app.url}/azemu/#code={wrong}")
            await other.get_by_label("Master key").wait_for()
        await context.close()


async def test_the_instance_that_a_function_starts_is_one_click_away(visitor: Visitor) -> None:
    await visitor.open("functions/start")
    page = visitor.page
    # The example of the function's docstring.
    assert '"drink": "tea"' in await page.get_by_label("Body", exact=True).input_value()
    await page.get_by_label("Path").fill("/api/start?id=one-click")
    await page.get_by_role("button", name="Send").click()
    await page.get_by_role("link", name="Open the instance one-click").click()
    await page.get_by_role("listbox").get_by_text("double", exact=True).wait_for()


async def test_an_app_without_durable_functions_says_so(
    browser: Any, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = write_app(tmp_path / "plain", "import azure.functions as func\napp = func.FunctionApp()\n")
    async with start(folder) as app, visiting(browser, app, request) as visitor:
        for name in ("instances", "entities"):
            await visitor.open(name)
            await visitor.page.get_by_text("The app has no durable functions").wait_for()
            assert await visitor.page.get_by_text("null").count() == 0


async def test_an_app_that_cannot_be_loaded_is_not_called_one_without_durable_functions(
    visitor: Visitor, tmp_path: Path
) -> None:
    async with run_app(write_app(tmp_path, "import no_such_module")) as app:
        context = await visitor.page.context.browser.new_context()
        page = await context.new_page()
        await page.goto(f"{app.url}/azemu/#/instances")
        await page.get_by_text("The app could not be loaded").wait_for()
        await page.get_by_role("link", name="Show the error").click()
        await page.get_by_text("No module named 'no_such_module'").first.wait_for()
        await context.close()


async def test_a_poison_queue_without_messages_is_no_error(visitor: Visitor) -> None:
    await visitor.open("storage/queues/never-poison")
    await visitor.page.get_by_text("The account has no never-poison now").wait_for()
    # The browser reports the status 404.
    visitor.problems.clear()
