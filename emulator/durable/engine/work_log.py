"""What the engine of this host runs now, and which of its last attempts failed, for `azemu why` and the dashboard.

Storage does not show it: a work item that runs, or that is retried after a failure, is only a hidden message there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

from emulator.clock import Clock
from emulator.durable.core.events import ExecutionStarted, TaskScheduled
from emulator.durable.core.identity import FunctionKind
from emulator.durable.hub import ActivityWorkItem, OrchestrationWorkItem
from emulator.instant import Instant

Key = TypeVar("Key")
Note = TypeVar("Note")

# Failures and generations are kept for so many work items; the oldest are forgotten.
_MOST_NOTES = 1000
# Begins of activities are small, and a page shows those of one fan-out together.
_MOST_BEGINS = 10_000


@dataclass(frozen=True, slots=True)
class WorkKey:
    """A work item: an episode of an instance, or an activity of it. `task_id` None: an episode."""

    instance_id: str
    task_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningWork:
    """A work item that runs. `name`: of the orchestrator, activity or entity; empty if it is unknown."""

    key: WorkKey
    kind: FunctionKind
    name: str
    since: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedWork:
    """A work item that could not be completed and is retried. `attempts`: failures in a row, the last one at `at`."""

    key: WorkKey
    kind: FunctionKind
    name: str
    at: Instant
    attempts: int
    reason: str


@dataclass(frozen=True, slots=True)
class Generations:
    """How often this host has seen an instance continue as new. `times`: of the last two, the older one first."""

    count: int
    times: Sequence[Instant]


class WorkLog:
    """The work items of one host. To be used on the host's loop only."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._running: dict[WorkKey, RunningWork] = {}
        self._failed: dict[WorkKey, FailedWork] = {}
        self._generations: dict[str, Generations] = {}
        self._begins: dict[WorkKey, Instant] = {}

    @property
    def running(self) -> Sequence[RunningWork]:
        """The work items that run now, in the order in which they began."""
        return list(self._running.values())

    @property
    def failed(self) -> Mapping[WorkKey, FailedWork]:
        """The work items whose last attempt was not completed."""
        return dict(self._failed)

    @property
    def generations(self) -> Mapping[str, Generations]:
        """How often instances have continued as new since this host has started, by instance id."""
        return dict(self._generations)

    def running_of(self, key: WorkKey) -> RunningWork | None:
        """Return the work item if it runs now."""
        return self._running.get(key)

    def began_at(self, key: WorkKey) -> Instant | None:
        """Return when this host last began to run an activity; None if it did not, or has forgotten it."""
        return self._begins.get(key)

    @contextmanager
    def running_work(self, kind: FunctionKind, item: OrchestrationWorkItem | ActivityWorkItem) -> Iterator[None]:
        """Note that a work item runs while entered. An exception counts as a failed attempt."""
        key, name, now = _key_of(item), _name_of(item), self._now()
        self._running[key] = RunningWork(key=key, kind=kind, name=name, since=now)
        if kind is FunctionKind.ACTIVITY:
            # Removed and added, so that an attempt that is repeated is the last one to be forgotten.
            self._begins.pop(key, None)
            self._begins[key] = now
            _forget_oldest(self._begins, _MOST_BEGINS)
        try:
            yield
        except Exception as error:
            self.note_failure(kind, item, str(error) or type(error).__name__)
            raise
        finally:
            self._running.pop(key, None)

    def note_failure(self, kind: FunctionKind, item: OrchestrationWorkItem | ActivityWorkItem, reason: str) -> None:
        """Note that an attempt was not completed."""
        key = _key_of(item)
        # Removed and added, so that the latest failure is the last one to be forgotten.
        before = self._failed.pop(key, None)
        self._failed[key] = FailedWork(
            key=key,
            kind=kind,
            name=_name_of(item),
            at=self._now(),
            attempts=1 + (before.attempts if before else 0),
            reason=reason,
        )
        _forget_oldest(self._failed, _MOST_NOTES)

    def settled(self, item: OrchestrationWorkItem | ActivityWorkItem) -> None:
        """Note that the result of an attempt is stored, or that another host has the work item now."""
        self._failed.pop(_key_of(item), None)

    def continued_as_new(self, instance_id: str) -> None:
        """Note that an orchestration begins its next generation."""
        before = self._generations.pop(instance_id, Generations(0, ()))
        self._generations[instance_id] = replace(
            before, count=before.count + 1, times=(*before.times[-1:], self._now())
        )
        _forget_oldest(self._generations, _MOST_NOTES)

    def _now(self) -> Instant:
        return Instant.of(self._clock.now())


def _key_of(item: OrchestrationWorkItem | ActivityWorkItem) -> WorkKey:
    if isinstance(item, ActivityWorkItem):
        return WorkKey(item.message.target.instance_id, item.message.event.event_id)
    return WorkKey(item.instance.instance_id)


def _name_of(item: OrchestrationWorkItem | ActivityWorkItem) -> str:
    if isinstance(item, ActivityWorkItem):
        event = item.message.event
        return event.name if isinstance(event, TaskScheduled) else ""
    # ExecutionStarted is the second event of a stored history, after OrchestratorStarted, or among the messages.
    events = (*item.history[:2], *(message.event for message in item.messages))
    return next((event.name for event in events if isinstance(event, ExecutionStarted)), "")


def _forget_oldest(notes: dict[Key, Note], most: int) -> None:
    if len(notes) > most:
        del notes[next(iter(notes))]
