"""Causes and findings: the result of the rules, before it becomes text."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from emulator.worker.yields import Place


class Severity(enum.IntEnum):
    """How urgent a cause is, the most urgent first."""

    PROBLEM = 0
    """Something is wrong; without a change the instance does not progress, or only by accident."""
    WAITING = 1
    """The instance waits for a time, a person or another system, as its code says."""
    WORKING = 2
    """A host works on it."""
    ENDED = 3
    """It has ended, or never existed."""


class Cause(enum.Enum):
    """Why an instance does not progress. The values are the names in JSON."""

    # Waits, as the code says.
    EVENT_NOT_RAISED = "event-not-raised"
    EVENT_OTHER_NAME = "event-raised-under-another-name"
    TIMER = "timer"
    SCHEDULED_START = "scheduled-start"
    RETRY_PAUSE = "pause-before-retry"
    HTTP_POLL = "pause-before-http-poll"
    LOOP = "continues-as-new"
    SUSPENDED = "suspended"
    SUB_ORCHESTRATION = "sub-orchestration"
    ALL_OF = "all-of-several"
    ANY_OF = "any-of-several"
    SEVERAL = "several-operations"
    UNKNOWN_WAIT = "unknown-wait"
    ENTITY_LOCKED = "entity-locked"
    ENTITY_QUEUED = "entity-busy"
    # Work on it.
    ACTIVITY_RUNS = "activity-runs"
    HTTP_RUNS = "http-request-runs"
    ENTITY_RUNS = "entity-runs"
    RECEIVED = "message-received"
    QUEUED = "message-queued"
    ACTIVITY_QUEUED = "activity-queued"
    HIDDEN = "message-hidden"
    # Limits.
    ORCHESTRATOR_SLOTS = "all-orchestrator-slots-used"
    ACTIVITY_SLOTS = "all-activity-slots-used"
    # Something is wrong.
    NO_HOST = "no-host"
    NO_OWNER = "control-queue-without-owner"
    OWNER_DEAD = "owner-does-not-renew"
    OTHER_HOST = "control-queue-of-another-host"
    APP_BROKEN = "app-not-loaded"
    EPISODE_FAILS = "orchestrator-cannot-run"
    ACTIVITY_FAILS = "activity-cannot-run"
    ENTITY_FAILS = "entity-cannot-run"
    BLOCKED = "orchestrator-does-not-return"
    POISON = "poison-message"
    UNREADABLE_MESSAGE = "unreadable-message"
    UNREADABLE_HISTORY = "unreadable-history"
    LOST = "message-lost"
    CODE_CHANGED = "code-does-not-fit-history"
    STORAGE_UNREACHABLE = "storage-unreachable"
    # The end.
    UNKNOWN_ORCHESTRATOR = "unknown-orchestrator"
    UNKNOWN_ACTIVITY = "unknown-activity"
    SWITCHED_OFF = "function-switched-off"
    NON_DETERMINISTIC = "not-deterministic"
    COMPLETED = "completed"
    FAILED = "failed"
    TERMINATED = "terminated"
    NOT_FOUND = "does-not-exist"


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A further fact. `key`: of a text in `texts.NOTES`; `values`: what it names."""

    key: str
    values: Mapping[str, object] = field(default_factory=dict)


def notes_of_places(places: Sequence[str]) -> Sequence[Note]:
    """Return a note for each line of code at which a running call is."""
    return [Note(key="at", values={"place": place}) for place in places]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A cause with what its text names. `place`: the line of the app that waits.

    `instance_id`: of a sub-orchestration or entity that is the cause; None: the instance itself. `parts`: the findings
    that this one is made of: the child of a sub-orchestration, the members of a `task_all`.
    """

    cause: Cause
    values: Mapping[str, object] = field(default_factory=dict)
    place: Place | None = None
    instance_id: str | None = None
    notes: Sequence[Note] = ()
    parts: Sequence[Finding] = ()
