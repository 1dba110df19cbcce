"""Read access to the tables of a task hub, for tools that look at it. Nothing is created and nothing is written.

Each call of `durable.hub.TaskHub` creates the hub, which a look at an account in Azure must not do.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from emulator.clock import Clock
from emulator.durable.azurestorage.large import LargePayloads
from emulator.durable.azurestorage.names import hub_names
from emulator.durable.azurestorage.tracking.history import HistoryTable
from emulator.durable.azurestorage.tracking.instances import InstanceTable
from emulator.durable.core.events import HistoryEvent
from emulator.durable.hub import InstancePage, InstanceQuery, InstanceStatus
from emulator.durable.options import DurableTaskOptions
from emulator.ids import new_id
from emulator.storage.port import NotFound, StorageAccount


class HubTables:
    """Reads the tables of one task hub. `account`: the one with them (trackingStoreConnectionName, if that is set).

    `fetch_large`: see `InstanceTable`. `instance_rows`, `history_rows`: the tables, which may not exist. `large`: the
    payloads that are stored outside of them.
    """

    def __init__(
        self, options: DurableTaskOptions, account: StorageAccount, clock: Clock, *, fetch_large: bool
    ) -> None:
        names = hub_names(options)
        self.instance_rows = account.table(names.instances_table)
        self.history_rows = account.table(names.history_table)
        self.large = LargePayloads(
            account.container(names.large_message_container), clock, new_id, max_bytes=options.max_payload_bytes
        )
        self._instances = InstanceTable(
            self.instance_rows, self.large, hub=options.hub_name, clock=clock, fetch_large=fetch_large
        )
        self._history = HistoryTable(self.history_rows, self.large, clock)

    async def status(self, instance_id: str, *, with_input: bool = True) -> InstanceStatus | None:
        """Return the status row with output and, if asked for, input; None: there is no such instance."""
        return await self._instances.status(instance_id, with_input=with_input)

    async def query(self, query: InstanceQuery) -> InstancePage:
        """Return a page of status rows in the order of their ids; an empty one if there is no task hub."""
        try:
            return await self._instances.query(query)
        except NotFound:
            return InstancePage(())

    async def pages(self, query: InstanceQuery) -> AsyncIterator[InstancePage]:
        """Yield all pages of status rows, in the order of their ids."""
        while True:
            page = await self.query(query)
            yield page
            if page.continuation is None:
                return
            query = replace(query, continuation=page.continuation)

    async def history(self, instance_id: str) -> Sequence[HistoryEvent]:
        """Return the events of the current execution; empty if there are none.

        Raises UnreadableRow, and NotFound if there is no task hub, or a blob with a part of the history is missing.
        """
        return (await self._history.load(instance_id)).events
