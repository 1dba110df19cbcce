"""Log lines about orchestrations and activities, in the words of the Durable Task extension.

Source: durable-extension, EndToEndTraceHelper.cs; docs/protocol/durable-client-http.md 6.3.
"""

from __future__ import annotations

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
from emulator.durable.core.replay.external_events import EventDelivery, EventReceived, WaitStarted
from emulator.durable.core.state import RuntimeState
from emulator.durable.executor import OrchestratorResult
from emulator.durable.options import DurableTaskOptions
from emulator.durable.tracing.entities import EntityLines
from emulator.durable.tracing.writing import Lines, activity, orchestrator, orchestrator_of


class Lifecycle:
    """Writes the log lines of a task hub. `entities` writes those about entities."""

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

    def episode_started(self, state: RuntimeState) -> None:
        """Log the start of an execution, and timers and rewinds that start an episode."""
        function = orchestrator_of(state)
        # Only the first episode of an execution has no past.
        if not state.past:
            # Orchestrators are logged with -1 where activities have the id of their task.
            self.started(function, state.started.input, task_id=-1)
        for event in state.new:
            if isinstance(event, TimerFired):
                self._lines.info(
                    f"{function} was resumed by a timer scheduled for '{event.fire_at.text7}'. IsReplay: False. "
                    "State: TimerExpired."
                )
            # Only the wake-up message of a rewind is a new GenericEvent.
            elif isinstance(event, GenericEvent):
                self._lines.info(
                    f"{function} continues after its rewind. Its status is Running again; on Azure it stays Pending, "
                    "with the old output, until the end."
                )

    def episode_decided(self, state: RuntimeState, result: OrchestratorResult) -> None:
        """Log the events that the orchestrator received and its decisions."""
        for happening in result.story:
            match happening:
                case EventReceived():
                    self._arrived(state, happening)
                case WaitStarted(reason):
                    self._waits(state, reason)
                case _:
                    assert_never(happening)
        for decision in result.decisions:
            self._decided(state, decision)
        # The orchestrator waits for something if it has neither ended nor continued as new.
        if not any(isinstance(decision, Complete | StartNextGeneration) for decision in result.decisions):
            self._lines.info(f"{orchestrator_of(state)} awaited. IsReplay: False. State: Awaited.")

    def _arrived(self, state: RuntimeState, arrival: EventReceived) -> None:
        function, name = orchestrator_of(state), arrival.event.name
        match arrival.delivery:
            case EventDelivery.TO_TASK:
                self._lines.info(f"{function} received a '{name}' event. State: ExternalEventRaised.")
            case EventDelivery.TO_ENTITY_CALL:
                self._lines.info(
                    f"{function} received an entity response. OperationId: {name}. State: ExternalEventRaised."
                )
            # The extension calls this state "dropped", although the event is delivered as soon as it is awaited.
            case EventDelivery.BUFFERED:
                self._lines.info(
                    f"{function} saved a '{name}' event to an in-memory queue. State: ExternalEventDropped."
                )
            case _:
                assert_never(arrival.delivery)

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
                # The extension logs a timer as a wait, with the time at which it ends.
                self._waits(state, f"CreateTimer:{decision.fire_at.text7}")
            case Complete():
                self._ended(state, decision)
            case StartNextGeneration():
                self.completed(orchestrator_of(state), decision.input, task_id=-1, continued_as_new=True)

    def _ended(self, state: RuntimeState, end: Complete) -> None:
        function = orchestrator_of(state)
        # A termination may end a suspended instance. Users do not expect that it ends in another way.
        if state.is_suspended and end.status is not RuntimeStatus.TERMINATED:
            self._lines.info(
                f"{function} completed while suspended, because it no longer waited for anything. Cancelling a timer "
                "can have this effect, on Azure, too."
            )
        match end.status:
            case RuntimeStatus.COMPLETED:
                self.completed(function, end.result, task_id=-1)
            case RuntimeStatus.FAILED:
                self.failed(function, end.result, task_id=-1)
            case _:
                # The extension logs a termination when it is requested. azemu adds the sub-orchestrations that have not
                # completed, because termination does not reach them.
                events = [*state.past, *state.new]
                results = (SubOrchestrationInstanceCompleted, SubOrchestrationInstanceFailed)
                completed = {event.task_scheduled_id for event in events if isinstance(event, results)}
                for event in events:
                    if isinstance(event, SubOrchestrationInstanceCreated) and event.event_id not in completed:
                        self._lines.info(
                            f"{function} was terminated, but its sub-orchestration {event.instance_id} continues to "
                            "run. The result will be dropped."
                        )

    # Clients ---------------------------------------------------------------------------------------------------

    def control_requested(self, verb: str, instance_id: str, name: str, reason: str | None) -> None:
        """Log a request to terminate, suspend or resume. It takes effect when its message is processed."""
        # Only a termination is logged as a warning.
        text = _CONTROL_REQUESTS[verb].format(orchestrator(instance_id, name), id=instance_id, name=name, reason=reason)
        (self._lines.warning if verb == "terminate" else self._lines.info)(text)

    def rewound(self, instance_id: str, name: str, reason: str | None) -> None:
        """Log a request to rewind."""
        self._lines.warning(f"{orchestrator(instance_id, name)} was rewound. Reason: {reason}. State: Rewound.")

    def refused(self, verb: str, instance_id: str, name: str, state: RuntimeStatus) -> None:
        """Log a request that the state of the instance does not allow."""
        # Two full stops, as in the extension.
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


_CONTROL_REQUESTS = {
    "terminate": "{0} was terminated. Reason: {reason}. State: Terminated. RuntimeStatus: Terminated.",
    "suspend": (
        "{id}: Suspending function '{name} (Orchestrator)'. Reason: {reason}. State: Suspended. "
        "RuntimeStatus: Suspended."
    ),
    "resume": (
        "{id}: Resuming function '{name} (Orchestrator)'. Reason: {reason}. State: Scheduled. RuntimeStatus: Running."
    ),
}
