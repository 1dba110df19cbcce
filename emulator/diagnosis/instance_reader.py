"""Reader of instances: status row and history of one, the ids of those that are not at their end, similar ids."""

from __future__ import annotations

import difflib
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from emulator.clock import Clock
from emulator.diagnosis.facts import InstanceFacts
from emulator.durable.azurestorage.large import LargePayloads
from emulator.durable.azurestorage.names import HubNames
from emulator.durable.azurestorage.tracking.history import HistoryTable
from emulator.durable.azurestorage.tracking.instances import InstanceTable
from emulator.durable.azurestorage.tracking.rows import UnreadableRow
from emulator.durable.core.events import HistoryEvent
from emulator.durable.core.identity import RuntimeStatus, is_entity
from emulator.durable.hub import InstanceQuery, InstanceStatus
from emulator.storage.port import NotFound, StorageAccount, StorageError

_OPEN = frozenset({RuntimeStatus.PENDING, RuntimeStatus.RUNNING, RuntimeStatus.SUSPENDED})
# Ids that a misspelled one is compared with.
_MOST_COMPARED = 1000
_MOST_SIMILAR = 3
# The most that the service returns at once.
_PAGE = 1000


class InstanceReader:
    """Reads the tables of a hub. Unlike `durable.hub.TaskHub` it creates nothing. `tracking`: the account with them."""

    def __init__(self, tracking: StorageAccount, names: HubNames, large: LargePayloads, clock: Clock) -> None:
        self._history = HistoryTable(tracking.table(names.history_table), large, clock)
        # Outputs may be megabytes in blobs, and no rule needs them.
        self._instances = InstanceTable(
            tracking.table(names.instances_table), large, hub=names.hub, clock=clock, fetch_large=False
        )

    async def read(self, instance_id: str) -> InstanceFacts:
        """Return an instance, without its position. Raises StorageUnreachable."""
        events: Sequence[HistoryEvent] = ()
        unreadable = ""
        try:
            # Row before history: checkpoints write them the other way round, so the history is not older than the row.
            status = await self._instances.status(instance_id, with_input=False)
            events = (await self._history.load(instance_id)).events
        except NotFound:
            # The tables do not exist, or the blob of a large column.
            status = await self._status(instance_id)
            unreadable = "a blob with a part of its history is missing" if status is not None else ""
        except (UnreadableRow, StorageError) as error:
            status, unreadable = await self._status(instance_id), str(error)
        return InstanceFacts(instance_id=instance_id, status=status, events=events, unreadable=unreadable)

    async def _status(self, instance_id: str) -> InstanceStatus | None:
        try:
            return await self._instances.status(instance_id, with_input=False)
        except NotFound:
            return None

    async def open_instances(self) -> AsyncIterator[str]:
        """Yield the ids of orchestrations that have not ended."""
        query = InstanceQuery(statuses=_OPEN, with_input=False, with_output=False, limit=_PAGE)
        while True:
            try:
                page = await self._instances.query(query)
            except NotFound:
                return
            for row in page.instances:
                if not is_entity(row.instance_id):
                    yield row.instance_id
            if page.continuation is None:
                return
            query = replace(query, continuation=page.continuation)

    async def similar(self, instance_id: str) -> Sequence[str]:
        """Return ids of instances that look like this one, the most similar first."""
        query = InstanceQuery(with_input=False, with_output=False, limit=_MOST_COMPARED)
        try:
            page = await self._instances.query(query)
        except NotFound:
            return []
        ids = {row.instance_id.lower(): row.instance_id for row in page.instances}
        near = difflib.get_close_matches(instance_id.lower(), ids, n=_MOST_SIMILAR, cutoff=0.6)
        # An id that was copied incompletely is a beginning of the right one.
        begun = [key for key in ids if key.startswith(instance_id.lower())]
        return [ids[key] for key in dict.fromkeys((*begun, *near))][:_MOST_SIMILAR]
