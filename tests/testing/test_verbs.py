"""The verbs of an app under test, asynchronous and synchronous."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from emulator.clock import SystemClock
from emulator.durable.core.events import ExecutionCompleted, TimerFired
from emulator.errors import ConfigurationError
from emulator.storage.builtin import open_builtin
from emulator.testing import AppBroken, NothingLeft, TookTooLong, UnknownActivity, start, start_sync
from tests.testing.apps import SHOP, write_app

BOOK = {"name": "book"}
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return write_app(tmp_path, SHOP)


async def test_three_days_pass_in_no_time(shop: Path) -> None:
    async with start(shop, now=START) as app:
        instance = await app.client.start_new("reminder")
        status = await app.wait(instance)
        assert status.output == "reminded"
        assert app.now == START + timedelta(days=3)
        assert status.last_updated_time == START + timedelta(days=3)


async def test_time_stands_still_until_it_is_asked_to_pass(shop: Path) -> None:
    async with start(shop, now=START) as app:
        instance = await app.client.start_new("reminder")
        assert app.now == START
        await app.advance(days=2, hours=23)
        assert (await app.client.get_status(instance)).runtime_status.name == "Running"
        await app.advance(timedelta(hours=1))
        assert (await app.client.get_status(instance)).runtime_status.name == "Completed"


async def test_frozen_time_keeps_a_timer_from_firing(shop: Path) -> None:
    async with start(shop, now=START) as app:
        instance = await app.client.start_new("reminder")
        with app.clock.frozen(), pytest.raises(NothingLeft, match="time is frozen"):
            await app.wait(instance)
        assert (await app.wait(instance)).output == "reminded"


async def test_an_activity_fails_as_often_as_it_is_told_and_the_retries_take_their_time(shop: Path) -> None:
    async with start(shop, now=START) as app:
        app.fail("charge", times=2, error=ValueError("no money"))
        status = await app.wait(await app.client.start_new("order", client_input=BOOK))
        assert status.output == "book sent"
        assert app.now == START + timedelta(minutes=2)


async def test_an_activity_that_keeps_failing_fails_its_orchestration(shop: Path) -> None:
    async with start(shop) as app:
        app.fail("Charge", times=3, error=ValueError("no money"))
        status = await app.wait(await app.client.start_new("order", client_input=BOOK))
        assert status.runtime_status.name == "Failed"
        assert "ValueError: no money" in status.output


async def test_a_fake_gets_the_input_and_gives_the_result(shop: Path) -> None:
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


async def test_what_a_fake_raises_is_the_activitys_failure(shop: Path) -> None:
    def send(item: object) -> str:
        raise LookupError("no such address")

    async with start(shop) as app:
        app.replace("send", send)
        status = await app.wait(await app.client.start_new("order", client_input=BOOK))
        assert "LookupError: no such address" in status.output


async def test_an_activity_that_the_app_does_not_have(shop: Path) -> None:
    async with start(shop) as app:
        with pytest.raises(UnknownActivity, match=r'no activity "order".*charge, send'):
            app.replace("order", lambda item: None)


async def test_http_in_and_out(shop: Path) -> None:
    async with start(shop) as app:
        answer = await app.get("/api/order/book")
        assert answer.status == 202
        status = await app.wait(answer.json()["id"])
        assert status.output == "book sent"
        assert (await app.get(answer.headers["location"])).json()["output"] == "book sent"
        assert (await app.post("/api/nothing", json={})).status == 404


async def test_the_client_has_all_that_the_sdk_has(shop: Path) -> None:
    async with start(shop) as app:
        instance = await app.client.start_new("approval", instance_id="a1")
        await app.client.raise_event(instance, "decision", {"approved": True})
        assert (await app.wait("a1")).output == '{"approved": true}'
        await app.client.start_new("approval", instance_id="a2")
        await app.client.terminate("a2", "no longer needed")
        assert (await app.wait("a2")).output == "no longer needed"
        assert {status.instance_id for status in await app.client.get_status_all()} == {"a1", "a2"}
        assert (await app.client.purge_instance_history("a1")).instances_deleted == 1


async def test_waiting_for_what_cannot_end_says_what_is_missing(shop: Path) -> None:
    async with start(shop) as app:
        await app.client.start_new("approval", instance_id="a1")
        with pytest.raises(NothingLeft, match='"a1" is Running, and nothing is left'):
            await app.wait("a1")
        with pytest.raises(NothingLeft, match='"a2" does not exist'):
            await app.wait("a2")


async def test_a_wait_with_a_limit_goes_no_further(shop: Path) -> None:
    async with start(shop, now=START) as app:
        instance = await app.client.start_new("reminder")
        with pytest.raises(NothingLeft, match=r"limit.*2026-03-03T12:00:00.*timer at 2026-03-04T12:00:00Z"):
            await app.wait(instance, within=timedelta(days=2))
        assert app.now <= START + timedelta(days=2)


async def test_waits_side_by_side_all_come_to_their_ends(shop: Path) -> None:
    async with start(shop, now=START) as app:
        first = await app.client.start_new("reminder")
        await app.advance(days=1)
        second = await app.client.start_new("reminder")
        statuses = await asyncio.gather(app.wait(second), app.wait(first), app.wait(second))
        assert [status.output for status in statuses] == ["reminded"] * 3
        assert app.now == START + timedelta(days=4)


async def test_time_that_makes_no_sense_is_refused(shop: Path) -> None:
    with pytest.raises(ConfigurationError, match="no time zone"):
        async with start(shop, now=START.replace(tzinfo=None)):
            pass
    async with start(shop) as app:
        with pytest.raises(ValueError, match="Time does not go back"):
            await app.advance(days=-1)


async def test_waiting_for_an_orchestration_without_an_end_says_how_far_time_went(tmp_path: Path) -> None:
    app_folder = write_app(
        tmp_path,
        """
        @app.orchestration_trigger(context_name="context")
        def monitor(context):
            yield context.create_timer(context.current_utc_datetime + timedelta(days=1))
            context.continue_as_new(None)
        """,
    )
    async with start(app_folder, real_seconds=0.5) as app:
        instance = await app.client.start_new("monitor")
        with pytest.raises(TookTooLong, match=r"Meanwhile virtual time went on by \d+ day"):
            await app.wait(instance)


async def test_run_until_idle_tells_whether_all_is_done(shop: Path) -> None:
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


async def test_a_message_is_put_as_queue_triggers_read_it(shop: Path, tmp_path: Path) -> None:
    async with start(shop, storage=tmp_path / "storage.db") as app:
        await app.put_message("orders", {"id": 7})
        await app.put_message("orders", "text")
    async with open_builtin(tmp_path / "storage.db", SystemClock()) as account:
        bodies = [message.body for message in await account.queue("orders").list_messages()]
    assert bodies == ["eyJpZCI6IDd9", "dGV4dA=="]


async def test_a_file_outlives_the_app(shop: Path, tmp_path: Path) -> None:
    async with start(shop, storage=tmp_path / "storage.db", now=START) as app:
        instance = await app.client.start_new("reminder")
        await app.advance(days=1)
    async with start(shop, storage=tmp_path / "storage.db", now=START + timedelta(days=2)) as app:
        assert (await app.wait(instance)).output == "reminded"
        assert app.now == START + timedelta(days=3)


async def test_real_time_when_it_is_asked_for(shop: Path) -> None:
    async with start(shop, clock="real") as app:
        status = await app.wait(await app.client.start_new("order", client_input=BOOK))
        assert status.output == "book sent"
        with pytest.raises(ConfigurationError, match='clock="real"'):
            await app.advance(days=1)


def test_the_same_without_coroutines(shop: Path) -> None:
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
            app.wait("nobody")


async def test_an_app_that_cannot_be_loaded_says_why(tmp_path: Path) -> None:
    write_app(tmp_path, "import there_is_no_such_module")
    with pytest.raises(AppBroken, match="there_is_no_such_module"):
        async with start(tmp_path):
            pass


async def test_virtual_time_needs_storage_that_lives_by_it(shop: Path) -> None:
    with pytest.raises(ConfigurationError, match="built-in storage"):
        async with start(shop, storage="DefaultEndpointsProtocol=https;AccountName=a;AccountKey=YQ=="):
            pass


async def test_user_code_that_sleeps_is_pointed_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emulator.testing.watching.slowness.SLOW_SECONDS", 0.05)
    app_folder = write_app(
        tmp_path,
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
        [wait] = app.real_waits
    assert wait.function == "doze"
    assert wait.places == (f"{tmp_path / 'function_app.py'}:{line_of(tmp_path, '# here')}",)
    assert "doze" in app.console


async def test_a_verb_that_takes_too_long_in_real_time_says_what_is_going_on(tmp_path: Path) -> None:
    app_folder = write_app(
        tmp_path,
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


async def test_an_activity_that_never_returns_does_not_keep_the_app_from_ending(tmp_path: Path) -> None:
    app_folder = write_app(
        tmp_path,
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


async def test_time_waits_for_tasks_and_threads_that_a_function_left_behind(tmp_path: Path) -> None:
    app_folder = write_app(
        tmp_path,
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


async def test_time_does_not_wait_for_ever_for_what_a_function_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emulator.testing.watching.leftover_work.PATIENCE_SECONDS", 0.05)
    app_folder = write_app(
        tmp_path,
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
        assert "A function left code running" in app.console
        assert f"function_app.py:{line_of(app_folder, '# here')}." in app.console


def line_of(app: Path, text: str) -> int:
    lines = (app / "function_app.py").read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


async def test_waiting_says_which_event_is_missing_also_in_a_child(tmp_path: Path) -> None:
    app_folder = write_app(
        tmp_path,
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
        with pytest.raises(NothingLeft, match=r'It waits for: event "begin"\.'):
            await app.wait("p1")
        await app.client.raise_event("p1", "begin", None)
        waits = r'event "go"; sub-orchestration child "c1", which waits for event "yes", event "no"\.'
        with pytest.raises(NothingLeft, match=waits):
            await app.wait("p1")
        await app.client.suspend("p1", "for now")
        with pytest.raises(NothingLeft, match="is Suspended, and nothing but its resumption"):
            await app.wait("p1")
