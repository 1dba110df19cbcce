"""Python's cumulative action list and the history → the decisions that are new.

A Python orchestrator is run twice in every episode. First the SDK runs the user's function over the whole history; it
returns the list of all that the function has asked for since it began. Then the host, here, plays that list against
the same history, as if it were an orchestrator of its own:

    for action in list:  start it, and wait until it has ended, well or not
    then:                fail, return the output, or wait for ever (because the function waits for something)

The second replay gives every action its number, which becomes the id of the event that records it, and the SDK looks
for results under these numbers: both sides must count alike, oddities included. What the history does not hold when
all events are played is new, and goes out.

Source: durable-extension, Listener/OutOfProcOrchestrationShim.cs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import assert_never

from emulator.dotnet.json_writer import json_text
from emulator.durable.core.decisions import Decision
from emulator.durable.core.events import EventSent, ExecutionStarted, HistoryEvent
from emulator.durable.core.identity import EntityId, FunctionKind, is_entity
from emulator.durable.core.replay import durable_http, retries
from emulator.durable.core.replay.actions import (
    Action,
    Answer,
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
from emulator.durable.core.replay.context import OrchestrationContext
from emulator.durable.core.replay.diagnostics import Diagnostic, nondeterminism_remark, remarks_on
from emulator.durable.core.replay.entity_calls import EntityCalls
from emulator.durable.core.replay.external_events import Happening
from emulator.durable.core.replay.nondeterminism import NonDeterminism, RecordedAction
from emulator.durable.core.replay.retries import RetryOptions
from emulator.durable.core.replay.tasks import Failure, Program, Task, ended_task, run, when_all, when_any
from emulator.instant import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaySettings:
    """`missing`: why there is no function of this kind and name to call; None when there is one."""

    missing: Callable[[FunctionKind, str], str | None] = lambda _kind, _name: None
    default_version: str | None = None
    max_actions: int = 100_000
    reorder_window: timedelta = timedelta(minutes=30)
    http_poll_interval: timedelta = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """`decisions`: the new ones, by id. `played`: how many of the new events were handled, which is fewer than all
    only after a non-determinism. `story`: in this episode, what the function began to wait for and which events came.
    """

    decisions: Sequence[Decision]
    played: int
    story: Sequence[Happening] = ()
    remarks: Sequence[Diagnostic] = ()


def replay(
    past: Sequence[HistoryEvent],
    new: Sequence[HistoryEvent],
    answer: Answer,
    *,
    started: ExecutionStarted,
    settings: ReplaySettings,
    wall_clock: Instant,
) -> Replayed:
    """Play `answer` against the stored events `past` and this episode's events `new`.

    `started` is the event that began the execution. `wall_clock` goes into requests to entities, it decides nothing.
    """
    recorded = {event.event_id: event for event in past if isinstance(event, RecordedAction)}
    program = _Program(answer, started, recorded, settings, wall_clock)
    context = program.context
    played = 0
    try:
        for event in past:
            context.handle(event)
        told = len(context.events.happened)
        for event in new:
            context.handle(event)
            played += 1
        context.conclude()
    except NonDeterminism as difference:
        context.fail(str(difference))
        return Replayed(decisions=context.decisions, played=played, remarks=[nondeterminism_remark(difference)])
    story = context.events.happened[told:]
    return Replayed(
        decisions=context.decisions,
        played=played,
        story=story,
        remarks=[*program.remarks, *remarks_on(context, new, program.unreached, answer, story)],
    )


class _Program:
    """The list as a program on an orchestration context."""

    def __init__(
        self,
        answer: Answer,
        started: ExecutionStarted,
        recorded: Mapping[int, RecordedAction],
        settings: ReplaySettings,
        wall_clock: Instant,
    ) -> None:
        self.remarks: list[Diagnostic] = []
        self.context = OrchestrationContext(lambda: run(self._run()), compares=answer.actions is not None)
        self._answer = answer
        self._started = started
        self._recorded = recorded
        self._settings = settings
        self._wall_clock = wall_clock
        self._steps_begun = 0
        self._actions_invoked = 0
        sent = {number: event for number, event in recorded.items() if isinstance(event, EventSent)}
        self._entity_calls = EntityCalls(started.instance, sent, settings.reorder_window)

    @property
    def unreached(self) -> Sequence[Action]:
        """The actions that the function asked for and the program has not come to."""
        return (self._answer.actions or ())[self._steps_begun :]

    def _run(self) -> Program:
        try:
            return (yield from self._play())
        except Failure as failure:
            message = f"Orchestrator function '{self._started.name}' failed: {failure.message}"
            raise Failure(message, f"Message: {failure.message}, StackTrace: {failure.stack}") from failure

    def _play(self) -> Program:
        for action in self._answer.actions or ():
            self._steps_begun += 1
            yield self._invoke(action)
        if self._answer.raised is not None:
            raise Failure(self._answer.raised.message, stack=self._answer.raised.stack)
        if not self._answer.is_done:
            yield Task()  # never ends
        return self._answer.output

    def _invoke(self, action: Action) -> Task:
        """Begin an action: take its number, and go as far as nothing has to be waited for.

        Raises Failure when it is not possible at all. Once begun, it is the task that fails; the program does not
        mind, since the SDK has already told the function.
        """
        match action:
            case WhenAll():
                return when_all([self._invoke(each) for each in action.actions])
            case WhenAny():
                return when_any([self._invoke(each) for each in action.actions])
        self._count_action()
        match action:
            case CallActivity():
                return self._call_activity(action)
            case CallSubOrchestrator():
                return self._call_sub_orchestrator(action)
            case CreateTimer():
                return self.context.create_timer(action.fire_at, is_canceled=action.is_canceled)
            case WaitForExternalEvent():
                return self.context.events.wait_for_event(action.name)
            case CallEntity():
                return self.context.events.wait_for_answer(self._send_request(action))
            case SignalEntity():
                self._send_request(action)
                return ended_task()
            case CallHttp():
                return run(self._http_exchange(action))
            case ContinueAsNew():
                self.context.continue_as_new(json_text(action.input))
                return ended_task()
            case _:
                assert_never(action)

    # The actions -----------------------------------------------------------------------------------------------

    def _call_activity(self, action: CallActivity) -> Task:
        self._require(FunctionKind.ACTIVITY, action.name)

        def call() -> Task:
            return self.context.schedule_task(action.name, json_text([action.input]))

        return run(self._retrying(action.retry, call)) if action.retry else call()

    def _call_sub_orchestrator(self, action: CallSubOrchestrator) -> Task:
        self._require(FunctionKind.ORCHESTRATOR, action.name)
        explicit_id = action.instance_id if (action.instance_id or "").strip() else None
        self._check_child_id(explicit_id)
        version = self._settings.default_version if action.version is None else action.version

        def call() -> Task:
            child = explicit_id or f"{self._started.instance.execution_id}:{self.context.next_id}"
            return self.context.start_sub_orchestration(action.name, child, json_text(action.input), version)

        return run(self._retrying(action.retry, call)) if action.retry else call()

    def _retrying(self, options: RetryOptions, call: Callable[[], Task]) -> Program:
        first_try = self.context.now
        failure: Failure | None = None
        for attempt in range(options.max_attempts):
            task = call()
            yield task
            failure = task.failure
            if failure is None:
                return task.result
            now = self.context.now
            pause = retries.pause_after(options, attempt, first_try=first_try, now=now)
            if pause is None or not failure.retriable:
                raise failure
            yield self.context.create_timer(now + pause)
        if failure is not None:
            raise failure
        return None

    def _http_exchange(self, action: CallHttp) -> Program:
        request = action
        while True:
            task = self.context.schedule_task(durable_http.HTTP_ACTIVITY, durable_http.activity_input(request))
            yield task
            if task.failure is not None:
                raise task.failure
            poll = durable_http.next_poll(request, task.result, self._settings.http_poll_interval)
            if poll is None:
                return task.result
            pause, request = poll
            yield self.context.create_timer(self.context.now + pause)

    def _send_request(self, action: CallEntity | SignalEntity) -> str:
        """Send it and return its id, which is also the name of the event that answers it."""
        entity = EntityId.parse(action.instance_id)
        if entity is None:
            raise Failure(f"'{action.instance_id}' is not the id of an entity (@name@key).")
        self._require(FunctionKind.ENTITY, entity.name)
        context = self.context
        request = self._entity_calls.send(action, context.next_id, now=context.now, wall_clock=self._wall_clock)
        context.send_event(action.instance_id, request)
        return request.id

    # What is not possible at all -------------------------------------------------------------------------------

    def _require(self, kind: FunctionKind, name: str) -> None:
        """In .NET the failure of an unknown name stays inside the task: nothing is sent and the instance is Running
        for ever. What the history has recorded was known once, and is on its way.
        """
        missing = self._settings.missing(kind, name)
        if missing is not None and self.context.next_id not in self._recorded:
            self.remarks.append(Diagnostic("error", f"{missing} On Azure the instance would stay Running for ever."))
            raise Failure(missing)

    def _check_child_id(self, instance_id: str | None) -> None:
        parent = self._started.parent
        if instance_id is None:
            return
        if is_entity(instance_id):
            raise Failure(f"The instance ID '{instance_id}' of a sub-orchestration must not start with @.")
        if instance_id in (self._started.instance.instance_id, parent and parent.instance.instance_id):
            raise Failure(
                "The instance ID of a sub-orchestration must be different than the instance ID of a parent "
                "orchestration."
            )

    def _count_action(self) -> None:
        self._actions_invoked += 1
        limit = self._settings.max_actions
        if self._actions_invoked > limit:
            raise Failure(
                f"Maximum amount of orchestration actions ({limit}) has been reached. "
                "This value can be configured in host.json file as MaxOrchestrationActions."
            )
