"""The log lines that tell the story of an instance, in the words of the Durable Task extension.

Source: durable-extension, EndToEndTraceHelper.cs; spec/durable-client-http.md 6.3.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence

from emulator.config.durable import DurableTaskOptions
from emulator.durable.core.decisions import (
    Complete,
    CreateTimer,
    ScheduleTask,
    StartNextGeneration,
    StartSubOrchestration,
)
from emulator.durable.core.events import (
    EventRaised,
    ExecutionResumed,
    ExecutionSuspended,
    HistoryEvent,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TimerFired,
)
from emulator.durable.core.identity import EntityId, RuntimeStatus
from emulator.durable.core.state import RuntimeState
from emulator.durable.executor import EntityBatch, EntityBatchResult, OrchestratorResult

_log = logging.getLogger(__name__)

EXTENSION_VERSION = "3.15.2"
"""The release of the extension whose behaviour this is."""


class Lifecycle:
    """Writes the lines. `show_payloads`: host.json, tracing.traceInputsAndOutputs."""

    def __init__(self, *, hub_name: str, app_name: str = "", slot_name: str = "", show_payloads: bool = False) -> None:
        self._tail = (
            f"HubName: {hub_name}. AppName: {app_name}. SlotName: {slot_name}. ExtensionVersion: {EXTENSION_VERSION}."
        )
        self._show_payloads = show_payloads
        self._numbers = itertools.count()

    @classmethod
    def of_hub(cls, options: DurableTaskOptions, *, app_name: str = "") -> Lifecycle:
        return cls(hub_name=options.hub_name, app_name=app_name, show_payloads=options.tracing.trace_inputs_and_outputs)

    # The worker ------------------------------------------------------------------------------------------------

    def worker_started(self) -> None:
        self._info("Task hub worker started. InstanceId: . Function: .")

    def worker_stopping(self) -> None:
        self._info("Stopping task hub worker. IsGracefulStop: True. InstanceId: . Function: .")

    def worker_stopped(self) -> None:
        self._info("Task hub worker stopped. IsGracefulStop: True. InstanceId: . Function: .")

    # Orchestrations --------------------------------------------------------------------------------------------

    def turn_began(self, state: RuntimeState) -> None:
        function = _orchestrator(state)
        if not state.past:
            self.started(function, state.started.input, task_id=-1)
        for event in state.new:
            self._event_arrived(state, event)

    def turn_decided(self, state: RuntimeState, result: OrchestratorResult) -> None:
        """What the function decided in one generation."""
        caller = state.started.name
        for decision in result.decisions:
            match decision:
                case ScheduleTask():
                    self.scheduled(_function(state.instance.instance_id, decision.name, "Activity"), caller)
                case StartSubOrchestration():
                    self.scheduled(orchestrator(decision.instance_id, decision.name), caller)
                case CreateTimer():
                    self._waits(state, f"CreateTimer:{decision.fire_at.text7}")
                case Complete():
                    self._ended(state, decision)
                case StartNextGeneration():
                    self.completed(_orchestrator(state), decision.input, task_id=-1, continued_as_new=True)
        for reason in result.waits:
            self._waits(state, reason)
        if not any(isinstance(decision, Complete | StartNextGeneration) for decision in result.decisions):
            self._info(f"{_orchestrator(state)} awaited. IsReplay: False. State: Awaited.")

    def _waits(self, state: RuntimeState, reason: str) -> None:
        self._info(f"{_orchestrator(state)} is waiting for input. Reason: {reason}. IsReplay: False. State: Listening.")

    def _event_arrived(self, state: RuntimeState, event: HistoryEvent) -> None:
        function = _orchestrator(state)
        instance_id, name = state.instance.instance_id, state.started.name
        match event:
            case EventRaised():
                self._info(f"{function} received a '{event.name}' event. State: ExternalEventRaised.")
            case TimerFired():
                self._info(
                    f"{function} was resumed by a timer scheduled for '{event.fire_at.text7}'. IsReplay: False. "
                    "State: TimerExpired."
                )
            case ExecutionSuspended():
                self._info(
                    f"{instance_id}: Suspending function '{name} (Orchestrator)'. Reason: {event.reason}. "
                    "State: Suspended. RuntimeStatus: Suspended."
                )
            case ExecutionResumed():
                self._info(
                    f"{instance_id}: Resuming function '{name} (Orchestrator)'. Reason: {event.reason}. "
                    "State: Scheduled. RuntimeStatus: Running."
                )

    def _ended(self, state: RuntimeState, end: Complete) -> None:
        function = _orchestrator(state)
        if state.is_suspended and end.status is not RuntimeStatus.TERMINATED:
            self._info(
                f"{function} completed while suspended: nothing that it waited for was still running. A cancelled "
                "timer lets an orchestration pass a suspension, here as on Azure."
            )
        match end.status:
            case RuntimeStatus.COMPLETED:
                self.completed(function, end.result, task_id=-1)
            case RuntimeStatus.FAILED:
                self.failed(function, end.result, task_id=-1)
            case _:
                self._warning(
                    f"{function} was terminated. Reason: {end.result}. State: Terminated. RuntimeStatus: Terminated."
                )
                for child in _open_children(state):
                    self._info(f"{function} leaves its sub-orchestration {child} running; its answer will be dropped.")

    # Entities --------------------------------------------------------------------------------------------------

    def batch_ended(self, batch: EntityBatch, result: EntityBatchResult) -> None:
        function = entity(batch.entity)
        for operation, outcome in zip(batch.operations, result.results, strict=True):
            input_text, output = self._payload(operation.input), self._payload(outcome.result)
            if outcome.is_error:
                self._error(
                    f"{function} failed '{operation.name}' operation {operation.id} with exception {outcome.result}. "
                    f"Input: {input_text}. IsReplay: False."
                )
            else:
                self._info(
                    f"{function} completed '{operation.name}' operation {operation.id}. IsReplay: False. "
                    f"Input: {input_text}. Output: {output}."
                )
        if result.exists != batch.exists:
            done = "created" if result.exists else "deleted"
            self._info(f"{function} {done} entity state. State: EntityState{done.capitalize()}.")

    # Clients ---------------------------------------------------------------------------------------------------

    def rewound(self, instance_id: str, name: str, reason: str | None) -> None:
        self._warning(f"{orchestrator(instance_id, name)} was rewound. Reason: {reason}. State: Rewound.")

    def refused(self, verb: str, instance_id: str, name: str, state: RuntimeStatus) -> None:
        """Somebody asked for what the state of the instance does not allow."""
        self._warning(
            f"Cannot {verb} orchestration instance in the {state.wire_name} state. InstanceId: {instance_id}. "
            f"Function: {name}."
        )

    # All kinds of functions ------------------------------------------------------------------------------------

    def scheduled(self, function: str, reason: str) -> None:
        self._info(
            f"{function} scheduled. Reason: {reason}. IsReplay: False. State: Scheduled. RuntimeStatus: Pending."
        )

    def started(self, function: str, input_text: str | None, *, task_id: int) -> None:
        self._info(
            f"{function} started. IsReplay: False. Input: {self._payload(input_text)}. State: Started. "
            "RuntimeStatus: Running.",
            task_id,
        )

    def completed(self, function: str, output: str | None, *, task_id: int, continued_as_new: bool = False) -> None:
        self._info(
            f"{function} completed. ContinuedAsNew: {continued_as_new}. IsReplay: False. "
            f"Output: {self._payload(output)}. State: Completed. RuntimeStatus: Completed.",
            task_id,
        )

    def failed(self, function: str, reason: str | None, *, task_id: int) -> None:
        text = (
            f"{function} failed with an error. Reason: {reason}. IsReplay: False. State: Failed. RuntimeStatus: Failed."
        )
        _log.error("%s", self._line(text, task_id))

    def _payload(self, text: str | None) -> str:
        if text is None:
            return "(null)"
        return text if self._show_payloads else f"(Redacted {len(text)} characters)"

    # Lines -----------------------------------------------------------------------------------------------------

    def _info(self, text: str, task_id: int | None = None) -> None:
        if _log.isEnabledFor(logging.INFO):
            _log.info("%s", self._line(text, task_id))

    def _warning(self, text: str) -> None:
        _log.warning("%s", self._line(text, None))

    def _error(self, text: str, task_id: int | None = None) -> None:
        _log.error("%s", self._line(text, task_id))

    def _line(self, text: str, task_id: int | None) -> str:
        number = f"SequenceNumber: {next(self._numbers)}."
        task = "" if task_id is None else f" TaskEventId: {task_id}"
        return f"{text} {self._tail} {number}{task}"


def _open_children(state: RuntimeState) -> Sequence[str]:
    """The ids of the sub-orchestrations that have not answered."""
    events = [*state.past, *state.new]
    answers = (SubOrchestrationInstanceCompleted, SubOrchestrationInstanceFailed)
    answered = {event.task_scheduled_id for event in events if isinstance(event, answers)}
    created = (event for event in events if isinstance(event, SubOrchestrationInstanceCreated))
    return [event.instance_id for event in created if event.event_id not in answered]


def activity(instance_id: str, name: str) -> str:
    """How the lines call an activity function of an instance."""
    return _function(instance_id, name, "Activity")


def orchestrator(instance_id: str, name: str) -> str:
    """How the lines call the orchestrator function of an instance."""
    return _function(instance_id, name, "Orchestrator")


def entity(entity: EntityId) -> str:
    """How the lines call the function of an entity."""
    return _function(entity.instance_id, entity.name, "Entity")


def _orchestrator(state: RuntimeState) -> str:
    return orchestrator(state.instance.instance_id, state.started.name)


def _function(instance_id: str, name: str, kind: str) -> str:
    return f"{instance_id}: Function '{name} ({kind})'"
