"""Orchestrators as plain generators, so that the hub can be tested without a Functions app.

    def chain(input):
        first = yield act("Double", input)
        return first

`yield` one step or a list of steps that run side by side; what comes back is the answer, or the list of answers.
Replay is by position: the n-th step has the id n.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from emulator.durable.core.decisions import (
    Complete,
    CreateTimer,
    Decision,
    ScheduleTask,
    SendEvent,
    StartNextGeneration,
    StartSubOrchestration,
)
from emulator.durable.core.entities.messages import Request, Timestamp
from emulator.durable.core.events import (
    EventRaised,
    GenericEvent,
    HistoryEvent,
    OrchestratorStarted,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TimerFired,
)
from emulator.durable.core.identity import EntityId, OrchestrationInstance, RuntimeStatus
from emulator.durable.executor import (
    ActivityFailed,
    ActivityRequest,
    ActivitySucceeded,
    EntityBatch,
    EntityBatchResult,
    OperationResult,
    OrchestratorRequest,
    OrchestratorResult,
)
from emulator.instant import MIN_INSTANT

Step = Any
Orchestrator = Callable[[Any], Generator[Step | list[Step], Any, Any]]


class Failed(Exception):
    """An activity or a child failed."""


@dataclass(frozen=True)
class act:
    name: str
    input: Any = None


@dataclass(frozen=True)
class child:
    name: str
    input: Any = None
    instance_id: str | None = None


@dataclass(frozen=True)
class timer:
    seconds: float


@dataclass(frozen=True)
class event:
    name: str


@dataclass(frozen=True)
class ask:
    """Call an entity operation."""

    entity: EntityId
    operation: str
    input: Any = None


@dataclass(frozen=True)
class ContinueAsNew:
    input: Any


def double(value: Any) -> Any:
    return value * 2


def boom(value: Any) -> Any:
    raise ValueError(f"boom {value}")


@dataclass
class Script:
    """An `Executor`. `ran` counts the activity runs by (name, input)."""

    orchestrators: Mapping[str, Orchestrator]
    activities: Mapping[str, Callable[[Any], Any]] = field(default_factory=lambda: {"Double": double, "Boom": boom})
    ran: list[tuple[str, Any]] = field(default_factory=list)

    async def orchestrate(self, request: OrchestratorRequest) -> OrchestratorResult:
        replay = _Replay(self.orchestrators[request.started.name], request)
        return OrchestratorResult(decisions=replay.decisions(), custom_status=None, played=len(request.new))

    async def act(self, request: ActivityRequest) -> ActivitySucceeded | ActivityFailed:
        value = _value(request.input)
        self.ran.append((request.name, value))
        try:
            return ActivitySucceeded(json.dumps(self.activities[request.name](value)))
        except ValueError as error:
            return ActivityFailed(str(error), None)

    async def operate(self, batch: EntityBatch) -> EntityBatchResult:
        """A counter: `add`, `get`, `delete`."""
        total, exists = _value(batch.state) or 0, True
        results = []
        for operation in batch.operations:
            if operation.name == "add":
                total += _value(operation.input)
            exists = operation.name != "delete"
            results.append(OperationResult(json.dumps(total), is_error=False))
        return EntityBatchResult(exists=exists, state=json.dumps(total) if exists else None, results=results)


class _Replay:
    def __init__(self, orchestrator: Orchestrator, request: OrchestratorRequest) -> None:
        self._request = request
        self._events: list[HistoryEvent] = [*request.past, *request.new]
        self._raised = [each for each in self._events if isinstance(each, EventRaised)]
        self._recorded = {each.event_id for each in self._events if not isinstance(each, GenericEvent)}
        self._decided: list[Decision] = []
        self._next_id = 0
        self._clock = next(each.timestamp for each in reversed(self._events) if isinstance(each, OrchestratorStarted))
        self._program = orchestrator(_value(request.started.input))

    def decisions(self) -> list[Decision]:
        answer: Any = None
        try:
            while True:
                steps = self._program.send(answer)
                asked = steps if isinstance(steps, list) else [steps]
                answers = [self._take(each) for each in asked]
                if any(each is None for each in answers):
                    return self._decided
                answer = [each for (each,) in answers] if isinstance(steps, list) else answers[0][0]  # type: ignore
        except StopIteration as end:
            if isinstance(end.value, ContinueAsNew):
                text = json.dumps(end.value.input)
                return [*self._decided, StartNextGeneration(self._id(), text, self._raised)]
            return [*self._decided, Complete(self._id(), RuntimeStatus.COMPLETED, json.dumps(end.value))]
        except Failed as failed:
            return [*self._decided, Complete(self._id(), RuntimeStatus.FAILED, str(failed))]

    def _id(self) -> int:
        self._next_id += 1
        return self._next_id - 1

    def _take(self, step: Step) -> tuple[Any] | None:
        """The answer in a tuple, or None while there is none. What is not recorded yet becomes a decision."""
        match step:
            case event(name):
                found = next((each for each in self._raised if each.name == name), None)
                if found is not None:
                    self._raised.remove(found)
                return None if found is None else (_value(found.input),)
            case _:
                id = self._id()
                if id not in self._recorded:
                    self._decided.append(self._decision(step, id))
                return self._answer(step, id)

    def _decision(self, step: Step, id: int) -> Decision:
        instance = self._request.started.instance
        match step:
            case act(name, input):
                return ScheduleTask(id, name, json.dumps(input))
            case child(name, input, instance_id):
                return StartSubOrchestration(
                    id, name, instance_id or f"{instance.execution_id}:{id}", json.dumps(input)
                )
            case timer(seconds):
                return CreateTimer(id, self._clock + timedelta(seconds=seconds))
            case ask(entity, operation, input):
                began = self._request.started.timestamp
                request = Request(
                    id=self._request_id(id),
                    operation=operation,
                    input=json.dumps(input),
                    parent=instance.instance_id,
                    parent_execution=instance.execution_id,
                    timestamp=Timestamp(began.plus_ticks(id)),
                    predecessor=Timestamp(began.plus_ticks(id - 1) if id else MIN_INSTANT),
                )
                target = OrchestrationInstance(entity.instance_id, None)
                return SendEvent(id, target, "op", request.from_instance())
        raise AssertionError(step)

    def _request_id(self, id: int) -> str:
        execution = (self._request.started.instance.execution_id or "").replace("-", "")
        return f"{execution[:8]}-0000-0000-0000-{id:012d}"

    def _answer(self, step: Step, id: int) -> tuple[Any] | None:
        for each in self._events:
            match each:
                case TaskCompleted(task_scheduled_id=found, result=result) if found == id:
                    return (_value(result),)
                case SubOrchestrationInstanceCompleted(task_scheduled_id=found, result=result) if found == id:
                    return (_value(result),)
                case TaskFailed(task_scheduled_id=found, reason=reason) if found == id:
                    raise Failed(reason)
                case SubOrchestrationInstanceFailed(task_scheduled_id=found, reason=reason) if found == id:
                    raise Failed(reason)
                case TimerFired(timer_id=found) if found == id:
                    return (self._clock,)
                case EventRaised(name=name, input=text) if isinstance(step, ask) and name == self._request_id(id):
                    self._raised.remove(each)
                    return (_value(json.loads(text or "{}")["result"]),)
        return None


def _value(text: str | None) -> Any:
    return None if text is None else json.loads(text)
