"""External events of one execution: who waits for which name, and what came before anyone waited.

Names compare without case. The most recent wait is served first; events are kept in their order.
Source: durable-extension, ContextImplementations/DurableOrchestrationContext.cs (RaiseEvent, WaitForExternalEvent).
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from emulator.durable.core.events import EventRaised
from emulator.durable.core.replay.tasks import Task, ended_task


class Reception(enum.Enum):
    TAKEN = "a wait for an external event took it"
    ANSWER = "it answers a call of an entity"
    KEPT = "nobody waits for it yet"


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event that the orchestrator was given. `waited_for`: the name of the wait that took it."""

    event: EventRaised
    reception: Reception
    waited_for: str | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """The orchestrator began to wait. `reason`: as the extension's log lines call it."""

    reason: str


Happening = Arrival | Waiting


@dataclass(frozen=True, slots=True)
class _Wait:
    name: str
    kind: Reception
    task: Task


class ExternalEvents:
    """`happened`: who waited and what came, in order."""

    def __init__(self) -> None:
        self._waits: dict[str, list[_Wait]] = {}
        self._early: dict[str, deque[EventRaised]] = {}
        self.happened: list[Happening] = []

    def wait_for_event(self, name: str) -> Task:
        """A task that ends with the input of the next event of this name, or of the oldest one that is kept."""
        return self._wait_for(name, Reception.TAKEN, f"WaitForExternalEvent:{name}")

    def wait_for_answer(self, request_id: str) -> Task:
        """The same for the answer to a request to an entity, an event that is named like it."""
        return self._wait_for(request_id, Reception.ANSWER, f"WaitForEntityResponse:{request_id}")

    def _wait_for(self, name: str, kind: Reception, reason: str) -> Task:
        early = self._early.get(name.lower())
        if early:
            return ended_task(early.popleft().input)
        wait = _Wait(name, kind, Task())
        self._waits.setdefault(name.lower(), []).append(wait)
        self.happened.append(Waiting(reason))
        return wait.task

    def deliver(self, event: EventRaised) -> None:
        """Give an event to the most recent wait for its name, or keep it."""
        waits = self._waits.get(event.name.lower())
        if not waits:
            self.happened.append(Arrival(event, Reception.KEPT))
            self._early.setdefault(event.name.lower(), deque()).append(event)
            return
        wait = waits.pop()
        self.happened.append(Arrival(event, wait.kind, wait.name))
        wait.task.succeed(event.input)

    def kept(self, name: str) -> int:
        """How many events of this name nobody has taken yet."""
        return len(self._early.get(name.lower(), ()))

    @property
    def unclaimed(self) -> Sequence[str]:
        """The names of all events that nobody has taken."""
        return [event.name for early in self._early.values() for event in early]
