"""Identities: orchestration instances and executions, parents, entities, runtime status, kinds of functions."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from uuid import UUID, uuid5

_NAMESPACE = UUID("0d4b52c9-8f3e-4c39-9a1f-2b7a6f0c51de")


class RuntimeStatus(enum.IntEnum):
    """OrchestrationStatus of .NET. Queue messages contain the number, tables and HTTP responses the name."""

    # Running is 0, so a status must be compared with None and not be used as a condition.
    RUNNING = 0
    COMPLETED = 1
    CONTINUED_AS_NEW = 2
    FAILED = 3
    CANCELED = 4
    TERMINATED = 5
    PENDING = 6
    SUSPENDED = 7

    @property
    def wire_name(self) -> str:
        return _WIRE_NAMES[self]

    @property
    def is_terminal(self) -> bool:
        return self in TERMINAL

    @classmethod
    def from_wire_name(cls, name: str) -> RuntimeStatus | None:
        """Return the status with this name; None if .NET does not know the name either."""
        return _BY_WIRE_NAME.get(name)


_WIRE_NAMES = {
    RuntimeStatus.RUNNING: "Running",
    RuntimeStatus.COMPLETED: "Completed",
    RuntimeStatus.CONTINUED_AS_NEW: "ContinuedAsNew",
    RuntimeStatus.FAILED: "Failed",
    RuntimeStatus.CANCELED: "Canceled",
    RuntimeStatus.TERMINATED: "Terminated",
    RuntimeStatus.PENDING: "Pending",
    RuntimeStatus.SUSPENDED: "Suspended",
}
_BY_WIRE_NAME = {name: status for status, name in _WIRE_NAMES.items()}
TERMINAL = frozenset({RuntimeStatus.COMPLETED, RuntimeStatus.FAILED, RuntimeStatus.CANCELED, RuntimeStatus.TERMINATED})


def derived_id(*parts: object) -> str:
    """Return an id of 32 lower-case hex digits that depends on the parts alone.

    .NET has random ids in these places. An episode that is repeated after a crash has to send the same ids again, so
    that receivers recognise its messages.
    """
    return uuid5(_NAMESPACE, "\n".join(map(str, parts))).hex


@dataclass(frozen=True, slots=True)
class OrchestrationInstance:
    """An execution of an instance. In a message, `execution_id` None means the current execution."""

    instance_id: str
    execution_id: str | None


@dataclass(frozen=True, slots=True)
class ParentInstance:
    """The orchestration that started a sub-orchestration, and the action id under which it waits for the result."""

    name: str
    instance: OrchestrationInstance
    task_schedule_id: int
    version: str | None = None


@dataclass(frozen=True, slots=True)
class EntityId:
    """Name and key of an entity. `name` is lower case. The entity's state is kept in the instance `@name@key`."""

    name: str
    key: str

    @property
    def instance_id(self) -> str:
        return f"@{self.name}@{self.key}"

    @classmethod
    def parse(cls, instance_id: str) -> EntityId | None:
        """Return the entity with this instance id; None if it is not the id of an entity."""
        # A name is a function name and has no @, so the first one ends it. The key may contain more.
        name, separator, key = instance_id[1:].partition("@")
        return cls(name, key) if instance_id.startswith("@") and separator else None


_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def has_lone_surrogate(instance_id: str) -> bool:
    """Whether half of a surrogate pair makes the id unfit for storage: rows and blobs are named in UTF-8."""
    return not instance_id.isascii() and _LONE_SURROGATE.search(instance_id) is not None


def is_entity(instance_id: str) -> bool:
    return instance_id.startswith("@")


class FunctionKind(enum.Enum):
    ORCHESTRATOR = "orchestrator"
    ACTIVITY = "activity"
    ENTITY = "entity"
