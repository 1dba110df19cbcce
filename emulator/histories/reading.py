"""Recorded histories: readers for all forms in which the history of an orchestration can be saved."""

from __future__ import annotations

import asyncio
import csv
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from emulator import bound_json as json
from emulator.clock import SystemClock
from emulator.durable.azurestorage.hub import AzureStorageTaskHub
from emulator.durable.azurestorage.names import unescape_key
from emulator.durable.azurestorage.tracking.rows import UnreadableRow, is_sentinel
from emulator.durable.azurestorage.tracking.rows import read_event as read_row
from emulator.durable.core.events import ExecutionStarted, HistoryEvent
from emulator.durable.core.identity import is_entity
from emulator.durable.options import DurableTaskOptions
from emulator.histories.document import UnreadableHistory, is_document, read_document, read_events
from emulator.ids import new_id
from emulator.instant import Instant
from emulator.storage.builtin import open_builtin
from emulator.storage.paging import query_rows
from emulator.storage.port import Row, Value
from emulator.storage.transfer.export_file import Kind, opened, read_header
from emulator.storage.transfer.importing import import_account

Recorded = Path | str | Sequence[HistoryEvent] | Sequence[Mapping[str, Any]] | Mapping[str, Any]
"""A recorded history in one of the forms of `read_histories`."""

_HISTORY = "History"
# Columns of the History table that are points in time. JSON has no type for them.
_TIME_COLUMNS = frozenset(("_Timestamp", "FireAt", "ScheduledStartTime", "CheckpointCompletedTimestamp"))


@dataclass(frozen=True, slots=True)
class History:
    """The history of an instance. `events`: those of its last execution."""

    instance_id: str
    events: Sequence[HistoryEvent]


def read_histories(recorded: Recorded, instance_id: str | None = None) -> Sequence[History]:
    """Return the histories of all orchestrations in `recorded`, or only that of `instance_id`.

    `recorded` is one of

    * events, as returned by `app.history(instance_id)`;
    * a file of `azemu history export` or `azemu storage export`;
    * rows of the History table as JSON objects, or a file of them: JSON (`az storage entity query`, the REST API) or
      CSV (Azure Storage Explorer);
    * the trigger value of a Python orchestrator, or its `history` list, or a file of one of them.

    Raises UnreadableHistory.
    """
    if isinstance(recorded, Path | str):
        return _read_file(Path(recorded), instance_id)
    if isinstance(recorded, Mapping):
        if is_document(recorded):
            instances = read_document(recorded)
            chosen = [recording for recording in instances if instance_id in (None, recording.instance_id)]
            if not chosen:
                names = ", ".join(instance.instance_id for instance in instances)
                raise UnreadableHistory(f'The history file has no instance "{instance_id}", only: {names}.')
            return [History(instance.instance_id, instance.history) for instance in chosen]
        if "historyEvents" in recorded:
            raise UnreadableHistory(
                "This is the status of an instance. The history in it is abridged and cannot be replayed. "
                "Use a file of `azemu history export` or the rows of the History table."
            )
        # The member names of the trigger value, of `az storage entity query`, and of the REST API.
        recorded = recorded.get("history") or recorded.get("items") or recorded.get("value") or ()
        if not isinstance(recorded, list | tuple):
            raise UnreadableHistory('The member "history", "items" or "value" of the recorded history is not a list.')
    items = list(recorded)
    if not items:
        raise UnreadableHistory("The recorded history is empty. Pass at least the event ExecutionStarted.")
    events = [event for event in items if isinstance(event, HistoryEvent)]
    if events:
        return [_history_of(events)]
    return _read_objects([item for item in items if isinstance(item, Mapping)], instance_id)


def _read_file(path: Path, instance_id: str | None) -> Sequence[History]:
    if not path.is_file():
        raise UnreadableHistory(f"There is no file {path}. Pass the path of a recorded history.")
    match path.suffix.lower():
        case ".jsonl":
            # On a thread, because the import needs an event loop, and the caller may be on a running one.
            with ThreadPoolExecutor(max_workers=1) as thread:
                return thread.submit(asyncio.run, _read_export(path, instance_id)).result()
        case ".csv":
            # utf-8-sig, here and below, because tools on Windows write a byte order mark.
            with path.open(encoding="utf-8-sig", newline="") as file:
                rows = [
                    # In CSV every value is text. The type of a column is in another column, "<name>@type", and known.
                    {name: _COLUMN_TYPES.get(name, str)(text) for name, text in row.items() if text and "@" not in name}
                    for row in csv.DictReader(file)
                ]
            return _read_objects(rows, instance_id)
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise UnreadableHistory(f"{path} is not JSON: {error}") from error
    # A JSON string is not the path of another file.
    if not isinstance(content, dict | list):
        raise UnreadableHistory(f"{path} has neither a JSON object nor a list. Pass the path of a recorded history.")
    return read_histories(content, instance_id)


async def _read_export(path: Path, instance_id: str | None) -> Sequence[History]:
    with opened(path, "rb") as file:
        items = read_header(file, path).items
    tables = [item.name for item in items if item.kind is Kind.TABLE and item.name.endswith(_HISTORY)]
    clock = SystemClock()
    histories: list[History] = []
    # Import the file into a store in memory and read it as a task hub. That also loads payloads from blobs.
    async with open_builtin(None, clock) as account:
        await import_account(path, account, clock=clock)
        for table in tables:
            options = DurableTaskOptions(hub_name=table.removesuffix(_HISTORY))
            hub = AzureStorageTaskHub(options, account, clock=clock, new_id=new_id)
            keys = {row.partition_key async for row in query_rows(account.table(table), select=["PartitionKey"])}
            # Entities have histories too, but no decisions of user code that could differ.
            instances = [instance for instance in sorted(map(unescape_key, keys)) if not is_entity(instance)]
            histories += [
                History(instance, await hub.history(instance))
                for instance in instances
                if instance_id in (None, instance)
            ]
    if not histories:
        what = "an orchestration" if instance_id is None else f'the orchestration "{instance_id}"'
        raise UnreadableHistory(
            f"{path} has no history of {what}. Check the instance ID and the task hub of the export."
        )
    return histories


def _read_objects(objects: Sequence[Mapping[str, Any]], instance_id: str | None) -> Sequence[History]:
    # The worker protocol writes EventType as a number, the History table as text.
    if objects and all(isinstance(item.get("EventType"), int) for item in objects):
        return [_history_of(read_events(objects))]
    rows_by_instance: defaultdict[str, list[Row]] = defaultdict(list)
    for item in objects:
        if "RowKey" in item:
            # Members with "@" are annotations of OData.
            columns = {name: value for name, value in item.items() if value is not None and "@" not in name}
            partition_key, row_key = str(columns.pop("PartitionKey", "")), str(columns.pop("RowKey"))
            row = Row(partition_key, row_key, {name: _column_value(name, value) for name, value in columns.items()})
            rows_by_instance[unescape_key(partition_key)].append(row)
    if not rows_by_instance:
        raise UnreadableHistory(
            "This is neither a list of history events nor a list of rows of the History table. Use a file of "
            "`azemu storage export --hub …`."
        )
    chosen = [instance_id] if instance_id is not None else [name for name in rows_by_instance if not is_entity(name)]
    return [History(name, _read_rows(rows_by_instance[name])) for name in chosen]


def _read_rows(rows: Sequence[Row]) -> Sequence[HistoryEvent]:
    # Row keys are event numbers in hexadecimal with leading zeros, so this is the order of the events.
    rows = sorted(rows, key=lambda row: row.row_key)
    # The sentinel row names the last execution. Rows of earlier ones may be left over.
    execution = next((row.properties.get("ExecutionId") for row in rows if is_sentinel(row)), None)
    event_rows = [row for row in rows if not is_sentinel(row)]
    if not event_rows:
        raise UnreadableHistory("There are no rows with events of this instance. Check the instance ID.")
    # A selection of rows may lack the sentinel.
    execution = execution or event_rows[0].properties.get("ExecutionId")
    if any(name.endswith("BlobName") for row in event_rows for name in row.properties):
        raise UnreadableHistory(
            "Some payloads of this history are stored in blobs, and these rows have only their names. "
            "Use a file of `azemu storage export --hub …`, which contains the payloads."
        )
    try:
        return [read_row(row) for row in event_rows if row.properties.get("ExecutionId") == execution]
    except UnreadableRow as error:
        raise UnreadableHistory(str(error)) from error


def _history_of(events: Sequence[HistoryEvent]) -> History:
    started = (event.instance.instance_id for event in events if isinstance(event, ExecutionStarted))
    return History(next(started, ""), events)


def _column_value(name: str, value: Any) -> Value:
    if name not in _TIME_COLUMNS:
        return cast(Value, value)
    try:
        return Instant.parse(str(value))
    except ValueError as error:
        raise UnreadableHistory(f"The column {name} has the value {value!r}, which is not a point in time.") from error


def _boolean(text: str) -> bool:
    return text.lower() == "true"


_COLUMN_TYPES: Mapping[str, Callable[[str], Any]] = {
    "EventId": int,
    "TaskScheduledId": int,
    "TimerId": int,
    "Generation": int,
    "IsPlayed": _boolean,
    "GenerateNewTrace": _boolean,
    "IsCheckpointComplete": _boolean,
}
