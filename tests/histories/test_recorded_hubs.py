"""Histories that .NET hosts have written: imported, and forked at every place, they continue to the recorded end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from emulator.cli.hub_items import hub_items
from emulator.clock import SystemClock
from emulator.durable.azurestorage.hub import AzureStorageTaskHub
from emulator.durable.azurestorage.messaging import wire
from emulator.durable.core.events import ExecutionCompleted
from emulator.durable.options import DurableTaskOptions
from emulator.histories.document import RecordedInstance, document_of
from emulator.histories.reading import read_histories
from emulator.histories.transfer import ForkOptions, HistoryTransfer
from emulator.ids import new_id
from emulator.instant import MIN_INSTANT
from emulator.storage.builtin import open_builtin
from emulator.storage.transfer.exporting import export_account
from emulator.testing import start
from tests.durable.azurestorage.dotnet_reader import check_hub, read_export
from tests.recordings import GOLDEN, RECORDED_APP
from tests.recordings.loading import load_hub
from tests.sdk_releases import DURABLE, needs
from tests.testing.test_replay import recorded_rows

# Most histories were recorded with this release.
pytestmark = needs(DURABLE, "1.7.0")

SCENARIOS = [
    "chain",
    "parent_two",
    "retry_success",
    "entity_calls",
    "signal_then_work",
    "approval_wins",
    "two_events_out_of_order",
    "any_of_activities_then_rest",
    "counter_loop",
]


def document(scenario: str) -> dict[str, Any]:
    """The orchestrations of a recorded hub as a history file, `i1` first."""
    histories = sorted(read_histories(recorded_rows(scenario)), key=lambda history: history.instance_id != "i1")
    instances = [
        RecordedInstance(instance_id=found.instance_id, name="", status=None, custom_status=None, history=found.events)
        for found in histories
    ]
    return document_of(instances, task_hub="Recorded", exported_at=MIN_INSTANT)


def output_of(file: dict[str, Any]) -> Any:
    events = [wire.read_event({**event}, MIN_INSTANT) for event in file["instances"][0]["history"]]
    [ended] = [event for event in events if isinstance(event, ExecutionCompleted)]
    return json.loads(ended.result or "null")


async def test_recorded_histories_continue_from_every_episode() -> None:
    # On one thread, two activities end in the order in which they ended when they were recorded.
    settings = {"PYTHON_THREADPOOL_THREAD_COUNT": "1"}
    async with start(RECORDED_APP, check_determinism=False, settings=settings) as app:
        for scenario in SCENARIOS:
            file = document(scenario)
            imported = await app.post("/azemu/api/imports", json={"file": file, "id": scenario})
            assert imported.status == 201, (scenario, imported.text)
            places = (await app.get(f"/azemu/api/instances/{scenario}/forks")).json()["places"]
            assert places
            for place in places:
                body = {"at": place["at"], "withEvents": True, "id": f"{scenario}-{place['at']}"}
                forked = await app.post(f"/azemu/api/instances/{scenario}/forks", json=body)
                assert forked.status == 201, (scenario, forked.text)
                status = await app.wait(body["id"])
                assert (body["id"], status.output) == (body["id"], output_of(file))


@pytest.mark.parametrize(
    "scenario", ["chain", "parent_two", "entity_calls", "approval_wins", "big_activity", "restart"]
)
async def test_a_forked_hub_is_one_that_dotnet_reads(scenario: str, tmp_path: Path) -> None:
    clock, file = SystemClock(), tmp_path / "hub.jsonl"
    async with open_builtin(None, clock) as account:
        await load_hub(account, GOLDEN.hub(scenario), "Forked")
        hub = AzureStorageTaskHub(DurableTaskOptions(hub_name="Forked"), account, clock=clock, new_id=new_id)
        transfer = HistoryTransfer(hub, clock, new_id)
        for place in (await transfer.places("i1"))["places"]:
            await transfer.fork("i1", ForkOptions(at=place["at"]))
        await export_account(account, file, clock=clock, chosen=hub_items("Forked"))
    check_hub(read_export(file), "Forked")
