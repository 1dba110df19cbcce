"""Messages and rows that no host can read, by name: one mutation each of what azemu writes itself."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from emulator.durable.azurestorage.messaging import wire
from emulator.durable.azurestorage.messaging.wire import MessageData
from emulator.durable.core.events import (
    EventRaised,
    ExecutionCompleted,
    ExecutionStarted,
    HistoryEvent,
    HistoryState,
    OrchestratorStarted,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerFired,
)
from emulator.durable.core.identity import OrchestrationInstance, RuntimeStatus
from emulator.durable.core.messages import TaskMessage
from emulator.instant import Instant
from emulator.storage.port import Int64, Row, Value

NOW = Instant.parse("2026-03-01T12:00:00Z")
ENTITY = "@counter@poison"
_REQUEST = {"op": "add", "signal": True, "input": "1", "id": "a", "Timestamp": "0001-01-01T00:00:00"}

Members = dict[str, Any]
Change = Callable[[Members], object]


def raised(name: str = "word", input: str | None = '"hello"') -> EventRaised:
    return EventRaised(timestamp=NOW, name=name, input=input)


def started(id: str = "victim") -> ExecutionStarted:
    return ExecutionStarted(timestamp=NOW, instance=OrchestrationInstance(id, "e"), name="chain", input="1")


def envelope(event: HistoryEvent, id: str = "victim") -> Members:
    data = MessageData(
        activity_id="00000000-0000-0000-0000-000000000001",
        message=TaskMessage(event, OrchestrationInstance(id, None)),
        sequence_number=1,
    )
    members: Members = json.loads(wire.encode(data))
    return members


def text(event: HistoryEvent, change: Change | None = None, *, id: str = "victim") -> str:
    members = envelope(event, id)
    if change is not None:
        change(members)
    return json.dumps(members)


def envelope_with(**members: Any) -> str:
    return json.dumps(envelope(raised()) | members)


def event_with(event: HistoryEvent, id: str = "victim", /, **members: Any) -> str:
    return text(event, lambda found: found["TaskMessage"]["Event"].update(members), id=id)


def target_with(**members: Any) -> str:
    return text(raised(), lambda found: found["TaskMessage"]["OrchestrationInstance"].update(members))


def task_message_with(**members: Any) -> str:
    return text(raised(), lambda found: found["TaskMessage"].update(members))


def without(member: str, event: HistoryEvent | None = None) -> str:
    return text(event or raised(), lambda found: found["TaskMessage"]["Event"].pop(member))


def reference(blob: object) -> str:
    return json.dumps(json.loads(wire.encode(MessageData.reference("x"))) | {"CompressedBlobName": blob})


def _b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


GOOD = text(raised())

BLOBS: Mapping[str, bytes] = {
    "poison/plain.json.gz": GOOD.encode(),
    "poison/empty.json.gz": b"",
    "poison/cut.json.gz": gzip.compress(GOOD.encode())[:40],
    "poison/checksum.json.gz": gzip.compress(GOOD.encode())[:-8] + b"12345678",
    "poison/garbage.json.gz": gzip.compress(b"garbage"),
    "poison/utf8.json.gz": gzip.compress(b"\xff\xfe\xfd"),
    "poison/itself.json.gz": gzip.compress(reference("poison/itself.json.gz").encode()),
    "poison/nested.json.gz": gzip.compress(b'{"a":' * 200_000),
    "poison/bomb.json.gz": gzip.compress(b"0" * (2 << 20)),
}
"""Blobs that messages refer to. Three more are missing, or have names that cannot be stored."""

CONTROL: Mapping[str, str] = {
    # Not JSON.
    "empty": "",
    "words": "hello",
    "blanks": "   ",
    "null": "null",
    "array": "[]",
    "cut JSON": GOOD[:100],
    "cut base64": _b64(GOOD.encode())[:101],
    "base64 of cut JSON": _b64(GOOD[:100].encode()),
    "base64 of invalid UTF-8": _b64(b"\xff\xfe\xfd"),
    "base64 of gzip": _b64(gzip.compress(GOOD.encode())),
    "deep objects": '{"a":' * 12_000,
    "deep arrays": '{"TaskMessage":' + "[" * 40_000,
    # Envelope.
    "no members": "{}",
    "no task message": envelope_with(TaskMessage=None),
    "task message of text": envelope_with(TaskMessage="x"),
    "task message of a list": envelope_with(TaskMessage=[1]),
    "task message of a number": envelope_with(TaskMessage=1),
    "task message twice": GOOD[:-1] + ', "TaskMessage": null}',
    "sequence number of 5000 digits": GOOD.replace('"SequenceNumber": 1', '"SequenceNumber": ' + "9" * 5000),
    "sequence number NaN": GOOD.replace('"SequenceNumber": 1', '"SequenceNumber": NaN'),
    "sequence number of text": envelope_with(SequenceNumber="one"),
    "sequence number over Int64": envelope_with(SequenceNumber=2**63),
    "activity id of an object": envelope_with(ActivityId={}),
    "episode with a fraction": envelope_with(Episode=1.5),
    "episode over Int32": envelope_with(Episode=2**31),
    "sender of a list": envelope_with(Sender=[1]),
    "sender of text": envelope_with(Sender="me"),
    "trace context of an object": envelope_with(SerializableTraceContext={}),
    # Blobs.
    **{f"blob {name}": reference(name) for name in BLOBS},
    "blob missing": reference("poison/missing.json.gz"),
    "blob name of a number": reference(5),
    "blob name of an object": reference({}),
    "blob name with a surrogate": reference("poison/\ud800.json.gz"),
    "blob name too long": reference("poison/" + "x" * 2000),
    # Task message.
    "no event": task_message_with(Event=None),
    "event of a list": task_message_with(Event=[]),
    "no target": task_message_with(OrchestrationInstance=None),
    "target of a list": task_message_with(OrchestrationInstance=[1]),
    "target of text": task_message_with(OrchestrationInstance="victim"),
    "context of text": task_message_with(OrchestrationExecutionContext="x"),
    "context tags of a list": task_message_with(OrchestrationExecutionContext={"OrchestrationTags": [1]}),
    "no instance id": target_with(InstanceId=None),
    "empty instance id": target_with(InstanceId=""),
    "instance id of an object": target_with(InstanceId={}),
    "instance id with a surrogate": target_with(InstanceId="victim\udc00"),
    "entity key with a surrogate": target_with(InstanceId="@counter@\ud800"),
    "instance id that is too long": target_with(InstanceId="v" * 513),
    "execution id of a list": target_with(ExecutionId=[1]),
    # Event.
    "no type": without("$type"),
    "unknown type": event_with(raised(), **{"$type": "DurableTask.Core.History.Unknown"}),
    "type of a number": event_with(raised(), **{"$type": 5}),
    "type of .NET": event_with(raised(), **{"$type": "System.Diagnostics.Process, System"}),
    "event for histories": text(OrchestratorStarted(timestamp=NOW)),
    "activity": text(TaskScheduled(timestamp=NOW, event_id=0, name="Double", input="1")),
    "end": text(ExecutionCompleted(timestamp=NOW, status=RuntimeStatus.COMPLETED)),
    "history state": text(HistoryState(timestamp=NOW)),
    "event id of text": event_with(raised(), EventId="x"),
    "event id over Int32": event_with(raised(), EventId=2**31),
    "event id infinite": GOOD.replace('"EventId": -1', '"EventId": 1e400'),
    "event id true": event_with(raised(), EventId=True),
    "time of words": event_with(raised(), Timestamp="yesterday"),
    "time of a list": event_with(raised(), Timestamp=[]),
    "month 13": event_with(raised(), Timestamp="2026-13-01T00:00:00Z"),
    "time before the year 1": event_with(raised(), Timestamp="0001-01-01T00:00:00+14:00"),
    "time after the year 9999": event_with(raised(), Timestamp="9999-12-31T23:59:59-14:00"),
    "time before 1601": event_with(raised(), Timestamp="0001-01-01T00:00:00"),
    "event name of an object": event_with(raised(), Name={}),
    "event input of an object": event_with(raised(), Input={"a": 1}),
    "task id of text": event_with(TaskCompleted(timestamp=NOW, task_scheduled_id=0), TaskScheduledId="x"),
    "task id over Int32": event_with(TaskCompleted(timestamp=NOW, task_scheduled_id=0), TaskScheduledId=-(2**31) - 1),
    "failure of a list": event_with(TaskFailed(timestamp=NOW, task_scheduled_id=0), FailureDetails=[1]),
    "end of a timer in words": event_with(TimerFired(timestamp=NOW, timer_id=0, fire_at=NOW), FireAt="soon"),
    "no end of a timer": without("FireAt", TimerFired(timestamp=NOW, timer_id=0, fire_at=NOW)),
    "start of another instance": text(started("another")),
    "start of no instance": event_with(started(), OrchestrationInstance=None),
    "start with a parent of text": event_with(started(), ParentInstance="parent"),
    "start with tags of a list": event_with(started(), Tags=[1]),
    "start with a tag of an object": event_with(started(), Tags={"a": {}}),
    "start with a generation of text": event_with(started(), Generation="first"),
    "start at no time": event_with(started(), ScheduledStartTime="soon"),
    # Entities.
    "operation without input": text(raised("op", None), id=ENTITY),
    "operation of words": text(raised("op", "add 1"), id=ENTITY),
    "operation of a list": text(raised("op", "[]"), id=ENTITY),
    "operation without id": text(raised("op", '{"op": "add"}'), id=ENTITY),
    "operation nested deeply": text(raised("op", '{"op":' * 8_000), id=ENTITY),
    "operation at no time": text(raised("op", json.dumps(_REQUEST | {"Timestamp": "soon"})), id=ENTITY),
    "operation with a lock set of text": text(raised("op", json.dumps(_REQUEST | {"lockset": "x"})), id=ENTITY),
    "release of words": text(raised("release", "me"), id=ENTITY),
    "entity with a state of words": text(replace(started(ENTITY), input="state"), id=ENTITY),
}
"""Texts of messages of a control queue."""

_ACTIVITY = TaskScheduled(timestamp=NOW, event_id=0, name="Double", input="1")

WORK_ITEMS: Mapping[str, str] = {
    "words as an activity": "hello",
    "no activity": "{}",
    "event as an activity": text(raised()),
    "activity name of an object": event_with(_ACTIVITY, Name={}),
    "activity input of a list": event_with(_ACTIVITY, Input=[1]),
    "activity version of a list": event_with(_ACTIVITY, Version=[1]),
    "activity tags of text": event_with(_ACTIVITY, Tags="x"),
    "activity id over Int32": event_with(_ACTIVITY, EventId=2**40),
    "activity of nobody": text(_ACTIVITY, id=""),
    "activity of an instance with a surrogate": text(_ACTIVITY, id="\ud800"),
}
"""Texts of messages of the work-item queue."""


# Rows --------------------------------------------------------------------------------------------------------

RowChange = Callable[[Row], Row | None]
"""Returns the changed row, or None to delete it."""


def column(name: str, value: Value | None) -> RowChange:
    def change(row: Row) -> Row:
        columns = {key: found for key, found in row.properties.items() if key != name}
        return replace(row, properties=columns if value is None else {**columns, name: value})

    return change


def deleted(row: Row) -> None:
    return None


SENTINEL, FIRST, STARTED, LAST = "sentinel", "0000000000000000", "0000000000000001", "0000000000000002"

HISTORY: Mapping[str, tuple[str, RowChange]] = {
    "event id of text": (STARTED, column("EventId", "one")),
    "event id of Int64": (STARTED, column("EventId", Int64(1))),
    "event id true": (STARTED, column("EventId", True)),
    "event id of a Double": (STARTED, column("EventId", 1.5)),
    "time of text": (FIRST, column("_Timestamp", "yesterday")),
    "time of a number": (FIRST, column("_Timestamp", 5)),
    "played of text": (STARTED, column("IsPlayed", "no")),
    "no event type": (STARTED, column("EventType", None)),
    "unknown event type": (STARTED, column("EventType", "Unknown")),
    "event type of a number": (STARTED, column("EventType", 1)),
    "name of a number": (STARTED, column("Name", 5)),
    "input of a number": (STARTED, column("Input", 5)),
    "instance of words": (STARTED, column("OrchestrationInstance", "me")),
    "instance of a list": (STARTED, column("OrchestrationInstance", "[1]")),
    "instance nested deeply": (STARTED, column("OrchestrationInstance", "[" * 30_000)),
    "parent of words": (STARTED, column("ParentInstance", "me")),
    "parent with a task id of text": (STARTED, column("ParentInstance", '{"TaskScheduleId":"x"}')),
    "tags of words": (STARTED, column("Tags", "{")),
    "tags of a number": (STARTED, column("Tags", 5)),
    "trace context of a list": (STARTED, column("ParentTraceContext", "[1]")),
    "correlation of bytes": (STARTED, column("Correlation", b"x")),
    "scheduled start of text": (STARTED, column("ScheduledStartTime", "soon")),
    "generation of text": (STARTED, column("Generation", "first")),
    "new trace of text": (STARTED, column("GenerateNewTrace", "yes")),
    "input in a missing blob": (STARTED, column("InputBlobName", "poison/missing.json.gz")),
    "input in a damaged blob": (STARTED, column("InputBlobName", "poison/plain.json.gz")),
    "input in a blob without a possible name": (STARTED, column("InputBlobName", "\ud800")),
    "execution id of a number": (STARTED, column("ExecutionId", 5)),
    "no execution id": (STARTED, column("ExecutionId", None)),
    "first row missing": (FIRST, deleted),
    "row missing": (STARTED, deleted),
    "sentinel without execution": (SENTINEL, column("ExecutionId", None)),
    "sentinel with a number": (SENTINEL, column("ExecutionId", 5)),
    "sentinel of another execution": (SENTINEL, column("ExecutionId", "another")),
}
"""Changes of the History rows of an instance that waits for an event, by row key."""

INSTANCES: Mapping[str, RowChange] = {
    "tags of words": column("Tags", "{"),
    "tags of a list": column("Tags", "[1]"),
    "tags nested deeply": column("Tags", "[" * 30_000),
    "tags of a number": column("Tags", 5),
    "status of a number": column("RuntimeStatus", 1),
    "unknown status": column("RuntimeStatus", "Unknown"),
    "no status": column("RuntimeStatus", None),
    "creation of text": column("CreatedTime", "yesterday"),
    "generation of text": column("Generation", "first"),
    "input of a number": column("Input", 5),
    "output in a missing blob": column("Output", "http://127.0.0.1/x-largemessages/missing.json.gz"),
    "output in a damaged blob": column("Output", "http://127.0.0.1/x-largemessages/poison%2Fplain.json.gz"),
    "output in a blob without a name": column("Output", "http://127.0.0.1/x-largemessages/%ED%A0%80.json.gz"),
    "input in a start that cannot be read": column(
        "Input", "http://127.0.0.1/x-largemessages/poison%2Fgarbage-ExecutionStarted.json.gz"
    ),
    "custom status of a number": column("CustomStatus", 5),
    "execution id of a number": column("ExecutionId", 5),
}
"""Changes of the status row of an instance."""
