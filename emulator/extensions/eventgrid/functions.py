"""The app's Event Grid functions that are listening, by name, and the invocations of their events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from emulator.errors import EmulatorError
from emulator.host.port import Function, Invoke, TriggerEvent
from emulator.worker.port import Binding


class NotListening(EmulatorError):
    """The function has no Event Grid trigger, or takes no more events because the host drains or stops."""

    def __init__(self, name: str) -> None:
        super().__init__(f"The function '{name}' takes no more events: the host is stopping.")


class EventGridFunctions:
    """Registry that the listeners of the trigger fill. Names are compared with letter case, as by the extension."""

    def __init__(self) -> None:
        self._functions: dict[str, _Listening] = {}

    @property
    def names(self) -> Sequence[str]:
        """The names of the listening functions, sorted."""
        return sorted(self._functions)

    @asynccontextmanager
    async def listen(self, function: Function, binding: Binding, invoke: Invoke) -> AsyncIterator[None]:
        """Accept events for a function while entered; on leaving, wait for those that are being processed."""
        listening = _Listening(invoke)
        self._functions[function.name] = listening
        try:
            yield
        finally:
            # First, so that no event begins while those that run are awaited.
            del self._functions[function.name]
            await listening.wait_until_idle()

    async def run(self, name: str, event: TriggerEvent) -> None:
        """Run a function for one event. Raises NotListening, and what `Invoke` raises."""
        listening = self._functions.get(name)
        if listening is None:
            raise NotListening(name)
        await listening.run(event)


class _Listening:
    def __init__(self, invoke: Invoke) -> None:
        self._invoke = invoke
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def run(self, event: TriggerEvent) -> None:
        self._running += 1
        self._idle.clear()
        try:
            await self._invoke(event)
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()

    async def wait_until_idle(self) -> None:
        await self._idle.wait()
