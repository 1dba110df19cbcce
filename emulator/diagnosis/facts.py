"""Facts about a task hub and its instances, as the readers of this package find them. The rules need nothing else."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from emulator.durable.azurestorage.names import HubNames
from emulator.durable.core.events import (
    EventSent,
    ExecutionStarted,
    HistoryEvent,
    SubOrchestrationInstanceCreated,
    TaskScheduled,
    TimerCreated,
)
from emulator.durable.core.identity import FunctionKind
from emulator.durable.core.replay.program import OpenWait
from emulator.durable.engine.work_log import FailedWork, Generations, RunningWork, WorkKey
from emulator.durable.hub import InstanceStatus
from emulator.instant import Instant
from emulator.worker.yields import Place

ACTIONS = (TaskScheduled, TimerCreated, SubOrchestrationInstanceCreated, EventSent)
"""Events that record an action of an orchestrator, with its number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenMessage:
    """A message of a queue. `target`: instance id, and `event`; both None if it cannot be read, and `problem` says why.

    `visible_at`: None if the service does not show it, because the message is visible now.
    """

    id: str
    target: str | None = None
    event: HistoryEvent | None = None
    problem: str = ""
    inserted_at: Instant
    visible_at: Instant | None = None
    dequeue_count: int = 0

    def is_hidden(self, now: Instant) -> bool:
        """Whether no host can receive the message at present."""
        return self.visible_at is not None and self.visible_at > now


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueFacts:
    """A queue. `count`: of all messages, hidden ones included. `messages`: the oldest ones that could be read.

    `shows_hidden`: the store lists all messages; otherwise `messages` are only visible ones, 32 at most. `exists`: the
    queue exists.
    """

    name: str
    count: int = 0
    messages: Sequence[SeenMessage] = ()
    shows_hidden: bool = False
    exists: bool = True

    @property
    def is_complete(self) -> bool:
        """Whether all messages of the queue are known."""
        return self.count <= len(self.messages)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseFacts:
    """The lease of a control queue. `owner` None: no host has it. `is_live`: the owner has renewed it in time.

    `expires_at`: None if it is not known, as for blob leases.
    """

    queue: str
    owner: str | None = None
    expires_at: Instant | None = None
    is_live: bool = False
    is_draining: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of host.json: how many functions of each kind run at once in a host."""

    activities: int
    orchestrators: int
    entities: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """The host that makes the diagnosis. `name`: the owner in its leases.

    `owned_queues`: the control queues that it reads. `received`: instances whose messages it has received.
    `activities`: instance and task id of the activities that it has received. `running`, `failed`, `generations`: from
    its work log. `functions`: by kind, in lower case. `switched_off`: functions of the app that do not run, in lower
    case, and why. `places`: where the running calls of a function are, by its name. `load_errors`: why functions are
    missing.
    """

    name: str
    owned_queues: Collection[str] = ()
    received: Collection[str] = ()
    activities: Collection[tuple[str, int]] = ()
    running: Sequence[RunningWork] = ()
    failed: Mapping[WorkKey, FailedWork] = field(default_factory=dict)
    generations: Mapping[str, Generations] = field(default_factory=dict)
    functions: Mapping[FunctionKind, Collection[str]] = field(default_factory=dict)
    switched_off: Mapping[str, str] = field(default_factory=dict)
    places: Mapping[str, Sequence[str]] = field(default_factory=dict)
    load_errors: Sequence[str] = ()
    limits: Limits

    def running_of(self, key: WorkKey) -> RunningWork | None:
        """Return the work item if this host runs it."""
        return next((work for work in self.running if work.key == key), None)

    def count(self, kind: FunctionKind) -> int:
        """Return how many functions of this kind run here."""
        return sum(work.kind is kind for work in self.running)

    def names_of(self, kind: FunctionKind) -> Sequence[str]:
        """Return the names of the functions of this kind that run here, each once."""
        return sorted({work.name for work in self.running if work.kind is kind})


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where the code of an orchestrator waits, from a replay. `wait` None: for no action that is known.

    `place`: the line of the last yield; `places`: the lines at which actions were requested, by event id.
    `event_names`: of the external events for which the code has waited so far, or waits now. `problem`: why there
    is no position, such as an exception of the function; empty if there is one. `fits`: the code
    does not contradict the history.
    """

    wait: OpenWait | None = None
    place: Place | None = None
    places: Mapping[int, Place] = field(default_factory=dict)
    event_names: Collection[str] = ()
    problem: str = ""
    fits: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceFacts:
    """An instance. `status`: its row, None if there is none. `events`: the history of its current execution.

    `position`: None if it was not asked for. `unreadable`: why the history cannot be read. `similar`: ids that look
    like this one, if it does not exist.
    """

    instance_id: str
    status: InstanceStatus | None = None
    events: Sequence[HistoryEvent] = ()
    position: Position | None = None
    unreadable: str = ""
    similar: Sequence[str] = ()

    @property
    def started(self) -> ExecutionStarted | None:
        """The event that began the current execution."""
        return next((event for event in self.events if isinstance(event, ExecutionStarted)), None)

    @property
    def name(self) -> str:
        """The name of the orchestrator; empty if it is not known."""
        return (self.status.name if self.status else "") or (self.started.name if self.started else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class HubFacts:
    """A task hub. `names`: with the number of control queues that it has. `host`: None without a running host.

    `may_lose_writes`: the storage is an emulator that loses its last writes when it is killed.
    """

    now: Instant
    names: HubNames
    storage: str
    queues: Mapping[str, QueueFacts]
    leases: Mapping[str, LeaseFacts]
    host: HostFacts | None = None
    may_lose_writes: bool = False

    @property
    def owners(self) -> Sequence[str]:
        """Names of the hosts whose leases are live, each once."""
        return list(dict.fromkeys(lease.owner for lease in self.leases.values() if lease.is_live and lease.owner))

    @property
    def has_host(self) -> bool:
        """Whether any host works on the hub."""
        return bool(self.owners)

    def control_queue(self, instance_id: str) -> QueueFacts:
        """Return the control queue of an instance."""
        name = self.names.control_queue_of(instance_id)
        return self.queues.get(name) or QueueFacts(name=name, exists=False)

    @property
    def work_items(self) -> QueueFacts:
        """The queue of the activities."""
        name = self.names.work_item_queue
        return self.queues.get(name) or QueueFacts(name=name, exists=False)
