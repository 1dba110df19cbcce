"""The app's task hub as the dashboard shows it: its tables, the index of its instances and the app's functions."""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from typing import Final

from emulator.dashboard.durable.hub_reader import HubReader
from emulator.dashboard.durable.instance_index import CLOCK_DIFFERENCE, InstanceIndex
from emulator.dashboard.event_stream import pause
from emulator.dashboard.parts import DashboardParts
from emulator.diagnosis.opening import running_host
from emulator.durable.core.identity import FunctionKind
from emulator.extensions.durable.functions import TRIGGERS, find_function, name_of
from emulator.extensions.durable.services import DurableServices

# Each look is one request, which costs money in Azure.
_LOCAL_PAUSE: Final = 0.7
_AZURE_PAUSE: Final = 10.0


class DashboardHub:
    """The task hub of the host that the dashboard shows."""

    def __init__(self, parts: DashboardParts) -> None:
        self._parts = parts

    @property
    def connection(self) -> str:
        """The connection whose account has the tables of the hub."""
        provider = self._parts.durable_options.storage_provider
        return provider.tracking_store_connection_name or provider.connection_name

    @cached_property
    def reader(self) -> HubReader:
        """The tables. Raises ConnectionNotConfigured."""
        options = self._parts.durable_options
        return HubReader(options, self._parts.accounts(self.connection), self._parts.clock)

    @cached_property
    def index(self) -> InstanceIndex:
        """The index of all orchestrations, which is read at its first use. Raises ConnectionNotConfigured."""
        # Emulated storage has one clock, so no row can get an older time than one that was seen.
        overlap = timedelta(0) if self.is_local else CLOCK_DIFFERENCE
        return InstanceIndex(self.reader.tables.instance_rows, self._parts.clock, overlap=overlap)

    @property
    def is_local(self) -> bool:
        """Whether the hub is in emulated storage."""
        return self._parts.accounts.is_emulated(self.connection)

    @property
    def services(self) -> DurableServices | None:
        """The durable services of the host; None while it starts, or if the app has no durable functions."""
        parts = self._parts
        return running_host(parts.host, parts.worker, parts.configuration.root).services

    @property
    def is_only_host(self) -> bool:
        """Whether this host reads all control queues of the hub, so that no other host is likely to work on it."""
        queues = self._parts.hub_names.control_queues
        return self.services is not None and set(queues) <= set(self.services.own_hub.owned_queues())

    async def wait_for_next_look(self, seconds: float | None = None) -> None:
        """Wait between two looks for changes of a page that is open. None: as long as storage of that kind needs."""
        await pause(seconds or (_LOCAL_PAUSE if self.is_local else _AZURE_PAUSE))

    def function_names(self, kind: FunctionKind) -> list[str]:
        """Return the names by which orchestrations and clients call the functions of a kind."""
        functions = self._parts.host.catalog.functions
        return sorted(
            name_of(kind, function.name, function.trigger)
            for function in functions
            if TRIGGERS.get(function.trigger.type.lower()) is kind
        )

    def source_of(self, kind: FunctionKind, name: str) -> str | None:
        """Return `file:line` of a function if it is known."""
        function = find_function(self._parts.host.catalog.functions, kind, name)
        return None if function is None else function.metadata.source
