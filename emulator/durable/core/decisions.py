"""Decisions of an orchestrator in one episode (tasks, timers, events, end), independent of its programming language.

`replay` derives them from the action list of the Python SDK; a batch of entity operations is converted to them, too.
`episode.apply_decisions` turns them into history events and messages. `id` is the event id of the history event that
records the decision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from emulator.durable.core.events import EventRaised, FailureDetails, Tags
from emulator.durable.core.identity import OrchestrationInstance, RuntimeStatus
from emulator.instant import Instant


@dataclass(frozen=True, slots=True)
class ScheduleTask:
    id: int
    name: str
    input: str | None
    # The default of TaskScheduled.
    version: str | None = ""
    tags: Tags | None = None


@dataclass(frozen=True, slots=True)
class CreateTimer:
    id: int
    fire_at: Instant


@dataclass(frozen=True, slots=True)
class StartSubOrchestration:
    id: int
    name: str
    instance_id: str
    input: str | None
    version: str | None = None
    tags: Tags | None = None


@dataclass(frozen=True, slots=True)
class SendEvent:
    """An event for another instance. `recorded` False: no EventSent is stored, as for messages of entities."""

    id: int
    target: OrchestrationInstance
    name: str
    input: str | None
    recorded: bool = True


@dataclass(frozen=True, slots=True)
class Complete:
    """End of the execution with COMPLETED, FAILED or TERMINATED. Only a parent receives `details`."""

    id: int
    status: RuntimeStatus
    result: str | None
    details: str | None = None
    failure: FailureDetails | None = None


@dataclass(frozen=True, slots=True)
class StartNextGeneration:
    """Continue as new. `input` is the input of the next ExecutionStarted, `carried` the events it starts with."""

    id: int
    input: str | None
    carried: Sequence[EventRaised] = ()
    # None keeps the version of the current generation.
    version: str | None = None


Decision = ScheduleTask | CreateTimer | StartSubOrchestration | SendEvent | Complete | StartNextGeneration
