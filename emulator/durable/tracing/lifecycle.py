"""The log lines that tell the story of an instance, in the words of the Durable Task extension.

Source: durable-extension, EndToEndTraceHelper.cs; docs/protocol/durable-client-http.md 6.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from emulator.durable.core.decisions import (
    Complete,
    CreateTimer,
    Decision,
    ScheduleTask,
    StartNextGeneration,
    StartSubOrchestration,
)
from emulator.durable.core.events import (
    GenericEvent,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TimerFired,
)
from emulator.durable.core.identity import RuntimeStatus
from emulator.durable.core.replay.external_events import Arrival, Reception, Waiting
from emulator.durable.core.state import RuntimeState
from emulator.durable.executor import OrchestratorResult
from emulator.durable.options import DurableTaskOptions
from emulator.durable.tracing.entities import EntityLines
from emulator.durable.tracing.writing import Lines, activity, orchestrator, orchestrator_of


class Lifecycle:
    """Writes the lines; `entities` those about entities."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self.entities = EntityLines(lines)

    @classmethod
    def of_hub(cls, options: DurableTaskOptions, *, app_name: str = "", slot_name: str = "") -> Lifecycle:
        return cls(
            Lines(
                hub_name=options.hub_name,
                app_name=app_name,
                slot_name=slot_name,
                show_payloads=options.tracing.trace_inputs_and_outputs,
            )
        )

    # The worker ------------------------------------------------------------------------------------------------

    def worker_started(self) -> None:
        self._lines.info("Task hub worker started. InstanceId: . Function: .")

    def worker_stopping(self) -> None:
        self._lines.info("Stopping task hub worker. IsGracefulStop: True. InstanceId: . Function: .")

    def worker_stopped(self) -> None:
        self._lines.info("Task hub worker stopped. IsGracefulStop: True. InstanceId: . Function: .")

    # Orchestrations --------------------------------------------------------------------------------------------

    def turn_began(self, state: RuntimeState) -> None:
        function = orchestrator_of(state)
        if not state.past:
            self.started(function, state.started.input, task_id=-1)
        for event in state.new:
            if isinstance(event, TimerFired):
                self._lines.info(
                    f"{function} was resumed by a timer scheduled for '{event.fire_at.text7}'. IsReplay: False. "
                    "State: TimerExpired."
                )
            elif isinstance(event, GenericEvent):
                self._lines.info(
                    f"{function} goes on after its rewind. Its status is Running again; on Azure it stays Pending, "
                    "with the old output, until the end."
                )

    def turn_decided(self, state: RuntimeState, result: OrchestratorResult) -> None:
        """What one generation was told, and what it decided."""
        for happening in result.story:
            match happening:
                case Arrival():
                    self._arrived(state, happening)
                case Waiting(reason):
                    self._waits(state, reason)
                case _:
                    assert_never(happening)
        for decision in result.decisions:
            self._decided(state, decision)
        if not any(isinstance(decision, Complete | StartNextGeneration) for decision in result.decisions):
            self._lines.info(f"{orchestrator_of(state)} awaited. IsReplay: False. State: Awaited.")

    def _arrived(self, state: RuntimeState, arrival: Arrival) -> None:
        function, name = orchestrator_of(state), arrival.event.name
        match arrival.reception:
            case Reception.TAKEN:
                self._lines.info(f"{function} received a '{name}' event. State: ExternalEventRaised.")
            case Reception.ANSWER:
                self._lines.info(
                    f"{function} received an entity response. OperationId: {name}. State: ExternalEventRaised."
                )
            case Reception.KEPT:
                self._lines.info(
                    f"{function} saved a '{name}' event to an in-memory queue. State: ExternalEventDropped."
                )
            case _:
                assert_never(arrival.reception)

    def _waits(self, state: RuntimeState, reason: str) -> None:
        self._lines.info(
            f"{orchestrator_of(state)} is waiting for input. Reason: {reason}. IsReplay: False. State: Listening."
        )

    def _decided(self, state: RuntimeState, decision: Decision) -> None:
        caller = state.started.name
        match decision:
            case ScheduleTask():
                self.scheduled(activity(state.instance.instance_id, decision.name), caller)
            case StartSubOrchestration():
                self.scheduled(orchestrator(decision.instance_id, decision.name), caller)
            case CreateTimer():
                self._waits(state, f"CreateTimer:{decision.fire_at.text7}")
            case Complete():
                self._ended(state, decision)
            case StartNextGeneration():
                self.completed(orchestrator_of(state), decision.input, task_id=-1, continued_as_new=True)

    def _ended(self, state: RuntimeState, end: Complete) -> None:
        function = orchestrator_of(state)
        if state.is_suspended and end.status is not RuntimeStatus.TERMINATED:
            self._lines.info(
                f"{function} completed while suspended: nothing that it waited for was still running. A cancelled "
                "timer lets an orchestration pass a suspension, here as on Azure."
            )
        match end.status:
            case RuntimeStatus.COMPLETED:
                self.completed(function, end.result, task_id=-1)
            case RuntimeStatus.FAILED:
                self.failed(function, end.result, task_id=-1)
            case _:
                for child in _open_children(state):
                    self._lines.info(
                        f"{function} was terminated and leaves its sub-orchestration {child} running; its answer will "
                        "be dropped."
                    )

    # Clients ---------------------------------------------------------------------------------------------------

    def steered(self, verb: str, instance_id: str, name: str, reason: str | None) -> None:
        """Somebody asked to terminate, suspend or resume an instance. It happens when the message is handled."""
        text = _STEERED[verb].format(orchestrator(instance_id, name), id=instance_id, name=name, reason=reason)
        (self._lines.warning if verb == "terminate" else self._lines.info)(text)

    def rewound(self, instance_id: str, name: str, reason: str | None) -> None:
        self._lines.warning(f"{orchestrator(instance_id, name)} was rewound. Reason: {reason}. State: Rewound.")

    def refused(self, verb: str, instance_id: str, name: str, state: RuntimeStatus) -> None:
        """Somebody asked for what the state of the instance does not allow."""
        self._lines.warning(
            f"Cannot {verb} orchestration instance in the {state.wire_name} state.. InstanceId: {instance_id}. "
            f"Function: {name}."
        )

    # All kinds of functions ------------------------------------------------------------------------------------

    def scheduled(self, function: str, reason: str) -> None:
        self._lines.info(
            f"{function} scheduled. Reason: {reason}. IsReplay: False. State: Scheduled. RuntimeStatus: Pending."
        )

    def started(self, function: str, input_text: str | None, *, task_id: int) -> None:
        self._lines.info(
            f"{function} started. IsReplay: False. Input: {self._lines.payload(input_text)}. State: Started. "
            "RuntimeStatus: Running.",
            task_id,
        )

    def completed(self, function: str, output: str | None, *, task_id: int, continued_as_new: bool = False) -> None:
        self._lines.info(
            f"{function} completed. ContinuedAsNew: {continued_as_new}. IsReplay: False. "
            f"Output: {self._lines.payload(output)}. State: Completed. RuntimeStatus: Completed.",
            task_id,
        )

    def failed(self, function: str, reason: str | None, *, task_id: int) -> None:
        self._lines.error(
            f"{function} failed with an error. Reason: {reason}. IsReplay: False. State: Failed. "
            "RuntimeStatus: Failed.",
            task_id,
        )


_STEERED = {
    "terminate": "{0} was terminated. Reason: {reason}. State: Terminated. RuntimeStatus: Terminated.",
    "suspend": (
        "{id}: Suspending function '{name} (Orchestrator)'. Reason: {reason}. State: Suspended. "
        "RuntimeStatus: Suspended."
    ),
    "resume": (
        "{id}: Resuming function '{name} (Orchestrator)'. Reason: {reason}. State: Scheduled. RuntimeStatus: Running."
    ),
}


def _open_children(state: RuntimeState) -> Sequence[str]:
    """The ids of the sub-orchestrations that have not answered."""
    events = [*state.past, *state.new]
    answers = (SubOrchestrationInstanceCompleted, SubOrchestrationInstanceFailed)
    answered = {event.task_scheduled_id for event in events if isinstance(event, answers)}
    created = (event for event in events if isinstance(event, SubOrchestrationInstanceCreated))
    return [event.instance_id for event in created if event.event_id not in answered]
