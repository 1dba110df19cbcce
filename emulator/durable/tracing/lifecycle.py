"""Log lines about orchestrations and activities, with the texts of the Durable Task extension.

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
from emulator.durable.tracing.entities import EntityLog
from emulator.durable.tracing.hub_log import HubLog, activity_label, orchestrator_label, orchestrator_label_of


class LifecycleLog:
    """Logs what happens to the instances of a task hub. `entities` logs what happens to entities."""

    def __init__(self, log: HubLog) -> None:
        self._log = log
        self.entities = EntityLog(log)

    @classmethod
    def of_hub(cls, options: DurableTaskOptions, *, app_name: str = "", slot_name: str = "") -> LifecycleLog:
        return cls(
            HubLog(
                hub_name=options.hub_name,
                app_name=app_name,
                slot_name=slot_name,
                show_payloads=options.tracing.trace_inputs_and_outputs,
            )
        )

    # The worker ------------------------------------------------------------------------------------------------

    def worker_started(self) -> None:
        # The extension's format has places for an instance and a function. Lines about the worker leave them empty.
        self._log.info("Task hub worker started. InstanceId: . Function: .")

    def worker_stopping(self) -> None:
        self._log.info("Stopping task hub worker. IsGracefulStop: True. InstanceId: . Function: .")

    def worker_stopped(self) -> None:
        self._log.info("Task hub worker stopped. IsGracefulStop: True. InstanceId: . Function: .")

    # Orchestrations --------------------------------------------------------------------------------------------

    def episode_started(self, state: RuntimeState) -> None:
        """Log the start of an execution, and timers and rewinds that start an episode."""
        function = orchestrator_label_of(state)
        # Only the first episode of an execution has no stored events.
        if not state.past:
            # Orchestrators are logged with -1 where activities have the id of their task.
            self.started(function, state.started.input, task_id=-1)
        for event in state.new:
            if isinstance(event, TimerFired):
                self._log.info(
                    f"{function} was resumed by a timer scheduled for '{event.fire_at.text7}'. IsReplay: False. "
                    "State: TimerExpired."
                )
            # Only the wake-up message of a rewind is a new GenericEvent.
            elif isinstance(event, GenericEvent):
                self._log.info(
                    f"{function} continues after its rewind. Its status is Running again; on Azure it stays Pending, "
                    "with the old output, until the end."
                )

    def episode_decided(self, state: RuntimeState, result: OrchestratorResult) -> None:
        """Log the events that the orchestrator received and its decisions."""
        for entry in result.trace:
            match entry:
                case EventReceived():
                    self._event_received(state, entry)
                case WaitStarted(reason):
                    self._wait_started(state, reason)
                case _:
                    assert_never(entry)
        for decision in result.decisions:
            self._decision(state, decision)
        # The orchestrator waits for something if it has neither ended nor continued as new.
        if not any(isinstance(decision, Complete | StartNextGeneration) for decision in result.decisions):
            self._log.info(f"{orchestrator_label_of(state)} awaited. IsReplay: False. State: Awaited.")

    def _event_received(self, state: RuntimeState, received: EventReceived) -> None:
        function, name = orchestrator_label_of(state), received.event.name
        match received.delivery:
            case EventDelivery.TO_TASK:
                self._log.info(f"{function} received a '{name}' event. State: ExternalEventRaised.")
            case EventDelivery.TO_ENTITY_CALL:
                self._log.info(
                    f"{function} received an entity response. OperationId: {name}. State: ExternalEventRaised."
                )
            # The extension calls this state "dropped", although the event is delivered as soon as it is awaited.
            case EventDelivery.BUFFERED:
                self._log.info(f"{function} saved a '{name}' event to an in-memory queue. State: ExternalEventDropped.")
            case _:
                assert_never(received.delivery)

    def _wait_started(self, state: RuntimeState, reason: str) -> None:
        self._log.info(
            f"{orchestrator_label_of(state)} is waiting for input. Reason: {reason}. IsReplay: False. State: Listening."
        )

    def _decision(self, state: RuntimeState, decision: Decision) -> None:
        caller = state.started.name
        match decision:
            case ScheduleTask():
                self.scheduled(activity_label(state.instance.instance_id, decision.name), caller)
            case StartSubOrchestration():
                self.scheduled(orchestrator_label(decision.instance_id, decision.name), caller)
            case CreateTimer():
                # The extension logs a timer as a wait, with the time at which it ends.
                self._wait_started(state, f"CreateTimer:{decision.fire_at.text7}")
            case Complete():
                self._ended(state, decision)
            case StartNextGeneration():
                # The extension logs the end of a generation as a completion, with the next input as the output.
                self.completed(orchestrator_label_of(state), decision.input, task_id=-1, continued_as_new=True)

    def _ended(self, state: RuntimeState, end: Complete) -> None:
        function = orchestrator_label_of(state)
        # Only a termination is expected to end a suspended instance.
        if state.is_suspended and end.status is not RuntimeStatus.TERMINATED:
            self._log.info(
                f"{function} completed while suspended, because it no longer waited for anything. Cancelling a timer "
                "can have this effect, also on Azure."
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
                        self._log.info(
                            f"{function} was terminated, but its sub-orchestration {event.instance_id} continues to "
                            "run. The result will be dropped."
                        )

    # Clients ---------------------------------------------------------------------------------------------------

    def client_operation(self, operation: str, instance_id: str, invocation_id: str) -> None:
        """Log an operation of the durable client, with the id of the function invocation that has called it."""
        self._log.info(
            f"Client operation '{operation}' received for instance '{instance_id}'. "
            f"FunctionInvocationId: {invocation_id}."
        )

    def control_requested(self, verb: str, instance_id: str, name: str, reason: str | None) -> None:
        """Log a request to terminate, suspend or resume. It takes effect when its message is processed."""
        # Only a termination is logged as a warning.
        text = _CONTROL_REQUESTS[verb].format(
            orchestrator_label(instance_id, name), id=instance_id, name=name, reason=reason
        )
        (self._log.warning if verb == "terminate" else self._log.info)(text)

    def rewound(self, instance_id: str, name: str, reason: str | None) -> None:
        """Log a request to rewind."""
        self._log.warning(f"{orchestrator_label(instance_id, name)} was rewound. Reason: {reason}. State: Rewound.")

    def control_rejected(self, verb: str, instance_id: str, name: str, state: RuntimeStatus) -> None:
        """Log a request that the state of the instance does not allow."""
        # Two full stops, as in the extension.
        self._log.warning(
            f"Cannot {verb} orchestration instance in the {state.wire_name} state.. InstanceId: {instance_id}. "
            f"Function: {name}."
        )

    # All kinds of functions ------------------------------------------------------------------------------------

    def scheduled(self, function: str, reason: str) -> None:
        self._log.info(
            f"{function} scheduled. Reason: {reason}. IsReplay: False. State: Scheduled. RuntimeStatus: Pending."
        )

    def started(self, function: str, input_text: str | None, *, task_id: int) -> None:
        self._log.info(
            f"{function} started. IsReplay: False. Input: {self._log.payload(input_text)}. State: Started. "
            "RuntimeStatus: Running.",
            task_id,
        )

    def completed(self, function: str, output: str | None, *, task_id: int, continued_as_new: bool = False) -> None:
        self._log.info(
            f"{function} completed. ContinuedAsNew: {continued_as_new}. IsReplay: False. "
            f"Output: {self._log.payload(output)}. State: Completed. RuntimeStatus: Completed.",
            task_id,
        )

    def failed(self, function: str, reason: str | None, *, task_id: int) -> None:
        self._log.error(
            f"{function} failed with an error. Reason: {reason}. IsReplay: False. State: Failed. "
            "RuntimeStatus: Failed.",
            task_id,
        )


# Suspend and resume have no label in front in the extension's texts: they name instance and function themselves.
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
