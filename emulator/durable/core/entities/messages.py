"""What entities, their callers and clients say to each other, and its JSON.

All of it travels as the input of an EventRaised: `op` (or `op@time`) with a Request, `release` with a Release, and
the answer as an event named after the request's id with a Response.
Source: durable-extension, EntityScheduler/{RequestMessage,ResponseMessage,ReleaseMessage}.cs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from emulator.dotnet.json_values import json_int, json_list, json_object, json_string, read_object
from emulator.dotnet.json_writer import json_text
from emulator.durable.core.identity import EntityId
from emulator.instant import MIN_INSTANT, Instant

OPERATION = "op"
RELEASE = "release"
CONTINUE = "continue"
LOCK_GRANTED = "Lock Acquisition Completed"

_LONGEST_DELAY = timedelta(days=6)
_LEG = timedelta(days=3)

_TYPE = "Microsoft.Azure.WebJobs.Extensions.DurableTask.{0}, Microsoft.Azure.WebJobs.Extensions.DurableTask"


@dataclass(frozen=True, slots=True, order=True)
class Stamp:
    """A sender's time label. .NET loses the kind of a DateTime when it adds a tick, and then writes no `Z`."""

    instant: Instant
    zoned: bool = field(default=True, compare=False)

    @classmethod
    def parse(cls, text: str) -> Stamp:
        return cls(Instant.parse(text), zoned=text.endswith(("Z", "z")))

    @property
    def text(self) -> str:
        return self.instant.text if self.zoned else self.instant.text.removesuffix("Z")

    def one_tick_later(self) -> Stamp:
        return Stamp(self.instant.plus_ticks(1), zoned=False)


NO_STAMP = Stamp(MIN_INSTANT, zoned=False)
"""0001-01-01T00:00:00: what clients send, and what precedes a sender's first message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """An operation, or with a `lockset` a request to lock these entities, of which `position` is asked next.

    `input`: JSON text or None. `parent`: the caller's instance id, None for clients; `parent_execution` only for
    orchestrations. `due`: when a delayed signal is wanted.
    """

    id: str
    operation: str | None = None
    is_signal: bool = False
    input: str | None = None
    parent: str | None = None
    parent_execution: str | None = None
    due: Instant | None = None
    timestamp: Stamp = NO_STAMP
    predecessor: Stamp = NO_STAMP
    lockset: Sequence[EntityId] = ()
    position: int = 0
    requested_at: Instant | None = None

    @classmethod
    def parse(cls, text: str) -> Request:
        """Read any writer's JSON. Raises ValueError when it is not a request."""
        return _request(read_object(text))

    @property
    def is_lock_request(self) -> bool:
        return bool(self.lockset)

    @property
    def event_name(self) -> str:
        """The name of the event that carries it; a delayed one tells there when it is to be delivered."""
        return OPERATION if self.due is None else f"{OPERATION}@{self.due.text7}"

    def event_name_at(self, now: Instant) -> str:
        """The same when sent now: a queue cannot hide a message for longer than a week, so that what is due later
        travels in legs, and the entity sends it on.
        """
        if self.due is None or self.due <= now + _LONGEST_DELAY:
            return self.event_name
        return f"{OPERATION}@{(now + _LEG).text7}"

    def forwarded(self) -> Request:
        """A lock request for the next entity of the set."""
        return replace(self, position=self.position + 1)

    def members(self) -> dict[str, Any]:
        """Its JSON members in .NET's order, without the type name."""
        members: dict[str, Any] = {"op": self.operation}
        if self.is_signal:
            members["signal"] = True
        if self.input is not None:
            members["input"] = self.input
        members["id"] = self.id
        if self.parent is not None:
            members["parent"] = self.parent
        if self.parent_execution is not None:
            members["parentExecution"] = self.parent_execution
        if self.due is not None:
            members["due"] = self.due.text
        members["Timestamp"] = self.timestamp.text
        members["Predecessor"] = self.predecessor.text
        if self.lockset:
            members["lockset"] = [{"name": entity.name, "key": entity.key} for entity in self.lockset]
        if self.position:
            members["pos"] = self.position
        if self.requested_at is not None:
            members["requestTime"] = self.requested_at.text.removesuffix("Z") + "+00:00"
        return members

    def from_instance(self) -> str:
        """The JSON text as orchestrations and entities write it, with the type name in front."""
        return json_text({"$type": _TYPE.format("RequestMessage"), **self.members()})

    def from_client(self) -> str:
        """The JSON text as clients write it."""
        return json_text(self.members())


@dataclass(frozen=True, slots=True)
class Response:
    """`result`: JSON text, or plain text after a time-out. `exception_type` is there exactly when it failed."""

    result: str
    exception_type: str | None = None

    @property
    def text(self) -> str:
        members = {"$type": _TYPE.format("ResponseMessage"), "result": self.result}
        if self.exception_type is not None:
            members["exceptionType"] = self.exception_type
        return json_text(members)


@dataclass(frozen=True, slots=True)
class Release:
    """The holder of a lock gives it back. `id`: the lock request's, or `fix-orphaned-lock`."""

    parent: str
    id: str

    @classmethod
    def parse(cls, text: str) -> Release:
        """Raises ValueError when it is not a release."""
        members = read_object(text)
        return cls(json_string(members.get("parent")) or "", json_string(members.get("id")) or "")

    @property
    def text(self) -> str:
        return json_text({"parent": self.parent, "id": self.id})


def request_from_members(members: object) -> Request:
    """A request inside other JSON (the queue of an entity's state). Raises ValueError."""
    return _request(json_object(members))


def _request(members: Mapping[str, Any]) -> Request:
    request_id = json_string(members.get("id"))
    if request_id is None:
        raise ValueError("an entity request without id")
    return Request(
        id=request_id,
        operation=json_string(members.get("op")),
        is_signal=bool(members.get("signal")),
        input=json_string(members.get("input")),
        parent=json_string(members.get("parent")),
        parent_execution=json_string(members.get("parentExecution")),
        due=_instant(members.get("due")),
        timestamp=read_stamp(members.get("Timestamp")),
        predecessor=read_stamp(members.get("Predecessor")),
        lockset=tuple(_entity(json_object(each)) for each in json_list(members.get("lockset"))),
        position=json_int(members.get("pos")),
        requested_at=_instant(members.get("requestTime")),
    )


def read_stamp(value: object) -> Stamp:
    """A member with a time label; none is the earliest. Raises ValueError."""
    text = json_string(value)
    return NO_STAMP if text is None else Stamp.parse(text)


def _entity(members: Mapping[str, Any]) -> EntityId:
    return EntityId(json_string(members.get("name")) or "", json_string(members.get("key")) or "")


def _instant(value: object) -> Instant | None:
    text = json_string(value)
    return None if text is None else Instant.parse(text)
