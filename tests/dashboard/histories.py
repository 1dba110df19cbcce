"""Histories that the .NET extension has stored, for the models of the dashboard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from emulator.durable.azurestorage.tracking.rows import is_sentinel, read_event
from emulator.durable.core.events import HistoryEvent
from tests.recordings import GOLDEN, rows_of


def recorded_history(scenario: str, instance_id: str = "i1") -> Sequence[HistoryEvent]:
    """Return the history of an instance at the end of a recorded scenario."""
    return _history(GOLDEN.hub(scenario), instance_id)


def midflight_history(name: str, instance_id: str) -> Sequence[HistoryEvent]:
    """Return the history that a killed host has left."""
    return _history(GOLDEN.midflight(name)["storage"], instance_id)


def _history(storage: Any, instance_id: str) -> Sequence[HistoryEvent]:
    rows = [row for row in rows_of(storage, "History") if row.partition_key == instance_id and not is_sentinel(row)]
    return [read_event(row) for row in sorted(rows, key=lambda row: row.row_key)]
