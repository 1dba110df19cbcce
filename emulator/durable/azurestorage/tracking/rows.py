"""Columns of the History and Instances tables: event rows, the sentinel row, and an instance's status row.

Names, EDM types and order are .NET's. Null columns are left out, because a table does not store them. When read, a
missing column and the text `null` mean the same.
Source: docs/protocol/task-hub-storage.md chapters 3 and 4 (durabletask: Tracking/TableEntityConverter.cs,
AzureTableTrackingStore.cs, AzureTableInstanceStore).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from emulator import bound_json as json
from emulator.dotnet.json_writer import json_text
from emulator.durable.azurestorage.large import too_large_for_column
from emulator.durable.azurestorage.names import SENTINEL, history_row_key
from emulator.durable.core.event_objects import READERS, ObjectReader, ObjectWriter, object_writers
from emulator.durable.core.event_schema import EVENTS, OBJECTS, Kind
from emulator.durable.core.events import (
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
    Tags,
)
from emulator.durable.core.identity import RuntimeStatus
from emulator.errors import EmulatorError
from emulator.instant import MIN_INSTANT, Instant
from emulator.storage.port import Row, Value

Columns = dict[str, Value]

LARGE_COLUMNS = ("Name", "Input", "Result", "Output", "Reason", "Details", "Correlation", "FailureDetails", "Tags")
"""The columns that may move to a blob, in the order in which .NET checks them."""

NULL_TEXT = "null"
"""Text of a column for a null object. (For a null string there is no column.)"""


class UnreadableRow(EmulatorError):
    """A row that does not follow the protocol. The message names it."""


# Event rows --------------------------------------------------------------------------------------------------


def _write_object(writer: ObjectWriter, value: object) -> str:
    return NULL_TEXT if value is None else json_text(writer(value))


def _read_object(reader: ObjectReader, text: str) -> Any:
    return reader(json.loads(text)) if text else None


def _read_status(name: str) -> RuntimeStatus:
    status = RuntimeStatus.from_wire_name(name)
    if status is None:
        raise ValueError(f"unknown OrchestrationStatus {name!r}")
    return status


# An OBJECT_MAP occurs only inside failure details, never as a column.
_OBJECT_KINDS = (*OBJECTS, Kind.STRING_MAP)

# Kinds that are not listed have an EDM type of their own, and need no conversion.
_WRITERS: Mapping[Kind, Callable[[Any], Value]] = {
    # The table converter writes enums by name, unlike Newtonsoft in queue messages.
    Kind.STATUS: lambda status: status.wire_name,
    **{kind: partial(_write_object, writer) for kind, writer in object_writers(type_names=False).items()},
}
_READERS: Mapping[Kind, Callable[[Any], Any]] = {
    Kind.STATUS: _read_status,
    **{kind: partial(_read_object, READERS[kind]) for kind in _OBJECT_KINDS},
}

# Python's type for the EDM type of a column. The columns of all other kinds are texts.
_COLUMN_TYPES: Mapping[Kind, type[Value]] = {Kind.INTEGER: int, Kind.BOOLEAN: bool, Kind.DATE_TIME: Instant}

# Column, attribute, writer, reader, default and type. Computed once, so that rows need not interpret the schema.
# The properties stand before the fields, which is the order of .NET's TableEntityConverter.
_COLUMNS = {
    event_type: [
        (
            member.name,
            member.field,
            _WRITERS.get(member.kind),
            _READERS.get(member.kind),
            member.default,
            _COLUMN_TYPES.get(member.kind, str),
        )
        for member in (*schema.properties, *schema.fields)
    ]
    for event_type, schema in EVENTS.items()
}
_EVENT_TYPES = {event_type.__name__: event_type for event_type in EVENTS}


def event_columns(event: HistoryEvent, execution_id: str) -> Columns:
    """Return the columns of an event's row, in the order in which .NET sends them."""
    columns: Columns = {}
    for name, field, write, _, _, _ in _COLUMNS[type(event)]:
        value = getattr(event, field)
        if write is not None:
            value = write(value)
        if value is not None:
            columns[name] = value
    columns["EventId"] = event.event_id
    columns["IsPlayed"] = event.is_played
    # `Timestamp` is the service's own column.
    columns["_Timestamp"] = event.timestamp
    columns["EventType"] = event.type_name
    columns["ExecutionId"] = execution_id
    return columns


def read_event(row: Row) -> HistoryEvent:
    """Return the event of a History row whose large columns have been put back. Raises UnreadableRow.

    `EventType` decides: a failure that a rewind has changed to GenericEvent is read as a GenericEvent, even if the row
    has columns of the failure.
    """
    columns = row.properties
    name = str(columns.get("EventType"))
    event_type = _EVENT_TYPES.get(name)
    if event_type is None:
        raise UnreadableRow(_unreadable(row, f"has the unknown EventType {name!r}"))
    try:
        # .NET's defaults for missing columns are those of the types, so 0 and not -1 for the event id.
        values: dict[str, Any] = {
            "event_id": _checked("EventId", columns.get("EventId", 0), int),
            "is_played": _checked("IsPlayed", columns.get("IsPlayed", False), bool),
            "timestamp": _checked("_Timestamp", columns.get("_Timestamp", MIN_INSTANT), Instant),
        }
        for column, field, _, read, default, kind in _COLUMNS[event_type]:
            value = columns.get(column)
            if value is not None:
                value = _checked(column, value, kind)
                if read is not None:
                    value = read(value)
            values[field] = default if value is None else value
    # RecursionError is among them because anyone with access to the table can write deeply nested JSON.
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UnreadableRow(_unreadable(row, f"({name}) cannot be read: {error}")) from error
    return event_type(**values)


def _checked(column: str, value: Value, kind: type[Value]) -> Any:
    # Not isinstance: bool is a subclass of int.
    if type(value) is not kind:
        raise ValueError(f"the column {column} has the type {type(value).__name__}, not {kind.__name__}")
    return value


def _unreadable(row: Row, problem: str) -> str:
    return f"History row {row.row_key} of partition {row.partition_key} {problem}."


def sentinel_columns(execution_id: str, completed_at: Instant | None) -> Columns:
    """Return the columns of the sentinel. `completed_at` is None if more transactions of the checkpoint follow."""
    columns: Columns = {"ExecutionId": execution_id, "IsCheckpointComplete": completed_at is not None}
    # Left out in all transactions but the last, so that the merge keeps the time of the previous checkpoint.
    if completed_at is not None:
        columns["CheckpointCompletedTimestamp"] = completed_at
    return columns


def check_position(row: Row, position: int) -> None:
    """Raise UnreadableRow if an event row is not the next one of its execution. `position`: its zero-based number.

    A replay without the missing event would make other decisions than those that are stored.
    """
    if row.row_key != history_row_key(position):
        raise UnreadableRow(_unreadable(row, f"follows a gap: row {history_row_key(position)} is missing"))


def check_sentinel(row: Row) -> None:
    """Raise UnreadableRow if a sentinel names no execution: it is unknown then which rows are its own."""
    execution_id = row.properties.get("ExecutionId")
    if not isinstance(execution_id, str) or not execution_id:
        raise UnreadableRow(_unreadable(row, "names no execution (column ExecutionId)"))


def is_sentinel(row: Row) -> bool:
    """Return whether this row of the History table is the sentinel and not an event."""
    return row.row_key == SENTINEL


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event and the URL of the blob that contains its Input, Result or Reason, if that is too large for a column.

    The status row refers to the same blob.
    """

    event: HistoryEvent
    url: str | None


# Status rows -------------------------------------------------------------------------------------------------


def pending_columns(started: ExecutionStarted, *, hub: str, now: Instant, status_input: str | None) -> Columns:
    """Return the row that a client writes at a start. `status_input` is the input, or the URL of its blob."""
    return _present(
        {
            "Input": status_input,
            "CreatedTime": started.timestamp,
            "Name": started.name,
            "Version": started.version,
            "RuntimeStatus": RuntimeStatus.PENDING.wire_name,
            "LastUpdatedTime": now,
            "TaskHubName": hub,
            "ScheduledStartTime": started.scheduled_start_time,
            "ExecutionId": started.instance.execution_id,
            "Generation": started.generation,
            "Tags": tags_text(started.tags),
            "ParentInstanceId": parent_id_of(started),
        }
    )


def checkpoint_columns(
    new_events: Sequence[StoredEvent],
    *,
    execution_id: str,
    parent_id: str,
    status: RuntimeStatus | None,
    hub: str,
    now: Instant,
    custom_status: str | None,
) -> Columns:
    """Return the columns that an episode merges into the status row.

    `parent_id`: see `parent_id_of`. `status` is the status after `new_events`.
    """
    columns: dict[str, Value | None] = {
        # Always written: an episode that sets no custom status resets it, as in .NET.
        "CustomStatus": NULL_TEXT if custom_status is None else custom_status,
        "ExecutionId": execution_id,
        "LastUpdatedTime": new_events[-1].event.timestamp if new_events else now,
        "TaskHubName": hub,
        # In every checkpoint: the row may be that of an earlier instance with the same id and another parent.
        "ParentInstanceId": parent_id,
    }
    for stored in new_events:
        columns |= _implied(stored.event, stored.url, status, now)
    return _present(columns)


def start_columns(started: ExecutionStarted) -> Columns:
    """Return the columns that the first episode writes and that never change, without an input that is too large."""
    columns = dict(_implied(started, None, None, started.timestamp))
    if started.input is not None and too_large_for_column(started.input):
        del columns["Input"]
    return _present(columns)


def repair_columns(
    events: Sequence[HistoryEvent], *, execution_id: str, parent_id: str, status: RuntimeStatus, hub: str
) -> Columns:
    """Return the columns that the status row of an execution must have, according to its whole history.

    `parent_id`: see `parent_id_of`. Input and output are the full texts, however long. The history does not contain
    the custom status.
    """
    columns: dict[str, Value | None] = {
        "ExecutionId": execution_id,
        "LastUpdatedTime": events[-1].timestamp,
        "TaskHubName": hub,
        "ParentInstanceId": parent_id,
    }
    for event in events:
        # A termination whose ExecutionCompleted was not stored has not ended the execution: the episode is repeated.
        if not isinstance(event, ExecutionTerminated):
            columns |= _implied(event, None, status, event.timestamp)
    return _present(columns)


def _implied(
    event: HistoryEvent, url: str | None, status: RuntimeStatus | None, completed_at: Instant
) -> Mapping[str, Value | None]:
    """Return the status columns that an event sets. Later events overwrite the columns of earlier ones."""
    status_name = None if status is None else status.wire_name
    match event:
        case ExecutionStarted():
            columns: dict[str, Value | None] = {
                "Name": event.name,
                "Version": event.version,
                "CreatedTime": event.timestamp,
                "RuntimeStatus": status_name,
                "Tags": tags_text(event.tags),
                "Generation": event.generation,
            }
            if event.scheduled_start_time is not None:
                columns["ScheduledStartTime"] = event.scheduled_start_time
            return columns | {"Input": url or event.input}
        case ExecutionCompleted():
            # .NET shows failure details instead of the result, wherever that is stored.
            failure = event.failure
            output = f"{failure.error_type}: {failure.error_message}" if failure else url or event.result
            return {"RuntimeStatus": status_name, "CompletedTime": completed_at, "Output": output}
        case ExecutionTerminated():
            # Normally overwritten by the ExecutionCompleted of the same episode. .NET writes these columns first, too.
            name = RuntimeStatus.TERMINATED.wire_name
            return {"RuntimeStatus": name, "CompletedTime": completed_at, "Output": url or event.input}
        case ExecutionSuspended() | ExecutionResumed():
            return {"RuntimeStatus": status_name, "Output": url or event.reason}
        case _:
            return {}


def terminated_columns(reason: str | None, *, updated_at: Instant, now: Instant) -> Columns:
    """Return the columns for an instance that was terminated before it ran."""
    return _present(
        {
            "RuntimeStatus": RuntimeStatus.TERMINATED.wire_name,
            "LastUpdatedTime": updated_at,
            "CompletedTime": now,
            "Output": reason,
        }
    )


def rewound_columns(now: Instant) -> Columns:
    """Return the columns for a rewound instance. Output and CompletedTime stay until its new end, as in .NET."""
    return {"RuntimeStatus": RuntimeStatus.PENDING.wire_name, "LastUpdatedTime": now}


def parent_id_of(started: ExecutionStarted) -> str:
    """Return the text of the ParentInstanceId column: the id is not escaped, and empty without a parent."""
    return "" if started.parent is None else started.parent.instance.instance_id


def tags_text(tags: Tags | None) -> str:
    """Return the text of a Tags column."""
    return NULL_TEXT if tags is None else json_text(dict(tags))


def read_tags(row: Row) -> Tags | None:
    """Read the Tags column of a status row. A missing one and the text `null` are None. Raises UnreadableRow."""
    text = row.properties.get("Tags")
    if not isinstance(text, str) or not text:
        return None
    try:
        tags: Tags | None = _READERS[Kind.STRING_MAP](text)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UnreadableRow(f"The column Tags of status row {row.partition_key} cannot be read: {error}") from error
    return tags


def _present(columns: Mapping[str, Value | None]) -> Columns:
    return {name: value for name, value in columns.items() if value is not None}
