"""Entity messages and their JSON: requests (operations and locks), responses and lock releases.

A message is the input of an EventRaised, whose name shows the kind: `op` or `op@time` for a Request, `release` for a
Release, and the id of the request for a Response.
Source: durable-extension, EntityScheduler/{RequestMessage,ResponseMessage,ReleaseMessage}.cs;
docs/protocol/durable-orchestration.md 11.2 to 11.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from emulator.dotnet.json_values import json_int, json_list, json_object, json_string, read_object
from emulator.dotnet.json_writer import json_text
from emulator.durable.core.events import EventSent, TraceContext
from emulator.durable.core.identity import EntityId, is_entity
from emulator.instant import MIN_INSTANT, Instant

OPERATION = "op"
RELEASE = "release"
CONTINUE = "continue"
LOCK_GRANTED = "Lock Acquisition Completed"
ORPHANED_LOCK = "fix-orphaned-lock"

# Azure Storage hides a queue message for at most seven days. The extension stays one day below that limit, and sends
# what is due later in pieces of three days, as the SDK splits long timers.
_LONGEST_DELAY = timedelta(days=6)
_DELAY_PIECE = timedelta(days=3)

_TYPE = "Microsoft.Azure.WebJobs.Extensions.DurableTask.{0}, Microsoft.Azure.WebJobs.Extensions.DurableTask"


@dataclass(frozen=True, slots=True, order=True)
class Timestamp:
    """Time with which a sender labels a request. `zoned`: whether the text ends with `Z`."""

    instant: Instant
    # .NET loses the kind of a DateTime when it adds a tick, and then writes the text without `Z`. The suffix says
    # nothing about the time, so it does not take part in comparisons; it is kept because azemu writes what .NET writes.
    zoned: bool = field(default=True, compare=False)

    @classmethod
    def parse(cls, text: str) -> Timestamp:
        """Read a text with or without `Z`; both are UTC. Raises ValueError."""
        return cls(Instant.parse(text), zoned=text.endswith(("Z", "z")))

    @property
    def text(self) -> str:
        return self.instant.text if self.zoned else self.instant.text.removesuffix("Z")

    def one_tick_later(self) -> Timestamp:
        """Return the time 100 nanoseconds later, without `Z` as in .NET."""
        return Timestamp(self.instant.plus_ticks(1), zoned=False)


NO_TIMESTAMP = Timestamp(MIN_INSTANT, zoned=False)
"""0001-01-01T00:00:00, DateTime's default: the label of a client's requests, which are not sorted, and the
predecessor of a sender's first request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """RequestMessage: an operation, or with a `lockset` a request to lock these entities.

    `position`: index in `lockset` of the entity that receives the request. `input`: JSON text or None. `parent`: the
    caller's instance id, None for clients. `parent_execution`: only for callers that are orchestrations. `due`: time at
    which a delayed signal is to be delivered. `predecessor`: `timestamp` of the request that the same caller sent to
    the same entity before. `requested_at`: the caller's wall clock. `trace`: of a call, the span of the caller; of a
    signal, the span of the sending.
    """

    id: str
    operation: str | None = None
    is_signal: bool = False
    input: str | None = None
    parent: str | None = None
    parent_execution: str | None = None
    due: Instant | None = None
    timestamp: Timestamp = NO_TIMESTAMP
    predecessor: Timestamp = NO_TIMESTAMP
    lockset: Sequence[EntityId] = ()
    position: int = 0
    requested_at: Instant | None = None
    trace: TraceContext | None = None

    @classmethod
    def parse(cls, text: str) -> Request:
        """Read the JSON of any writer; unknown members are ignored. Raises ValueError if it is not a request."""
        return request_from_members(read_object(text))

    @property
    def is_lock_request(self) -> bool:
        return bool(self.lockset)

    @property
    def event_name(self) -> str:
        """Name of the event that carries the request; that of a delayed signal contains the time of delivery."""
        # .NET's round-trip format, which always has seven fraction digits.
        return OPERATION if self.due is None else f"{OPERATION}@{self.due.text7}"

    def event_name_at(self, now: Instant) -> str:
        """Return `event_name` for a request that is sent at `now`.

        A signal that is due too late for one queue message names the end of a piece of the delay instead. The entity
        receives it then and sends it to itself again.
        """
        if self.due is None or self.due <= now + _LONGEST_DELAY:
            return self.event_name
        return f"{OPERATION}@{(now + _DELAY_PIECE).text7}"

    def forwarded(self) -> Request:
        """Return the lock request that goes to the next entity of the set."""
        return replace(self, position=self.position + 1)

    def members(self) -> dict[str, Any]:
        """Return the JSON members in .NET's order, without the type name.

        A member with its default value is left out, except `op`, `id` and the two times.
        """
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
        if self.trace is not None:
            members["parentTraceContext"] = {
                "TraceParent": self.trace.trace_parent,
                "TraceState": self.trace.trace_state,
            }
        if self.requested_at is not None:
            # A DateTimeOffset in .NET, unlike the other times, so it is written with an offset.
            members["requestTime"] = self.requested_at.text.removesuffix("Z") + "+00:00"
        return members

    def from_instance(self) -> str:
        """Return the JSON text that orchestrations and entities write, which begins with the type name."""
        return json_text({"$type": _TYPE.format("RequestMessage"), **self.members()})

    def from_client(self) -> str:
        """Return the JSON text that clients write, which has no type name."""
        return json_text(self.members())


@dataclass(frozen=True, slots=True)
class Response:
    """ResponseMessage: outcome of an operation or a granted lock.

    `result`: JSON text; plain text for a granted lock and after a time-out. `exception_type`: None if the operation
    succeeded.
    """

    result: str
    exception_type: str | None = None

    @property
    def text(self) -> str:
        members = {"$type": _TYPE.format("ResponseMessage"), "result": self.result}
        # The SDK takes a response with this key for a failure, even if its value is null.
        if self.exception_type is not None:
            members["exceptionType"] = self.exception_type
        return json_text(members)


@dataclass(frozen=True, slots=True)
class Release:
    """ReleaseMessage: the instance `parent` releases its lock.

    `id`: that of the lock request, or ORPHANED_LOCK if a client releases the lock of an instance that has ended.
    """

    parent: str
    id: str

    @classmethod
    def parse(cls, text: str) -> Release:
        """Read the JSON of any writer. Raises ValueError if it is not a release."""
        members = read_object(text)
        return cls(json_string(members.get("parent")) or "", json_string(members.get("id")) or "")

    @property
    def text(self) -> str:
        return json_text({"parent": self.parent, "id": self.id})


def request_in(event: EventSent) -> Request | None:
    """Return the operation or lock request that an event carries to an entity; None for all other events.

    Also None for one that cannot be read: the entity reports that when it receives it.
    """
    # The name of a delayed signal has the time of its delivery behind an @. The JSON of a release has an id, too, so
    # only the name tells that it is not a request.
    if not is_entity(event.instance_id) or (event.name or "").partition("@")[0] != OPERATION:
        return None
    try:
        return Request.parse(event.input or "")
    except ValueError:
        return None


def request_from_members(value: object) -> Request:
    """Read a request that is part of other JSON, such as the queue of an entity. Raises ValueError."""
    members = json_object(value)
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
        timestamp=read_timestamp(members.get("Timestamp")),
        predecessor=read_timestamp(members.get("Predecessor")),
        lockset=tuple(
            EntityId(json_string(entity.get("name")) or "", json_string(entity.get("key")) or "")
            for entity in map(json_object, json_list(members.get("lockset")))
        ),
        position=json_int(members.get("pos")),
        requested_at=_instant(members.get("requestTime")),
        trace=_trace(members.get("parentTraceContext")),
    )


def read_timestamp(value: object) -> Timestamp:
    """Read a member that holds a timestamp; a missing one is NO_TIMESTAMP. Raises ValueError."""
    text = json_string(value)
    return NO_TIMESTAMP if text is None else Timestamp.parse(text)


def _trace(value: object) -> TraceContext | None:
    # Only a trace depends on it, so what cannot be read is left out.
    members = value if isinstance(value, dict) else {}
    parent, state = members.get("TraceParent"), members.get("TraceState")
    return TraceContext(parent, state if isinstance(state, str) else None) if isinstance(parent, str) else None


def _instant(value: object) -> Instant | None:
    text = json_string(value)
    return None if text is None else Instant.parse(text)
