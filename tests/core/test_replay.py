"""From the function's action list to decisions: numbering, waiting, ends. Whole episodes are in test_examples."""

from __future__ import annotations

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
from emulator.durable.core.events import ExecutionResumed, ExecutionSuspended, ExecutionTerminated
from emulator.durable.core.identity import FunctionKind, OrchestrationInstance, ParentInstance, RuntimeStatus
from emulator.durable.core.replay.actions import (
    Action,
    CallActivity,
    CallEntity,
    CallHttp,
    CallSubOrchestrator,
    ContinueAsNew,
    CreateTimer,
    SignalEntity,
    WaitForExternalEvent,
    WhenAll,
    WhenAny,
)
from emulator.durable.core.replay.external_events import EventReceived, WaitStarted
from emulator.durable.core.replay.program import ReplaySettings
from emulator.durable.core.replay.retries import RetryOptions
from emulator.extensions.durable.protocol.orchestrators import cannot_run
from tests.core.episodes import (
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


# Order and numbers ---------------------------------------------------------------------------------------------


def test_one_action_after_the_other() -> None:
    instance = Instance()
    assert instance.episode(waiting(A)) == [task(0, "A")]
    assert instance.episode(waiting(A, B), done(0)) == [task(1, "B")]
    assert instance.episode(finished(A, B, output='"end"'), done(1)) == [Complete(2, RuntimeStatus.COMPLETED, '"end"')]


def test_all_of_a_compound_are_numbered_at_once_in_their_order() -> None:
    nested = WhenAll([A, WhenAny([B, CreateTimer(BEGIN + SECOND)]), C])
    assert Instance().episode(waiting(nested)) == [
        task(0, "A"),
        task(1, "B"),
        TimerDecision(2, BEGIN + SECOND),
        task(3, "C"),
    ]


def test_waiting_for_an_event_takes_no_number() -> None:
    actions = (WhenAny([WaitForExternalEvent("go"), A]), B)
    instance = Instance()
    assert instance.episode(waiting(actions[0])) == [task(0, "A")]
    assert instance.episode(waiting(*actions), raised("go")) == [task(1, "B")]


def test_a_compound_of_nothing_new_does_not_hold_up_the_next_action() -> None:
    assert Instance().episode(waiting(WhenAll([]), A)) == [task(0, "A")]


def test_when_any_goes_on_with_a_failure() -> None:
    instance = Instance()
    instance.episode(waiting(WhenAny([A, B])))
    assert instance.episode(waiting(WhenAny([A, B]), C), failed(1)) == [task(2, "C")]


def test_when_all_waits_for_every_task_although_one_has_failed() -> None:
    instance, both = Instance(), WhenAll([A, B])
    instance.episode(waiting(both))
    assert instance.episode(waiting(both, C), failed(0)) == []
    assert "waits until the other 1 running tasks have ended" in instance.remarks[0]
    assert instance.episode(waiting(both, C), done(1)) == [task(2, "C")]


def test_a_retried_sibling_of_a_failed_task_is_warned_of() -> None:
    instance, both = Instance(), WhenAll([A, retried("B", 3)])
    instance.episode(waiting(both))
    instance.episode(waiting(both, C), failed(0))
    assert "defect of the Durable Functions protocol" in instance.remarks[1]


def test_a_cancelled_timer_is_recorded_but_not_waited_for() -> None:
    timer = CreateTimer(BEGIN + SECOND, is_canceled=True)
    assert Instance().episode(finished(WhenAny([WaitForExternalEvent("go"), timer]))) == [
        TimerDecision(0, BEGIN + SECOND),
        Complete(1, RuntimeStatus.COMPLETED, None),
    ]


# Ends ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [finished, broken], ids=["returns", "raises"])
def test_nothing_ends_while_a_task_is_running(answer: object) -> None:
    instance, race = Instance(), WhenAny([A, B])
    instance.episode(waiting(race))
    assert instance.episode(answer(race), done(0)) == []  # type: ignore[operator]
    assert instance.status is RuntimeStatus.RUNNING
    [end] = instance.episode(answer(race), done(1))  # type: ignore[operator]
    assert isinstance(end, Complete)


def test_a_failure_tells_the_user_and_the_parent() -> None:
    assert Instance().episode(broken(error="bad input")) == [
        Complete(
            0,
            RuntimeStatus.FAILED,
            "Orchestrator function 'flow' failed: bad input",
            "Message: bad input, StackTrace: the stack",
        )
    ]


def test_continue_as_new_carries_the_events_that_came_too_late() -> None:
    instance = Instance()
    answer = finished(WaitForExternalEvent("tick"), ContinueAsNew("2"))
    instance.episode(waiting(WaitForExternalEvent("tick")))
    [end] = instance.episode(answer, raised("tick", "0"), raised("tick", "1"), raised("tock", "2"))
    assert end == StartNextGeneration(0, '"2"', (raised("tick", "1"), raised("tock", "2")))


def test_events_nobody_waited_for_are_lost_with_a_warning() -> None:
    instance = Instance()
    instance.episode(waiting(A), raised("early"))
    instance.episode(finished(A, ContinueAsNew("2")), done(0))
    assert instance.remarks == ["Events that no task waited for are lost as the function continues as new: 'early'."]


# Suspend, resume, terminate ------------------------------------------------------------------------------------

SUSPEND = ExecutionSuspended(timestamp=BEGIN, reason="wait")
RESUME = ExecutionResumed(timestamp=BEGIN, reason="go on")
TERMINATE = ExecutionTerminated(timestamp=BEGIN, input="enough")


def test_nothing_is_sent_while_suspended() -> None:
    instance = Instance()
    instance.episode(waiting(A))
    assert instance.episode(waiting(A, B), SUSPEND, done(0)) == []
    assert instance.status is RuntimeStatus.SUSPENDED
    assert instance.episode(waiting(A, B), RESUME) == [task(1, "B")]
    assert instance.status is RuntimeStatus.RUNNING


def test_what_was_decided_before_the_suspension_is_sent_after_the_resume() -> None:
    instance = Instance()
    instance.episode(waiting(A))
    assert instance.episode(waiting(A, B), done(0), SUSPEND) == []
    assert instance.episode(waiting(A, B), SUSPEND) == []
    assert instance.episode(waiting(A, B), RESUME) == [task(1, "B")]


def test_a_suspended_instance_can_be_terminated() -> None:
    instance = Instance()
    instance.episode(waiting(A))
    instance.episode(waiting(A), SUSPEND)
    assert instance.episode(waiting(A), TERMINATE) == [Complete(1, RuntimeStatus.TERMINATED, "enough")]


def test_terminating_beats_continuing_as_new() -> None:
    instance = Instance()
    instance.episode(waiting(A))
    ends = instance.episode(finished(A, ContinueAsNew("1")), TERMINATE, done(0))
    assert ends == [Complete(1, RuntimeStatus.TERMINATED, "enough")]


def test_terminating_beats_a_failure() -> None:
    assert Instance().episode(broken(), TERMINATE) == [Complete(0, RuntimeStatus.TERMINATED, "enough")]


# Retries -------------------------------------------------------------------------------------------------------


def test_every_attempt_and_every_pause_takes_a_number() -> None:
    instance, call = Instance(), retried("A", 2)
    assert instance.episode(waiting(call)) == [task(0, "A")]
    assert instance.episode(waiting(call), failed(0)) == [TimerDecision(1, BEGIN + 6 * SECOND)]
    assert instance.episode(waiting(call), fired(1)) == [task(2, "A")]
    # .NET records a useless timer after the last failure, and the SDK counts it.
    [useless] = instance.episode(waiting(call), failed(2))
    assert isinstance(useless, TimerDecision)
    assert instance.episode(broken(call), fired(3))[0].id == 4


def test_no_attempt_at_all() -> None:
    assert Instance().episode(waiting(retried("A", 0), B)) == [task(0, "B")]


def test_a_retried_child_without_id_gets_a_new_one_for_every_attempt() -> None:
    instance = Instance()
    call = CallSubOrchestrator("child", "null", retry=RetryOptions(first_interval=SECOND, max_attempts=2))
    [first] = instance.episode(waiting(call))
    instance.episode(waiting(call), failed_child(0))
    [second] = instance.episode(waiting(call), fired(1))
    assert isinstance(first, StartSubOrchestration)
    assert isinstance(second, StartSubOrchestration)
    assert (first.instance_id, second.instance_id) == ("e1:0", "e1:2")


# Sub-orchestrations --------------------------------------------------------------------------------------------


def test_a_child_is_named_after_the_execution_and_its_number() -> None:
    [_, child] = Instance().episode(waiting(WhenAll([A, CallSubOrchestrator("child", '{"k": 1}')])))
    assert child == StartSubOrchestration(1, "child", "e1:1", '"{\\"k\\": 1}"', None)


def test_a_child_has_the_default_version_unless_it_has_its_own() -> None:
    children = [CallSubOrchestrator("child", "1"), CallSubOrchestrator("child", "1", version="2.0")]
    instance = Instance(settings=ReplaySettings(default_version="1.5"))
    assert [child.version for child in instance.episode(waiting(WhenAll(children)))] == ["1.5", "2.0"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("child_id", "why"),
    [
        ("i1", "must be different than the instance ID of a parent orchestration"),
        ("p1", "must be different than the instance ID of a parent orchestration"),
        ("@counter@k", "must not start with @"),
    ],
)
def test_a_child_id_that_cannot_be_fails_the_orchestration(child_id: str, why: str) -> None:
    parent = ParentInstance("parent", OrchestrationInstance("p1", "x"), 0)
    instance = Instance(start=started(parent=parent))
    instance.episode(waiting(CallSubOrchestrator("child", "1", child_id)))
    assert instance.status is RuntimeStatus.FAILED
    assert why in instance.result


# Events --------------------------------------------------------------------------------------------------------


def test_an_early_event_is_kept_for_the_wait_that_comes() -> None:
    instance = Instance()
    instance.episode(waiting(A), raised("go"))
    assert instance.episode(waiting(A, WaitForExternalEvent("go"), B), done(0)) == [task(1, "B")]


def test_names_of_events_compare_without_case_and_the_user_is_told_what_python_does() -> None:
    instance, wait = Instance(), WaitForExternalEvent("Approval")
    instance.episode(waiting(wait))
    instance.episode(waiting(wait), raised("approval"))
    assert instance.remarks[0].startswith(
        "The event 'approval' matches a wait for 'Approval' except for its letter case."
    )


def test_a_second_early_event_of_a_name_is_warned_of() -> None:
    instance = Instance()
    instance.episode(waiting(A), raised("X"))
    assert instance.remarks == []
    instance.episode(waiting(A), raised("X"))
    assert "every wait for it gets the latest" in instance.remarks[0]


def test_new_waits_are_reported_once() -> None:
    instance, wait = Instance(), WaitForExternalEvent("go")
    instance.episode(waiting(WhenAny([A, wait])))
    assert instance.replayed is not None
    assert instance.replayed.trace == [WaitStarted("WaitForExternalEvent:go")]
    instance.episode(waiting(WhenAny([A, wait])), raised("other"))
    assert [type(each) for each in instance.replayed.trace] == [EventReceived]


# Entities ------------------------------------------------------------------------------------------------------


def requests(decisions: Sequence[object]) -> list[Request]:
    return [Request.parse(sent.input or "") for sent in decisions if isinstance(sent, SendEvent)]


def test_requests_to_one_entity_are_labelled_one_after_the_other() -> None:
    signal, call = SignalEntity("@counter@k", "add", "5"), CallEntity("@counter@k", "get", "null")
    first, second = requests(Instance().episode(waiting(signal, call)))
    assert (first.is_signal, second.is_signal) == (True, False)
    assert second.predecessor == first.timestamp < second.timestamp
    assert (first.input, first.parent, first.parent_execution) == ('"5"', "i1", "e1")


def test_a_call_ends_with_the_event_that_has_its_id() -> None:
    call, instance = CallEntity("@counter@k", "get", "null"), Instance()
    [request] = requests(instance.episode(waiting(call)))
    assert instance.episode(waiting(call, A), raised(request.id, '{"result":"5"}')) == [task(1, "A")]


def test_an_answer_is_recognised_although_a_cancelled_timer_moved_the_clock() -> None:
    """The replay comes to the call at the first episode's time then, and would compute another id."""
    wait, call = WaitForExternalEvent("go"), CallEntity("@counter@k", "get", "null")
    timer, canceled = (WhenAny([wait, CreateTimer(BEGIN + SECOND, is_canceled=flag)]) for flag in (False, True))
    instance = Instance()
    instance.episode(waiting(timer))
    [request] = requests(instance.episode(waiting(canceled, call), raised("go")))
    assert instance.episode(waiting(canceled, call, A), raised(request.id, '{"result":"5"}')) == [task(2, "A")]


def test_a_delayed_signal_names_the_time_of_its_delivery() -> None:
    soon, late = BEGIN + timedelta(minutes=5), BEGIN + timedelta(days=10)
    signals = [SignalEntity("@counter@k", "ping", None, due) for due in (soon, late)]
    names = [sent.name for sent in Instance().episode(waiting(*signals)) if isinstance(sent, SendEvent)]
    # A queue hides a message for a week at most; what is due later travels in legs of three days.
    assert names == ["op@2026-03-01T09:05:00.0000000Z", "op@2026-03-04T09:00:00.0000000Z"]


# HTTP ----------------------------------------------------------------------------------------------------------

ACCEPTED = '{"statusCode":202,"headers":{"Location":"/jobs/1","Retry-After":"7"},"content":""}'


def test_a_202_is_the_result_unless_the_action_wants_to_poll() -> None:
    instance, call = Instance(), CallHttp(method="POST", uri="https://host.test/jobs")
    instance.episode(waiting(call))
    assert instance.episode(waiting(call, A), done(0, ACCEPTED)) == [task(1, "A")]


def test_polling_waits_as_long_as_the_server_says_and_follows_the_location() -> None:
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
def test_an_answer_that_cannot_be_followed_as_it_says(headers: str, then: list[Decision]) -> None:
    instance, call = Instance(), CallHttp(method="GET", uri="https://host.test/jobs", polls=True)
    instance.episode(waiting(call))
    answered = done(0, f'{{"statusCode":202,"headers":{headers},"content":""}}')
    assert instance.episode(waiting(call, A), answered) == then


# What cannot be ------------------------------------------------------------------------------------------------


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
def test_an_unknown_function_fails_the_orchestration(action: Action, why: str) -> None:
    instance = Instance(settings=ReplaySettings(missing=missing))
    instance.episode(waiting(action))
    if instance.status is RuntimeStatus.RUNNING:
        instance.episode(waiting(action), done(0))
    assert instance.result == f"Orchestrator function 'flow' failed: {why}"


def test_a_function_that_was_known_when_it_was_called_may_be_gone_afterwards() -> None:
    instance = Instance()
    instance.episode(waiting(B))
    instance.settings = ReplaySettings(missing=missing)
    assert instance.episode(waiting(B, A), done(0)) == [task(1, "A")]


def test_too_many_actions_fail_the_orchestration() -> None:
    instance = Instance(settings=ReplaySettings(max_actions=2))
    instance.episode(waiting(WaitForExternalEvent("x")))
    instance.episode(waiting(*[WaitForExternalEvent("x")] * 3), raised("x"), raised("x"))
    assert instance.result == (
        "Orchestrator function 'flow' failed: Maximum amount of orchestration actions (2) has been reached. "
        "This value can be configured in host.json file as MaxOrchestrationActions."
    )


def test_a_changed_function_fails_and_its_new_wish_is_recorded_all_the_same() -> None:
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
    [arrived] = [event for event in instance.state.new if event == done(0)]
    assert not arrived.is_played


@pytest.mark.parametrize(
    "first", [A, CallSubOrchestrator("A", "1"), CreateTimer(BEGIN), SignalEntity("@e@k", "op", "1")]
)
@pytest.mark.parametrize(
    "then",
    [[], [B], [CallSubOrchestrator("B", "1")], [CreateTimer(BEGIN, is_canceled=True)], [CallEntity("@e@k", "op", "1")]],
)
def test_any_other_kind_of_action_is_noticed(first: Action, then: list[Action]) -> None:
    same_kind = bool(then) and {type(first), type(then[0])} in ({CreateTimer}, {SignalEntity, CallEntity})
    instance = Instance()
    instance.episode(waiting(first))
    instance.episode(waiting(*then), raised("wake up"))
    if same_kind:  # neither fire times nor targets are compared
        assert instance.status is RuntimeStatus.RUNNING
    else:
        assert instance.result.startswith("Non-Deterministic workflow detected: A previous execution of this")


def test_without_an_answer_the_history_is_not_compared() -> None:
    instance = Instance()
    instance.episode(waiting(A))
    [end] = instance.episode(cannot_run("the file is gone"), done(0))
    assert end.id == 1
    assert instance.result == "Orchestrator function 'flow' failed: the file is gone"
