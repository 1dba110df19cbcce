"""What an orchestrator can decide in one episode.

This is the meeting point of all kinds of orchestrators: the Python SDK's cumulative action list goes through
`replay`, a gRPC worker names its decisions itself, an entity batch is turned into them. Below it there is one road
(`turn.apply_decisions`). `id` becomes the event id of the history event that records the decision.
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
    """`recorded` False: only the message goes out, no EventSent is stored (what entities send)."""

    id: int
    target: OrchestrationInstance
    name: str
    input: str | None
    recorded: bool = True


@dataclass(frozen=True, slots=True)
class Complete:
    """End of the execution: COMPLETED, FAILED or TERMINATED. `details` reaches a parent only."""

    id: int
    status: RuntimeStatus
    result: str | None
    details: str | None = None
    failure: FailureDetails | None = None


@dataclass(frozen=True, slots=True)
class StartNextGeneration:
    """Continue as new: `input` is the next ExecutionStarted's input text, `carried` the events it begins with."""

    id: int
    input: str | None
    carried: Sequence[EventRaised] = ()
    version: str | None = None


Decision = ScheduleTask | CreateTimer | StartSubOrchestration | SendEvent | Complete | StartNextGeneration
