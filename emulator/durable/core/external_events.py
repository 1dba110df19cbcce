"""External events of one execution: who waits for which name, and what came before anyone waited.

Names compare without case. The most recent wait is served first; events are kept in their order.
Source: durable-extension, ContextImplementations/DurableOrchestrationContext.cs (RaiseEvent, WaitForExternalEvent).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from emulator.durable.core.events import EventRaised
from emulator.durable.core.tasks import Task, ended_task


class ExternalEvents:
    def __init__(self) -> None:
        self._waits: dict[str, list[tuple[str, Task]]] = {}
        self._early: dict[str, deque[EventRaised]] = {}
        self.deliveries: list[tuple[EventRaised, str | None]] = []
        """Every event that came, with the name of the wait that took it (None: nobody waited)."""

    def wait_for(self, name: str) -> Task:
        """A task that ends with the input of the next event of this name, or of the oldest one that is kept."""
        early = self._early.get(name.lower())
        if early:
            return ended_task(early.popleft().input)
        task = Task()
        self._waits.setdefault(name.lower(), []).append((name, task))
        return task

    def deliver(self, event: EventRaised) -> None:
        """Give an event to the most recent wait for its name, or keep it."""
        waits = self._waits.get(event.name.lower())
        if not waits:
            self.deliveries.append((event, None))
            self._early.setdefault(event.name.lower(), deque()).append(event)
            return
        name, task = waits.pop()
        self.deliveries.append((event, name))
        task.succeed(event.input)

    def kept(self, name: str) -> int:
        """How many events of this name nobody has taken yet."""
        return len(self._early.get(name.lower(), ()))

    @property
    def unclaimed(self) -> Sequence[str]:
        """The names of all events that nobody has taken."""
        return [event.name for early in self._early.values() for event in early]
