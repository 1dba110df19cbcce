"""Log lines about entities, with the texts of the Durable Task extension.

Source: durable-extension, EndToEndTraceHelper.cs and Listener/TaskEntityShim.cs.
"""

from __future__ import annotations

from emulator.durable.core.entities.scheduler import BatchPlan, SchedulerState
from emulator.durable.core.identity import EntityId
from emulator.durable.executor import EntityBatch, EntityBatchResult
from emulator.durable.tracing.hub_log import HubLog, entity_label


class EntityLog:
    """Writes the log lines about entities."""

    def __init__(self, log: HubLog) -> None:
        self._log = log

    def operations_ended(self, batch: EntityBatch, result: EntityBatchResult) -> None:
        """Log the results of a batch of operations."""
        function = entity_label(batch.entity)
        # The name of the operation is empty, because one call of the function has executed all of them.
        if result.exists and not batch.exists:
            self._log.info(f"{function} created entity state in '' operation . State: EntityStateCreated.")
        # The number of results was checked when they were read.
        for operation, outcome in zip(batch.operations, result.results, strict=True):
            duration, payload = f"{outcome.duration_ms:g}ms", self._log.payload(operation.input)
            if outcome.is_error:
                self._log.error(
                    f"{function} failed '{operation.name}' operation {operation.id} after {duration} with exception "
                    f"{outcome.result}. Input: {payload}. IsReplay: False."
                )
            else:
                self._log.info(
                    f"{function} completed '{operation.name}' operation {operation.id} in {duration}. IsReplay: False. "
                    f"Input: {payload}. Output: {self._log.payload(outcome.result)}."
                )
        if batch.exists and not result.exists:
            self._log.info(f"{function} deleted entity state in '' operation . State: EntityStateDeleted.")

    def batch_ended(self, entity_id: EntityId, batch: BatchPlan, after: SchedulerState) -> None:
        """Log locks and the summary of a batch. `after` is the state in which the next batch starts."""
        function = entity_label(entity_id)
        for release in batch.released:
            self._log.info(
                f"{function} released lock held by request {release.id} by instance {release.parent}. "
                "State: LockReleased."
            )
        lock = batch.lock_request
        if lock is not None:
            self._log.info(
                f"{function} granted lock to request {lock.id} by instance {lock.parent}, execution "
                f"{lock.parent_execution}. State: LockAcquired."
            )
        # "done/done": every operation of a batch is processed, because a failure does not stop the others.
        done, sorter = len(batch.operations), batch.sorter
        self._log.info(
            f"{function} received {batch.events} events and processed {done}/{done} entity operations. "
            f"OutOfOrderMessages: {sorter.buffered}. QueuedMessages: {len(after.queue)}. "
            f"UserStateSize: {len(after.state or '')}. Sources: {sorter.sources}. Destinations: {sorter.targets}. "
            f"LockedBy: {after.locked_by or '(null)'}. Suspended: {after.suspended}. TraceFlags: {batch.flags}. "
            "State: EntityBatch."
        )
