"""The two interfaces of a task hub, `TaskHub` for clients and `WorkSource` for the engine, and their records.

There is one implementation per storage protocol (`azurestorage/hub.py`). Delivery is at least once: a call that failed
halfway may be repeated, and receivers recognise repeated messages.
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
from emulator.polling.work_loop import LockLost as LockLost  # noqa: PLC0414  (the alias exports it)

# Errors ------------------------------------------------------------------------------------------------------


class HubError(EmulatorError):
    """A request that the task hub refuses."""


class InstanceAlreadyExists(HubError):
    """A start names an existing instance whose status may not be replaced."""

    def __init__(self, instance_id: str, status: RuntimeStatus) -> None:
        # The text is part of the HTTP API of .NET.
        super().__init__(f"An Orchestration instance with the status {status.wire_name} already exists.")
        self.instance_id = instance_id
        self.status = status


class InstanceNotFound(HubError):
    """The instance does not exist."""

    def __init__(self, instance_id: str) -> None:
        super().__init__(f'There is no instance with the id "{instance_id}" in this task hub.')
        self.instance_id = instance_id


# Client side -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceStatus:
    """One row of the Instances table. `input`, `output` and `custom_status` are the stored texts, also from blobs.

    `parent_instance_id`: None if the instance is not a sub-orchestration. `name`: empty if the row has none.
    """

    instance_id: str
    execution_id: str | None
    name: str
    runtime_status: RuntimeStatus | None
    """None: the row contains an unknown value."""
    created_at: Instant
    last_updated_at: Instant
    completed_at: Instant | None = None
    version: str | None = None
    input: str | None = None
    output: str | None = None
    custom_status: str | None = None
    generation: int = 0
    tags: Tags | None = None
    scheduled_start_at: Instant | None = None
    parent_instance_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceQuery:
    """Selection of instances. `created_from` and `created_to` are inclusive. Empty `statuses`: all.

    `prefix`: of the instance id, not escaped. `entities_only`, with or without `entity_name`, selects entities instead.
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
    """A page of instances. `continuation` None: the last page. Other pages may be empty."""

    instances: Sequence[InstanceStatus]
    continuation: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeFilter:
    """Selection of instances to purge.

    As in .NET, only terminal statuses are used; if the list contains none, instances of *all* statuses are purged.
    """

    created_from: Instant
    created_to: Instant | None = None
    statuses: frozenset[RuntimeStatus] = frozenset()


@dataclass(frozen=True, slots=True)
class PurgeResult:
    """Numbers of instances, history rows and payload blobs that were deleted."""

    instances: int
    history_rows: int = 0
    blobs: int = 0


class TaskHub(Protocol):
    """Access to a task hub for clients, the HTTP API and tools. Needs no running worker."""

    @property
    def name(self) -> str:
        """The name of the task hub."""

    async def create(self) -> None:
        """Create all queues, tables and containers that are missing. All other calls do this first."""

    async def delete(self) -> None:
        """Delete all queues, tables and containers, and with them all instances."""

    async def start(self, message: TaskMessage, *, reuse: frozenset[RuntimeStatus]) -> None:
        """Start the instance that an ExecutionStarted message names; returns when message and status row are stored.

        `reuse`: an existing instance with one of these statuses is replaced. The event's generation is set to one more
        than that of the replaced instance. Raises InstanceAlreadyExists.
        """

    async def adopt(
        self, history: Sequence[HistoryEvent], messages: Sequence[TaskMessage], *, custom_status: str | None = None
    ) -> None:
        """Create an instance with the history of an execution, which has an ExecutionStarted; then send it messages.

        Raises InstanceAlreadyExists. After any other error the instance may exist without history or messages; purge
        it then.
        """

    async def send(self, message: TaskMessage) -> None:
        """Send an event, terminate, suspend, resume or signal message. The target need not exist."""

    async def status(self, instance_id: str, *, with_input: bool = True) -> InstanceStatus | None:
        """Return the status row of an instance; None: it does not exist.

        `with_input` False: without the input, which may have megabytes.
        """

    async def query(self, query: InstanceQuery) -> InstancePage:
        """Return one page of status rows."""

    async def history(self, instance_id: str) -> Sequence[HistoryEvent]:
        """Return the events of the current execution, with large payloads; empty if there is none."""

    async def rewind(self, instance_id: str, reason: str | None) -> None:
        """Undo the failures of a failed instance and of its failed children, and resume the deepest ones."""

    async def purge(self, instance_id: str) -> PurgeResult:
        """Delete status row, history and payload blobs of one instance with any status."""

    async def purge_many(self, where: PurgeFilter) -> PurgeResult:
        """Purge all instances that match the filter."""


# Engine side -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class OrchestrationWorkItem:
    """An instance (orchestration or entity) locked for one episode.

    `instance`: as stored; its `execution_id` is None for a new entity. `history`: the stored events of the current
    execution. `messages`: the new ones, in order; for a new entity, its ExecutionStarted is the first.
    `is_redelivered`: a host may have processed them before and not stored the outcome. `restores_status`: there are no
    messages; compute the custom status that the history implies, because it may not have been stored. `handle` is for
    the work source only.
    """

    instance: OrchestrationInstance
    history: Sequence[HistoryEvent]
    messages: Sequence[TaskMessage]
    is_redelivered: bool = False
    restores_status: bool = False
    handle: object = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityWorkItem:
    """An activity to run. `message.event` is a TaskScheduled with its input. `handle` is for the work source only."""

    message: TaskMessage
    handle: object = field(repr=False)


class WorkSource(Protocol):
    """Source of the engine's work items.

    Cancelling a `next_…` call loses nothing. `complete_…` and `abandon_…` must run to their end, also if the caller is
    cancelled: interrupted, they have the effects of a crash.
    """

    async def next_orchestration(self) -> OrchestrationWorkItem:
        """Wait for an orchestration with new messages and lock it."""

    # A method besides `next_orchestration`, because host.json limits the two kinds separately.
    async def next_entity(self) -> OrchestrationWorkItem:
        """Wait for an entity with new messages (its instance id begins with @) and lock it."""

    async def complete_orchestration(self, item: OrchestrationWorkItem, outcome: EpisodeOutcome) -> None:
        """Save an episode: send its messages, append its history, write the status row, delete the consumed messages.

        Unlocks the instance. An outcome without new events only deletes the messages, and writes the custom status if
        the item restores it. Raises LockLost if another worker has taken over the instance; the caller must abandon the
        item.
        """

    async def abandon_orchestration(self, item: OrchestrationWorkItem) -> None:
        """Retry the messages after a delay that grows with every attempt. Unlocks the instance."""

    async def next_activity(self) -> ActivityWorkItem:
        """Wait for an activity to run."""

    async def complete_activity(self, item: ActivityWorkItem, response: TaskMessage) -> None:
        """Send the response (TaskCompleted or TaskFailed), then delete the work item."""

    async def abandon_activity(self, item: ActivityWorkItem) -> None:
        """Retry the activity after a delay that grows with every attempt."""
