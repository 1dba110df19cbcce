"""A reader of task hubs that is as strict as .NET's, and knows nothing of our code.

Written from docs/protocol/task-hub-storage.md chapters 1 to 5: member order and type names of messages, types and
names of columns,
row keys, blob names, which queue a message lies in. It reads files of `azemu storage export`
(docs/storage-file-format.md).
"""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
EXECUTION = re.compile(rf"{GUID.pattern}|[0-9a-f]{{32}}")
# Newtonsoft: up to seven digits, no trailing zeros. A suffix other than Z stops a .NET host.
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,6}[1-9])?Z")
LARGEST_MESSAGE, LARGEST_COLUMN = 45 * 1024, 60 * 1024
STATUSES = {"Pending", "Running", "Completed", "Failed", "Terminated", "Canceled", "Suspended"}
DICTIONARY = (
    "System.Collections.Generic.Dictionary`2[[System.String, System.Private.CoreLib],"
    "[System.String, System.Private.CoreLib]]"
)

# What is read -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Message:
    text: str
    hidden: bool


@dataclass
class Dump:
    """A hub as it was exported. A property is its EDM type and its value."""

    tables: dict[str, list[tuple[str, str, dict[str, tuple[str, Any]]]]] = field(default_factory=dict)
    queues: dict[str, list[Message]] = field(default_factory=lambda: defaultdict(list))
    blobs: dict[str, dict[str, bytes]] = field(default_factory=lambda: defaultdict(dict))


def read_export(file: Path) -> Dump:
    header, *lines = [json.loads(line) for line in file.read_text(encoding="ascii").splitlines()]
    assert (header["format"], header["version"]) == ("azemu-storage", 1)
    assert lines[-1] == {"end": True}
    dump, kind, name = Dump(), "", ""
    for line in lines:
        match line:
            case {"begin": [kind, name]}:
                if kind == "table":
                    dump.tables.setdefault(name, [])
            case {"message": text}:
                dump.queues[name].append(Message(text, "visibleAt" in line))
                assert "expiresAt" not in line, "messages of a hub live for ever"
            case {"row": [partition_key, row_key, properties]}:
                typed = {each: _typed(value) for each, value in properties.items()}
                dump.tables[name].append((partition_key, row_key, typed))
            case {"blob": blob, "content": content}:
                dump.blobs[name][blob] = base64.b64decode(content)
    return dump


def _typed(value: Any) -> tuple[str, Any]:
    if isinstance(value, dict):
        [(edm, inner)] = value.items()
        return edm, inner
    return {str: "Edm.String", bool: "Edm.Boolean", int: "Edm.Int32"}[type(value)], value


# The whole hub ------------------------------------------------------------------------------------------------------


def check_hub(dump: Dump, hub: str, *, partitions: int = 4) -> None:
    """Raises AssertionError for whatever a .NET host could not read, or would not have written."""
    queues = {f"{hub.lower()}-control-{index:02d}" for index in range(partitions)} | {f"{hub.lower()}-workitems"}
    assert {name for name in dump.tables if name.startswith(hub)} >= {f"{hub}History", f"{hub}Instances"}
    large = dump.blobs.get(f"{hub.lower()}-largemessages", {})
    for queue in queues:
        for message in dump.queues.get(queue, ()):
            _check_queued(message, queue, large, hub.lower(), partitions)
    history = _by_partition(dump.tables[f"{hub}History"])
    executions = {key: _check_history(key, rows, large) for key, rows in history.items()}
    for partition_key, row_key, columns in dump.tables[f"{hub}Instances"]:
        assert row_key == ""
        _check_status(columns, hub, executions.get(partition_key))
    for partition_key, row_key, columns in dump.tables.get(f"{hub}Partitions", ()):
        assert partition_key == ""
        assert row_key in queues
        _check_columns(columns, _PARTITION, required={"IsDraining"})
    for name, content in large.items():
        _check_blob(name, content)
    [info] = dump.blobs[f"{hub.lower()}-applease"].items()
    assert info[0] == f"{hub.lower()}-appleaseinfo"
    assert list(json.loads(info[1])) in ([], ["OwnerId", "DesiredSwapId"])


def _by_partition(rows: Sequence[Any]) -> Mapping[str, list[tuple[str, dict[str, tuple[str, Any]]]]]:
    found = defaultdict(list)
    for partition_key, row_key, columns in rows:
        found[partition_key].append((row_key, columns))
    return found


# Messages -----------------------------------------------------------------------------------------------------------

_ENVELOPE = ["$type", "ActivityId", "TaskMessage", "CompressedBlobName", "SequenceNumber"]
_ENVELOPE_END = ["Sender", "SerializableTraceContext"]
_COMMON = ["EventId", "IsPlayed", "Timestamp"]
_EVENTS: Mapping[str, tuple[int, list[str]]] = {
    "ExecutionStarted": (
        0,
        [
            *("OrchestrationInstance", "EventType", "ParentInstance", "Name", "Version", "Input", "Tags"),
            *("Correlation", "ParentTraceContext", "ScheduledStartTime", "Generation", "GenerateNewTrace"),
        ],
    ),
    "ExecutionTerminated": (3, ["EventType", "Input"]),
    "TaskScheduled": (4, ["EventType", "Name", "Version", "Input", "ParentTraceContext", "Tags"]),
    "TaskCompleted": (5, ["EventType", "TaskScheduledId", "Result"]),
    "TaskFailed": (6, ["EventType", "TaskScheduledId", "Reason", "Details", "FailureDetails"]),
    "SubOrchestrationInstanceCompleted": (8, ["EventType", "TaskScheduledId", "Result"]),
    "SubOrchestrationInstanceFailed": (9, ["EventType", "TaskScheduledId", "Reason", "Details", "FailureDetails"]),
    "TimerFired": (11, ["EventType", "TimerId", "FireAt"]),
    "EventRaised": (15, ["EventType", "Name", "Input", "ParentTraceContext"]),
    "GenericEvent": (17, ["Data", "EventType"]),
    "ExecutionSuspended": (19, ["EventType", "Reason"]),
    "ExecutionResumed": (20, ["EventType", "Reason"]),
}
_TO_ANY_EXECUTION = {"ExecutionTerminated", "ExecutionSuspended", "ExecutionResumed", "GenericEvent"}


def _check_queued(message: Message, queue: str, large: Mapping[str, bytes], hub: str, partitions: int) -> None:
    assert len(message.text.encode()) <= LARGEST_MESSAGE
    envelope = _compact(message.text)
    if envelope["CompressedBlobName"] is not None:
        assert envelope == {
            "$type": "DurableTask.AzureStorage.MessageData",
            "ActivityId": "00000000-0000-0000-0000-000000000000",
            "TaskMessage": None,
            "CompressedBlobName": envelope["CompressedBlobName"],
            "SequenceNumber": 0,
            "Sender": None,
            "SerializableTraceContext": None,
        }
        assert list(envelope) == _ENVELOPE + _ENVELOPE_END
        text = gzip.decompress(large[envelope["CompressedBlobName"]]).decode()
        assert len(text.encode()) > LARGEST_MESSAGE
        envelope = _compact(text)
    name, target = _check_message(envelope)
    if name == "TaskScheduled":
        assert queue == f"{hub}-workitems"
    else:
        assert queue == f"{hub}-control-{_fnv(target) % partitions:02d}"
    # An activity that ran when the host was killed still has the lock of its message.
    if message.hidden and name not in ("TimerFired", "ExecutionStarted", "TaskScheduled"):
        raise AssertionError(f"{name} is hidden, though nothing says till when")


def _compact(text: str) -> Any:
    found = json.loads(text)
    assert json.dumps(found, ensure_ascii=False, separators=(",", ":")) == text, "white space, or needless escapes"
    return found


def _check_message(envelope: Any) -> tuple[str, str]:
    """The event's name and the target's id."""
    episode = ["Episode"] if "Episode" in envelope else []
    assert list(envelope) == _ENVELOPE + episode + _ENVELOPE_END
    assert envelope["$type"] == "DurableTask.AzureStorage.MessageData"
    assert GUID.fullmatch(envelope["ActivityId"])
    assert envelope["CompressedBlobName"] is None
    assert envelope["SequenceNumber"] > 0
    assert envelope["SerializableTraceContext"] is None
    assert list(envelope["Sender"]) == ["InstanceId", "ExecutionId"]
    is_client = envelope["Sender"] == {"InstanceId": "", "ExecutionId": ""}
    assert is_client is (not episode)
    task = envelope["TaskMessage"]
    assert list(task) == [
        *("$type", "Event", "SequenceNumber"),
        *("OrchestrationInstance", "OrchestrationExecutionContext"),
    ]
    assert (task["$type"], task["SequenceNumber"]) == ("DurableTask.Core.TaskMessage", 0)
    _check_instance(task["OrchestrationInstance"])
    name = _check_event(task["Event"])
    _check_target(name, task, is_client=is_client)
    return name, task["OrchestrationInstance"]["InstanceId"]


def _check_target(name: str, task: Any, *, is_client: bool) -> None:
    target = task["OrchestrationInstance"]
    if name in _TO_ANY_EXECUTION or (name == "EventRaised" and (is_client or target["InstanceId"].startswith("@"))):
        assert target["ExecutionId"] is None
    else:
        assert EXECUTION.fullmatch(target["ExecutionId"])
    has_context = name == "TaskScheduled" or (name == "ExecutionStarted" and not is_client)
    if has_context:
        context = task["OrchestrationExecutionContext"]
        assert context == {
            "$type": "DurableTask.Core.OrchestrationExecutionContext",
            "OrchestrationTags": {"$type": DICTIONARY},
        }
    else:
        assert task["OrchestrationExecutionContext"] is None
    if name == "ExecutionStarted":
        assert task["Event"]["OrchestrationInstance"] == target
        assert (task["Event"]["ParentInstance"] is None) is is_client
        assert isinstance(task["Event"]["Generation"], int) is is_client


def _check_instance(instance: Any) -> None:
    assert list(instance) == ["$type", "InstanceId", "ExecutionId"]
    assert instance["$type"] == "DurableTask.Core.OrchestrationInstance"


def _check_event(event: Any) -> str:
    prefix, _, kind = event["$type"].rpartition(".")
    assert prefix == "DurableTask.Core.History"
    name: str = kind if kind == "GenericEvent" else kind.removesuffix("Event")
    number, members = _EVENTS[name]
    assert list(event) == ["$type", *members, *_COMMON], name
    assert event["EventType"] == number
    assert (event["EventId"] >= 0) is (name == "TaskScheduled")
    assert event["IsPlayed"] is False
    for each in ("Timestamp", "FireAt", "ScheduledStartTime"):
        if event.get(each) is not None:
            assert TIME.fullmatch(event[each]), f"{name}.{each}: {event[each]}"
    if name == "ExecutionStarted":
        _check_instance(event["OrchestrationInstance"])
        _check_parent(event["ParentInstance"])
    if name == "EventRaised" and event["Name"].startswith("op"):
        _check_request(event["Input"])
    return name


def _check_parent(parent: Any) -> None:
    if parent is not None:
        assert list(parent) == ["$type", "Name", "OrchestrationInstance", "TaskScheduleId", "Version"]
        assert parent["$type"] == "DurableTask.Core.ParentInstance"
        _check_instance(parent["OrchestrationInstance"])


_REQUEST = [
    *("$type", "op", "signal", "input", "id", "parent", "parentExecution", "due", "Timestamp", "Predecessor"),
    *("lockset", "pos", "requestTime"),
]


def _check_request(text: str) -> None:
    """Members out of order before `id` make the answer unrecognisable for .NET."""
    request = _compact(text)
    assert list(request) == [each for each in _REQUEST if each in request]
    assert {"op", "id", "Timestamp", "Predecessor"} <= set(request)
    assert GUID.fullmatch(request["id"])


def _fnv(text: str) -> int:
    value = 2166136261
    for byte in text.encode():
        value = ((value ^ byte) * 16777619) & 0xFFFFFFFF
    return value


# Rows ---------------------------------------------------------------------------------------------------------------

_TEXT, _NUMBER, _FLAG, _MOMENT = "Edm.String", "Edm.Int32", "Edm.Boolean", "Edm.DateTime"
_ROW = {"EventId": _NUMBER, "EventType": _TEXT, "IsPlayed": _FLAG, "_Timestamp": _MOMENT, "ExecutionId": _TEXT}
_OFFLOADED = ("Name", "Input", "Result", "Output", "Reason", "Details", "Correlation", "FailureDetails", "Tags")
_ANSWER = {"TaskScheduledId": _NUMBER, "Result": _TEXT}
_FAILURE = {"TaskScheduledId": _NUMBER, "Reason": _TEXT, "Details": _TEXT, "FailureDetails": _TEXT}
_ROWS: Mapping[str, Mapping[str, str]] = {
    "OrchestratorStarted": {},
    "OrchestratorCompleted": {},
    "ExecutionStarted": {
        **dict.fromkeys(("OrchestrationInstance", "ParentInstance", "Name", "Version", "Input", "Tags"), _TEXT),
        "Correlation": _TEXT,
        "ParentTraceContext": _TEXT,
        "ScheduledStartTime": _MOMENT,
        "Generation": _NUMBER,
        "GenerateNewTrace": _FLAG,
    },
    "ExecutionCompleted": {"OrchestrationStatus": _TEXT, "Result": _TEXT, "FailureDetails": _TEXT},
    "ExecutionTerminated": {"Input": _TEXT},
    "ExecutionSuspended": {"Reason": _TEXT},
    "ExecutionResumed": {"Reason": _TEXT},
    "TaskScheduled": dict.fromkeys(("Name", "Version", "ParentTraceContext", "Tags"), _TEXT),
    "TaskCompleted": _ANSWER,
    "TaskFailed": _FAILURE,
    "SubOrchestrationInstanceCreated": dict.fromkeys(("Name", "Version", "InstanceId", "ClientSpanId", "Tags"), _TEXT),
    "SubOrchestrationInstanceCompleted": _ANSWER,
    "SubOrchestrationInstanceFailed": _FAILURE,
    "TimerCreated": {"FireAt": _MOMENT},
    "TimerFired": {"TimerId": _NUMBER, "FireAt": _MOMENT},
    "EventSent": dict.fromkeys(("InstanceId", "Name", "Input"), _TEXT),
    "EventRaised": dict.fromkeys(("Name", "Input", "ParentTraceContext"), _TEXT),
}
# Absent when null; these are never null, or their null is the text "null".
_NEVER_NULL = {
    *_ROW,
    *("OrchestrationInstance", "ParentInstance", "ParentTraceContext", "Tags", "FailureDetails", "GenerateNewTrace"),
    *("OrchestrationStatus", "TaskScheduledId", "TimerId", "FireAt", "InstanceId"),
}
_DECIDED = {"TaskScheduled", "TimerCreated", "SubOrchestrationInstanceCreated", "EventSent", "ExecutionCompleted"}


def _check_history(instance: str, rows: Sequence[tuple[str, Any]], large: Mapping[str, bytes]) -> str:
    """The execution that the sentinel names. Rows of an older, longer execution may follow its own ones."""
    *events, (last, sentinel) = sorted(rows, key=lambda row: row[0])
    assert last == "sentinel"
    _check_columns(sentinel, _SENTINEL, required={"ExecutionId", "IsCheckpointComplete"})
    execution: str = sentinel["ExecutionId"][1]
    assert [key for key, _ in events] == [f"{number:016X}" for number in range(len(events))]
    own = [columns for _, columns in events if columns["ExecutionId"][1] == execution]
    assert own == [columns for _, columns in events][: len(own)]
    assert [own[0]["EventType"][1], own[1]["EventType"][1]] == ["OrchestratorStarted", "ExecutionStarted"]
    for key, columns in events:
        _check_event_row(instance, key, columns, large)
    return execution


_SENTINEL = {"ExecutionId": _TEXT, "IsCheckpointComplete": _FLAG, "CheckpointCompletedTimestamp": _MOMENT}


def _check_event_row(instance: str, key: str, columns: dict[str, tuple[str, Any]], large: Mapping[str, bytes]) -> None:
    name = columns["EventType"][1]
    expected = {**_ROW, **_ROWS[name]}
    assert all(len(value.encode("utf-16-le")) <= LARGEST_COLUMN for edm, value in columns.values() if edm == _TEXT)
    columns = dict(columns)
    for offloaded in _OFFLOADED:
        blob = columns.pop(f"{offloaded}BlobName", None)
        if blob is not None:
            assert columns[offloaded] == (_TEXT, "")
            assert re.fullmatch(rf"{instance}/history-{key}-{name}-[0-9A-F]{{8}}-{offloaded}\.json\.gz", blob[1])
            columns[offloaded] = (_TEXT, gzip.decompress(large[blob[1]]).decode())
            assert len(columns[offloaded][1].encode("utf-16-le")) > LARGEST_COLUMN
    _check_columns(columns, expected, required=_NEVER_NULL & set(expected))
    assert (columns["EventId"][1] >= 0) is (name in _DECIDED)
    if name in _DECIDED or name == "OrchestratorStarted":
        assert columns["IsPlayed"][1] is False
    for each in ("OrchestrationInstance", "ParentInstance", "ParentTraceContext", "Tags", "FailureDetails"):
        if each in columns:
            assert "$type" not in str(json.loads(columns[each][1])), "objects in rows have no type names"


_STATUS = {
    **dict.fromkeys(("ExecutionId", "Name", "Version", "Input", "Output", "CustomStatus"), _TEXT),
    **dict.fromkeys(("CreatedTime", "LastUpdatedTime", "CompletedTime", "ScheduledStartTime"), _MOMENT),
    **dict.fromkeys(
        ("RuntimeStatus", "TaskHubName", "Tags", "ParentInstanceId", "InputBlobName", "TagsBlobName"), _TEXT
    ),
    "Generation": _NUMBER,
}


def _check_status(columns: dict[str, tuple[str, Any]], hub: str, execution: str | None) -> None:
    required = {"ExecutionId", "Name", "CreatedTime", "LastUpdatedTime", "RuntimeStatus", "TaskHubName", "Tags"}
    required |= {"ParentInstanceId"}
    _check_columns(columns, _STATUS, required=required if execution is None else required | {"CustomStatus"})
    assert columns["RuntimeStatus"][1] in STATUSES
    assert columns["TaskHubName"][1] == hub
    if execution is None:
        assert columns["RuntimeStatus"][1] == "Pending"
    else:
        assert columns["ExecutionId"][1] == execution
        json.loads(columns["CustomStatus"][1])


_PARTITION = {
    **dict.fromkeys(("CurrentOwner", "NextOwner"), _TEXT),
    **dict.fromkeys(("OwnedSince", "LastRenewal", "ExpiresAt"), _MOMENT),
    "IsDraining": _FLAG,
}


def _check_columns(columns: Mapping[str, tuple[str, Any]], known: Mapping[str, str], *, required: set[str]) -> None:
    """.NET reads strictly: another type than the expected one makes it throw."""
    assert set(columns) <= set(known), set(columns) - set(known)
    assert required <= set(columns), required - set(columns)
    assert {name: edm for name, (edm, _) in columns.items()} == {name: known[name] for name in columns}


# Blobs --------------------------------------------------------------------------------------------------------------


def _check_blob(name: str, content: bytes) -> None:
    text = gzip.decompress(content).decode()
    folder, _, file = name.rpartition("/")
    if found := re.fullmatch(r"message-([0-9a-f]{32})-(\w+)\.json\.gz", file):
        envelope = _compact(text)
        kind, target = _check_message(envelope)
        assert (envelope["ActivityId"].replace("-", ""), kind, target) == (found[1], found[2], folder)
    else:
        assert re.fullmatch(r"history-([0-9A-F]{16})?-\w+-[0-9A-F]{8}-(\w+)\.json\.gz", file)


# The recordings, read the same way ----------------------------------------------------------------------------------


def as_dump(recorded: Mapping[str, Any]) -> Dump:
    """A hub as `RecordingSet.hub` returns it."""
    dump = Dump()
    for name, rows in recorded["tables"].items():
        dump.tables[name] = [
            (
                row["PartitionKey"]["value"],
                row["RowKey"]["value"],
                {
                    each: (typed["type"], typed["value"])
                    for each, typed in row.items()
                    if each not in ("PartitionKey", "RowKey")
                },
            )
            for row in rows
        ]
    for name, messages in recorded["queues"].items():
        dump.queues[name] = [
            Message(each if isinstance(each, str) else each["text"], hidden=False) for each in messages
        ]
    for name, blobs in recorded["blobs"].items():
        dump.blobs[name] = {blob["name"]: _content(blob) for blob in blobs}
    return dump


def _content(blob: Mapping[str, Any]) -> bytes:
    data: bytes = blob["content"].encode()
    return gzip.compress(data) if blob["name"].endswith(".gz") else data
