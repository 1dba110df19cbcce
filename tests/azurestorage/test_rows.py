"""Table rows, column for column."""

from __future__ import annotations

import pytest

from emulator.durable.azurestorage.names import SENTINEL
from emulator.durable.azurestorage.tracking import rows
from emulator.durable.core.events import GenericEvent, OrchestratorStarted
from emulator.instant import Instant
from emulator.storage.port import Row, Value

from . import golden


def without_blob_names(columns: dict[str, Value]) -> dict[str, Value]:
    return {name: value for name, value in columns.items() if not name.endswith("BlobName")}


@pytest.mark.parametrize("scenario", golden.SCENARIOS)
def test_recorded_event_rows_are_read_and_written_back(scenario: str) -> None:
    for write in golden.writes(scenario):
        if write.table.endswith("History") and write.operation == "insert or replace":
            event = rows.read_event(Row(write.partition_key, write.row_key, write.columns))
            ours = rows.event_columns(event, str(write.columns["ExecutionId"]))
            assert list(ours.items()) == list(without_blob_names(write.columns).items())


@pytest.mark.parametrize("scenario", golden.SCENARIOS)
def test_recorded_sentinels_are_read_and_written_back(scenario: str) -> None:
    for write in golden.writes(scenario):
        if write.row_key == SENTINEL:
            completed_at = write.columns.get("CheckpointCompletedTimestamp")
            assert completed_at is None or isinstance(completed_at, Instant)
            ours = rows.sentinel_columns(str(write.columns["ExecutionId"]), completed_at)
            assert list(ours.items()) == list(write.columns.items())


@pytest.mark.parametrize("scenario", golden.SCENARIOS)
def test_stored_histories_are_read_and_written_back(scenario: str) -> None:
    check_stored(golden.rows(golden.hub(scenario), "History"))


@pytest.mark.parametrize("name", golden.MIDFLIGHT)
def test_histories_of_killed_hosts_are_read_and_written_back(name: str) -> None:
    check_stored(golden.rows(golden.midflight(name)["storage"], "History"))


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


def test_unknown_event_type_is_in_the_error() -> None:
    with pytest.raises(rows.UnreadableRow, match="unknown EventType 'Surprise'"):
        rows.read_event(Row("i1", "0000000000000000", {"EventType": "Surprise"}))


def test_missing_columns_have_defaults() -> None:
    assert rows.read_event(Row("i1", "0", {"EventType": "OrchestratorStarted"})) == OrchestratorStarted(
        timestamp=Instant(0), event_id=0
    )
