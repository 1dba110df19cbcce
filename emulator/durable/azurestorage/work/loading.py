"""Loading of an instance for a session: its history, and the check of ExecutionStarted messages against its status row.

Source: docs/protocol/task-hub-storage.md chapters 3.7, 6.3 and 6.4 (durabletask: OrchestrationSessionManager.cs).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from emulator.clock import Clock
from emulator.durable.azurestorage.messaging.queues import ReceivedMessage
from emulator.durable.azurestorage.tracking.history import History, HistoryTable
from emulator.durable.azurestorage.tracking.hub_cache import HubCache
from emulator.durable.azurestorage.tracking.instances import InstanceTable
from emulator.durable.azurestorage.work.delivery import Disposition, disposition_of_start
from emulator.durable.core.events import ExecutionStarted

# A client in another process writes the status row right after the message. Reading it again after this time saves
# most starts the retry delay of two seconds.
_ROW_DELAY = timedelta(milliseconds=100)


@dataclass(frozen=True, slots=True)
class LoadedInstance:
    """History of an instance, and the dispositions by message id of the client starts among its messages."""

    history: History
    dispositions: Mapping[str, Disposition]

    def with_disposition(self, disposition: Disposition, messages: Sequence[ReceivedMessage]) -> list[ReceivedMessage]:
        """Return those of the messages that have this disposition."""
        return [message for message in messages if self.dispositions.get(message.id) is disposition]


class InstanceLoader:
    """Reads histories and status rows from storage or from the hub cache."""

    def __init__(self, history: HistoryTable, instances: InstanceTable, cache: HubCache, clock: Clock) -> None:
        self._history = history
        self._instances = instances
        self._cache = cache
        self._clock = clock

    def cached(self, instance_id: str, messages: Sequence[ReceivedMessage]) -> History | None:
        """Return the history that this process stored last, if the messages need nothing else."""
        # A start may come from a client that has replaced the instance's rows.
        if any(isinstance(message.task.event, ExecutionStarted) for message in messages):
            return None
        return self._cache.histories.get(instance_id)

    async def load(
        self, instance_id: str, messages: Sequence[ReceivedMessage], starts: Sequence[ReceivedMessage], *, whole: bool
    ) -> LoadedInstance:
        """Read the history that the messages need, and compare the client starts with the status row.

        `whole`: read the events of the current execution also if the messages are for another one.
        Raises EmulatorError (storage does not respond, a row or blob cannot be read).
        """
        history, dispositions = await asyncio.gather(
            self._history.load(instance_id, expected=None if whole else _expected_execution(messages)),
            self._check_starts(instance_id, starts),
        )
        decided = {message.id: _decided(dispositions[message.id], message, history) for message in starts}
        return LoadedInstance(history, decided)

    async def _check_starts(self, instance_id: str, starts: Sequence[ReceivedMessage]) -> Mapping[str, Disposition]:
        if not starts:
            return {}
        # A client of this process may have sent the message and not yet written the row. Waiting for it is cheaper
        # than reading a row that is not there.
        await self._cache.wait_until_start_stored(instance_id)
        confirmed = self._cache.started.get(instance_id)
        events = [message.task.event for message in starts if isinstance(message.task.event, ExecutionStarted)]
        # The row need not be read if this process wrote it for this start. A scheduled start may have been
        # terminated in its row in the meantime, so its row is always read. So is that of a start that was received
        # before: another host may have run the instance to its end, and a client of that host may have purged it.
        if confirmed is not None and all(
            message.task.target.execution_id == confirmed
            and message.dequeue_count == 1
            and not event.scheduled_start_time
            for message, event in zip(starts, events, strict=True)
        ):
            return {message.id: Disposition.ACCEPT for message in starts}
        dispositions = await self._compare_with_row(instance_id, starts)
        if any(dispositions[message.id] is Disposition.RETRY and message.dequeue_count == 1 for message in starts):
            await self._clock.sleep(_ROW_DELAY.total_seconds())
            dispositions = await self._compare_with_row(instance_id, starts)
        return dispositions

    async def _compare_with_row(self, instance_id: str, starts: Sequence[ReceivedMessage]) -> Mapping[str, Disposition]:
        row = await self._instances.row(instance_id)
        return {message.id: disposition_of_start(message, row) for message in starts}


def _decided(disposition: Disposition, start: ReceivedMessage, history: History) -> Disposition:
    """Accept or discard a start whose execution has begun.

    The row lags behind a history that has continued as new if the host crashed between the two writes. The start must
    not replace the execution that follows its own.
    """
    if disposition is not Disposition.BEGUN:
        return disposition
    is_replaced = history.execution_id not in (None, start.task.target.execution_id)
    return Disposition.DISCARD if is_replaced else Disposition.ACCEPT


def _expected_execution(messages: Sequence[ReceivedMessage]) -> str | None:
    """Return the execution that all messages are for, so that rows of older executions need not be read."""
    executions = {message.task.target.execution_id for message in messages}
    # A start by a parent may be a repetition with a fresh execution id. Comparing it with the child that is running
    # needs the child's events.
    has_parent = any(
        isinstance(message.task.event, ExecutionStarted) and message.task.event.parent for message in messages
    )
    return (executions.pop() or None) if len(executions) == 1 and not has_parent else None
