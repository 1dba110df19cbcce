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


MAX_KEY_UNITS = 512
"""Length of a table key in UTF-16 code units: 1 KiB."""

ESCAPED_IN_KEYS = re.compile(r"[\^/\\#?\x00-\x1f\x7f-\x9f]")
"""A character of an instance id that takes two characters in a table key: one that keys must not contain, or `^`."""

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def has_lone_surrogate(instance_id: str) -> bool:
    """Whether half of a surrogate pair makes the id unfit for storage: rows and blobs are named in UTF-8."""
    return not instance_id.isascii() and _LONE_SURROGATE.search(instance_id) is not None


def storage_problem(instance_id: str) -> str | None:
    """Return why no row or blob can be named after an instance id, as a predicate without a subject; None: it can."""
    if has_lone_surrogate(instance_id):
        return "has half of a surrogate pair. No row or blob can be named after it. Use complete characters."
    # Nearly all ids are short.
    if 2 * len(instance_id) > MAX_KEY_UNITS:
        units = len(instance_id.encode("utf-16-le")) // 2 + len(ESCAPED_IN_KEYS.findall(instance_id))
        if units > MAX_KEY_UNITS:
            return (
                f"is too long: it needs {units} characters in a key of a table, which has at most {MAX_KEY_UNITS}. "
                "The characters ^ / \\ # ? count twice."
            )
    return None


def is_entity(instance_id: str) -> bool:
    return instance_id.startswith("@")


class FunctionKind(enum.Enum):
    ORCHESTRATOR = "orchestrator"
    ACTIVITY = "activity"
    ENTITY = "entity"
