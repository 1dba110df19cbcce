"""The recordings of the real stack, cut into work items: what went in, what Python was asked, what was stored."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from emulator.durable.azurestorage.messaging import wire
from emulator.durable.azurestorage.tracking.rows import LARGE_COLUMNS, is_sentinel, read_event
from emulator.durable.core.events import (
    HistoryEvent,
    TaskCompleted,
    TaskFailed,
)
from emulator.durable.core.messages import TaskMessage
from emulator.storage.port import Row
from tests.durable.core import contexts
from tests.recordings import RecordingSet, as_sent, write_of


@dataclass(frozen=True)
class Call:
    """One invocation of a function."""

    kind: str
    name: str
    value: str
    out: Any

    @property
    def context(self) -> Any:
        return json.loads(self.value)

    @property
    def continues_as_new(self) -> bool:
        answer = json.loads(self.out["value"]) if "value" in self.out else {}
        return bool(answer.get("isDone")) and any(action["actionType"] == 4 for action in answer["actions"][0])


@dataclass
class Checkpoint:
    """What one work item of an instance stored: messages sent, history rows, and the columns of its status row."""

    sent: list[TaskMessage] = field(default_factory=list)
    events: list[HistoryEvent] = field(default_factory=list)
    execution_id: str = ""
    status: dict[str, Any] | None = None


@dataclass(frozen=True)
class WorkItem:
    """`calls`: one per generation; none when the function is unknown. `history`: what was stored before."""

    instance_id: str
    history: Sequence[HistoryEvent]
    calls: Sequence[Call]
    checkpoint: Checkpoint


class Recording:
    def __init__(self, recordings: RecordingSet, scenario: str) -> None:
        self.recordings = recordings
        self.scenario = scenario
        self._blobs = dict(_all_blobs(recordings.hub(scenario)))
        self.received: dict[str, list[TaskMessage]] = {}
        self.checkpoints: dict[str, list[Checkpoint]] = {}
        self._read_requests()
        self.calls = list(recorded_calls(recordings, scenario))

    def work_items(self, instance_id: str) -> Iterator[WorkItem]:
        """In order. An execution's history is the rows written since it began."""
        history: list[HistoryEvent] = []
        execution_id = ""
        calls = iter(self._calls_of(instance_id))
        for checkpoint in self.checkpoints[instance_id]:
            own = list(_until_the_end(calls)) if not instance_id.startswith("@") else list(_one(calls))
            before = _stored_before(own) if own and own[0].kind == "orchestrator" else history
            if checkpoint.execution_id != execution_id:
                history, execution_id = [], checkpoint.execution_id
            yield WorkItem(instance_id, before, own, checkpoint)
            history = [*history, *checkpoint.events]

    def _calls_of(self, instance_id: str) -> list[Call]:
        return [call for call in self.calls if _instance_of(call) == instance_id]

    def _read_requests(self) -> None:
        under_way: dict[str, Checkpoint] = {}
        for request in self.recordings.requests(self.scenario):
            match request["op"]:
                case "put message":
                    self._read_message(request, under_way)
                case "transaction":
                    self._read_transaction(request, under_way)
                case "merge":
                    self._read_status(request)

    def _read_message(self, request: Any, under_way: dict[str, Checkpoint]) -> None:
        data = wire.decode(as_sent(request["message"]))
        if data.blob_name is not None:
            data = wire.decode(self._blobs[data.blob_name])
        message, sender = data.message, data.sender
        assert message is not None
        assert sender is not None
        self.received.setdefault(message.target.instance_id, []).append(message)
        if sender.instance_id and not isinstance(message.event, TaskCompleted | TaskFailed):
            under_way.setdefault(sender.instance_id, Checkpoint()).sent.append(message)

    def _read_transaction(self, request: Any, under_way: dict[str, Checkpoint]) -> None:
        for part in request["rows"]:
            row = write_of(part).row
            key = golden_key(row.partition_key)
            checkpoint = under_way.setdefault(key, Checkpoint())
            if not is_sentinel(row):
                checkpoint.events.append(read_event(self._with_large_columns(row)))
            elif row.properties["IsCheckpointComplete"]:
                checkpoint.execution_id = str(row.properties["ExecutionId"])
                self.checkpoints.setdefault(key, []).append(under_way.pop(key))

    def _with_large_columns(self, row: Row) -> Row:
        columns = dict(row.properties)
        for name in LARGE_COLUMNS:
            blob = columns.pop(f"{name}BlobName", None)
            if blob is not None:
                columns[name] = self._blobs[str(blob)]
        return Row(row.partition_key, row.row_key, columns)

    def _read_status(self, request: Any) -> None:
        if "Instances(" not in request["row"] or "if_match" in request:
            return
        write = write_of(request)
        waiting = [each for each in self.checkpoints.get(golden_key(write.partition_key), []) if each.status is None]
        if waiting and "CustomStatus" in write.columns:
            waiting[0].status = write.columns


def golden_key(partition_key: str) -> str:
    """No recorded instance id has characters that a key escapes."""
    return partition_key


def _all_blobs(hub: Any) -> Iterator[tuple[str, str]]:
    for blobs in hub["blobs"].values():
        for blob in blobs:
            yield blob["name"], blob["content"]


def recorded_calls(recordings: RecordingSet, scenario: str) -> Iterator[Call]:
    for call in recordings.invocations(scenario):
        yield Call(call["kind"], call["name"], call["in"], call.get("out") or call)


def _instance_of(call: Call) -> str | None:
    match call.kind:
        case "orchestrator":
            instance_id: str = call.context["instanceId"]
            return instance_id
        case "entity":
            return f"@{call.context['self']['name']}@{call.context['self']['key']}"
        case _:
            return None


def _until_the_end(calls: Iterator[Call]) -> Iterator[Call]:
    """The calls of one work item: generations follow each other while they continue as new."""
    for call in calls:
        yield call
        if not call.continues_as_new:
            return


def _one(calls: Iterator[Call]) -> Iterator[Call]:
    call = next(calls, None)
    if call is not None:
        yield call


def _stored_before(calls: Sequence[Call]) -> Sequence[HistoryEvent]:
    past, _ = contexts.episode(contexts.history(calls[0].context))
    return past
