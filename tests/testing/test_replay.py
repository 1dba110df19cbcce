"""Replay tests: recorded histories agree with the app that they were recorded with, and changed code is reported."""

import csv
import json
import os
from pathlib import Path
from typing import Any

import pytest

from emulator.clock import SystemClock
from emulator.durable.core.events import OrchestratorStarted
from emulator.histories.document import UnreadableHistory
from emulator.histories.reading import read_histories
from emulator.histories.replaying import NotReplayable
from emulator.storage.builtin import open_builtin
from emulator.storage.transfer.exporting import export_account
from emulator.testing import HistoryDiverged, replay, start
from tests.recordings import GOLDEN, RECORDED_APP
from tests.recordings.loading import load_hub
from tests.running_apps import write_app
from tests.sdk_releases import DURABLE, needs

# Most histories were recorded with this release.
pytestmark = needs(DURABLE, "1.7.0")

SHOP = """
import azure.durable_functions as df

app = df.DFApp()


@app.orchestration_trigger(context_name="context")
def {orchestrator}(context):
{body}


@app.activity_trigger(input_name="name")
def Hello(name: str) -> str:
    return name


@app.activity_trigger(input_name="name")
def Echo(name: str) -> str:
    return name
"""

# Recordings that cannot be compared.
LARGE_PAYLOADS = {"big_activity", "big_input", "middle_input"}
UNKNOWN_ORCHESTRATOR = {"unknown_functions"}
# The .NET host hangs on an unknown activity; azemu fails the orchestration.
BETTER_THAN_RECORDED = {"fails_while_retrying"}


def recorded_rows(scenario: str) -> list[dict[str, Any]]:
    """The History table of a recording as plain JSON objects, as `az storage entity query` gives them."""
    tables = GOLDEN.hub(scenario)["tables"]
    [name] = [name for name in tables if name.endswith("History")]
    return [{column: typed["value"] for column, typed in row.items()} for row in tables[name]]


def orchestrations() -> list[tuple[str, str]]:
    left_out = LARGE_PAYLOADS | UNKNOWN_ORCHESTRATOR | BETTER_THAN_RECORDED
    return [
        (scenario, instance)
        for scenario in GOLDEN.scenarios
        if scenario not in left_out
        for instance in sorted({row["PartitionKey"] for row in recorded_rows(scenario)})
        if not instance.startswith("@")
    ]


@pytest.mark.parametrize(("scenario", "instance"), orchestrations())
def test_every_recorded_orchestration_follows_its_history(scenario: str, instance: str) -> None:
    assert replay(RECORDED_APP, recorded_rows(scenario), instance_id=instance) >= 1


async def exported(folder: Path, *recordings: dict[str, Any]) -> Path:
    """A file of `azemu storage export` with these hubs."""
    file = folder / "hubs.jsonl"
    async with open_builtin(None, SystemClock()) as account:
        for number, recording in enumerate(recordings):
            await load_hub(account, recording, f"Hub{number}")
        await export_account(account, file, clock=SystemClock())
    return file


async def test_export_file_is_replayed_with_its_large_payloads(tmp_path: Path) -> None:
    file = await exported(tmp_path, *map(GOLDEN.hub, sorted(LARGE_PAYLOADS)))
    histories = read_histories(file)
    assert len(histories) == len(LARGE_PAYLOADS)
    episodes = replay(RECORDED_APP, file)
    assert episodes == sum(isinstance(event, OrchestratorStarted) for history in histories for event in history.events)
    with pytest.raises(UnreadableHistory, match='no history of the orchestration "unknown"'):
        replay(RECORDED_APP, file, instance_id="unknown")


async def test_instances_left_by_a_killed_host_follow_their_histories(tmp_path: Path) -> None:
    names = GOLDEN.midflight_names
    assert replay(RECORDED_APP, await exported(tmp_path, *map(GOLDEN.midflight, names))) > len(names)


def write_shop(folder: Path, orchestrator: str, *lines: str) -> Path:
    body = "\n".join(f"    {line}" for line in lines)
    return write_app(folder, SHOP.format(orchestrator=orchestrator, body=body).lstrip())


def test_other_activity_than_recorded_is_reported_with_its_line(tmp_path: Path) -> None:
    app = write_shop(
        tmp_path,
        "hello_cities",
        'first = yield context.call_activity("Hello", "Tokyo")',
        'second = yield context.call_activity("Echo", first)',
        "return second",
    )
    with pytest.raises(HistoryDiverged) as caught:
        replay(app, recorded_rows("hello_cities"))
    divergence = caught.value.divergence
    assert (divergence.episode, divergence.event_number) == (2, 6)
    assert (divergence.expected, divergence.found) == ('#1 activity "Hello"', '#1 activity "Echo"')
    assert str(divergence.place) == f"{app / 'function_app.py'}:9"
    assert str(caught.value).splitlines() == [
        f'The orchestrator "hello_cities" no longer follows the recorded history of "{divergence.instance_id}": '
        "event 6, episode 2.",
        '  expected  #1 activity "Hello"',
        '  found     #1 activity "Echo"',
        f"  at        {app / 'function_app.py'}:9",
    ]


def test_removed_step_is_reported(tmp_path: Path) -> None:
    app = write_shop(tmp_path, "hello_cities", 'return (yield context.call_activity("Hello", "Tokyo"))')
    with pytest.raises(HistoryDiverged, match=r'expected  #1 activity "Hello"\n.*end of the orchestration: Completed'):
        replay(app, recorded_rows("hello_cities"))


def test_added_step_is_reported(tmp_path: Path) -> None:
    app = write_shop(
        tmp_path,
        "hello_cities",
        "from datetime import timedelta",
        "yield context.create_timer(context.current_utc_datetime + timedelta(hours=1))",
        'return (yield context.call_activity("Hello", "Tokyo"))',
    )
    with pytest.raises(
        HistoryDiverged, match=r'event 2, episode 1\.\n  expected  #0 activity "Hello"\n.*#0 timer until'
    ):
        replay(app, recorded_rows("hello_cities"))


def test_code_that_waits_now_is_reported_at_the_line_where_it_waits(tmp_path: Path) -> None:
    app = write_shop(tmp_path, "hello_cities", 'yield context.wait_for_external_event("go")')
    with pytest.raises(HistoryDiverged) as caught:
        replay(app, recorded_rows("hello_cities"))
    assert caught.value.divergence.found == "nothing: the orchestrator waits"
    assert str(caught.value.divergence.place) == f"{app / 'function_app.py'}:8"


def test_reported_line_is_in_the_helper_that_yields(tmp_path: Path) -> None:
    app = write_shop(
        tmp_path,
        "hello_cities",
        "def helper():",
        '    return (yield context.call_activity("Echo", "Tokyo"))',
        "return (yield from helper())",
    )
    with pytest.raises(HistoryDiverged) as caught:
        replay(app, recorded_rows("hello_cities"))
    assert str(caught.value.divergence.place) == f"{app / 'function_app.py'}:9"


def test_trigger_value_of_an_orchestrator_is_a_history() -> None:
    contexts = [call["in"] for call in GOLDEN.invocations("chain") if call["kind"] == "orchestrator"]
    assert replay(RECORDED_APP, json.loads(contexts[-1])) == len(contexts)


def test_json_file_of_rows_is_a_history(tmp_path: Path) -> None:
    file = tmp_path / "history.json"
    file.write_text(json.dumps({"items": recorded_rows("hello_cities")}))
    assert replay(RECORDED_APP, file) == 4


def test_csv_file_of_rows_is_a_history(tmp_path: Path) -> None:
    """Azure Storage Explorer writes the type of each column into another column."""
    rows = recorded_rows("approval_wins")
    names = sorted({name for row in rows for name in row})
    file = tmp_path / "history.csv"
    with file.open("w", newline="") as out:
        table = csv.writer(out)
        table.writerow([column for name in names for column in (name, f"{name}@type")])
        table.writerows([[cell for name in names for cell in (row.get(name, ""), "Edm.String")] for row in rows])
    assert replay(RECORDED_APP, file) == replay(RECORDED_APP, rows)


async def test_history_of_an_app_under_test_can_be_replayed(tmp_path: Path) -> None:
    app = write_shop(tmp_path, "hello_cities", 'return (yield context.call_activity("Hello", "Tokyo"))')
    async with start(app) as running:
        instance = await running.client.start_new("hello_cities")
        await running.wait(instance)
        history = await running.history(instance)
    assert replay(app, history) == 2


def test_app_gets_settings_and_local_settings_json(tmp_path: Path) -> None:
    app = write_shop(
        tmp_path,
        "hello_cities",
        "first, *others = CITIES",
        'result = yield context.call_activity("Hello", first)',
        "for city in others:",
        '    result = yield context.call_activity("Hello", city)',
        "return result",
    )
    script = app / "function_app.py"
    script.write_text(f"import os\nCITIES = os.environ['CITIES'].split()\n{script.read_text()}")
    with pytest.raises(NotReplayable, match="CITIES"):
        replay(app, recorded_rows("hello_cities"))
    assert replay(app, recorded_rows("hello_cities"), settings={"CITIES": "Tokyo Seattle London"}) == 4
    (app / "local.settings.json").write_text('{"IsEncrypted": false, "Values": {"CITIES": "Tokyo Seattle London"}}')
    assert replay(app, recorded_rows("hello_cities")) == 4
    assert "CITIES" not in os.environ


def test_rows_without_their_blob_payloads_are_rejected_with_advice() -> None:
    with pytest.raises(UnreadableHistory, match="azemu storage export"):
        replay(RECORDED_APP, recorded_rows("big_activity"))


def test_unknown_orchestrator_is_not_replayable() -> None:
    with pytest.raises(NotReplayable, match="The function 'NoSuchOrchestrator' doesn't exist"):
        replay(RECORDED_APP, recorded_rows("unknown_functions"), instance_id="i1")


@pytest.mark.parametrize(
    ("history", "text"),
    [
        ([], "is empty"),
        ([{"a": 1}], "neither a list of history events nor a list of rows"),
        ([{"EventType": 99, "EventId": 1}], "cannot be read"),
        ("no-such-file.json", "There is no file no-such-file.json"),
        ({"runtimeStatus": "Completed", "historyEvents": []}, "This is the status of an instance"),
    ],
)
def test_invalid_history_is_rejected(history: Any, text: str) -> None:
    with pytest.raises(UnreadableHistory, match=text):
        replay(RECORDED_APP, history)


def test_app_that_cannot_be_loaded_is_not_replayable(tmp_path: Path) -> None:
    write_app(tmp_path, "import no_such_module_at_all\n")
    with pytest.raises(NotReplayable, match="No module named 'no_such_module_at_all'"):
        replay(tmp_path, recorded_rows("hello_cities"))
