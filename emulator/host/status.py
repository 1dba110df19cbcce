"""Where the host is in its life. Set by the host, shown at /admin/host/status, waited for by early requests.

Source: host, src/WebJobs.Script/Host/ScriptHostState.cs; docs/protocol/functions-host.md 6 and 11.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Sequence


class HostState(enum.Enum):
    DEFAULT = "Default"
    STARTING = "Starting"
    INITIALIZED = "Initialized"
    RUNNING = "Running"
    ERROR = "Error"
    STOPPING = "Stopping"
    STOPPED = "Stopped"
    OFFLINE = "Offline"


class HostStatus:
    """`errors`: why the state is ERROR, for people; otherwise empty."""

    def __init__(self) -> None:
        self.state = HostState.DEFAULT
        self.errors: Sequence[str] = ()
        self._changed = asyncio.Event()

    @property
    def can_invoke(self) -> bool:
        """Whether functions may be called: all of them are loaded and their routes are known."""
        return self.state in (HostState.INITIALIZED, HostState.RUNNING)

    def change(self, state: HostState, *, errors: Sequence[str] = ()) -> None:
        self.state = state
        self.errors = tuple(errors)
        # Everyone who waits looks for himself; those who come later wait for the next change.
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait_until_ready(self) -> None:
        """Return when functions may be called, or when it is certain that they will not be."""
        while not self.can_invoke and self.state is not HostState.ERROR:
            await self._changed.wait()

    async def wait_until_running(self) -> None:
        """Return when every listener has begun, or when it is certain that none will."""
        while self.state not in (HostState.RUNNING, HostState.ERROR):
            await self._changed.wait()
