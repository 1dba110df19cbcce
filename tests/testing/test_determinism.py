"""Determinism check: mistakes of orchestrators are reported with their line while tests run."""

from datetime import timedelta
from pathlib import Path

import pytest

from emulator.testing import NotDeterministic, start_sync
from tests.running_apps import write_app

APP = """
import asyncio, gc, logging, os, pathlib, queue, random, secrets, socket, subprocess, sys, threading, time, traceback
import http.client, urllib.request, uuid
from datetime import date, datetime, timezone
from random import choice
from uuid import uuid4
from zoneinfo import ZoneInfo
import azure.durable_functions as df

app = df.DFApp()
calls = []
now = datetime.now


def helper():
    return time.time()


async def nothing():
    pass


@app.orchestration_trigger(context_name="context")
def under_test(context):
    {line}
    return (yield context.call_activity("echo", "x"))


@app.activity_trigger(input_name="value")
def echo(value: str) -> str:
    return f"{{value}} {{uuid.uuid4()}} {{os.environ['PATH']}} {{datetime.now()}}"
"""

LINE = next(number for number, line in enumerate(APP.splitlines()) if "{line}" in line)


def findings_of(folder: Path, line: str) -> list[str]:
    write_app(folder, APP.format(line=line).lstrip())
    with pytest.raises(NotDeterministic) as caught, start_sync(folder) as app:
        app.wait(app.client.start_new("under_test"))
    assert all(str(finding.place) == f"{folder / 'function_app.py'}:{LINE}" for finding in caught.value.findings)
    return [f"{finding.what}: {finding.instead}" for finding in caught.value.findings]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("datetime.now()", "calls datetime.now(): use context.current_utc_datetime"),
        ("date.today()", "calls date.today(): use context.current_utc_datetime"),
        ("time.time()", "calls time(): use context.current_utc_datetime"),
        ("uuid.uuid4()", "calls uuid4(): use context.new_uuid()"),
        ("os.environ['PATH']", "reads os.environ: read it in an activity, or pass it as input"),
        ("os.getenv('PATH')", "calls getenv(): read it in an activity, or pass it as input"),
        ("open(__file__).close()", "calls open(): do it in an activity"),
        ("time.sleep(0)", "calls sleep(): yield context.create_timer(…)"),
        ("now()", "calls datetime.now(): use context.current_utc_datetime"),
        ("time.strftime('%H')", "calls strftime(): use context.current_utc_datetime"),
        ("uuid4()", "calls uuid4(): use context.new_uuid()"),
        ("os.environ.get('PATH')", "reads os.environ: read it in an activity, or pass it as input"),
        ("dict(os.environ)", "reads os.environ: read it in an activity, or pass it as input"),
        ("os.getcwd()", "calls getcwd(): read it in an activity, or pass it as input"),
        ("pathlib.Path(__file__).read_text()", "calls Path.read_text(): do it in an activity"),
        ("os.path.exists(__file__)", "calls exists(): do it in an activity"),
        ("subprocess.run([sys.executable, '-V'], capture_output=True)", "calls run(): do it in an activity"),
        ("threading.Event().wait(0)", "calls Event.wait(): yield context.create_timer(…)"),
        ("asyncio.run(nothing())", "calls run(): do it in an activity"),
        (
            "choice([1, 2])",
            "calls Random.choice(): do it in an activity, or seed a random.Random with context.instance_id",
        ),
        (
            "random.Random()",
            "calls Random.__init__(): do it in an activity, or seed a random.Random with context.instance_id",
        ),
        (
            "secrets.token_hex()",
            "calls token_hex(): do it in an activity, or seed a random.Random with context.instance_id",
        ),
        (
            "random.random()",
            "calls Random.random(): do it in an activity, or seed a random.Random with context.instance_id",
        ),
    ],
)
def test_forbidden_call_is_reported_with_an_alternative(tmp_path: Path, line: str, found: str) -> None:
    assert findings_of(tmp_path, line) == [found]


def test_forbidden_call_in_a_helper_is_reported_at_the_helpers_line(tmp_path: Path) -> None:
    write_app(tmp_path, APP.format(line="helper()").lstrip())
    with pytest.raises(NotDeterministic) as caught, start_sync(tmp_path) as app:
        app.wait(app.client.start_new("under_test"))
    [finding] = caught.value.findings
    line = 1 + (tmp_path / "function_app.py").read_text().splitlines().index("    return time.time()")
    assert str(finding.place) == f"{tmp_path / 'function_app.py'}:{line}"


@pytest.mark.parametrize(
    "line",
    [
        "urllib.request.urlopen('http://127.0.0.1:1/')",
        "http.client.HTTPConnection('127.0.0.1', 1).request('GET', '/')",
        "socket.create_connection(('127.0.0.1', 1))",
    ],
)
def test_request_is_reported_although_the_server_is_down(tmp_path: Path, line: str) -> None:
    write_app(tmp_path, APP.format(line=line).lstrip())
    with pytest.raises(NotDeterministic) as caught, start_sync(tmp_path) as app:
        app.wait(app.client.start_new("under_test"))
    assert "do it in an activity" in {finding.instead for finding in caught.value.findings}


def test_memory_address_in_an_error_is_ignored(tmp_path: Path) -> None:
    write_app(tmp_path, APP.format(line="raise ValueError(object())").lstrip())
    with start_sync(tmp_path) as app:
        assert "<object object at 0x" in app.wait(app.client.start_new("under_test")).output


@pytest.mark.parametrize("body", ["return None", 'yield context.call_activity("echo", "x")'])
def test_async_orchestrator_is_reported_when_the_app_starts(tmp_path: Path, body: str) -> None:
    write_app(
        tmp_path,
        f"""
import azure.durable_functions as df
app = df.DFApp()
@app.orchestration_trigger(context_name="context")
async def under_test(context):
    {body}
""",
    )
    coroutine = r'"under_test" is an async def at .*function_app\.py:4: write it as a generator'
    with pytest.raises(NotDeterministic, match=coroutine), start_sync(tmp_path):
        pass


@pytest.mark.parametrize("line", ["yield nothing()", "yield asyncio.sleep(0)"])
def test_yield_of_an_awaitable_is_reported(tmp_path: Path, line: str) -> None:
    write_app(tmp_path, APP.format(line=line).lstrip())
    awaited = rf"which is not a durable task at .*function_app\.py:{LINE}: do it in an activity"
    with pytest.raises(NotDeterministic, match=awaited), start_sync(tmp_path) as app:  # noqa: PT012 - at its end
        app.client.start_new("under_test")
        app.run_until_idle(timedelta(0))


def test_different_decisions_on_the_same_history_are_reported(tmp_path: Path) -> None:
    write_app(tmp_path, APP.format(line='calls.append(1); yield context.call_activity("echo", len(calls))').lstrip())
    with pytest.raises(NotDeterministic) as caught, start_sync(tmp_path) as app:
        app.wait(app.client.start_new("under_test"))
    [finding] = caught.value.findings
    assert finding.what == "makes other decisions when it runs again on the same history"


@pytest.mark.parametrize(
    "line",
    [
        "random.Random(context.instance_id).random()",
        "context.new_uuid()",
        "context.current_utc_datetime.isoformat()",
        "logging.getLogger('shop').warning('on its way')",
        "datetime(2026, 1, 1).strftime('%H')",
        "sorted(str(n) for n in range(3))",
        "datetime.now",
        "datetime.fromtimestamp(0, timezone.utc).astimezone(ZoneInfo('UTC'))",
        "time.strftime('%H', time.gmtime(0))",
        "uuid.uuid5(uuid.NAMESPACE_DNS, 'shop')",
        "import once_only",
        "traceback.format_stack()",
        # The garbage collector calls its callbacks at any moment; the orchestrator does not.
        "gc.callbacks.append(lambda *_: time.time()); gc.collect(); gc.callbacks.pop()",
    ],
)
def test_repeatable_code_is_not_reported_and_logs_once(tmp_path: Path, line: str) -> None:
    write_app(tmp_path, APP.format(line=line).lstrip())
    (tmp_path / "once_only.py").write_text("import os, time\nBEGAN, HOME = time.time(), os.environ.get('HOME')\n")
    with start_sync(tmp_path) as app:
        status = app.wait(app.client.start_new("under_test"))
        said = [line.message for line in app.logs if line.category == "shop"]
    assert status.runtime_status.value == "Completed"
    episodes = 2
    assert said == (["on its way"] * episodes if "logging" in line else [])


def test_check_determinism_false_switches_the_check_off(tmp_path: Path) -> None:
    write_app(tmp_path, APP.format(line="datetime.now()").lstrip())
    with start_sync(tmp_path, check_determinism=False) as app:
        assert app.wait(app.client.start_new("under_test")).runtime_status.value == "Completed"


LONG = """
import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)
runs = []


@app.orchestration_trigger(context_name="context")
def looping(context):
    runs.append(1)
    for number in range(150):
        yield context.call_activity("echo", number)
    return LAST


@app.activity_trigger(input_name="value")
def echo(value: int) -> int:
    return value


@app.route(route="runs")
def count(req: func.HttpRequest) -> str:
    return str(len(runs))
"""


def test_long_orchestration_is_not_run_twice_in_each_episode(tmp_path: Path) -> None:
    """The second runs would take half of the time of a test of days."""
    write_app(tmp_path, LONG.replace("LAST", '"done"').lstrip())
    with start_sync(tmp_path) as app:
        assert app.wait(app.client.start_new("looping")).output == "done"
        # 151 episodes: the first 100 twice, the 110th, 120th … 150th, and the last.
        assert app.get("/api/runs").text == str(151 + 100 + 5 + 1)


@pytest.mark.parametrize("place", ["LAST", "number)"])
def test_different_decision_late_in_a_long_orchestration_is_reported(tmp_path: Path, place: str) -> None:
    other = "len(runs)" if place == "LAST" else "number if number < 113 else len(runs))"
    write_app(tmp_path, LONG.replace(place, other, 1).replace("LAST", '"done"').lstrip())
    with pytest.raises(NotDeterministic) as caught, start_sync(tmp_path) as app:
        app.wait(app.client.start_new("looping"))
    [finding] = caught.value.findings
    assert finding.what == "makes other decisions when it runs again on the same history"
