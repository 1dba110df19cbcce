"""Every work item of every recording, once more through our engine.

Given are the stored history, the messages and what the function answered. The text that the function is given, the new
history rows, the messages sent and the status must be those of the real stack. Where an id or a time is made anew, the
same recorded one must always meet the same one of ours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import reduce
from typing import Any

import pytest

from emulator.clock import SystemClock
from emulator.durable.azurestorage.tracking.rows import StoredEvent, checkpoint_columns, parent_id_of
from emulator.durable.core.episode import EpisodeOutcome
from emulator.durable.core.events import (
    EventRaised,
    ExecutionStarted,
    HistoryEvent,
    OrchestratorStarted,
    TimerFired,
)
from emulator.durable.core.identity import FunctionKind, OrchestrationInstance, is_entity
from emulator.durable.core.messages import TaskMessage
from emulator.durable.core.status import status_after
from emulator.durable.engine.entities import EntityRunner
from emulator.durable.engine.orchestrations import OrchestrationRunner
from emulator.durable.engine.services import EngineServices
from emulator.durable.engine.work_log import WorkLog
from emulator.durable.hub import OrchestrationWorkItem
from emulator.durable.options import DurableTaskOptions
from emulator.durable.tracing.hub_log import HubLog
from emulator.durable.tracing.lifecycle import LifecycleLog
from emulator.extensions.durable.executor import FunctionsExecutor
from emulator.extensions.durable.functions import DurableFunctions
from emulator.extensions.durable.protocol.history import event_pieces
from emulator.host.port import TriggerEvent
from emulator.instant import Instant
from emulator.worker.port import Datum, FunctionFailed, Returned
from tests.durable.core import contexts
from tests.durable.engine.recordings import Call, Recording, WorkItem, recorded_calls
from tests.recordings import GOLDEN, GOLDEN_3_19, RecordingSet
from tests.recordings import SCENARIOS as RECORDED

# Nothing is left out but these, for these reasons.
DEPARTURES = {
    # docs/protocol/durable-orchestration.md 4.5.
    "fails_while_retrying": "calls unknown activities: the real instance hangs, azemu fails it",
    "purge": "its large texts were deleted before the hub was dumped; big_activity is the same orchestration",
}
# In 3.19.0 an output that cannot be serialized fails with the text of a non-determinism; azemu keeps the real error.
SCENARIOS = [
    (recordings, scenario)
    for recordings, scenario in RECORDED
    if scenario not in DEPARTURES and (recordings, scenario) != (GOLDEN_3_19, "not_serializable")
]

KINDS = {"orchestrator": FunctionKind.ORCHESTRATOR, "activity": FunctionKind.ACTIVITY, "entity": FunctionKind.ENTITY}


@pytest.mark.parametrize(("recordings", "scenario"), SCENARIOS, ids=str)
async def test_episodes(recordings: RecordingSet, scenario: str) -> None:
    recording = Recording(recordings, scenario)
    stage = Stage(recording)
    for instance_id in recording.checkpoints:
        for item in recording.work_items(instance_id):
            await stage.play(item)
    assert stage.calls_played == sum(call.kind != "activity" for call in recording.calls)


class StoppedClock(SystemClock):
    """Shows the time that it is set to."""

    def __init__(self) -> None:
        self.time = Instant(0)

    def now(self) -> datetime:
        return self.time.datetime


class Stage:
    """Our engine with recorded functions."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._same = Correspondence()
        self._clock = StoppedClock()
        self._calls: Iterator[Call] = iter(())
        functions = DurableFunctions()
        for kind, name in _known_functions():
            functions.add(KINDS[kind], name, self._invoke)
        options = DurableTaskOptions()
        executor = FunctionsExecutor(functions, None, options)  # type: ignore[arg-type]
        services = EngineServices(
            work_log=WorkLog(SystemClock()),
            executor=executor,
            options=options,
            clock=self._clock,
            lifecycle=LifecycleLog(HubLog(hub_name="golden")),
        )
        self._orchestrations = OrchestrationRunner(services)
        self._entities = EntityRunner(services)
        self.calls_played = 0
        self._unread: dict[str, list[TaskMessage]] = {}

    async def play(self, item: WorkItem) -> None:
        self._calls = iter(item.calls)
        self._same.next_work_item()
        work = self._work_item(item)
        processor = self._entities if is_entity(item.instance_id) else self._orchestrations
        outcome = await processor.run(work)
        assert next(self._calls, None) is None, "the function was called less often"
        self._compare(item, outcome)

    # What goes in

    def _work_item(self, item: WorkItem) -> OrchestrationWorkItem:
        if is_entity(item.instance_id):
            messages = self._messages_to_entity(item)
            began = next(event for event in item.checkpoint.events if isinstance(event, OrchestratorStarted))
            self._clock.time = began.timestamp
        else:
            new = _episode(item)
            self._clock.time = new[0].timestamp
            messages = [self._as_received(item, event) for event in new[1:]]
        instance = OrchestrationInstance(item.instance_id, None)
        return OrchestrationWorkItem(instance=instance, history=item.history, messages=messages, handle=None)

    def _as_received(self, item: WorkItem, event: HistoryEvent) -> TaskMessage:
        """The recorded message that brought an event."""
        wanted = replace(event, is_played=False)
        for message in self._recording.received.get(item.instance_id, ()):
            if message.event == wanted:
                return message
        raise AssertionError(f"{wanted} was not sent")

    def _messages_to_entity(self, item: WorkItem) -> Sequence[TaskMessage]:
        """As many of the requests as the recorded batch had."""
        unread = self._unread.setdefault(
            item.instance_id,
            [m for m in self._recording.received[item.instance_id] if isinstance(m.event, EventRaised)],
        )
        taken = [unread.pop(0) for _ in item.calls[0].context["batch"]]
        if item.history:
            return taken
        target = OrchestrationInstance(item.instance_id, "0" * 32)
        start = ExecutionStarted(timestamp=taken[0].event.timestamp, instance=target, name=item.instance_id, version="")
        return [TaskMessage(start, target), *taken]

    # What the function is asked, and answers

    async def _invoke(self, event: TriggerEvent) -> Returned:
        call = next(self._calls)
        self.calls_played += 1
        assert event.value is not None
        self._same.check(_with_late_clock(call.value), event.value.value)
        return _recorded_answer(call)

    # What comes out

    def _compare(self, item: WorkItem, outcome: EpisodeOutcome) -> None:
        recorded = item.checkpoint
        assert len(outcome.new_events) == len(recorded.events)
        for theirs, ours in zip(recorded.events, outcome.new_events, strict=True):
            self._same.check(_stored(theirs), _stored(ours))
        sent = [*outcome.activities, *outcome.control, *outcome.timers]
        assert len(sent) == len(recorded.sent)
        for their_message, our_message in zip(_in_order(recorded.sent), _in_order(sent), strict=True):
            self._same.check(_sent(their_message), _sent(our_message))
        assert recorded.status is not None
        assert (outcome.custom_status or "null") == recorded.status["CustomStatus"]
        if "RuntimeStatus" in recorded.status:
            past = item.history if outcome.past_count else ()
            status = reduce(status_after, [*past, *outcome.new_events], None)
            assert status is not None
            assert status.wire_name == recorded.status["RuntimeStatus"]
        if self._recording.recordings is GOLDEN_3_19:
            self._compare_row(item, outcome, recorded.status)

    def _compare_row(self, item: WorkItem, outcome: EpisodeOutcome, recorded: dict[str, Any]) -> None:
        """The status row has the recorded columns in their places, and the parent of a sub-orchestration."""
        events = [*(item.history if outcome.past_count else ()), *outcome.new_events]
        started = next(event for event in events if isinstance(event, ExecutionStarted))
        ours = checkpoint_columns(
            [StoredEvent(event, None) for event in outcome.new_events],
            execution_id=started.instance.execution_id or "",
            parent_id=parent_id_of(started),
            status=reduce(status_after, events, None),
            hub="",
            now=Instant(0),
            custom_status=outcome.custom_status,
        )
        assert list(ours) == list(recorded)
        self._same.check(recorded["ParentInstanceId"], str(ours["ParentInstanceId"]))


class Correspondence:
    """Compares texts. What was made anew may differ, but one of theirs always stands for the same one of ours: an id
    in the whole recording, a time within its work item.
    """

    ID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")
    TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)?")

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}
        self._times: dict[str, str] = {}

    def next_work_item(self) -> None:
        self._times = {}

    def check(self, theirs: str, ours: str) -> None:
        assert self.masked(ours) == self.masked(theirs)
        for their_id, our_id in zip(self.ID.findall(theirs), self.ID.findall(ours), strict=True):
            assert our_id == their_id or self._ids.setdefault(their_id, our_id) == our_id, their_id
        for their_time, our_time in zip(self.TIME.findall(theirs), self.TIME.findall(ours), strict=True):
            # Requests to entities have the time at which the history ends, so that a repeated episode sends the same
            # ones; .NET takes the time of the episode (docs/compatibility.md).
            assert our_time == their_time or our_time <= self._times.setdefault(their_time, our_time), their_time

    @classmethod
    def masked(cls, text: str) -> str:
        return cls.TIME.sub("*", cls.ID.sub("*", text))


def _known_functions() -> set[tuple[str, str]]:
    """All functions that any recording has called: the app has them all."""
    names = {(call.kind, call.name) for scenario in GOLDEN.scenarios for call in recorded_calls(GOLDEN, scenario)}
    return {(kind, "counter" if kind == "entity" else name) for kind, name in names}


def _recorded_answer(call: Call) -> Returned:
    if "value" in call.out:
        return Returned(Datum(call.out["type"], call.out["value"]))
    type_name, _, text = call.out["error"].partition(": ")
    raise FunctionFailed(type_name=type_name, text=text, stack=call.out["stack"])


def _episode(item: WorkItem) -> Sequence[HistoryEvent]:
    """The clock and the messages of the work item."""
    if item.calls:
        _, new = contexts.episode(contexts.history(item.calls[0].context))
        return new
    return [event for event in item.checkpoint.events if event.event_id == -1][:-1]


def _with_late_clock(value: str) -> str:
    """Timers of the real stack fire up to a second early; in ours the episode's clock is never before FireAt."""
    context = json.loads(value)
    if "history" not in context:
        return value
    _, new = contexts.episode(contexts.history(context))
    fired = [event.fire_at for event in new if isinstance(event, TimerFired)]
    for event in reversed(context["history"]):
        if event["EventType"] == 12:
            event["Timestamp"] = max([new[0].timestamp, *fired]).text
            break
    return json.dumps(context, indent=2, ensure_ascii=False)


def _stored(event: HistoryEvent) -> str:
    return _comparable("".join(event_pieces(event)))


def _sent(message: TaskMessage) -> str:
    target = message.target
    event = "".join(event_pieces(message.event))
    return _comparable(f"{target.instance_id} {target.execution_id} {message.context_tags} {event}")


def _comparable(text: str) -> str:
    """Remove the parts of a failure text that differ on purpose.

    The extension gives a parent the .NET stack of a failed child, azemu the Python traceback
    (docs/protocol/durable-orchestration.md chapter 18, row 19). The order of the names in a message about an unknown
    function is unspecified.
    """
    return re.sub(r"StackTrace: .*|the known \w+ functions: .*", "", text)


def _in_order(messages: Sequence[TaskMessage]) -> Sequence[TaskMessage]:
    """.NET puts the messages of a checkpoint side by side, so that their order in the queues means nothing."""
    return sorted(messages, key=lambda message: Correspondence.masked(_sent(message)))


def test_departures_are_recorded() -> None:
    assert set(DEPARTURES) < set(GOLDEN.scenarios)
