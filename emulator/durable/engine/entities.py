"""Entity work items: run the operations that have arrived, in batches, and store the new entity state."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace

from emulator.durable.core.decisions import Decision
from emulator.durable.core.entities.messages import Request, Response
from emulator.durable.core.entities.scheduler import BatchPlan, BatchResult, SchedulerState, commit, plan
from emulator.durable.core.episode import EpisodeOutcome, Outbox, apply_decisions, outcome_of
from emulator.durable.core.events import ExecutionStarted
from emulator.durable.core.identity import EntityId, OrchestrationInstance, derived_id
from emulator.durable.core.state import RuntimeState, begin_episode
from emulator.durable.engine.orchestrations import without_new_events
from emulator.durable.engine.services import EngineServices
from emulator.durable.executor import EntityBatch, EntityOperation, WorkAborted
from emulator.durable.hub import OrchestrationWorkItem
from emulator.durable.tracing.hub_log import entity_label
from emulator.ids import hyphenated


def function_of(item: OrchestrationWorkItem) -> str:
    """Return the name of the entity, which is that of its function; empty if the item is for no entity."""
    entity = EntityId.parse(item.instance.instance_id)
    return entity.name if entity is not None else ""


def describe(item: OrchestrationWorkItem) -> str:
    """Name the entity, for the log."""
    entity = EntityId.parse(item.instance.instance_id)
    return entity_label(entity) if entity is not None else item.instance.instance_id


class EntityRunner:
    """Runs entity work items (`run` of their `Processor`)."""

    def __init__(self, services: EngineServices) -> None:
        self._services = services

    async def run(self, item: OrchestrationWorkItem) -> EpisodeOutcome:
        """Run batches of operations until no operation is left that may run now. Raises WorkAborted."""
        services = self._services
        if item.restores_status:
            return _restored_status(item)
        entity = EntityId.parse(item.instance.instance_id)
        state = begin_episode(item.history, item.messages, services.now(), redelivered=item.is_redelivered)
        if entity is None or state is None:
            return without_new_events(item)
        outbox, batch = Outbox(), self._plan(state)
        while True:
            result = await self._run_batch(entity, batch, state.instance) if batch.operations else None
            decisions, scheduler = commit(entity, batch, result, state.sent_at or state.clock)
            services.lifecycle.entities.batch_ended(entity, batch, scheduler)
            state = self._apply(state, decisions, outbox)
            # The decisions start the next generation. As for an orchestration that continues as new, it runs within
            # this work item, and only the last generation is stored: one checkpoint for all batches.
            batch = self._plan(state)
            if not batch.has_work:
                break
        # Without a decision, an episode ends with OrchestratorCompleted and leaves the entity waiting for messages.
        return outcome_of(self._apply(state, (), outbox), outbox, scheduler.status_text)

    def _apply(self, state: RuntimeState, decisions: Sequence[Decision], outbox: Outbox) -> RuntimeState:
        services = self._services
        return apply_decisions(state, decisions, outbox, played=len(state.new), now=services.now()).state

    def _plan(self, state: RuntimeState) -> BatchPlan:
        events = [*state.past, *state.new]
        try:
            return plan(
                state.started,
                events,
                state.clock,
                window=self._services.options.entity_message_reorder_window,
                max_batch=self._services.options.max_entity_operation_batch_size,
            )
        except ValueError as error:
            # Retried and not failed: an entity has no end, and another version of the app may be able to read it.
            raise WorkAborted(f"a message or the scheduler state cannot be read ({error})") from error

    async def _run_batch(self, entity: EntityId, batch: BatchPlan, execution: OrchestrationInstance) -> BatchResult:
        call = EntityBatch(
            entity=entity,
            exists=batch.state.exists,
            state=batch.state.state,
            operations=[
                EntityOperation(request.operation or "", request.input, request.is_signal, request.id)
                for request in batch.operations
            ],
        )
        spans = self._services.spans
        with nullcontext() if spans is None else spans.operations(entity, batch.operations) as traced:
            result = await self._services.executor.operate(call)
            if traced is not None:
                traced.results = result.results
        self._services.lifecycle.entities.operations_ended(call, result)
        signals = []
        for number, signal in enumerate(result.signals):
            request = Request(
                id=hyphenated(derived_id("signal", execution.execution_id, number)),
                operation=signal.name,
                is_signal=True,
                input=signal.input,
                parent=entity.instance_id,
            )
            if spans is not None and traced is not None and (sender := traced.sender_of(signal)) is not None:
                request = spans.signal_of_entity(entity, signal.target, request, sender)
            signals.append((signal.target, request))
        return BatchResult(
            exists=result.exists,
            state=result.state,
            responses=[
                Response(operation.result, "Error" if operation.is_error else None) for operation in result.results
            ],
            signals=signals,
        )


def _restored_status(item: OrchestrationWorkItem) -> EpisodeOutcome:
    """Return the custom status of the stored scheduler state."""
    started = next(event for event in item.history if isinstance(event, ExecutionStarted))
    try:
        status = SchedulerState.parse(started.input).status_text
    except ValueError:
        status = None
    return replace(without_new_events(item), custom_status=status)
