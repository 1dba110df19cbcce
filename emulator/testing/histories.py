"""Recorded histories, wherever they come from."""

from __future__ import annotations

import asyncio
import csv
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from emulator.clock import SystemClock
from emulator.durable.azurestorage.hub import AzureStorageTaskHub
from emulator.durable.azurestorage.messaging import wire
from emulator.durable.azurestorage.names import unescape_key
from emulator.durable.azurestorage.tracking.rows import UnreadableRow, is_sentinel
from emulator.durable.azurestorage.tracking.rows import read_event as read_row
from emulator.durable.core.event_types import EVENT_TYPES
from emulator.durable.core.events import ExecutionStarted, HistoryEvent
from emulator.durable.core.identity import is_entity
from emulator.durable.options import DurableTaskOptions
from emulator.errors import EmulatorError
from emulator.ids import new_id
from emulator.instant import MIN_INSTANT, Instant
from emulator.storage.builtin import open_builtin
from emulator.storage.port import Row, Value
from emulator.storage.transfer.file import Kind, opened, read_header
from emulator.storage.transfer.importing import import_account

Recorded = Path | str | Sequence[HistoryEvent] | Sequence[Mapping[str, Any]] | Mapping[str, Any]

_HISTORY = "History"
_CLASS_NAMES = {kind.number: f"DurableTask.Core.History.{kind.class_name}" for kind in EVENT_TYPES.values()}
# Columns of the History table that are points in time; an export as plain JSON has them as text.
_TIMES = frozenset(("_Timestamp", "FireAt", "ScheduledStartTime", "CheckpointCompletedTimestamp"))


class UnreadableHistory(EmulatorError):
    """What was given is no recorded history."""


@dataclass(frozen=True, slots=True)
class History:
    """`events`: of the instance's last execution."""

    instance_id: str
    events: Sequence[HistoryEvent]


def read_histories(recorded: Recorded, instance_id: str | None = None) -> Sequence[History]:
    """The histories of all orchestrations in it. `recorded` is one of

    * events, as `app.history(instance_id)` gives them;
    * a file of `azemu storage export`;
    * rows of the History table as JSON objects, or a file of them: JSON (`az storage entity query`, the REST API) or
      CSV (Azure Storage Explorer);
    * a Python orchestrator's trigger value, or its `history` list, or a file of one of them.

    `instance_id`: only this one's. Raises UnreadableHistory.
    """
    if isinstance(recorded, Path | str):
        return _read_file(Path(recorded), instance_id)
    if isinstance(recorded, Mapping):
        recorded = _list_in(recorded)
    found = list(recorded)
    if not found:
        raise UnreadableHistory("The recorded history is empty.")
    events = [event for event in found if isinstance(event, HistoryEvent)]
    if events:
        return [History(_instance_of(events), events)]
    return _of_objects([each for each in found if isinstance(each, Mapping)], instance_id)


def _list_in(recorded: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    if "historyEvents" in recorded:
        raise UnreadableHistory(
            "This is an instance's status. The history in it is shortened for people and cannot be replayed. "
            "Use a file of `azemu storage export --hub …` or the rows of the History table."
        )
    return recorded.get("history") or recorded.get("items") or recorded.get("value") or ()


def _read_file(path: Path, instance_id: str | None) -> Sequence[History]:
    if not path.is_file():
        raise UnreadableHistory(f"There is no file {path}.")
    match path.suffix.lower():
        case ".jsonl":
            # The caller may be on a running loop; the import needs one of its own.
            with ThreadPoolExecutor(max_workers=1) as thread:
                return thread.submit(asyncio.run, _of_export(path, instance_id)).result()
        case ".csv":
            with path.open(encoding="utf-8-sig", newline="") as file:
                return _of_objects([_typed(row) for row in csv.DictReader(file)], instance_id)
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise UnreadableHistory(f"{path} is not JSON: {error}") from error
    return read_histories(content, instance_id)


async def _of_export(path: Path, instance_id: str | None) -> Sequence[History]:
    with opened(path, "rb") as file:
        items = read_header(file, path).items
    tables = [item.name for item in items if item.kind is Kind.TABLE and item.name.endswith(_HISTORY)]
    clock = SystemClock()
    histories: list[History] = []
    async with open_builtin(None, clock) as account:
        await import_account(path, account, clock=clock)
        for table in tables:
            options = DurableTaskOptions(hub_name=table.removesuffix(_HISTORY))
            hub = AzureStorageTaskHub(options, account, clock=clock, new_id=new_id)
            keys = {row.partition_key async for row in account.table(table).query(select=["PartitionKey"])}
            wanted = [instance for instance in sorted(map(unescape_key, keys)) if not is_entity(instance)]
            histories += [
                History(instance, await hub.history(instance)) for instance in wanted if instance_id in (None, instance)
            ]
    if not histories:
        which = "an orchestration" if instance_id is None else f'the orchestration "{instance_id}"'
        raise UnreadableHistory(f"{path} holds no history of {which}.")
    return histories


def _of_objects(found: Sequence[Mapping[str, Any]], instance_id: str | None) -> Sequence[History]:
    if found and all(isinstance(each.get("EventType"), int) for each in found):
        events = [_of_context(each) for each in found]
        return [History(_instance_of(events), events)]
    by_instance: defaultdict[str, list[Row]] = defaultdict(list)
    for each in found:
        if "RowKey" in each:
            row = _row(each)
            by_instance[unescape_key(row.partition_key)].append(row)
    if not by_instance:
        raise UnreadableHistory("This is neither a list of history events nor one of rows of the History table.")
    chosen = [instance_id] if instance_id is not None else [name for name in by_instance if not is_entity(name)]
    return [History(name, _of_rows(by_instance[name])) for name in chosen]


def _of_rows(rows: Sequence[Row]) -> Sequence[HistoryEvent]:
    rows = sorted(rows, key=lambda row: row.row_key)
    execution = next((row.properties.get("ExecutionId") for row in rows if is_sentinel(row)), None)
    events = [row for row in rows if not is_sentinel(row)]
    if not events:
        raise UnreadableHistory("There are no rows with events of this instance.")
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


def _instance_of(events: Sequence[HistoryEvent]) -> str:
    return next((event.instance.instance_id for event in events if isinstance(event, ExecutionStarted)), "")


def _typed(row: Mapping[str, str]) -> Mapping[str, Any]:
    """A row of CSV, where everything is text. What the columns are stands beside them, or is known."""
    return {name: _TYPES.get(name, str)(text) for name, text in row.items() if text and "@" not in name}


def _boolean(text: str) -> bool:
    return text.lower() == "true"


_TYPES: Mapping[str, Callable[[str], Any]] = {
    "EventId": int,
    "TaskScheduledId": int,
    "TimerId": int,
    "Generation": int,
    "IsPlayed": _boolean,
    "GenerateNewTrace": _boolean,
    "IsCheckpointComplete": _boolean,
}


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
