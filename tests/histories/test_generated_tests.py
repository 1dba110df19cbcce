"""`azemu history pytest`: the tests of a run pass, and fail when the code has changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from emulator.cli.command import main
from emulator.histories.generated_tests import generated_tests
from emulator.testing import AppUnderTest, start
from tests.running_apps import DURABLE_APP, write_app

APP = """
@app.orchestration_trigger(context_name="context")
def trip(context):
    start = yield context.call_activity("start", context.get_input())
    try:
        yield context.call_activity("broken", start)
    except Exception as error:
        failure = "not so far" in str(error)
    found = yield context.task_all([context.call_activity("start", {"n": n}) for n in (1, 2)])
    child = yield context.call_sub_orchestrator("leg", "to Rome")
    count = yield context.call_entity(df.EntityId("counter", "c"), "add", 2)
    answer = yield context.wait_for_external_event("go")
    yield context.create_timer(context.current_utc_datetime + timedelta(hours=2))
    return [start, failure, found, child, count, answer]

@app.orchestration_trigger(context_name="context")
def leg(context):
    first = yield context.call_activity("start", context.get_input())
    return (yield context.call_activity("start-", first))

@app.activity_trigger(input_name="value")
def start(value):
    return {"started": value, "by": os.environ.get("WHO", "nobody")}

@app.activity_trigger(input_name="value", activity="start-")
def start_dash(value):
    return [value, os.environ.get("WHO", "nobody")]

@app.activity_trigger(input_name="value")
def broken(value):
    raise ValueError("not so far")

@app.entity_trigger(context_name="context")
def counter(context):
    context.set_state(context.get_state(lambda: 0) + context.get_input())
    context.set_result(context.get_state())

@app.orchestration_trigger(context_name="context")
def waits(context):
    yield context.wait_for_external_event("go")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_app(tmp_path / "trips", "import os\nfrom datetime import timedelta\n" + DURABLE_APP, APP)


async def exported(app: AppUnderTest, instance: str, file: Path) -> Any:
    document = (await app.get(f"/azemu/api/instances/{instance}/export")).json()
    file.write_text(json.dumps(document))
    return document


def outcome(folder: Path) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "tests"],
        cwd=folder,
        env={**os.environ, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


async def recorded_trip(folder: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHO", "ada")
    async with start(folder) as app:
        await app.client.start_new("trip", instance_id="Trip 1.x", client_input={"to": "Oslo"})
        await app.advance(minutes=5)
        await app.client.raise_event("Trip 1.x", "go", {"ok": None})
        await app.wait("Trip 1.x")
        await exported(app, "Trip%201.x", file)
    # The recorded results must be used: today the activities would return others.
    monkeypatch.delenv("WHO")


async def test_the_tests_of_a_run_pass_without_its_activities(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "run.json"
    await recorded_trip(folder, file, monkeypatch)
    monkeypatch.chdir(folder)
    assert main(["history", "pytest", str(file), "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert done == {
        "version": 1,
        "created": [str(Path("tests/test_trip_1_x.py")), str(Path("tests/histories/trip_1_x.json"))],
        "omitted": None,
        "passed": True,
    }
    assert main(["history", "pytest", str(file)]) == 1
    assert "test_trip_1_x.py exists already, and is left as it is." in capsys.readouterr().err


async def test_ids_and_names_of_a_run_that_need_escapes_are_escaped(folder: Path) -> None:
    # Others, such as %, are refused by the client of the SDK, with which the test waits.
    instance = 'a"b c'
    encoded = quote(instance, safe="")
    async with start(folder) as app:
        # Not as the client of the SDK sends them, which needs no URL in the test.
        await app.post(f"/runtime/webhooks/durabletask/orchestrators/waits/{encoded}", json={"to": "Oslo"})
        await app.run_until_idle()
        await app.post(f"/runtime/webhooks/durabletask/instances/{encoded}/raiseEvent/go", json=1)
        await app.wait(instance)
        document = await app.get(f"/azemu/api/instances/{encoded}/export")
    namespace: dict[str, Any] = {"__name__": "generated", "__file__": str(folder / "tests" / "test_x.py")}
    tests = generated_tests(document.json(), name=None, levels_to_app=1)
    exec(tests.test, namespace)
    namespace["test_a_b_c_ends_as_recorded"]()


@pytest.mark.soak
async def test_the_tests_of_a_run_notice_changes(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "run.json"
    await recorded_trip(folder, file, monkeypatch)
    assert main(["history", "pytest", str(file), "--app", str(folder)]) == 0
    source = (folder / "function_app.py").read_text()
    (folder / "function_app.py").write_text(source.replace("return [start, failure,", "return [failure,"))
    code, out = outcome(folder)
    assert (code, "1 failed, 1 passed" in out) == (1, True), out
    (folder / "function_app.py").write_text(source.replace('"broken", start', '"start", start'))
    code, out = outcome(folder)
    assert (code, "2 failed" in out) == (1, True), out


@pytest.mark.soak
async def test_a_run_that_has_not_ended_gets_a_replay_test_only(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start(folder) as app:
        await app.client.start_new("waits", instance_id="w")
        await app.run_until_idle()
        await exported(app, "w", tmp_path / "w.json")
        answer = (await app.get("/azemu/api/instances/w/tests")).json()
        assert answer["test"]["name"] == "test_w.py"
        assert (await app.post("/azemu/api/instances/w/replay")).json() == {"episodes": 1, "divergences": []}
    words = ["history", "pytest", str(tmp_path / "w.json"), "--app", str(folder), "--json"]
    assert main([*words, "-o", str(folder / "tests" / "deep" / "test_wait.py")]) == 0
    done = json.loads(capsys.readouterr().out)
    assert done["created"] == [str(Path("tests/deep/test_wait.py")), str(Path("tests/deep/histories/wait.json"))]
    assert "has not ended" in done["omitted"]
    assert done["passed"] is True
    assert main([*words, "-o", str(tmp_path / "test_elsewhere.py")]) == 1
    assert "must be in a folder of the app" in capsys.readouterr().err
