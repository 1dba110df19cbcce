"""The state of the host (Starting, Running, …): set by the host, shown at /admin/host/status, awaited by requests.

Source: host, src/WebJobs.Script/Host/ScriptHostState.cs; docs/protocol/functions-host.md 6 and 11.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Sequence


class HostState(enum.Enum):
    """States of .NET's ScriptHostState; values as the admin API shows them."""

    DEFAULT = "Default"
    STARTING = "Starting"
    INITIALIZED = "Initialized"
    RUNNING = "Running"
    ERROR = "Error"
    STOPPING = "Stopping"
    STOPPED = "Stopped"
    OFFLINE = "Offline"


class HostStatus:
    """The current state of the host; other tasks can wait for a state. `errors`: why it has no functions, or would
    have none on Azure; else empty.

    In state ERROR it cannot run this app at all. An app that cannot be loaded leaves it running without functions.
    """

    def __init__(self) -> None:
        # Read by every request, so a plain attribute. Only the host may change it, through `change`.
        self.state = HostState.DEFAULT
        self.errors: Sequence[str] = ()
        self._changed = asyncio.Event()

    @property
    def can_invoke(self) -> bool:
        """Whether functions may be called: all of them are loaded and their routes are known."""
        return self.state in (HostState.INITIALIZED, HostState.RUNNING)

    def change(self, state: HostState, *, errors: Sequence[str] = ()) -> None:
        """Set the state and wake everything that waits for one."""
        self.state = state
        self.errors = tuple(errors)
        # Waiters check the state themselves and wait again if it is not theirs. A new event for each change, because
        # an event that is cleared at once would not wake waiters that have not run yet.
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait_until_ready(self) -> None:
        """Return when functions may be called, or when the host has failed to start."""
        while not self.can_invoke and self.state is not HostState.ERROR:
            await self._changed.wait()

    async def wait_until_running(self) -> None:
        """Return when every listener has started, or when the host has failed to start."""
        while self.state not in (HostState.RUNNING, HostState.ERROR):
            await self._changed.wait()

    async def wait_until_stopping(self) -> None:
        """Return when the host begins to stop, or has stopped."""
        while self.state not in (HostState.STOPPING, HostState.STOPPED):
            await self._changed.wait()
