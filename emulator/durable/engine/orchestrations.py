"""Orchestration work items: one episode, with all generations that continue as new within it."""

from __future__ import annotations

from emulator.clock import Clock
from emulator.durable.core.decisions import Complete
from emulator.durable.core.episode import EpisodeOutcome, Outbox, apply_decisions, outcome_of
from emulator.durable.core.events import ExecutionStarted, FailureDetails
from emulator.durable.core.identity import RuntimeStatus
from emulator.durable.core.state import RuntimeState, begin_episode
from emulator.durable.engine.versions import accepts
from emulator.durable.executor import Executor, OrchestratorRequest, OrchestratorResult, WorkAborted
from emulator.durable.hub import OrchestrationWorkItem
from emulator.durable.options import DurableTaskOptions, VersionFailure
from emulator.durable.tracing.lifecycle import Lifecycle
from emulator.durable.tracing.writing import orchestrator
from emulator.ids import NewId
from emulator.instant import Instant

_VERSION_MISMATCH = "Orchestration version did not comply with Worker Versioning"


def describe(item: OrchestrationWorkItem) -> str:
    """For the log."""
    events = (*item.history[:2], *(message.event for message in item.messages))
    name = next((event.name for event in events if isinstance(event, ExecutionStarted)), "")
    return orchestrator(item.instance.instance_id, name)


class OrchestrationRunner:
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
        state = begin_episode(item.history, item.messages, self._now())
        if state is None:
            return nothing_new(item)
        outbox, custom_status = Outbox(), None
        while True:
            self._lifecycle.episode_started(state)
            result = await self._decide(state)
            self._lifecycle.episode_decided(state, result)
            # A status outlives its generation within the work item only; the next one speaks for itself.
            custom_status = custom_status if result.custom_status is None else result.custom_status
            applied = apply_decisions(
                state,
                result.decisions,
                outbox,
                played=result.played,
                now=self._now(),
                new_id=self._new_id,
                store_inputs=self._options.store_inputs_in_orchestration_history,
            )
            state = applied.state
            if not applied.continues:
                return outcome_of(state, outbox, custom_status)

    async def _decide(self, state: RuntimeState) -> OrchestratorResult:
        options, version = self._options, state.started.version
        if accepts(options.version_match_strategy, options.default_version, version):
            return await self._executor.orchestrate(
                OrchestratorRequest(instance=state.instance, started=state.started, past=state.past, new=state.new)
            )
        if options.version_failure_strategy is VersionFailure.FAIL:
            return _version_failure(state)
        raise WorkAborted(
            f"The instance has version {version!r}, which this worker must not run: host.json has "
            f"extensions.durableTask.defaultVersion {options.default_version!r} and versionMatchStrategy "
            f"{options.version_match_strategy.value!r}. On Azure it waits silently until a worker accepts it; set "
            "defaultVersion, or versionMatchStrategy to 'None'"
        )

    def _now(self) -> Instant:
        return Instant.of(self._clock.now())


def nothing_new(item: OrchestrationWorkItem) -> EpisodeOutcome:
    """The messages were of no use (repeated, stale, or too late); they are only deleted."""
    return EpisodeOutcome(
        instance=item.instance, past_count=len(item.history), new_events=(), status=RuntimeStatus.RUNNING
    )


def _version_failure(state: RuntimeState) -> OrchestratorResult:
    """Fails without running the function, whatever the history holds."""
    failure = FailureDetails("VersionMismatch", _VERSION_MISMATCH, is_non_retriable=True)
    next_id = 1 + max((event.event_id for event in state.past), default=-1)
    end = Complete(
        next_id,
        RuntimeStatus.FAILED,
        f"VersionMismatch: {_VERSION_MISMATCH}",
        details=_VERSION_MISMATCH,
        failure=failure,
    )
    return OrchestratorResult(decisions=[end], custom_status=None, played=len(state.new))
