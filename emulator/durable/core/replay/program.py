"""Replay of a Python orchestrator: turns its cumulative list of actions and the history into the new decisions.

A Python orchestrator is replayed twice in every episode. First the SDK runs the user's function over the whole history
and returns all actions that the function has requested since it began. Then the host, in this module, runs that list
against the same history, as if it were an orchestrator:

    for every action: begin it and wait until it has ended, with a result or a failure
    then:             fail, return the output, or wait forever (the function waits for something)

The second replay gives every action its id, which is the id of the event that records it. The SDK looks for results
under these ids, so both replays must count in the same way, including the exceptions of .NET. Decisions that the
history does not contain after the last event are new: they are recorded and sent.

Source: durable-extension, Listener/OutOfProcOrchestrationShim.cs; docs/protocol/durable-orchestration.md 4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import assert_never

from emulator.dotnet.json_writer import json_text
from emulator.durable.core.decisions import Decision
from emulator.durable.core.events import EventSent, ExecutionStarted, HistoryEvent
from emulator.durable.core.identity import EntityId, FunctionKind, is_entity, storage_problem
from emulator.durable.core.replay import durable_http, retries
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
from emulator.durable.core.replay.context import OrchestrationContext
from emulator.durable.core.replay.diagnostics import Diagnostic, diagnose, nondeterminism_diagnostic
from emulator.durable.core.replay.entity_calls import EntityCalls
from emulator.durable.core.replay.external_events import EventTrace
from emulator.durable.core.replay.nondeterminism import NonDeterminism, RecordedAction
from emulator.durable.core.replay.retries import RetryOptions
from emulator.durable.core.replay.tasks import Failure, Program, Task, ended_task, run, when_all, when_any
from emulator.durable.core.traces import own_trace
from emulator.instant import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaySettings:
    """Settings of the app for a replay.

    `missing`: returns the reason why a function of this kind and name cannot be called, or None if it can.
    `default_version`: version of sub-orchestrations without one. `reorder_window`: of the message sorter.
    `http_poll_interval`: delay between polls after a 202 without a Retry-After.
    """

    missing: Callable[[FunctionKind, str], str | None] = lambda _kind, _name: None
    # The defaults are those of host.json.
    default_version: str | None = None
    max_actions: int = 100_000
    reorder_window: timedelta = timedelta(minutes=30)
    http_poll_interval: timedelta = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """Outcome of a replay. `decisions`: the new ones, in the order of their ids.

    `played`: number of new events that were handled; less than all only after a non-determinism. `trace`: waits that
    began and external events that arrived in this episode.
    """

    decisions: Sequence[Decision]
    played: int
    trace: Sequence[EventTrace] = ()
    diagnostics: Sequence[Diagnostic] = ()


def replay(
    past: Sequence[HistoryEvent],
    new: Sequence[HistoryEvent],
    response: OrchestratorResponse,
    *,
    started: ExecutionStarted,
    settings: ReplaySettings,
    sent_at: Instant | None = None,
) -> Replayed:
    """Replay the actions of `response` over the stored events `past` and this episode's events `new`.

    `started`: the event that began the execution. `sent_at`: time of new requests to entities; None: the time of the
    episode. A non-determinism does not raise: it fails the execution.
    """
    # New events are messages that were received. Only the stored history records actions.
    recorded = {event.event_id: event for event in past if isinstance(event, RecordedAction)}
    program = _ActionProgram(response, started, recorded, settings)
    context = program.context
    played = 0
    try:
        for event in past:
            context.handle(event)
        program.sent_at = sent_at
        # Traces of past events were logged in the episodes in which they were new.
        logged = len(context.events.trace)
        for event in new:
            context.handle(event)
            played += 1
        context.conclude()
        trace = context.events.trace[logged:]
        return Replayed(
            decisions=context.decisions,
            played=played,
            trace=trace,
            diagnostics=[*program.diagnostics, *diagnose(context, new, program.unreached, response, trace)],
        )
    except NonDeterminism as difference:
        # The decisions made so far stay, although some have ids that the history contains: .NET records and sends them
        # too.
        context.fail(str(difference))
        return Replayed(decisions=context.decisions, played=played, diagnostics=[nondeterminism_diagnostic(difference)])
    finally:
        # The program and its context refer to each other. Without this, input and output, which can be large, would
        # stay in memory until the next garbage collection.
        vars(program).clear()


@dataclass(frozen=True, slots=True)
class OpenWait:
    """An action that an orchestration waits for. `number`: the id of the event that records its latest step, if any.

    `steps`: how many events have recorded steps of it so far: the attempts and pauses of a call with a retry policy,
    the polls of an HTTP request. `children`: of a compound action, all of them. `has_ended`: only children may have.
    """

    action: Action
    number: int | None = None
    steps: int = 0
    children: Sequence[OpenWait] = ()
    has_ended: bool = False


def open_wait(
    past: Sequence[HistoryEvent],
    response: OrchestratorResponse,
    *,
    started: ExecutionStarted,
    settings: ReplaySettings,
) -> OpenWait | None:
    """Return the action that an execution with the history `past` waits for; None if there is none.

    `response`: of the function on this history. The execution may have none because it has ended, because the response
    has an error, or because the function waits for something that is not an action. Raises NonDeterminism.
    """
    recorded = {event.event_id: event for event in past if isinstance(event, RecordedAction)}
    program = _ActionProgram(response, started, recorded, settings)
    try:
        for event in past:
            program.context.handle(event)
        return program.waits_for
    finally:
        vars(program).clear()


class _ActionProgram:
    """List of actions that runs as a program on an orchestration context.

    `recorded`: the actions of the history by id. `sent_at`: time of requests to entities; None: the current time.
    """

    def __init__(
        self,
        response: OrchestratorResponse,
        started: ExecutionStarted,
        recorded: Mapping[int, RecordedAction],
        settings: ReplaySettings,
    ) -> None:
        self.diagnostics: list[Diagnostic] = []
        self.sent_at: Instant | None = None
        self.context = OrchestrationContext(lambda: run(self._run()), compares=response.actions is not None)
        self._response = response
        self._started = started
        self._recorded = recorded
        self._settings = settings
        self._steps_begun = 0
        self._actions_invoked = 0
        sent = {number: event for number, event in recorded.items() if isinstance(event, EventSent)}
        self._entity_calls = EntityCalls(started.instance, sent, settings.reorder_window, own_trace(started))
        # The task of each action that has begun, and the ids of its steps. By identity: equal actions may be requested.
        self._tasks: dict[int, Task] = {}
        self._numbers: dict[int, list[int]] = {}

    @property
    def waits_for(self) -> OpenWait | None:
        """The action at which the function waits; None if it waits for none."""
        actions, response = self._response.actions or (), self._response
        current = actions[self._steps_begun - 1] if self._steps_begun else None
        if current is None or id(current) not in self._tasks or response.raised is not None:
            return None
        # The function may wait for an action that has ended here: for an event whose name differs in letter case.
        return None if self._tasks[id(current)].ended and response.is_done else self._open_wait(current)

    def _open_wait(self, action: Action) -> OpenWait:
        numbers = self._numbers.get(id(action), ())
        return OpenWait(
            action,
            number=numbers[-1] if numbers else None,
            steps=len(numbers),
            children=[self._open_wait(child) for child in action.actions]
            if isinstance(action, WhenAll | WhenAny)
            else (),
            has_ended=self._tasks[id(action)].ended,
        )

    def _note_step(self, action: Action) -> None:
        """Note that the next decision is a step of the action."""
        self._numbers.setdefault(id(action), []).append(self.context.next_id)

    @property
    def unreached(self) -> Sequence[Action]:
        """Actions that the function requested and the program has not begun."""
        return (self._response.actions or ())[self._steps_begun :]

    def _run(self) -> Program:
        try:
            return (yield from self._run_actions())
        except Failure as failure:
            message = f"Orchestrator function '{self._started.name}' failed: {failure.message}"
            raise Failure(message, f"Message: {failure.message}, StackTrace: {failure.stack}") from failure

    def _run_actions(self) -> Program:
        for action in self._response.actions or ():
            self._steps_begun += 1
            # A failure of the action is ignored here. The SDK has already reported it to the function, and the actions
            # that follow in the list are those that the function requested after it.
            yield self._invoke(action)
        if self._response.raised is not None:
            raise Failure(self._response.raised.message, stack=self._response.raised.stack)
        if not self._response.is_done:
            # The function waits for something that has not happened, so the program must not end either.
            yield Task()
        return self._response.output

    def _invoke(self, action: Action) -> Task:
        """Begin an action and note its task. Raises what `_begin` raises."""
        task = self._tasks[id(action)] = self._begin(action)
        return task

    def _begin(self, action: Action) -> Task:
        """Begin an action and continue until it has to wait. Return its task.

        Raises Failure if the action cannot begin, which fails the orchestration. A failure of an action that has begun
        is that of its task.
        """
        # All children of a compound begin at once and in order, so that they get consecutive ids as in the SDK. The
        # compound itself has no id.
        match action:
            case WhenAll():
                return when_all([self._invoke(child) for child in action.actions])
            case WhenAny():
                return when_any([self._invoke(child) for child in action.actions])
        self._count_action()
        match action:
            case CallActivity():
                return self._call_activity(action)
            case CallSubOrchestrator():
                return self._call_sub_orchestrator(action)
            case CreateTimer():
                self._note_step(action)
                return self.context.create_timer(action.fire_at, is_canceled=action.is_canceled)
            case WaitForExternalEvent():
                # Takes no id, because the history does not record waits.
                return self.context.events.wait_for_event(action.name)
            case CallEntity():
                return self.context.events.wait_for_response(self._send_request(action))
            case SignalEntity():
                # There is no response to wait for.
                self._send_request(action)
                return ended_task()
            case CallHttp():
                return run(self._http_exchange(action))
            case ContinueAsNew():
                # The SDK's JSON text becomes a JSON string: the next generation decodes its input twice.
                self.context.continue_as_new(json_text(action.input))
                return ended_task()
            case _:
                assert_never(action)

    # The actions -----------------------------------------------------------------------------------------------

    def _call_activity(self, action: CallActivity) -> Task:
        self._require(FunctionKind.ACTIVITY, action.name)

        def call() -> Task:
            self._note_step(action)
            # An array of arguments with one element, as .NET's TaskOrchestrationContext serialises them.
            return self.context.schedule_task(action.name, json_text([action.input]))

        return run(self._retrying(action, action.retry, call)) if action.retry else call()

    def _call_sub_orchestrator(self, action: CallSubOrchestrator) -> Task:
        self._require(FunctionKind.ORCHESTRATOR, action.name)
        explicit_id = action.instance_id if (action.instance_id or "").strip() else None
        parent = self._started.parent
        # In .NET these failures stay inside the task, which then never ends. Failing the orchestration shows the error.
        if explicit_id is not None and is_entity(explicit_id):
            raise Failure(f"The instance ID '{explicit_id}' of a sub-orchestration must not start with @.")
        if explicit_id is not None and (problem := storage_problem(explicit_id)):
            raise Failure(f"The instance ID {explicit_id[:100]!a} of a sub-orchestration {problem}")
        own_ids = {self._started.instance.instance_id, parent.instance.instance_id if parent else None}
        if explicit_id is not None and explicit_id in own_ids:
            raise Failure(
                "The instance ID of a sub-orchestration must be different than the instance ID of a parent "
                "orchestration."
            )
        # Without a default version the child's version is null, as in extension 3.x.
        version = self._settings.default_version if action.version is None else action.version

        def call() -> Task:
            self._note_step(action)
            # Computed per attempt, because a derived id contains the id of the action.
            child = explicit_id or f"{self._started.instance.execution_id}:{self.context.next_id}"
            # The SDK's JSON text becomes a JSON string, like the input of an orchestration that a Python client starts.
            return self.context.start_sub_orchestration(action.name, child, json_text(action.input), version)

        return run(self._retrying(action, action.retry, call)) if action.retry else call()

    def _retrying(self, action: Action, options: RetryOptions, call: Callable[[], Task]) -> Program:
        # Times are those of the episodes, not of a clock: a replay must compute the same delays.
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
            # In these two cases .NET creates no timer, not even the useless one after the last attempt.
            if pause is None or not failure.retriable:
                raise failure
            self._note_step(action)
            yield self.context.create_timer(now + pause)
        if failure is not None:
            raise failure
        # No attempts at all (max_attempts of 0 or less): .NET returns null.
        return None

    def _http_exchange(self, action: CallHttp) -> Program:
        request = action
        # Every poll takes two ids, one for the timer and one for the activity.
        while True:
            self._note_step(action)
            task = self.context.schedule_task(durable_http.HTTP_ACTIVITY, durable_http.activity_input(request))
            yield task
            if task.failure is not None:
                raise task.failure
            poll = durable_http.next_poll(request, task.result, self._settings.http_poll_interval)
            if poll is None:
                return task.result
            pause, request = poll
            self._note_step(action)
            yield self.context.create_timer(self.context.now + pause)

    def _send_request(self, action: CallEntity | SignalEntity) -> str:
        """Send a request to an entity. Return its id, which is also the name of the event with the response."""
        entity = EntityId.parse(action.instance_id)
        if entity is None:
            raise Failure(f"'{action.instance_id}' is not the id of an entity (@name@key).")
        if problem := storage_problem(action.instance_id):
            raise Failure(f"The entity id {action.instance_id[:100]!a} {problem}")
        self._require(FunctionKind.ENTITY, entity.name)
        self._note_step(action)
        context = self.context
        request = self._entity_calls.send(action, context.next_id, now=self.sent_at or context.now)
        context.send_event(action.instance_id, request)
        return request.id

    # Checks ----------------------------------------------------------------------------------------------------

    def _require(self, kind: FunctionKind, name: str) -> None:
        """Raise Failure if there is no function of this kind and name.

        In .NET the failure stays inside the task: nothing is sent, and the instance stays Running forever.
        """
        missing = self._settings.missing(kind, name)
        # A recorded action was sent when the function existed. Its result may arrive yet, so the replay accepts it.
        if missing is not None and self.context.next_id not in self._recorded:
            self.diagnostics.append(Diagnostic("error", f"{missing} On Azure the instance would stay Running forever."))
            raise Failure(missing)

    def _count_action(self) -> None:
        """Raise Failure if the orchestration has more actions than host.json allows; the text is that of .NET."""
        # Compounds do not count, but their children do.
        self._actions_invoked += 1
        limit = self._settings.max_actions
        if self._actions_invoked > limit:
            raise Failure(
                f"Maximum amount of orchestration actions ({limit}) has been reached. "
                "This value can be configured in host.json file as MaxOrchestrationActions."
            )
