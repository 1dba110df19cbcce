"""The app of the simulation: orchestrators, activities and entities that need no worker.

An orchestrator is a generator over the engine's own replay (`core.replay.context`), so ids, events and labels of entity
requests are those of real apps. What each instance must end with is in `workload`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from emulator.clock import Clock
from emulator.durable.core.entities.messages import RELEASE, Release, Request
from emulator.durable.core.events import EventSent
from emulator.durable.core.identity import EntityId
from emulator.durable.core.replay.actions import CallEntity, SignalEntity
from emulator.durable.core.replay.context import OrchestrationContext
from emulator.durable.core.replay.entity_calls import EntityCalls, SentRequest
from emulator.durable.core.replay.tasks import Program, Task, run, when_all, when_any
from emulator.durable.executor import (
    ActivityFailed,
    ActivityRequest,
    ActivitySucceeded,
    EntityBatch,
    EntityBatchResult,
    EntitySignal,
    OperationResult,
    OrchestratorRequest,
    OrchestratorResult,
)
from emulator.instant import Instant
from tests.simulation.choices import Choices

LARGE = "x" * 70_000
ACCOUNTS = (EntityId("account", "a"), EntityId("account", "b"))
LOGS = (EntityId("log", "1"), EntityId("log", "2"), EntityId("log", "3"))
Steps = Generator[Any, Any, Any]
_WINDOW = timedelta(minutes=30)
_NAMESPACE = UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")


class Orchestration:
    """What an orchestrator can do; every call returns a task to yield."""

    def __init__(self, request: OrchestratorRequest) -> None:
        self._started = request.started
        self.instance_id = request.started.instance.instance_id
        self.custom_status: str | None = None
        self.sent_at: Instant | None = None
        self.context = OrchestrationContext(lambda: run(self._program()))
        sent = {event.event_id: event for event in request.past if isinstance(event, EventSent)}
        self._entities = EntityCalls(request.started.instance, sent, _WINDOW)

    def _program(self) -> Program:
        result = yield from ORCHESTRATORS[self._started.name](self, json.loads(self._started.input or "null"))
        return json.dumps(result)

    def activity(self, name: str, input: Any) -> Task:
        return self.context.schedule_task(name, json.dumps([input]))

    def child(self, name: str, input: Any, id: str | None = None) -> Task:
        child = id or f"{self._started.instance.execution_id}:{self.context.next_id}"
        return self.context.start_sub_orchestration(name, child, json.dumps(input), None)

    def timer(self, seconds: float) -> Task:
        return self.context.create_timer(self.context.now + timedelta(seconds=seconds))

    def event(self, name: str) -> Task:
        return self.context.events.wait_for_event(name)

    def call(self, entity: EntityId, operation: str, input: Any) -> Task:
        sent = self._send(CallEntity(entity.instance_id, operation, json.dumps(input)))
        return self.context.events.wait_for_response(sent.id)

    def signal(self, entity: EntityId, operation: str, input: Any) -> None:
        self._send(SignalEntity(entity.instance_id, operation, json.dumps(input)))

    def lock(self, entities: tuple[EntityId, ...]) -> tuple[str, Task]:
        """Return the id of the lock, and the task that ends when it is held."""
        ordered = tuple(sorted(entities, key=lambda entity: entity.instance_id))
        sent = self._send(CallEntity(ordered[0].instance_id, "lock", None), lockset=ordered)
        return sent.id, self.context.events.wait_for_response(sent.id)

    def release(self, entities: tuple[EntityId, ...], lock: str) -> None:
        for entity in entities:
            text = Release(self.instance_id, lock).text
            self.context.send_event(entity.instance_id, SentRequest(lock, RELEASE, text))

    def continue_as_new(self, input: Any) -> None:
        self.context.continue_as_new(json.dumps(input))

    def _send(self, action: CallEntity | SignalEntity, lockset: tuple[EntityId, ...] = ()) -> SentRequest:
        context = self.context
        sent = self._entities.send(action, context.next_id, now=self.sent_at or context.now)
        if lockset:
            request = replace(Request.parse(sent.text), operation=None, input=None, lockset=lockset)
            sent = SentRequest(sent.id, sent.event_name, request.from_instance())
        context.send_event(action.instance_id, sent)
        return sent


def result_of(task: Task) -> Any:
    """Return the value of an ended task. Raises Failure."""
    if task.failure is not None:
        raise task.failure
    return json.loads(task.result or "null")


def response_of(task: Task) -> Any:
    """Return the value of a response of an entity."""
    return json.loads(result_of(task)["result"])


# Orchestrators -----------------------------------------------------------------------------------------------


def chain(it: Orchestration, count: int) -> Steps:
    total = 0
    for number in range(count):
        task = it.activity("Add", [total, number])
        yield task
        total = result_of(task)
        it.custom_status = json.dumps(total)
    return total


def fan_out(it: Orchestration, count: int) -> Steps:
    tasks = [it.activity("Add", [number, 1]) for number in range(count)]
    yield when_all(tasks)
    return sum(map(result_of, tasks))


def parent(it: Orchestration, count: int) -> Steps:
    """Children with derived ids and with ids of their own, and one that fails at its first attempt."""
    children = [it.child("chain", 2, f"{it.instance_id}-{n}" if n % 2 else None) for n in range(count)]
    yield when_all(children)
    first = it.child("fails_before", 0)
    yield first
    yield it.timer(3)
    second = it.child("fails_before", 1)
    yield second
    return [*map(result_of, children), first.failure is not None, result_of(second)]


def fails_before(it: Orchestration, attempt: int) -> Steps:
    task = it.activity("FailBefore", attempt)
    yield task
    return result_of(task)


def listens(it: Orchestration, count: int) -> Steps:
    words = []
    for _ in range(count):
        task = it.event("word")
        yield task
        words.append(result_of(task))
    return sorted(words)


def loops(it: Orchestration, state: dict[str, Any]) -> Steps:
    """Continue as new after each word, until all have come; `words` collects them."""
    if len(state["words"]) == state["total"]:
        return state["words"]
    task = it.event("word")
    yield task
    found = {*state["words"], result_of(task)}
    work = it.activity("Add", [1, 1])
    yield work
    result_of(work)
    # Only events that arrive after the call of continue_as_new are carried over.
    while it.context.events.buffered("word"):
        found.add(result_of(it.event("word")))
    words = sorted(found)
    it.continue_as_new({"total": state["total"], "words": words})
    return None


def races(it: Orchestration, seconds: float) -> Steps:
    """A timer against an event."""
    timer, word = it.timer(seconds), it.event("word")
    yield when_any([timer, word])
    return "event" if word.ended else "timer"


def counts(it: Orchestration, count: int) -> Steps:
    """Signals and calls to the logs, in turn; they note the sender and a number that grows."""
    for number in range(count):
        for log in LOGS[:2]:
            it.signal(log, "note", [it.instance_id, 2 * number])
            task = it.call(log, "note", [it.instance_id, 2 * number + 1])
            yield task
            response_of(task)
        it.signal(LOGS[0], "forward", [it.instance_id, number])
        yield it.timer(1)
    return count


def transfers(it: Orchestration, count: int) -> Steps:
    """Take the locks of two accounts and change both, several times."""
    for number in range(count):
        lock, granted = it.lock(ACCOUNTS)
        yield granted
        for account, operation in zip(ACCOUNTS, ("withdraw", "deposit"), strict=True):
            begun = it.call(account, "begin", [it.instance_id, number])
            yield begun
            response_of(begun)
            task = it.call(account, operation, [it.instance_id, number])
            yield task
            response_of(task)
        it.release(ACCOUNTS, lock)
    return count


def large(it: Orchestration, text: str) -> Steps:
    task = it.activity("Echo", text)
    yield task
    word = it.event("word")
    yield word
    return result_of(task) + result_of(word)


def sleeps(it: Orchestration, seconds: float) -> Steps:
    yield it.timer(seconds)
    return "slept"


def broken(it: Orchestration, _: Any) -> Steps:
    """Fails until the activity is repaired; a client rewinds it then."""
    first = it.activity("Add", [1, 1])
    yield first
    task = it.activity("FailUntilRepaired", it.instance_id)
    yield task
    return [result_of(first), result_of(task)]


ORCHESTRATORS: dict[str, Callable[[Orchestration, Any], Steps]] = {
    function.__name__: function
    for function in (
        chain,
        fan_out,
        parent,
        fails_before,
        listens,
        loops,
        races,
        counts,
        transfers,
        large,
        sleeps,
        broken,
    )
}


# Executor ----------------------------------------------------------------------------------------------------


@dataclass
class SimulatedApp:
    """Implements `durable.executor.Executor`. `repaired`: ids of instances whose broken activity works now."""

    clock: Clock
    choices: Choices
    repaired: set[str]

    async def orchestrate(self, request: OrchestratorRequest) -> OrchestratorResult:
        await self.clock.sleep(self.choices.seconds("orchestrate", 0.05))
        orchestration = Orchestration(request)
        context = orchestration.context
        # A NonDeterminism is not caught: these orchestrators are deterministic, so it is a defect of the host.
        for event in request.past:
            context.handle(event)
        orchestration.sent_at = request.sent_at
        for event in request.new:
            context.handle(event)
        context.conclude()
        return OrchestratorResult(
            decisions=context.decisions, custom_status=orchestration.custom_status, played=len(request.new)
        )

    async def act(self, request: ActivityRequest) -> ActivitySucceeded | ActivityFailed:
        await self.clock.sleep(self.choices.seconds("act", 2))
        [value] = json.loads(request.input or "[null]")
        match request.name:
            case "Add":
                return ActivitySucceeded(json.dumps(sum(value)))
            case "Echo":
                return ActivitySucceeded(json.dumps(value))
            case "FailBefore" if value < 1:
                return ActivityFailed("too early", None)
            case "FailUntilRepaired" if value not in self.repaired:
                return ActivityFailed("broken", None)
            case _:
                return ActivitySucceeded(json.dumps("done"))

    async def operate(self, batch: EntityBatch) -> EntityBatchResult:
        await self.clock.sleep(self.choices.seconds("operate", 0.2))
        log = json.loads(batch.state) if batch.state else []
        signals, results = [], []
        for operation in batch.operations:
            sender = json.loads(json.loads(operation.input or "null") or "null")
            if operation.name == "forward":
                number = sum(1 for entry in log if entry[0] == "forward")
                signal = json.dumps(json.dumps([batch.entity.instance_id, number]))
                signals.append(EntitySignal(LOGS[2], "note", signal))
            log.append([operation.name, *sender])
            results.append(OperationResult(json.dumps(len(log)), is_error=False))
        return EntityBatchResult(exists=True, state=json.dumps(log), results=results, signals=signals)
