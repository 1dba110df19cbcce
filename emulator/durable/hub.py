"""The two ports of a task hub: `TaskHub` for clients, `WorkSource` for the engine; and their records.

One implementation per storage protocol (`azurestorage/hub.py`). Everything is at least once: a call that failed
midway may be repeated, and what a crash repeats is recognised by the receiver.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from emulator.durable.core.episode import EpisodeOutcome
from emulator.durable.core.events import HistoryEvent, Tags
from emulator.durable.core.identity import OrchestrationInstance, RuntimeStatus
from emulator.durable.core.messages import TaskMessage
from emulator.errors import EmulatorError
from emulator.instant import Instant

# Errors ------------------------------------------------------------------------------------------------------


class HubError(EmulatorError):
    """Base of what a task hub refuses."""


class InstanceAlreadyExists(HubError):
    """A start met an instance whose status may not be overridden."""

    def __init__(self, instance_id: str, status: RuntimeStatus) -> None:
        super().__init__(f"An Orchestration instance with the status {status.wire_name} already exists.")
        self.instance_id = instance_id
        self.status = status


class InstanceNotFound(HubError):
    """There is no such instance."""

    def __init__(self, instance_id: str) -> None:
        super().__init__(f'There is no instance with the id "{instance_id}" in this task hub.')
        self.instance_id = instance_id


class LockLost(HubError):
    """Another worker took the instance over (its history moved on): abandon the item, nothing was stored."""


# Client side -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceStatus:
    """One row of the Instances table. `input`, `output`, `custom_status` are the stored texts, blobs resolved."""

    instance_id: str
    execution_id: str | None
    name: str
    runtime_status: RuntimeStatus | None
    """None: the row holds a value that .NET does not know either."""
    created_at: Instant
    last_updated_at: Instant
    completed_at: Instant | None = None
    version: str | None = None
    input: str | None = None
    output: str | None = None
    custom_status: str | None = None
    generation: int = 0
    tags: Tags | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceQuery:
    """`created_from`, `created_to` are inclusive. Empty `statuses`: all. `prefix` is a raw instance id prefix.

    `entities_only` with or without `entity_name` selects entity instances instead of a prefix.
    """

    prefix: str | None = None
    created_from: Instant | None = None
    created_to: Instant | None = None
    statuses: frozenset[RuntimeStatus] = frozenset()
    with_input: bool = True
    with_output: bool = True
    entities_only: bool = False
    entity_name: str | None = None
    limit: int = 100
    continuation: str | None = None


@dataclass(frozen=True, slots=True)
class InstancePage:
    """`continuation` None: the last page. A page may be empty and still have one."""

    instances: Sequence[InstanceStatus]
    continuation: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeFilter:
    """As .NET: only terminal statuses count; when none is left of the list, there is *no* status condition."""

    created_from: Instant
    created_to: Instant | None = None
    statuses: frozenset[RuntimeStatus] = frozenset()


@dataclass(frozen=True, slots=True)
class PurgeResult:
    instances: int
    history_rows: int = 0
    blobs: int = 0


class TaskHub(Protocol):
    """What clients, the HTTP API and tools may do with a hub. Needs no running worker."""

    @property
    def name(self) -> str: ...

    async def create(self) -> None:
        """Make all queues, tables and containers that are missing. Every other call does it first by itself."""

    async def delete(self) -> None:
        """Remove them with all instances."""

    async def start(self, message: TaskMessage, *, reuse: frozenset[RuntimeStatus]) -> None:
        """Start the instance that the ExecutionStarted message names; returns when message and row are stored.

        `reuse`: statuses of an existing instance that may be replaced. Fills in the event's generation.
        Raises InstanceAlreadyExists.
        """

    async def send(self, message: TaskMessage) -> None:
        """Put an event, terminate, suspend, resume or signal message; the target may not exist."""

    async def status(self, instance_id: str) -> InstanceStatus | None: ...

    async def query(self, query: InstanceQuery) -> InstancePage: ...

    async def history(self, instance_id: str) -> Sequence[HistoryEvent]:
        """The current execution's events, large payloads resolved; empty when there is none."""

    async def rewind(self, instance_id: str, reason: str | None) -> None:
        """Undo the failures of a failed instance and its failed children, and wake the deepest ones."""

    async def purge(self, instance_id: str) -> PurgeResult:
        """Delete rows, history and payload blobs of one instance, whatever its state."""

    async def purge_many(self, where: PurgeFilter) -> PurgeResult: ...


# Engine side -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class OrchestrationWorkItem:
    """An instance (orchestration or entity) locked for one episode.

    `instance`: as known when the item was made; `execution_id` None for an entity that begins here. `history`: the
    stored events of the current execution. `messages`: the new ones in order, an entity's auto-start in front.
    `handle` belongs to the source.
    """

    instance: OrchestrationInstance
    history: Sequence[HistoryEvent]
    messages: Sequence[TaskMessage]
    handle: object = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityWorkItem:
    """`message.event` is the TaskScheduled with its input."""

    message: TaskMessage
    handle: object = field(repr=False)


class WorkSource(Protocol):
    """Where the engine gets its work.

    `next_…`: cancelling the wait loses nothing. `complete_…` and `abandon_…` are to be seen to their end, however the
    caller is cancelled: torn, they are what a crash would be.
    """

    async def next_orchestration(self) -> OrchestrationWorkItem:
        """Wait for an orchestration with new messages and lock it."""

    async def next_entity(self) -> OrchestrationWorkItem:
        """The same for entities (ids that begin with @)."""

    async def complete_orchestration(self, item: OrchestrationWorkItem, outcome: EpisodeOutcome) -> None:
        """Save a turn: send its messages, append its history, write the status row, delete the messages consumed.

        Unlocks the instance. Raises LockLost when another worker took the instance over; then abandon the item.
        An outcome without new events only deletes the messages.
        """

    async def abandon_orchestration(self, item: OrchestrationWorkItem) -> None:
        """Give the messages back; they come again after a growing delay. Unlocks the instance."""

    async def next_activity(self) -> ActivityWorkItem:
        """Wait for an activity to run."""

    async def complete_activity(self, item: ActivityWorkItem, response: TaskMessage) -> None:
        """Send the response (TaskCompleted or TaskFailed), then delete the work item."""

    async def abandon_activity(self, item: ActivityWorkItem) -> None: ...
