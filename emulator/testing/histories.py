"""Recorded histories, wherever they come from."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

from emulator.clock import SystemClock
from emulator.config.durable import DurableTaskOptions
from emulator.durable.azurestorage.hub import AzureStorageTaskHub
from emulator.durable.azurestorage.messaging import wire
from emulator.durable.azurestorage.tracking.rows import UnreadableRow, is_sentinel
from emulator.durable.azurestorage.tracking.rows import read_event as read_row
from emulator.durable.core.event_types import EVENT_TYPES
from emulator.durable.core.events import HistoryEvent
from emulator.errors import EmulatorError
from emulator.ids import new_id
from emulator.instant import MIN_INSTANT, Instant
from emulator.storage.api import Row, Value
from emulator.storage.builtin import open_builtin
from emulator.storage.transfer.file import Kind, opened, read_header
from emulator.storage.transfer.importing import import_account

Recorded = Path | str | Sequence[HistoryEvent] | Sequence[Mapping[str, Any]] | Mapping[str, Any]

_HISTORY = "History"
_CLASS_NAMES = {kind.number: f"DurableTask.Core.History.{kind.class_name}" for kind in EVENT_TYPES.values()}
# Columns of the History table that are points in time; an export as plain JSON has them as text.
_TIMES = frozenset(("_Timestamp", "FireAt", "ScheduledStartTime", "CheckpointCompletedTimestamp"))


class UnreadableHistory(EmulatorError):
    """What was given is no recorded history."""


def read_history(recorded: Recorded, instance_id: str | None = None) -> Sequence[HistoryEvent]:
    """The events of one execution. `recorded` is one of

    * events, as `app.history(instance_id)` gives them;
    * a file of `azemu storage export` (needs `instance_id`);
    * rows of the History table as JSON objects, or a JSON file of them (an export of Storage Explorer or
      `az storage entity query`); `instance_id` chooses when there are several instances;
    * a Python orchestrator's trigger value, or its `history` list, or a file of one of them.

    Raises UnreadableHistory.
    """
    if isinstance(recorded, Path | str):
        return _read_file(Path(recorded), instance_id)
    if isinstance(recorded, Mapping):
        recorded = recorded.get("history") or recorded.get("items") or recorded.get("value") or ()
    found = list(recorded)
    if not found:
        raise UnreadableHistory("The recorded history is empty.")
    events = [event for event in found if isinstance(event, HistoryEvent)]
    if events:
        return events
    return _of_objects([each for each in found if isinstance(each, Mapping)], instance_id)


def _read_file(path: Path, instance_id: str | None) -> Sequence[HistoryEvent]:
    if not path.is_file():
        raise UnreadableHistory(f"There is no file {path}.")
    if path.suffix == ".jsonl":
        if instance_id is None:
            raise UnreadableHistory(f"{path} holds a whole account: say which instance_id is meant.")
        # The caller may be on a running loop; the import needs one of its own.
        with ThreadPoolExecutor(max_workers=1) as thread:
            return thread.submit(asyncio.run, _of_export(path, instance_id)).result()
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise UnreadableHistory(f"{path} is not JSON: {error}") from error
    return read_history(content, instance_id)


async def _of_export(path: Path, instance_id: str) -> Sequence[HistoryEvent]:
    with opened(path, "rb") as file:
        items = read_header(file, path).items
    hubs = [item.name.removesuffix(_HISTORY) for item in items if item.kind is Kind.TABLE]
    clock = SystemClock()
    async with open_builtin(None, clock) as account:
        await import_account(path, account, clock=clock)
        for hub_name in hubs:
            hub = AzureStorageTaskHub(DurableTaskOptions(hub_name=hub_name), account, clock=clock, new_id=new_id)
            events = await hub.history(instance_id)
            if events:
                return events
    raise UnreadableHistory(f'{path} holds no history of an instance "{instance_id}".')


def _of_objects(found: Sequence[Mapping[str, Any]], instance_id: str | None) -> Sequence[HistoryEvent]:
    if found and all(isinstance(each.get("EventType"), int) for each in found):
        return [_of_context(each) for each in found]
    rows = [_row(each) for each in found if "RowKey" in each]
    instances = sorted({row.partition_key for row in rows})
    if instance_id is None and len(instances) > 1:
        raise UnreadableHistory(f"There are rows of {len(instances)} instances: say which instance_id is meant.")
    of_instance = sorted((row for row in rows if instance_id in (None, row.partition_key)), key=lambda row: row.row_key)
    execution = next((row.properties.get("ExecutionId") for row in of_instance if is_sentinel(row)), None)
    events = [row for row in of_instance if not is_sentinel(row)]
    if not events:
        raise UnreadableHistory("This is neither a list of history events nor one of rows of the History table.")
    execution = execution or events[0].properties.get("ExecutionId")
    if any(name.endswith("BlobName") for row in events for name in row.properties):
        raise UnreadableHistory(
            "Some payloads of this history lie in blobs, which these rows only name. "
            "Use a file of `azemu storage export --hub …`, which has them."
        )
    try:
        return [read_row(row) for row in events if row.properties.get("ExecutionId") == execution]
    except UnreadableRow as error:
        raise UnreadableHistory(str(error)) from error


def _of_context(found: Mapping[str, Any]) -> HistoryEvent:
    kind = found["EventType"]
    try:
        return wire.read_event({**found, "$type": _CLASS_NAMES.get(kind, kind)}, MIN_INSTANT)
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableHistory(f"The event {json.dumps(found)} cannot be read: {error}") from error


def _row(found: Mapping[str, Any]) -> Row:
    properties = {name: _value(name, value) for name, value in found.items() if value is not None and "@" not in name}
    return Row(str(properties.pop("PartitionKey", "")), str(properties.pop("RowKey")), properties)


def _value(name: str, value: Any) -> Value:
    if name not in _TIMES:
        return cast(Value, value)
    try:
        return Instant.parse(str(value))
    except ValueError as error:
        raise UnreadableHistory(f"The column {name} holds {value!r}, which is no point in time.") from error
