"""Examples of tests/sdk_examples: contexts and responses of the SDK, and the history and messages they lead to."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import reduce
from pathlib import PurePosixPath
from typing import Any

import pytest

from emulator.durable.core.decisions import ScheduleTask
from emulator.durable.core.episode import AppliedDecisions, Outbox, apply_decisions
from emulator.durable.core.events import ExecutionStarted, HistoryEvent
from emulator.durable.core.identity import EntityId
from emulator.durable.core.messages import TaskMessage
from emulator.durable.core.replay.actions import OrchestratorResponse
from emulator.durable.core.replay.program import ReplaySettings, replay
from emulator.durable.core.state import RuntimeState, begin_episode
from emulator.durable.core.status import status_after
from emulator.durable.executor import EntityBatch, EntityOperation, OrchestratorRequest
from emulator.extensions.durable.protocol import entities, orchestrators
from emulator.extensions.durable.protocol.history import event_pieces
from emulator.worker.port import FunctionFailed
from tests.durable.core import contexts
from tests.recordings.profiles import current_context
from tests.sdk_examples import EXAMPLES

POLL_INTERVAL = timedelta(seconds=30)
NEW_GUID = "<new guid N>"


def _folders(pattern: str) -> set[str]:
    return {str(path.parent) for path in map(PurePosixPath, EXAMPLES.contents) if path.match(pattern)}


def _json(scenario: str, number: int, kind: str) -> Any:
    return EXAMPLES.json(f"{scenario}/{number}.{kind}.json")


ORCHESTRATIONS = _folders("*/1.host.json")
OLD_SCHEMAS = _folders("schema_*/1.context.json")
ENTITIES = _folders("entity_*/1.context.json") - ORCHESTRATIONS
EPISODES = sorted(
    (str(path.parent), int(path.name.partition(".")[0]))
    for path in map(PurePosixPath, EXAMPLES.contents)
    if path.match("*/*.host.json")
)
CONTINUED = [
    (scenario, number)
    for scenario, number in EPISODES
    if number > 1 and "nextGeneration" in _json(scenario, number - 1, "host")
]
"""These begin in the work item of the previous generation; the test of responses checks both together."""
RUNNING = [
    (scenario, number)
    for scenario, number in EPISODES
    if _json(scenario, number, "host")["runtimeStatus"] in ("Running", "Suspended")
    and "nextGeneration" not in _json(scenario, number, "host")
]


def test_every_example_folder_is_used() -> None:
    assert _folders("*/*.json") == ORCHESTRATIONS | ENTITIES | OLD_SCHEMAS
    assert len(EPISODES) > 120


# Orchestrations ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scenario", "number"), EPISODES)
def test_context_equals_recorded_text(scenario: str, number: int) -> None:
    """The text for Python is what the extension writes, byte for byte."""
    context = _json(scenario, number, "context")
    state = _recorded_state(contexts.history(context))

    text = orchestrators.context_text(
        OrchestratorRequest(started=state.started, past=state.past, new=state.new),
        http_poll_interval=POLL_INTERVAL,
    )

    assert text == current_context(json.dumps(context, indent=2, ensure_ascii=False))


@pytest.mark.parametrize(("scenario", "number"), sorted(set(EPISODES) - set(CONTINUED)))
def test_messages_begin_the_recorded_episode(scenario: str, number: int) -> None:
    """A stored history and new messages give the history of the context."""
    events = contexts.history(_json(scenario, number, "context"))
    past, (clock, *arrived) = contexts.episode(events)
    recorded = _recorded_state(events)

    state = begin_episode(past, [TaskMessage(event, recorded.instance) for event in arrived], clock.timestamp)

    if (scenario, number) == ("duplicate_completion", 3):
        # The model stores a repeated result; azemu drops it, as a storage layer may.
        # Source: docs/protocol/durable-orchestration.md 12.2.
        assert state is None
    else:
        # The time of the oldest message, where the model has the time at which it processes the messages.
        assert state is not None
        assert state.clock <= clock.timestamp
        assert state == replace(recorded, new=[state.new[0], *recorded.new[1:]], sent_at=state.sent_at)


@pytest.mark.parametrize(("scenario", "number"), EPISODES)
def test_response_gives_recorded_events_messages_and_status(scenario: str, number: int) -> None:
    """The SDK's response gives the events, messages and status that the host stores."""
    expected = _json(scenario, number, "host")
    state = _recorded_state(contexts.history(_json(scenario, number, "context")))
    answer, outbox = _answer(scenario, number), Outbox()

    applied = _apply(state, answer, outbox)

    assert _messages(outbox) == _expected_messages(expected)
    assert answer.custom_status == _compact(expected["customStatus"])
    if applied.continues:
        _check_next_generation(applied.state, scenario, number, expected["nextGeneration"])
    else:
        assert _as_json(applied.state.new) == expected["newHistoryEvents"]
        status = reduce(status_after, [*applied.state.past, *applied.state.new], None)
        assert status is not None
        assert status.wire_name == expected["runtimeStatus"]
        assert "nextGeneration" not in expected


@pytest.mark.parametrize(("scenario", "number"), RUNNING)
def test_replay_of_stored_episode_has_no_new_decisions(scenario: str, number: int) -> None:
    state = _recorded_state(contexts.history(_json(scenario, number, "context")))
    answer = _answer(scenario, number)
    applied = _apply(state, answer, Outbox())
    again = _replay([*state.past, *applied.state.new], [], answer, state.started)

    assert again == []


def _recorded_state(events: Sequence[HistoryEvent]) -> RuntimeState:
    past, new = contexts.episode(events)
    [started] = [event for event in events if isinstance(event, ExecutionStarted)]
    suspensions = [
        type(event).__name__ for event in events if "Suspended" in str(type(event)) or "Resumed" in str(type(event))
    ]
    is_suspended = bool(suspensions) and suspensions[-1] == "ExecutionSuspended"
    return RuntimeState(started=started, past=past, new=list(new), is_suspended=is_suspended)


def _apply(state: RuntimeState, answer: OrchestratorResponse, outbox: Outbox) -> AppliedDecisions:
    now = state.new[0].timestamp
    replayed = replay(state.past, state.new, answer, started=state.started, settings=ReplaySettings())
    return apply_decisions(state, replayed.decisions, outbox, played=replayed.played, now=now)


def _replay(
    past: Sequence[HistoryEvent], new: Sequence[HistoryEvent], answer: OrchestratorResponse, started: ExecutionStarted
) -> Sequence[object]:
    return replay(past, new, answer, started=started, settings=ReplaySettings()).decisions


def _answer(scenario: str, number: int) -> OrchestratorResponse:
    error = f"{scenario}/{number}.error.txt"
    if error not in EXAMPLES.contents:
        return orchestrators.response_of(json.dumps(_json(scenario, number, "result")))
    text = EXAMPLES.text(error)
    labelled = "$OutOfProcData$" in text
    stack = "<.NET stack>" if labelled else "<python stack>\n"
    # The only example without a state part is a failure of the SDK's own JSON decoding.
    return orchestrators.response_in_failure(
        FunctionFailed(type_name="Exception" if labelled else "JSONDecodeError", text=text, stack=stack)
    )


def _check_next_generation(state: RuntimeState, scenario: str, number: int, expected: Any) -> None:
    assert state.started.input == expected["input"]
    carried = [event["Name"] for event in _as_json(state.new) if event["EventType"] == 15]
    assert carried == expected["carriedOver"]
    if (scenario, number + 1) in EPISODES:
        following = _json(scenario, number + 1, "context")["history"]
        assert _masked(_as_json(state.new)) == _masked(following)


def _masked(history: Any) -> Any:
    """Remove times and execution ids: the examples let time pass between two generations, and count execution ids."""
    text = json.dumps(
        [{**event, "Timestamp": event["Timestamp"] if event["EventType"] == 15 else ""} for event in history]
    )
    return re.sub(r'"ExecutionId": "[^"]*"', '"ExecutionId": ""', text)


def _as_json(events: Sequence[HistoryEvent]) -> list[Any]:
    return [_members(event) for event in events]


def _event(message: TaskMessage) -> Any:
    event = _members(message.event)
    if isinstance(message.event, ExecutionStarted):
        event["OrchestrationInstance"]["ExecutionId"] = NEW_GUID
    return event


def _messages(outbox: Outbox) -> list[Any]:
    sent = [("work-items", message) for message in outbox.activities]
    sent += [(f"control ({message.target.instance_id})", message) for message in outbox.control]
    sent += [("control (self)", message) for message in outbox.timers]
    return _sorted({"queue": queue, "Event": _event(message)} for queue, message in sent)


def _expected_messages(expected: Any) -> list[Any]:
    """Return the messages without the seconds for which a timer is hidden: the task hub computes them, not the core."""
    messages = expected["outgoingMessages"]
    return _sorted(
        {name: value for name, value in message.items() if name != "hiddenForSeconds"} for message in messages
    )


def _sorted(messages: Any) -> list[Any]:
    return sorted(messages, key=json.dumps)


def _compact(value: Any) -> str | None:
    return None if value is None else json.dumps(value, separators=(",", ":"), ensure_ascii=False)


# Older schemas -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", sorted(OLD_SCHEMAS))
def test_older_schemas_are_read(scenario: str) -> None:
    state = _recorded_state(contexts.history(_json(scenario, 1, "context")))

    decisions = (
        _replay(state.past, state.new, _answer(scenario, 1), state.started)
        if state.past
        else replay(
            [],
            state.new,
            _answer(scenario, 1),
            started=state.started,
            settings=ReplaySettings(),
        ).decisions
    )

    assert decisions == [ScheduleTask(number, "Square", f'["{number}"]') for number in range(3)]


# Entities ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", sorted(ENTITIES))
def test_entity_batch_and_result_equal_recorded_ones(scenario: str) -> None:
    """The batch has the text that the extension writes, and the SDK's response gives the new state."""
    context, answer = _json(scenario, 1, "context"), _json(scenario, 1, "result")
    entity = EntityId(context["self"]["name"], context["self"]["key"])
    batch = EntityBatch(
        entity=entity,
        exists=context["exists"],
        state=context["state"],
        operations=[
            EntityOperation(item["name"], item["input"], item["isSignal"], item["id"]) for item in context["batch"]
        ],
    )
    assert entities.batch_text(batch) == json.dumps(context, indent=2, ensure_ascii=False)

    result = entities.result_of(json.dumps(answer), batch)

    assert [(outcome.result, outcome.is_error) for outcome in result.results] == [
        (recorded["result"], recorded["isError"]) for recorded in answer["results"]
    ]
    assert (result.exists, result.state) == (answer["entityExists"], answer["entityState"])


def _members(event: HistoryEvent) -> Any:
    return json.loads("".join(event_pieces(event)))
