"""History in a status payload, compared with the responses of the real extension for the same rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest

from emulator.dotnet.query_values import parse_bool
from emulator.durable.azurestorage.names import SENTINEL, unescape_key
from emulator.durable.azurestorage.tracking import rows
from emulator.durable.core.events import HistoryEvent, OrchestratorStarted, TaskCompleted, TaskScheduled
from emulator.extensions.durable.management.api_request import Query
from emulator.extensions.durable.management.history_view import history_view
from emulator.instant import Instant
from tests.recordings import GOLDEN, rows_of

# Their large columns lie in blobs, which is not what this is about.
SCENARIOS = sorted(set(GOLDEN.scenarios) - {"big_activity", "big_input", "middle_input"})


@dataclass(frozen=True)
class Shown:
    """A history of a finished instance in a response of the real extension."""

    instance_id: str
    show_input: bool
    show_output: bool
    events: list[dict[str, Any]]


def last_shown(scenario: str) -> Iterator[Shown]:
    found: dict[str, Shown] = {}
    for call in GOLDEN.calls(scenario):
        if call.get("status") != 200 or "historyEvents" not in call["answer"]:
            continue
        query = Query.parse(urlsplit(call["path"]).query)
        payload = json.loads(call["answer"])
        found[payload["instanceId"]] = Shown(
            instance_id=payload["instanceId"],
            show_input=parse_bool(query.get("showInput")) is not False,
            show_output=parse_bool(query.get("showHistoryOutput")) is True,
            events=payload["historyEvents"],
        )
    yield from found.values()


def stored_history(scenario: str, instance_id: str) -> list[HistoryEvent]:
    storage = GOLDEN.hub(scenario)
    [row] = [row for row in rows_of(storage, "Instances") if unescape_key(row.partition_key) == instance_id]
    return [
        rows.read_event(event)
        for event in sorted(rows_of(storage, "History"), key=lambda event: event.row_key)
        if event.partition_key == row.partition_key
        and event.row_key != SENTINEL
        and event.properties["ExecutionId"] == row.properties["ExecutionId"]
    ]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_stored_histories_are_shown_as_by_the_real_extension(scenario: str) -> None:
    for shown in last_shown(scenario):
        history = stored_history(scenario, shown.instance_id)
        ours = history_view(history, show_input=shown.show_input, show_output=shown.show_output)
        assert [list(event.items()) for event in ours] == [list(event.items()) for event in shown.events]


def test_recordings_contain_enough_histories() -> None:
    assert sum(len(list(last_shown(scenario))) for scenario in SCENARIOS) > 50


def test_history_with_repeated_event_id_is_shown() -> None:
    """As after a non-determinism. The real extension responds with 400."""
    at = Instant.parse("2026-01-05T10:00:00Z")
    history: list[HistoryEvent] = [
        OrchestratorStarted(timestamp=at),
        TaskScheduled(timestamp=at, event_id=0, name="first"),
        TaskCompleted(timestamp=at, task_scheduled_id=0, result='"one"'),
        TaskScheduled(timestamp=at, event_id=0, name="second"),
    ]
    shown = history_view(history, show_input=True, show_output=True)
    assert [(event["EventType"], event.get("FunctionName"), event.get("Name")) for event in shown] == [
        ("TaskCompleted", "first", None),
        ("TaskScheduled", None, "second"),
    ]
