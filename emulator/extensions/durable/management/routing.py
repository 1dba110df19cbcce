"""Routing of the durable HTTP API: paths below the base, parsed into targets.

Source: durable-extension, HttpApiHandler.cs; docs/protocol/durable-client-http.md 2.3.
"""

from __future__ import annotations

from dataclasses import dataclass

from emulator.dotnet.query_values import form_decode
from emulator.host.http.routing.paths import normalized_path


@dataclass(frozen=True, slots=True)
class Orchestrators:
    """Path orchestrators/{function}[/{instance}]"""

    function: str
    instance_id: str | None


@dataclass(frozen=True, slots=True)
class Entities:
    """Path entities[/{name}[/{key}]]"""

    name: str | None
    key: str | None


@dataclass(frozen=True, slots=True)
class Instances:
    """Path instances"""


@dataclass(frozen=True, slots=True)
class Instance:
    """Path instances/{instance}"""

    instance_id: str


@dataclass(frozen=True, slots=True)
class Operation:
    """Path instances/{instance}/{operation}; `name`: in lower case"""

    instance_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Event:
    """Path instances/{instance}/raiseEvent/{event}"""

    instance_id: str
    name: str


@dataclass(frozen=True, slots=True)
class MakePrimary:
    """Path makeprimary"""


@dataclass(frozen=True, slots=True)
class CleanEntities:
    """Path cleanEntityStorage; azemu's own, because the extension offers it over gRPC only"""


Target = Orchestrators | Entities | Instances | Instance | Operation | Event | MakePrimary | CleanEntities


def find_target(path: str) -> Target | None:
    """Return the target of a percent-encoded path below the base; None if there is none."""
    # Decoded twice and before it is split, as in the real stack: the web server decodes everything but %2F, the
    # extension decodes the rest. Hence %2F separates segments, and only %252B is a plus.
    once = normalized_path("/" + path.lstrip("/"))
    if once is None:
        return None
    segments = form_decode(once).strip("/").split("/")
    # The first segment ignores case; names and instance ids keep it.
    return None if "" in segments else _target([segments[0].lower(), *segments[1:]])


def _target(segments: list[str]) -> Target | None:
    match segments:
        case ["orchestrators", function]:
            return Orchestrators(function, None)
        case ["orchestrators", function, instance_id]:
            return Orchestrators(function, instance_id)
        case ["entities"]:
            return Entities(None, None)
        case ["entities", name]:
            return Entities(name, None)
        case ["entities", name, key]:
            return Entities(name, key)
        case ["instances"]:
            return Instances()
        case ["instances", instance_id]:
            return Instance(instance_id)
        case ["instances", instance_id, operation]:
            return Operation(instance_id, operation.lower())
        # Also the fixed segment inside ignores case.
        case ["instances", instance_id, literal, event] if literal.lower() == "raiseevent":
            return Event(instance_id, event)
        case ["makeprimary"]:
            return MakePrimary()
        case ["cleanentitystorage"]:
            return CleanEntities()
    return None
