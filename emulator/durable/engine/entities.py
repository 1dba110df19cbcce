"""Entity work items: batches of operations, until nothing that has come is left to do."""

from __future__ import annotations

from emulator.clock import Clock
from emulator.durable.core.entities.messages import Request, Response
from emulator.durable.core.entities.scheduler import BatchResult, EntityPlan, commit, plan
from emulator.durable.core.episode import EpisodeOutcome, Outbox, apply_decisions, outcome_of
from emulator.durable.core.identity import EntityId
from emulator.durable.core.state import RuntimeState, begin_episode
from emulator.durable.engine.orchestrations import nothing_new
from emulator.durable.executor import (
    EntityBatch,
    EntityOperation,
    EntitySignal,
    Executor,
    OperationResult,
    WorkAborted,
)
from emulator.durable.hub import OrchestrationWorkItem
from emulator.durable.options import DurableTaskOptions
from emulator.durable.tracing.lifecycle import Lifecycle
from emulator.durable.tracing.writing import entity as entity_line
from emulator.ids import NewId, hyphenated
from emulator.instant import Instant


def describe(item: OrchestrationWorkItem) -> str:
    """For the log."""
    found = EntityId.parse(item.instance.instance_id)
    return entity_line(found) if found is not None else item.instance.instance_id


class EntityRunner:
    """Runs work items; see the loop's Processor."""

    def __init__(
        self,
        executor: Executor,
        options: DurableTaskOptions,
        *,
        clock: Clock,
        new_id: NewId,
        lifecycle: Lifecycle,
    ) -> None:
        self._executor = executor
        self._options = options
        self._clock = clock
        self._new_id = new_id
        self._lifecycle = lifecycle

    async def run(self, item: OrchestrationWorkItem) -> EpisodeOutcome:
        entity = EntityId.parse(item.instance.instance_id)
        state = begin_episode(item.history, item.messages, self._now())
        if entity is None or state is None:
            return nothing_new(item)
        outbox, turn = Outbox(), self._plan(state)
        while True:
            answer = await self._run_batch(entity, turn) if turn.operations else None
            decisions, scheduler = commit(entity, turn, answer, self._now())
            self._lifecycle.entities.batch_ended(entity, turn, scheduler)
            applied = apply_decisions(
                state, decisions, outbox, played=len(state.new), now=self._now(), new_id=self._new_id
            )
            state = applied.state
            turn = self._plan(state)
            if not turn.has_work:
                break
        idle = apply_decisions(state, (), outbox, played=len(state.new), now=self._now(), new_id=self._new_id)
        return outcome_of(idle.state, outbox, scheduler.status_text)

    def _plan(self, state: RuntimeState) -> EntityPlan:
        events = [*state.past, *state.new]
        try:
            return plan(
                state.started,
                events,
                self._now(),
                window=self._options.entity_message_reorder_window,
                max_batch=self._options.max_entity_operation_batch_size,
            )
        except ValueError as error:
            raise WorkAborted(f"a message or the scheduler state cannot be read ({error})") from error

    async def _run_batch(self, entity: EntityId, turn: EntityPlan) -> BatchResult:
        batch = EntityBatch(
            entity=entity,
            exists=turn.state.exists,
            state=turn.state.state,
            operations=[_operation(request) for request in turn.operations],
            now=self._now(),
        )
        result = await self._executor.operate(batch)
        self._lifecycle.entities.operations_ended(batch, result)
        return BatchResult(
            exists=result.exists,
            state=result.state,
            responses=[_response(each) for each in result.results],
            signals=[(signal.target, self._request(entity, signal)) for signal in result.signals],
        )

    def _request(self, entity: EntityId, signal: EntitySignal) -> Request:
        return Request(
            id=hyphenated(self._new_id()),
            operation=signal.name,
            is_signal=True,
            input=signal.input,
            parent=entity.instance_id,
        )

    def _now(self) -> Instant:
        return Instant.of(self._clock.now())


def _operation(request: Request) -> EntityOperation:
    return EntityOperation(request.operation or "", request.input, request.is_signal, request.id)


def _response(result: OperationResult) -> Response:
    return Response(result.result, "Error" if result.is_error else None)
