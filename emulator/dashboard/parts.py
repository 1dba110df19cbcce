"""What the pages of the dashboard are made from: the running host, its storage and its task hubs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Final, Protocol

from emulator.clock import Clock
from emulator.config.connections import DEFAULT_CONNECTION
from emulator.config.start import Configuration
from emulator.durable.azurestorage.names import HubNames, hub_names
from emulator.durable.options import DurableTaskOptions, resolve_options
from emulator.extensions.durable.functions import is_durable
from emulator.extensions.durable.hubs import HubDirectory
from emulator.host.captured_outputs import CapturedOutputs
from emulator.host.host import Host
from emulator.host.recording import Recording
from emulator.host.supplied_inputs import SuppliedInputs
from emulator.ids import NewId
from emulator.storage.accounts import StorageAccounts
from emulator.storage.counting import RequestCounts
from emulator.worker.inprocess import InProcessWorker

MAX_STREAMS: Final = 100
"""Open event streams of all pages and commands. A page has at most two."""


class Waiting(Protocol):
    """A task that waits for a moment of virtual time. `upkeep`, `recurring`: see `emulator.clock`."""

    @property
    def due(self) -> datetime: ...
    @property
    def where(self) -> str: ...
    @property
    def upkeep(self) -> bool: ...
    @property
    def recurring(self) -> bool: ...


class TimeControl(Protocol):
    """The virtual time of a test, as the dashboard shows it and lets it pass."""

    @property
    def is_frozen(self) -> bool: ...

    def sleepers(self) -> Sequence[Waiting]:
        """Return all tasks that wait for time, the next one first."""

    async def advance(self, span: timedelta) -> None:
        """Let time pass; everything that is due in it runs."""


# Not slotted: cached properties need an instance dictionary.
@dataclass(frozen=True, kw_only=True)
class DashboardParts:
    """The host that a dashboard shows.

    `port`: of the web server. `started_at`: when the host began to start, UTC. `recording`: log lines and invocations
    since then. `requests`: storage requests since then. `worker`: runs the app's functions. `wait_until_stopping`:
    returns when the host begins to stop, before it waits for open requests. `time`: None: the app lives in real time.
    """

    configuration: Configuration
    port: int
    host: Host
    accounts: StorageAccounts
    clock: Clock
    new_id: NewId
    started_at: datetime
    recording: Recording
    requests: RequestCounts
    captured_outputs: CapturedOutputs
    supplied_inputs: SuppliedInputs
    worker: InProcessWorker
    wait_until_stopping: Callable[[], Awaitable[None]]
    time: TimeControl | None = None

    @cached_property
    def streams(self) -> asyncio.Semaphore:
        """The event streams that may still be opened. Each costs the host time for each line of its log."""
        return asyncio.Semaphore(MAX_STREAMS)

    @cached_property
    def durable_options(self) -> DurableTaskOptions:
        """The options of Durable Functions, with settings resolved."""
        return resolve_options(self.configuration.host.section(DurableTaskOptions), self.configuration.settings)

    @cached_property
    def hub_names(self) -> HubNames:
        """The names of the queues, tables and containers of the app's task hub."""
        return hub_names(self.durable_options)

    @property
    def is_durable(self) -> bool:
        """Whether the app has durable functions, so that it has a task hub."""
        return is_durable(self.host.catalog.functions)

    @cached_property
    def hubs(self) -> HubDirectory:
        """Task hubs of clients of their own, which share only the storage with the engine: what they read is stored."""
        return HubDirectory(self.durable_options, self.accounts, clock=self.clock, new_id=self.new_id)

    def may_write(self, connection: str = DEFAULT_CONNECTION) -> bool:
        """Return whether actions may change what a connection leads to: not an account in Azure, unless allowed."""
        return self.configuration.dashboard_writes or self.accounts.is_emulated(connection)
