"""Table rows, column for column."""

from __future__ import annotations

import pytest

from emulator.durable.azurestorage.messaging import wire
from emulator.durable.azurestorage.names import SENTINEL
from emulator.durable.azurestorage.tracking import rows
from emulator.durable.core.events import (
    ExecutionCompleted,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    GenericEvent,
    HistoryEvent,
    OrchestratorStarted,
)
from emulator.durable.core.identity import OrchestrationInstance, RuntimeStatus
from emulator.instant import Instant
from emulator.storage.port import Row, Value
from tests.recordings import GOLDEN_3_19, MIDFLIGHT, SCENARIOS, RecordingSet, rows_of


def without_blob_names(columns: dict[str, Value]) -> dict[str, Value]:
    return {name: value for name, value in columns.items() if not name.endswith("BlobName")}


@pytest.mark.parametrize(("recordings", "scenario"), SCENARIOS, ids=str)
def test_recorded_event_rows_are_read_and_written_back(recordings: RecordingSet, scenario: str) -> None:
    for write in recordings.writes(scenario):
        if write.table.endswith("History") and write.operation == "insert or replace":
            event = rows.read_event(Row(write.partition_key, write.row_key, write.columns))
            ours = rows.event_columns(event, str(write.columns["ExecutionId"]))
            assert list(ours.items()) == list(without_blob_names(write.columns).items())


@pytest.mark.parametrize(("recordings", "scenario"), SCENARIOS, ids=str)
def test_recorded_sentinels_are_read_and_written_back(recordings: RecordingSet, scenario: str) -> None:
    for write in recordings.writes(scenario):
        if write.row_key == SENTINEL:
            completed_at = write.columns.get("CheckpointCompletedTimestamp")
            assert completed_at is None or isinstance(completed_at, Instant)
            ours = rows.sentinel_columns(str(write.columns["ExecutionId"]), completed_at)
            assert list(ours.items()) == list(write.columns.items())


@pytest.mark.parametrize(("recordings", "scenario"), SCENARIOS, ids=str)
def test_stored_histories_are_read_and_written_back(recordings: RecordingSet, scenario: str) -> None:
    check_stored(rows_of(recordings.hub(scenario), "History"))


@pytest.mark.parametrize(("recordings", "name"), MIDFLIGHT, ids=str)
def test_histories_of_killed_hosts_are_read_and_written_back(recordings: RecordingSet, name: str) -> None:
    check_stored(rows_of(recordings.midflight(name)["storage"], "History"))


def check_stored(found: list[Row]) -> None:
    for row in found:
        if row.row_key == SENTINEL:
            continue
        event = rows.read_event(row)
        columns = without_blob_names(dict(row.properties))
        rewound = str(columns.get("Reason", "")).startswith("Rewound: ")
        if rewound:
            # What a rewind left keeps the columns of the old event; we never write such a row from an event.
            assert isinstance(event, GenericEvent) or columns["EventType"] == "SubOrchestrationInstanceCreated"
            continue
        assert rows.event_columns(event, str(columns["ExecutionId"])) == columns


@pytest.mark.parametrize("scenario", GOLDEN_3_19.scenarios)
def test_status_rows_of_starts_have_the_recorded_columns(scenario: str) -> None:
    starts = {
        message.event.instance.execution_id: message.event
        for _, text in GOLDEN_3_19.messages(scenario)
        if (message := wire.decode(text).message) and isinstance(message.event, ExecutionStarted)
    }
    for write in GOLDEN_3_19.writes(scenario):
        if write.table.endswith("Instances") and write.operation in ("insert", "replace"):
            recorded = write.columns
            started, updated = starts.get(str(recorded["ExecutionId"])), recorded["LastUpdatedTime"]
            if started is not None:  # Too large for a queue otherwise.
                assert isinstance(updated, Instant)
                ours = rows.pending_columns(
                    started, hub=str(recorded["TaskHubName"]), now=updated, status_input=started.input
                )
                assert list(ours.items()) == list(recorded.items())


def test_unknown_event_type_is_in_the_error() -> None:
    with pytest.raises(rows.UnreadableRow, match="unknown EventType 'Surprise'"):
        rows.read_event(Row("i1", "0000000000000000", {"EventType": "Surprise"}))


def test_missing_columns_have_defaults() -> None:
    assert rows.read_event(Row("i1", "0", {"EventType": "OrchestratorStarted"})) == OrchestratorStarted(
        timestamp=Instant(0), event_id=0
    )


STARTED = ExecutionStarted(
    timestamp=Instant(10), instance=OrchestrationInstance("i1", "e1"), name="order", input="1", generation=2
)
FROM_START = {
    "ExecutionId": "e1",
    "TaskHubName": "hub",
    "ParentInstanceId": "",
    "Name": "order",
    "CreatedTime": Instant(10),
    "Tags": "null",
    "Generation": 2,
    "Input": "1",
}


@pytest.mark.parametrize(
    ("event", "status", "columns"),
    [
        (
            ExecutionCompleted(timestamp=Instant(20), status=RuntimeStatus.FAILED, result="boom"),
            RuntimeStatus.FAILED,
            {"RuntimeStatus": "Failed", "CompletedTime": Instant(20), "Output": "boom"},
        ),
        (
            ExecutionSuspended(timestamp=Instant(20), reason="lunch"),
            RuntimeStatus.SUSPENDED,
            {"RuntimeStatus": "Suspended", "Output": "lunch"},
        ),
        # The host was killed before the ExecutionCompleted was stored, so the instance is still running.
        (
            ExecutionTerminated(timestamp=Instant(20), input="enough"),
            RuntimeStatus.RUNNING,
            {"RuntimeStatus": "Running"},
        ),
    ],
)
def test_status_row_is_repaired_from_the_history(
    event: HistoryEvent, status: RuntimeStatus, columns: dict[str, Value]
) -> None:
    repaired = rows.repair_columns([STARTED, event], execution_id="e1", parent_id="", status=status, hub="hub")
    assert repaired == FROM_START | {"LastUpdatedTime": Instant(20)} | columns
