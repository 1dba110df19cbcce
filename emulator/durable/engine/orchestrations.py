"""Orchestration work items: one episode, including the executions that continue as new within it."""

from __future__ import annotations

from dataclasses import replace

from emulator.durable.core.decisions import Complete
from emulator.durable.core.episode import EpisodeOutcome, Outbox, apply_decisions, outcome_of
from emulator.durable.core.events import ExecutionCompleted, ExecutionStarted, FailureDetails
from emulator.durable.core.identity import RuntimeStatus
from emulator.durable.core.state import RuntimeState, begin_episode
from emulator.durable.core.traces import orchestration_span
from emulator.durable.engine.services import EngineServices
from emulator.durable.engine.versions import accepts
from emulator.durable.executor import OrchestratorRequest, OrchestratorResult, WorkAborted
from emulator.durable.hub import OrchestrationWorkItem
from emulator.durable.options import VersionFailure
from emulator.durable.tracing.hub_log import orchestrator_label
from emulator.telemetry.span_context import working_in

_VERSION_MISMATCH = "Orchestration version did not comply with Worker Versioning"


def function_of(item: OrchestrationWorkItem) -> str:
    """Return the name of the orchestrator function; empty if the item does not have it."""
    # ExecutionStarted is the second event of a stored history, after OrchestratorStarted, or among the messages.
    events = (*item.history[:2], *(message.event for message in item.messages))
    return next((event.name for event in events if isinstance(event, ExecutionStarted)), "")


def describe(item: OrchestrationWorkItem) -> str:
    """Name the orchestrator function and its instance, for the log."""
    return orchestrator_label(item.instance.instance_id, function_of(item))


class OrchestrationRunner:
    """Runs orchestration work items (`run` of their `Processor`)."""

    def __init__(self, services: EngineServices) -> None:
        self._services = services

    async def run(self, item: OrchestrationWorkItem) -> EpisodeOutcome:
        """Replay the orchestrator function and return the episode's outcome. Raises WorkAborted."""
        services = self._services
        if item.restores_status:
            return await self._restored_status(item)
        state = begin_episode(item.history, item.messages, services.now(), redelivered=item.is_redelivered)
        if state is None:
            return without_new_events(item)
        if services.spans is not None:
            state = services.spans.begun(state, services.now())
        outbox, custom_status = Outbox(), None
        while True:
            services.lifecycle.episode_started(state)
            with working_in(orchestration_span(state.started) if services.spans is not None else None):
                result = await self._decide(state)
            services.lifecycle.episode_decided(state, result)
            if services.spans is not None:
                services.spans.episode_decided(state, result.decisions)
            # A generation that sets no custom status keeps that of the one before, but only within this work item:
            # the status is not part of the state that continue-as-new hands over.
            custom_status = custom_status if result.custom_status is None else result.custom_status
            applied = apply_decisions(
                state,
                result.decisions,
                outbox,
                played=result.played,
                now=services.now(),
                store_inputs=services.options.store_inputs_in_orchestration_history,
            )
            state = applied.state
            if applied.continues:
                services.work_log.continued_as_new(state.instance.instance_id)
            else:
                return outcome_of(state, outbox, custom_status)

    async def _restored_status(self, item: OrchestrationWorkItem) -> EpisodeOutcome:
        """Replay the stored history for the custom status. None if the function no longer agrees with the history."""
        started = next(event for event in item.history if isinstance(event, ExecutionStarted))
        ended = next((event.status for event in item.history if isinstance(event, ExecutionCompleted)), None)
        state = RuntimeState(started=started, past=item.history, new=())
        result = await self._decide(state)
        agrees = all(isinstance(decision, Complete) and decision.status is ended for decision in result.decisions)
        return replace(without_new_events(item), custom_status=result.custom_status if agrees else None)

    async def _decide(self, state: RuntimeState) -> OrchestratorResult:
        options, version = self._services.options, state.started.version
        if accepts(options.version_match_strategy, options.default_version, version):
            return await self._services.executor.orchestrate(
                OrchestratorRequest(started=state.started, past=state.past, new=state.new, sent_at=state.sent_at)
            )
        # The default is to abandon the item, so that a worker with a matching version can take it.
        if options.version_failure_strategy is VersionFailure.FAIL:
            return _version_failure(state)
        raise WorkAborted(
            f"The instance has version {version!r}, which this worker must not run: host.json has "
            f"extensions.durableTask.defaultVersion {options.default_version!r} and versionMatchStrategy "
            f"{options.version_match_strategy.value!r}. On Azure the instance waits without a log line until a "
            "worker accepts its version; set defaultVersion, or versionMatchStrategy to 'None'"
        )


def without_new_events(item: OrchestrationWorkItem) -> EpisodeOutcome:
    """Return the outcome for messages that change nothing (repeated, stale or too late): they are only deleted."""
    return EpisodeOutcome(instance=item.instance, past_count=len(item.history), new_events=())


def _version_failure(state: RuntimeState) -> OrchestratorResult:
    """Fail the instance without calling the function."""
    failure = FailureDetails("VersionMismatch", _VERSION_MISMATCH, is_non_retriable=True)
    # The function is not replayed, so it is unknown which ids it would use next. An id above all stored ids is free.
    next_id = 1 + max((event.event_id for event in state.past), default=-1)
    end = Complete(
        next_id,
        RuntimeStatus.FAILED,
        f"VersionMismatch: {_VERSION_MISMATCH}",
        details=_VERSION_MISMATCH,
        failure=failure,
    )
    return OrchestratorResult(decisions=[end], custom_status=None, played=len(state.new))
