"""The paths of the management API.

Source: durable-extension, HttpApiHandler.cs; docs/protocol/durable-client-http.md 2.3.
"""

from __future__ import annotations

from dataclasses import dataclass

from emulator.extensions.durable.management.dotnet import form_decode
from emulator.host.http.routing.paths import normalized_path


@dataclass(frozen=True, slots=True)
class Orchestrators:
    """orchestrators/{function}[/{instance}]"""

    function: str
    instance_id: str | None


@dataclass(frozen=True, slots=True)
class Entities:
    """entities[/{name}[/{key}]]"""

    name: str | None
    key: str | None


@dataclass(frozen=True, slots=True)
class Instances:
    """instances"""


@dataclass(frozen=True, slots=True)
class Instance:
    """instances/{instance}"""

    instance_id: str


@dataclass(frozen=True, slots=True)
class Operation:
    """instances/{instance}/{operation}; `name` in lower case"""

    instance_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Event:
    """instances/{instance}/raiseEvent/{event}"""

    instance_id: str
    name: str


@dataclass(frozen=True, slots=True)
class MakePrimary:
    """makeprimary"""


@dataclass(frozen=True, slots=True)
class CleanEntities:
    """cleanEntityStorage: ours; clients of the extension ask for it by gRPC"""


Target = Orchestrators | Entities | Instances | Instance | Operation | Event | MakePrimary | CleanEntities


def find_target(path: str) -> Target | None:
    """What a path below the base names; None if nothing.

    `path` is percent-encoded, as it came. It is decoded twice and before it is split, as in the real stack: the web
    server decodes all but %2F, the extension decodes the rest. Hence %2F separates, and only %252B is a plus.
    """
    once = normalized_path("/" + path.lstrip("/"))
    if once is None:
        return None
    segments = form_decode(once).strip("/").split("/")
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
        case ["instances", instance_id, literal, event] if literal.lower() == "raiseevent":
            return Event(instance_id, event)
        case ["makeprimary"]:
            return MakePrimary()
        case ["cleanentitystorage"]:
            return CleanEntities()
    return None
