"""Log lines about entities.

Source: durable-extension, EndToEndTraceHelper.cs and Listener/TaskEntityShim.cs.
"""

from __future__ import annotations

from emulator.durable.core.entities.scheduler import EntityPlan, SchedulerState
from emulator.durable.core.identity import EntityId
from emulator.durable.executor import EntityBatch, EntityBatchResult
from emulator.durable.tracing.writing import Lines, entity


class EntityLines:
    """Writes the log lines about entities."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def operations_ended(self, batch: EntityBatch, result: EntityBatchResult) -> None:
        """Log the results of a batch of operations."""
        # The name of the operation is empty, because one call of the function has executed all of them.
        if result.exists and not batch.exists:
            self._lines.info(
                f"{entity(batch.entity)} created entity state in '' operation . State: EntityStateCreated."
            )
        # The number of results was checked when they were read.
        for operation, outcome in zip(batch.operations, result.results, strict=True):
            function = f"{entity(batch.entity)} {'failed' if outcome.is_error else 'completed'} '{operation.name}'"
            took, given = f"{outcome.duration_ms:g}ms", self._lines.payload(operation.input)
            if outcome.is_error:
                self._lines.error(
                    f"{function} operation {operation.id} after {took} with exception {outcome.result}. "
                    f"Input: {given}. IsReplay: False."
                )
            else:
                self._lines.info(
                    f"{function} operation {operation.id} in {took}. IsReplay: False. Input: {given}. "
                    f"Output: {self._lines.payload(outcome.result)}."
                )
        if batch.exists and not result.exists:
            self._lines.info(
                f"{entity(batch.entity)} deleted entity state in '' operation . State: EntityStateDeleted."
            )

    def batch_ended(self, entity_id: EntityId, turn: EntityPlan, after: SchedulerState) -> None:
        """Log locks and the summary of a batch. `after` is the state in which the next batch starts."""
        function = entity(entity_id)
        for release in turn.released:
            self._lines.info(
                f"{function} released lock held by request {release.id} by instance {release.parent}. "
                "State: LockReleased."
            )
        lock = turn.lock_request
        if lock is not None:
            self._lines.info(
                f"{function} granted lock to request {lock.id} by instance {lock.parent}, execution "
                f"{lock.parent_execution}. State: LockAcquired."
            )
        # "done/done": every operation of a batch is processed, because a failure does not stop the others.
        done, sorter = len(turn.operations), turn.sorter
        self._lines.info(
            f"{function} received {turn.events} events and processed {done}/{done} entity operations. "
            f"OutOfOrderMessages: {sorter.buffered}. QueuedMessages: {len(after.queue)}. "
            f"UserStateSize: {len(after.state or '')}. Sources: {sorter.sources}. Destinations: {sorter.targets}. "
            f"LockedBy: {after.locked_by or '(null)'}. Suspended: {after.suspended}. TraceFlags: {turn.flags}. "
            "State: EntityBatch."
        )
