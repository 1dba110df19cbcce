"""Methods of AppUnderTest and SyncAppUnderTest, and the texts of their failures."""

from __future__ import annotations

import asyncio
import os
import textwrap
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from emulator.clock import SystemClock
from emulator.durable.core.events import ExecutionCompleted, TimerFired
from emulator.errors import ConfigurationError
from emulator.storage.builtin import open_builtin
from emulator.testing import AppBroken, FunctionsInError, NothingLeft, TookTooLong, UnknownActivity, start, start_sync
from tests.running_apps import DURABLE_APP, write_app
from tests.sdk_releases import DURABLE, needs
from tests.testing.apps import SHOP

BOOK = {"name": "book"}
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return write_app(tmp_path, DURABLE_APP, SHOP)


async def test_wait_advances_virtual_time_to_the_timer(shop: Path) -> None:
    async with start(shop, now=START) as app:
        instance = await app.client.start_new("reminder")
        status = await app.wait(instance)
        assert status.output == "reminded"
        assert app.now == START + timedelta(days=3)
        assert status.last_updated_time == START + timedelta(days=3)


async def test_time_passes_only_when_advanced(shop: Path) -> None:
    async with start(shop, now=START) as app:
        instance = await app.client.start_new("reminder")
        assert app.now == START
        await app.advance(days=2, hours=23)
        assert (await app.client.get_status(instance)).runtime_status.name == "Running"
        await app.advance(timedelta(hours=1))
        assert (await app.client.get_status(instance)).runtime_status.name == "Completed"


async def test_timer_does_not_fire_in_frozen_time(shop: Path) -> None:
    async with start(shop, now=START) as app:
        instance = await app.client.start_new("reminder")
        with app.clock.frozen(), pytest.raises(NothingLeft, match="time is frozen"):
            await app.wait(instance)
        # With a limit too, the advice is to unfreeze time: waiting longer would not help.
        with app.clock.frozen(), pytest.raises(NothingLeft, match=r"time is frozen.*Leave clock\.frozen\(\)"):
            await app.wait(instance, within=timedelta(days=4))
        assert (await app.wait(instance)).output == "reminded"


async def test_fail_lets_the_next_calls_fail_and_retries_take_virtual_time(shop: Path) -> None:
    async with start(shop, now=START) as app:
        app.fail("charge", times=2, error=ValueError("no money"))
        status = await app.wait(await app.client.start_new("order", client_input=BOOK))
        assert status.output == "book sent"
        assert app.now == START + timedelta(minutes=2)


async def test_orchestration_fails_after_the_last_retry(shop: Path) -> None:
    async with start(shop) as app:
        app.fail("Charge", times=3, error=ValueError("no money"))
        status = await app.wait(await app.client.start_new("order", client_input=BOOK))
        assert status.runtime_status.name == "Failed"
        assert "ValueError: no money" in status.output


async def test_replaced_activity_gets_the_input_and_returns_the_result(shop: Path) -> None:
    sent: list[object] = []

    def send(item: dict[str, str]) -> str:
        sent.append(item)
        return "nothing sent"

    async def send_later(item: dict[str, str]) -> str:
        return f"{item['name']} later"

    async with start(shop) as app:
        for fake, output in ((send, "nothing sent"), (send_later, "book later"), (None, "book sent")):
            app.replace("send", fake)
            status = await app.wait(await app.client.start_new("order", client_input=BOOK))
            assert status.output == output
    assert sent == [BOOK]


async def test_exception_of_a_fake_fails_the_activity(shop: Path) -> None:
    def send(item: object) -> str:
        raise LookupError("no such address")

    async with start(shop) as app:
        app.replace("send", send)
        status = await app.wait(await app.client.start_new("order", client_input=BOOK))
        assert "LookupError: no such address" in status.output


async def test_override_of_an_unknown_activity_lists_the_known_ones(shop: Path) -> None:
    async with start(shop) as app:
        with pytest.raises(UnknownActivity, match=r'no activity "order".*charge, send'):
            app.replace("order", lambda item: None)


async def test_http_request_starts_an_orchestration(shop: Path) -> None:
    async with start(shop) as app:
        answer = await app.get("/api/order/book")
        assert answer.status == 202
        status = await app.wait(answer.json()["id"])
        assert status.output == "book sent"
        assert (await app.get(answer.headers["location"])).json()["output"] == "book sent"
        assert (await app.post("/api/nothing", json={})).status == 404


async def test_client_has_the_methods_of_the_sdk(shop: Path) -> None:
    async with start(shop) as app:
        instance = await app.client.start_new("approval", instance_id="a1")
        await app.client.raise_event(instance, "decision", {"approved": True})
        assert (await app.wait("a1")).output == '{"approved": true}'
        await app.client.start_new("approval", instance_id="a2")
        await app.client.terminate("a2", "no longer needed")
        assert (await app.wait("a2")).output == "no longer needed"
        assert {status.instance_id for status in await app.client.get_status_all()} == {"a1", "a2"}
        assert (await app.client.purge_instance_history("a1")).instances_deleted == 1


async def test_wait_raises_nothing_left_if_the_instance_cannot_end(shop: Path) -> None:
    async with start(shop) as app:
        await app.client.start_new("approval", instance_id="a1")
        with pytest.raises(
            NothingLeft, match=r'"a1", but it is Running, and no timer.*event "decision".*client.raise_event'
        ):
            await app.wait("a1")
        with pytest.raises(NothingLeft, match=r'"a2", but it does not exist.*Check the instance ID'):
            await app.wait("a2")


async def test_wait_does_not_advance_time_beyond_its_limit(shop: Path) -> None:
    async with start(shop, now=START) as app:
        instance = await app.client.start_new("reminder")
        with pytest.raises(
            NothingLeft, match=r"limit.*2026-03-03T12:00:00.*waits for a timer at .*2026-03-04 12:00:00 UTC.*within="
        ):
            await app.wait(instance, within=timedelta(days=2))
        assert app.now <= START + timedelta(days=2)


async def test_concurrent_waits_all_end(shop: Path) -> None:
    async with start(shop, now=START) as app:
        first = await app.client.start_new("reminder")
        await app.advance(days=1)
        second = await app.client.start_new("reminder")
        statuses = await asyncio.gather(app.wait(second), app.wait(first), app.wait(second))
        assert [status.output for status in statuses] == ["reminded"] * 3
        assert app.now == START + timedelta(days=4)


async def test_naive_start_time_and_negative_advance_are_rejected(shop: Path) -> None:
    with pytest.raises(ConfigurationError, match="no time zone"):
        async with start(shop, now=START.replace(tzinfo=None)):
            pass
    async with start(shop) as app:
        with pytest.raises(ValueError, match="Time does not go back"):
            await app.advance(days=-1)


async def test_wait_for_an_eternal_orchestration_tells_how_far_time_advanced(tmp_path: Path) -> None:
    app_folder = write_app(
        tmp_path,
        DURABLE_APP,
        """
        @app.orchestration_trigger(context_name="context")
        def monitor(context):
            yield context.create_timer(context.current_utc_datetime + timedelta(days=1))
            context.continue_as_new(None)
        """,
    )
    async with start(app_folder, real_seconds=0.5) as app:
        instance = await app.client.start_new("monitor")
        with pytest.raises(TookTooLong, match=r"Meanwhile virtual time advanced by \d+ day[\s\S]*real_seconds="):
            await app.wait(instance)


async def test_run_until_idle_returns_whether_nothing_is_left(shop: Path) -> None:
    async with start(shop) as app:
        await app.client.start_new("reminder")
        assert not await app.run_until_idle(timedelta(days=1))
        assert await app.run_until_idle()


async def test_history_logs_and_console(shop: Path) -> None:
    async with start(shop) as app:
        reminder = await app.client.start_new("reminder")
        await app.wait(reminder)
        await app.wait(await app.client.start_new("order", client_input=BOOK))
        history = await app.history(reminder)
        assert any(isinstance(event, TimerFired) for event in history)
        assert isinstance(history[-2], ExecutionCompleted)
        said = {(line.function, line.message) for line in app.logs}
        assert {("charge", "charging book"), ("send", "sending book")} <= said
        assert "Executed 'Functions.charge' (Succeeded" in app.console
        assert f"[{app.now:%Y-%m-%dT%H:%M}" in app.console


async def test_put_message_uses_the_encoding_of_queue_triggers(shop: Path, tmp_path: Path) -> None:
    async with start(shop, storage=tmp_path / "storage.db") as app:
        await app.put_message("orders", {"id": 7})
        await app.put_message("orders", "text")
    async with open_builtin(tmp_path / "storage.db", SystemClock()) as account:
        bodies = [message.body for message in await account.queue("orders").list_messages()]
    assert bodies == ["eyJpZCI6IDd9", "dGV4dA=="]


async def test_storage_file_can_be_used_by_the_next_app(shop: Path, tmp_path: Path) -> None:
    async with start(shop, storage=tmp_path / "storage.db", now=START) as app:
        instance = await app.client.start_new("reminder")
        await app.advance(days=1)
    async with start(shop, storage=tmp_path / "storage.db", now=START + timedelta(days=2)) as app:
        assert (await app.wait(instance)).output == "reminded"
        assert app.now == START + timedelta(days=3)


async def test_app_can_run_in_real_time(shop: Path) -> None:
    async with start(shop, clock="real") as app:
        status = await app.wait(await app.client.start_new("order", client_input=BOOK))
        assert status.output == "book sent"
        with pytest.raises(ConfigurationError, match='clock="real"'):
            await app.advance(days=1)


def test_sync_app_has_the_same_methods(shop: Path) -> None:
    with start_sync(shop, now=START) as app:
        instance = app.client.start_new("reminder")
        app.advance(days=1)
        assert app.client.get_status(instance).runtime_status.name == "Running"
        assert app.wait(instance).output == "reminded"
        assert app.now == START + timedelta(days=3)
        app.fail("charge", times=1)
        app.replace("send", lambda item: "faked")
        answer = app.get("/api/order/book")
        assert app.wait(answer.json()["id"]).output == "faked"
        assert app.run_until_idle()
        assert len(app.history(instance)) == 8
        assert app.logs
        assert app.console
        with pytest.raises(NothingLeft):
            app.wait("unknown")


async def test_app_that_cannot_be_loaded_raises_app_broken(tmp_path: Path) -> None:
    write_app(tmp_path, DURABLE_APP, "import there_is_no_such_module")
    with pytest.raises(AppBroken, match="there_is_no_such_module"):
        async with start(tmp_path):
            pass


async def test_function_with_a_mistake_is_left_out_with_a_warning(tmp_path: Path) -> None:
    code = """
    import azure.functions as func
    app = func.FunctionApp()

    @app.route(route="hello", auth_level="anonymous")
    def hello(req: func.HttpRequest) -> str:
        return "hello"

    @app.blob_trigger(arg_name="blob", path="in/{name}", connection="AzureWebJobsStorage")
    def sort(blob: func.InputStream, name: str) -> None: ...
    """
    write_app(tmp_path, DURABLE_APP, textwrap.dedent(code))
    async with AsyncExitStack() as stack:
        with pytest.warns(FunctionsInError, match="cannot load the sort function: .*'name'"):
            app = await stack.enter_async_context(start(tmp_path))
        assert (await app.get("/api/hello")).text == "hello"
        assert "The 'sort' function is in error: cannot load the sort function" in app.console
        assert "On Azure, the app has no functions because of this." in app.console


async def test_folder_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as raised:
        async with start(tmp_path / "shoop"):
            pass
    assert str(raised.value).startswith(f"The app folder '{tmp_path / 'shoop'}' does not exist. Pass the folder that")
    (tmp_path / "host.json").touch()
    with pytest.raises(ConfigurationError, match="is not a folder"), start_sync(tmp_path / "host.json"):
        pass


async def test_folder_without_an_app_is_an_error(tmp_path: Path) -> None:
    write_app(tmp_path / "services" / "shop", DURABLE_APP)
    says = r"contains no app: .*Pass the folder that contains function_app.py\. Below it are apps in: services/shop\."
    with pytest.raises(ConfigurationError, match=says):
        async with start(tmp_path):
            pass
    with pytest.raises(ConfigurationError, match="contains no app"), start_sync(tmp_path):
        pass


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"settings": {"RETRIES": 3}}, r"settings=\{'RETRIES': 3\}: the value is not text\. Write '3'\."),
        ({"now": "2026-03-01"}, "now='2026-03-01' is not a datetime"),
        ({"now": datetime(2026, 3, 1)}, "has no time zone"),
        ({"clock": "fast"}, 'unknown clock "fast"'),
        ({"storage": 5}, "storage=5 is neither a text nor a path"),
        ({"storage": "azurit"}, "azurit"),
    ],
)
async def test_wrong_options_are_named(shop: Path, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        async with start(shop, **options):
            pass


async def test_virtual_time_needs_the_builtin_storage(shop: Path) -> None:
    with pytest.raises(ConfigurationError, match="built-in storage"):
        async with start(shop, storage="DefaultEndpointsProtocol=https;AccountName=a;AccountKey=YQ=="):
            pass


async def test_sleeping_user_code_is_reported_as_a_real_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emulator.testing.observers.real_waits.SLOW_SECONDS", 0.05)
    app_folder = write_app(
        tmp_path,
        DURABLE_APP,
        """
        @app.orchestration_trigger(context_name="context")
        def slow(context):
            yield context.call_activity("doze", None)


        @app.activity_trigger(input_name="nothing")
        def doze(nothing: str) -> str:
            time.sleep(0.2)  # here
            return "awake"
        """,
    )
    async with start(app_folder, now=START) as app:
        await app.wait(await app.client.start_new("slow"))
        assert app.now == START
        # On a busy machine other functions take as long.
        [wait] = [wait for wait in app.real_waits if wait.function == "doze"]
    assert wait.places == (f"{tmp_path / 'function_app.py'}:{line_of(tmp_path, '# here')}",)
    assert "doze" in app.console


async def test_method_that_takes_too_long_tells_what_is_busy(tmp_path: Path) -> None:
    app_folder = write_app(
        tmp_path,
        DURABLE_APP,
        """
        @app.orchestration_trigger(context_name="context")
        def slow(context):
            yield context.call_activity("doze", None)


        @app.activity_trigger(input_name="nothing")
        def doze(nothing: str) -> str:
            time.sleep(1)
            return "awake"
        """,
    )
    async with start(app_folder, real_seconds=0.2) as app:
        instance = await app.client.start_new("slow")
        with pytest.raises(TookTooLong, match=r"wait for the end[\s\S]*busy for"):
            await app.wait(instance)


async def test_activity_that_never_returns_does_not_block_the_apps_end(tmp_path: Path) -> None:
    app_folder = write_app(
        tmp_path,
        DURABLE_APP,
        """
        @app.orchestration_trigger(context_name="context")
        def stuck(context):
            yield context.call_activity("hang", None)


        @app.activity_trigger(input_name="nothing")
        def hang(nothing: str) -> str:
            while True:
                time.sleep(0.01)
                if os.environ.get("LET_GO"):
                    return "let go"
        """,
    )
    try:
        async with start(app_folder, real_seconds=0.2) as app:
            instance = await app.client.start_new("stuck")
            with pytest.raises(TookTooLong):
                await app.wait(instance)
    finally:
        os.environ["LET_GO"] = "1"
    del os.environ["LET_GO"]


async def test_time_waits_for_tasks_and_threads_of_ended_functions(tmp_path: Path) -> None:
    app_folder = write_app(
        tmp_path,
        DURABLE_APP,
        """
        import threading
        done = []

        async def later():
            await asyncio.sleep(0.1)
            done.append("task")


        def on_a_thread():
            time.sleep(0.1)
            done.append("thread")


        @app.route(route="begin")
        async def begin(req: func.HttpRequest) -> func.HttpResponse:
            asyncio.create_task(later())
            threading.Thread(target=on_a_thread).start()
            return func.HttpResponse("begun")


        @app.route(route="done")
        def what_is_done(req: func.HttpRequest) -> func.HttpResponse:
            return func.HttpResponse(" ".join(sorted(done)))
        """,
    )
    async with start(app_folder) as app:
        assert (await app.get("/api/begin")).text == "begun"
        await app.run_until_idle(timedelta(0))
        assert (await app.get("/api/done")).text == "task thread"


async def test_time_waits_for_leftover_work_only_for_a_limited_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emulator.testing.observers.leftover_work.MAX_WAIT_SECONDS", 0.05)
    app_folder = write_app(
        tmp_path,
        DURABLE_APP,
        """
        async def heartbeat():
            while True:
                await asyncio.sleep(0.01)  # here


        @app.route(route="begin")
        async def begin(req: func.HttpRequest) -> func.HttpResponse:
            asyncio.create_task(heartbeat())
            return func.HttpResponse("begun")
        """,
    )
    async with start(app_folder, now=START) as app:
        await app.get("/api/begin")
        await app.advance(hours=1)
        assert app.now == START + timedelta(hours=1)
        assert "a task or thread that it started still runs" in app.console
        assert f"function_app.py:{line_of(app_folder, '# here')}." in app.console


def line_of(app: Path, text: str) -> int:
    lines = (app / "function_app.py").read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


@needs(DURABLE, "1.2.9")
async def test_nothing_left_names_the_missing_event_also_of_a_sub_orchestration(tmp_path: Path) -> None:
    app_folder = write_app(
        tmp_path,
        DURABLE_APP,
        """
        @app.orchestration_trigger(context_name="context")
        def parent(context):
            yield context.wait_for_external_event("begin")
            child = context.call_sub_orchestrator("child", None, "c1")
            yield context.task_all([child, context.wait_for_external_event("go")])


        @app.orchestration_trigger(context_name="context")
        def child(context):
            yield context.task_any([context.wait_for_external_event("yes"), context.wait_for_external_event("no")])
        """,
    )
    async with start(app_folder) as app:
        await app.client.start_new("parent", instance_id="p1")
        with pytest.raises(NothingLeft, match=r'It waits for the event "begin" at function_app.py:\d+, which was'):
            await app.wait("p1")
        await app.client.raise_event("p1", "begin", None)
        waits = (
            r'It waits for all of 2 tasks at function_app.py:\d+; 0 of 2 have ended.*sub-orchestration child "c1" at .*'
            r'event "yes" at .*event "no" at .*event "go" at [^,]*, which was never raised\. Raise the missing'
        )
        with pytest.raises(NothingLeft, match=waits):
            await app.wait("p1")
        await app.client.suspend("p1", "for now")
        with pytest.raises(
            NothingLeft, match=r'is Suspended, and it continues only when it is resumed.*client\.resume\("p1"'
        ):
            await app.wait("p1")
