"""Replay of action lists: ids, waits, ends, errors. Recorded episodes are in test_examples."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from datetime import timedelta

import pytest

from emulator.durable.core.decisions import (
    Complete,
    Decision,
    ScheduleTask,
    SendEvent,
    StartNextGeneration,
    StartSubOrchestration,
)
from emulator.durable.core.decisions import CreateTimer as TimerDecision
from emulator.durable.core.entities.messages import Request
from emulator.durable.core.events import (
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    TaskCompleted,
)
from emulator.durable.core.identity import FunctionKind, OrchestrationInstance, ParentInstance, RuntimeStatus
from emulator.durable.core.replay.actions import (
    Action,
    CallActivity,
    CallEntity,
    CallHttp,
    CallSubOrchestrator,
    ContinueAsNew,
    CreateTimer,
    OrchestratorResponse,
    SignalEntity,
    WaitForExternalEvent,
    WhenAll,
    WhenAny,
)
from emulator.durable.core.replay.external_events import EventReceived, WaitStarted
from emulator.durable.core.replay.program import ReplaySettings, replay
from emulator.durable.core.replay.retries import RetryOptions
from emulator.extensions.durable.protocol.orchestrators import cannot_run
from tests.durable.core.episodes import (
    BEGIN,
    Instance,
    broken,
    done,
    failed,
    failed_child,
    finished,
    fired,
    raised,
    started,
    waiting,
)

SECOND = timedelta(seconds=1)
A, B, C = (CallActivity(name, "null") for name in "ABC")


def task(number: int, name: str, input: str = "null") -> ScheduleTask:
    return ScheduleTask(number, name, f'["{input}"]')


def retried(name: str, attempts: int, **options: object) -> CallActivity:
    return CallActivity(name, "null", RetryOptions(first_interval=5 * SECOND, max_attempts=attempts, **options))  # type: ignore[arg-type]


# Order and ids -------------------------------------------------------------------------------------------------


def test_sequential_actions_get_consecutive_ids() -> None:
    instance = Instance()
    assert instance.episode(waiting(A)) == [task(0, "A")]
    assert instance.episode(waiting(A, B), done(0)) == [task(1, "B")]
    assert instance.episode(finished(A, B, output='"end"'), done(1)) == [Complete(2, RuntimeStatus.COMPLETED, '"end"')]


def test_children_of_compound_get_ids_at_once_in_order() -> None:
    nested = WhenAll([A, WhenAny([B, CreateTimer(BEGIN + SECOND)]), C])
    assert Instance().episode(waiting(nested)) == [
        task(0, "A"),
        task(1, "B"),
        TimerDecision(2, BEGIN + SECOND),
        task(3, "C"),
    ]


def test_wait_for_event_takes_no_id() -> None:
    actions = (WhenAny([WaitForExternalEvent("go"), A]), B)
    instance = Instance()
    assert instance.episode(waiting(actions[0])) == [task(0, "A")]
    assert instance.episode(waiting(*actions), raised("go")) == [task(1, "B")]


def test_empty_compound_does_not_delay_next_action() -> None:
    assert Instance().episode(waiting(WhenAll([]), A)) == [task(0, "A")]


def test_when_any_ends_with_a_failure() -> None:
    instance = Instance()
    instance.episode(waiting(WhenAny([A, B])))
    assert instance.episode(waiting(WhenAny([A, B]), C), failed(1)) == [task(2, "C")]


def test_when_all_waits_for_all_tasks_after_a_failure() -> None:
    instance, both = Instance(), WhenAll([A, B])
    instance.episode(waiting(both))
    assert instance.episode(waiting(both, C), failed(0)) == []
    assert "waits until the other 1 running tasks have ended" in instance.diagnostics[0]
    assert instance.episode(waiting(both, C), done(1)) == [task(2, "C")]


def test_failed_task_beside_call_with_retry_is_a_warning() -> None:
    instance, both = Instance(), WhenAll([A, retried("B", 3)])
    instance.episode(waiting(both))
    instance.episode(waiting(both, C), failed(0))
    assert "defect of the Durable Functions protocol" in instance.diagnostics[1]


def test_cancelled_timer_is_recorded_and_does_not_keep_execution_open() -> None:
    timer = CreateTimer(BEGIN + SECOND, is_canceled=True)
    assert Instance().episode(finished(WhenAny([WaitForExternalEvent("go"), timer]))) == [
        TimerDecision(0, BEGIN + SECOND),
        Complete(1, RuntimeStatus.COMPLETED, None),
    ]


# Ends ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [finished, broken], ids=["returns", "raises"])
def test_execution_does_not_end_while_a_task_is_open(answer: object) -> None:
    instance, race = Instance(), WhenAny([A, B])
    instance.episode(waiting(race))
    assert instance.episode(answer(race), done(0)) == []  # type: ignore[operator]
    assert instance.status is RuntimeStatus.RUNNING
    [end] = instance.episode(answer(race), done(1))  # type: ignore[operator]
    assert isinstance(end, Complete)


def test_failure_has_text_for_user_and_details_for_parent() -> None:
    assert Instance().episode(broken(error="bad input")) == [
        Complete(
            0,
            RuntimeStatus.FAILED,
            "Orchestrator function 'flow' failed: bad input",
            "Message: bad input, StackTrace: the stack",
        )
    ]


def test_continue_as_new_carries_later_events_of_the_batch() -> None:
    instance = Instance()
    answer = finished(WaitForExternalEvent("tick"), ContinueAsNew("2"))
    instance.episode(waiting(WaitForExternalEvent("tick")))
    [end] = instance.episode(answer, raised("tick", "0"), raised("tick", "1"), raised("tock", "2"))
    assert isinstance(end, StartNextGeneration)
    assert (end.id, end.input) == (0, '"2"')
    assert [(event.name, event.input) for event in end.carried] == [("tick", "1"), ("tock", "2")]


def test_events_lost_at_continue_as_new_are_a_warning() -> None:
    instance = Instance()
    instance.episode(waiting(A), raised("early"))
    instance.episode(finished(A, ContinueAsNew("2")), done(0))
    assert instance.diagnostics == [
        "Events that no task waited for are lost because the function continues as new: 'early'."
    ]


# Suspend, resume, terminate ------------------------------------------------------------------------------------

SUSPEND = ExecutionSuspended(timestamp=BEGIN, reason="wait")
RESUME = ExecutionResumed(timestamp=BEGIN, reason="go on")
TERMINATE = ExecutionTerminated(timestamp=BEGIN, input="enough")


def test_nothing_is_sent_while_suspended() -> None:
    instance = Instance()
    instance.episode(waiting(A))
    assert instance.episode(waiting(A, B), SUSPEND, done(0)) == []
    assert instance.status.wire_name == "Suspended"
    assert instance.episode(waiting(A, B), RESUME) == [task(1, "B")]
    assert instance.status is RuntimeStatus.RUNNING


def test_decisions_before_suspension_are_sent_after_resume() -> None:
    instance = Instance()
    instance.episode(waiting(A))
    assert instance.episode(waiting(A, B), done(0), SUSPEND) == []
    assert instance.episode(waiting(A, B), SUSPEND) == []
    assert instance.episode(waiting(A, B), RESUME) == [task(1, "B")]


def test_suspended_instance_can_be_terminated() -> None:
    instance = Instance()
    instance.episode(waiting(A))
    instance.episode(waiting(A), SUSPEND)
    assert instance.episode(waiting(A), TERMINATE) == [Complete(1, RuntimeStatus.TERMINATED, "enough")]


def test_termination_wins_over_continue_as_new() -> None:
    instance = Instance()
    instance.episode(waiting(A))
    ends = instance.episode(finished(A, ContinueAsNew("1")), TERMINATE, done(0))
    assert ends == [Complete(1, RuntimeStatus.TERMINATED, "enough")]


def test_nothing_is_decided_behind_a_termination() -> None:
    """A result that arrives in the same episode does not let the function continue."""
    instance = Instance()
    instance.episode(waiting(A))
    assert instance.episode(waiting(A, B), TERMINATE, done(0)) == [Complete(1, RuntimeStatus.TERMINATED, "enough")]


def test_termination_wins_over_failure() -> None:
    assert Instance().episode(broken(), TERMINATE) == [Complete(0, RuntimeStatus.TERMINATED, "enough")]


# Retries -------------------------------------------------------------------------------------------------------


def test_every_attempt_and_every_retry_timer_takes_an_id() -> None:
    instance, call = Instance(), retried("A", 2)
    assert instance.episode(waiting(call)) == [task(0, "A")]
    assert instance.episode(waiting(call), failed(0)) == [TimerDecision(1, BEGIN + 6 * SECOND)]
    assert instance.episode(waiting(call), fired(1)) == [task(2, "A")]
    # .NET records a useless timer after the last failure, and the SDK counts its id.
    [useless] = instance.episode(waiting(call), failed(2))
    assert isinstance(useless, TimerDecision)
    assert instance.episode(broken(call), fired(3))[0].id == 4


def test_zero_attempts_give_null() -> None:
    assert Instance().episode(waiting(retried("A", 0), B)) == [task(0, "B")]


def test_derived_child_id_is_new_for_every_attempt() -> None:
    instance = Instance()
    call = CallSubOrchestrator("child", "null", retry=RetryOptions(first_interval=SECOND, max_attempts=2))
    [first] = instance.episode(waiting(call))
    instance.episode(waiting(call), failed_child(0))
    [second] = instance.episode(waiting(call), fired(1))
    assert isinstance(first, StartSubOrchestration)
    assert isinstance(second, StartSubOrchestration)
    assert (first.instance_id, second.instance_id) == ("e1:0", "e1:2")


# Sub-orchestrations --------------------------------------------------------------------------------------------


def test_child_id_is_derived_from_execution_and_action_id() -> None:
    [_, child] = Instance().episode(waiting(WhenAll([A, CallSubOrchestrator("child", '{"k": 1}')])))
    assert child == StartSubOrchestration(1, "child", "e1:1", '"{\\"k\\": 1}"', None)


def test_child_has_own_version_or_default_version() -> None:
    children = [CallSubOrchestrator("child", "1"), CallSubOrchestrator("child", "1", version="2.0")]
    instance = Instance(settings=ReplaySettings(default_version="1.5"))
    assert [child.version for child in instance.episode(waiting(WhenAll(children)))] == ["1.5", "2.0"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("child_id", "why"),
    [
        ("i1", "must be different than the instance ID of a parent orchestration"),
        ("p1", "must be different than the instance ID of a parent orchestration"),
        ("@counter@k", "must not start with @"),
        ("child\ud800", "The instance ID 'child\\ud800' of a sub-orchestration has half of a surrogate pair"),
        ("c" * 513, "of a sub-orchestration is too long: it needs 513 characters in a key of a table"),
        ("/" * 257, "of a sub-orchestration is too long: it needs 514 characters in a key of a table"),
    ],
)
def test_invalid_child_id_fails_orchestration(child_id: str, why: str) -> None:
    parent = ParentInstance("parent", OrchestrationInstance("p1", "x"), 0)
    instance = Instance(start=started(parent=parent))
    instance.episode(waiting(CallSubOrchestrator("child", "1", child_id)))
    assert instance.status is RuntimeStatus.FAILED
    assert why in instance.result


# Events --------------------------------------------------------------------------------------------------------


def test_early_event_is_buffered_for_later_wait() -> None:
    instance = Instance()
    instance.episode(waiting(A), raised("go"))
    assert instance.episode(waiting(A, WaitForExternalEvent("go"), B), done(0)) == [task(1, "B")]


def test_event_name_in_other_letter_case_is_a_warning() -> None:
    instance, wait = Instance(), WaitForExternalEvent("Approval")
    instance.episode(waiting(wait))
    instance.episode(waiting(wait), raised("approval"))
    assert instance.diagnostics[0].startswith(
        "The event 'approval' matches a wait for 'Approval' except for its letter case."
    )


def test_second_early_event_of_a_name_is_a_warning() -> None:
    instance = Instance()
    instance.episode(waiting(A), raised("X"))
    assert instance.diagnostics == []
    instance.episode(waiting(A), raised("X"))
    assert "every wait for this name gets the latest" in instance.diagnostics[0]


def test_trace_contains_new_waits_and_events_only() -> None:
    instance, wait = Instance(), WaitForExternalEvent("go")
    instance.episode(waiting(WhenAny([A, wait])))
    assert instance.replayed is not None
    assert instance.replayed.trace == [WaitStarted("WaitForExternalEvent:go")]
    instance.episode(waiting(WhenAny([A, wait])), raised("other"))
    assert [type(entry) for entry in instance.replayed.trace] == [EventReceived]


# Entities ------------------------------------------------------------------------------------------------------


def requests(decisions: Sequence[object]) -> list[Request]:
    return [Request.parse(sent.input or "") for sent in decisions if isinstance(sent, SendEvent)]


def test_requests_to_one_entity_have_increasing_timestamps() -> None:
    signal, call = SignalEntity("@counter@k", "add", "5"), CallEntity("@counter@k", "get", "null")
    first, second = requests(Instance().episode(waiting(signal, call)))
    assert (first.is_signal, second.is_signal) == (True, False)
    assert second.predecessor == first.timestamp < second.timestamp
    assert (first.input, first.parent, first.parent_execution) == ('"5"', "i1", "e1")


def test_entity_call_ends_with_event_named_after_request() -> None:
    call, instance = CallEntity("@counter@k", "get", "null"), Instance()
    [request] = requests(instance.episode(waiting(call)))
    assert instance.episode(waiting(call, A), raised(request.id, '{"result":"5"}')) == [task(1, "A")]


def test_response_matches_although_cancelled_timer_changed_clock() -> None:
    """The later replay reaches the call with the clock of the first episode, which would give another request id."""
    wait, call = WaitForExternalEvent("go"), CallEntity("@counter@k", "get", "null")
    timer, canceled = (WhenAny([wait, CreateTimer(BEGIN + SECOND, is_canceled=flag)]) for flag in (False, True))
    instance = Instance()
    instance.episode(waiting(timer))
    [request] = requests(instance.episode(waiting(canceled, call), raised("go")))
    assert instance.episode(waiting(canceled, call, A), raised(request.id, '{"result":"5"}')) == [task(2, "A")]


def test_event_name_of_delayed_signal_contains_delivery_time() -> None:
    soon, late = BEGIN + timedelta(minutes=5), BEGIN + timedelta(days=10)
    signals = [SignalEntity("@counter@k", "ping", None, due) for due in (soon, late)]
    names = [sent.name for sent in Instance().episode(waiting(*signals)) if isinstance(sent, SendEvent)]
    # A queue hides a message for at most seven days. Longer delays are sent in pieces of three days.
    assert names == ["op@2026-03-01T09:05:00.0000000Z", "op@2026-03-04T09:00:00.0000000Z"]


# HTTP ----------------------------------------------------------------------------------------------------------

ACCEPTED = '{"statusCode":202,"headers":{"Location":"/jobs/1","Retry-After":"7"},"content":""}'


def test_202_is_the_result_without_polling() -> None:
    instance, call = Instance(), CallHttp(method="POST", uri="https://host.test/jobs")
    instance.episode(waiting(call))
    assert instance.episode(waiting(call, A), done(0, ACCEPTED)) == [task(1, "A")]


def test_polling_waits_for_retry_after_and_follows_location() -> None:
    headers = {"X-Test": "1", "x-functions-key": "secret"}
    call = CallHttp(method="POST", uri="https://host.test/jobs", content="{}", headers=headers, polls=True)
    instance = Instance()
    instance.episode(waiting(call))
    assert instance.episode(waiting(call), done(0, ACCEPTED)) == [TimerDecision(1, BEGIN + 8 * SECOND)]
    [poll] = instance.episode(waiting(call), fired(1, BEGIN + 8 * SECOND))
    assert isinstance(poll, ScheduleTask)
    assert '"method":"GET","uri":"https://host.test/jobs/1","headers":{"X-Test":"1"}' in (poll.input or "")
    assert instance.episode(waiting(call, A), done(2, '{"statusCode":200,"headers":{},"content":""}')) == [task(3, "A")]


@pytest.mark.parametrize(
    ("headers", "then"),
    [
        ('{"Location":"/jobs/1","Retry-After":"99999999999999999999"}', [TimerDecision(1, BEGIN + 31 * SECOND)]),
        (
            '{"Location":"/jobs/1","Retry-After":"Fri, 31 Dec 1999 23:59:59 GMT"}',
            [TimerDecision(1, BEGIN + 31 * SECOND)],
        ),
        ('{"Location":"http://[no-address"}', [task(1, "A")]),
        ('{"Retry-After":"7"}', [task(1, "A")]),
    ],
)
def test_202_with_unusable_headers(headers: str, then: list[Decision]) -> None:
    instance, call = Instance(), CallHttp(method="GET", uri="https://host.test/jobs", polls=True)
    instance.episode(waiting(call))
    answered = done(0, f'{{"statusCode":202,"headers":{headers},"content":""}}')
    assert instance.episode(waiting(call, A), answered) == then


# Errors --------------------------------------------------------------------------------------------------------


def missing(kind: FunctionKind, name: str) -> str | None:
    return None if name == "A" else f"no {kind.value} {name}"


@pytest.mark.parametrize(
    ("action", "why"),
    [
        (B, "no activity B"),
        (retried("B", 3), "no activity B"),
        (WhenAll([A, B]), "no activity B"),
        (CallSubOrchestrator("child", "1"), "no orchestrator child"),
        (SignalEntity("@counter@k", "add", "1"), "no entity counter"),
        (CallEntity("counter", "get", "1"), "'counter' is not the id of an entity (@name@key)."),
    ],
)
def test_unknown_function_fails_orchestration(action: Action, why: str) -> None:
    instance = Instance(settings=ReplaySettings(missing=missing))
    instance.episode(waiting(action))
    if instance.status is RuntimeStatus.RUNNING:
        instance.episode(waiting(action), done(0))
    assert instance.result == f"Orchestrator function 'flow' failed: {why}"


@pytest.mark.parametrize(
    ("key", "why"),
    [("\ud800", "'@e@\\ud800' has half of a surrogate pair"), ("k" * 510, "needs 513 characters in a key")],
)
@pytest.mark.parametrize("action", [SignalEntity, CallEntity])
def test_entity_key_that_cannot_be_stored_fails_orchestration(
    action: type[SignalEntity | CallEntity], key: str, why: str
) -> None:
    instance = Instance()
    instance.episode(waiting(action(f"@e@{key}", "op", "1")))
    assert instance.status is RuntimeStatus.FAILED
    assert why in instance.result


def test_recorded_action_of_a_removed_function_is_accepted() -> None:
    instance = Instance()
    instance.episode(waiting(B))
    instance.settings = ReplaySettings(missing=missing)
    assert instance.episode(waiting(B, A), done(0)) == [task(1, "A")]


def test_too_many_actions_fail_orchestration() -> None:
    instance = Instance(settings=ReplaySettings(max_actions=2))
    instance.episode(waiting(WaitForExternalEvent("x")))
    instance.episode(waiting(*[WaitForExternalEvent("x")] * 3), raised("x"), raised("x"))
    assert instance.result == (
        "Orchestrator function 'flow' failed: Maximum amount of orchestration actions (2) has been reached. "
        "This value can be configured in host.json file as MaxOrchestrationActions."
    )


def test_non_determinism_fails_instance_and_records_new_action() -> None:
    instance = Instance()
    instance.episode(waiting(A))
    [new, end] = instance.episode(waiting(B), done(0))
    assert new == task(0, "B")
    assert end.id == 1
    assert instance.result == (
        "Non-Deterministic workflow detected: A previous execution of this orchestration scheduled an activity task "
        "with sequence number 0 named 'A', but the current orchestration replay instead scheduled an activity task "
        "named 'B' with this sequence number.  Was a change made to the orchestrator code after this instance had "
        "already started running?"
    )
    assert instance.state is not None
    [arrived] = [event for event in instance.state.new if isinstance(event, TaskCompleted)]
    assert not arrived.is_played


@pytest.mark.parametrize(
    "first", [A, CallSubOrchestrator("A", "1"), CreateTimer(BEGIN), SignalEntity("@e@k", "op", "1")]
)
@pytest.mark.parametrize(
    "then",
    [[], [B], [CallSubOrchestrator("B", "1")], [CreateTimer(BEGIN, is_canceled=True)], [CallEntity("@e@k", "op", "1")]],
)
def test_different_or_missing_action_is_non_deterministic(first: Action, then: list[Action]) -> None:
    same_kind = bool(then) and {type(first), type(then[0])} in ({CreateTimer}, {SignalEntity, CallEntity})
    instance = Instance()
    instance.episode(waiting(first))
    instance.episode(waiting(*then), raised("wake up"))
    if same_kind:  # Fire times and targets are not compared.
        assert instance.status is RuntimeStatus.RUNNING
    else:
        assert instance.result.startswith("Non-Deterministic workflow detected: A previous execution of this")


def test_response_without_actions_is_not_compared_with_history() -> None:
    instance = Instance()
    instance.episode(waiting(A))
    [end] = instance.episode(cannot_run("the file is gone"), done(0))
    assert end.id == 1
    assert instance.result == "Orchestrator function 'flow' failed: the file is gone"


@pytest.mark.parametrize("is_done", [True, False])
def test_the_input_is_free_after_the_replay_without_a_garbage_collection(is_done: bool) -> None:
    started = ExecutionStarted(timestamp=BEGIN, instance=OrchestrationInstance("i", "e"), name="f", input="1")
    response = OrchestratorResponse(actions=[WaitForExternalEvent("go")], is_done=is_done, output="1")
    references = sys.getrefcount(started), sys.getrefcount(response)
    gc.disable()
    try:
        replay([], [started], response, started=started, settings=ReplaySettings())
        assert (sys.getrefcount(started), sys.getrefcount(response)) == references
    finally:
        gc.enable()
