"""MessageSorter: in-order, exactly-once delivery of requests between two instances, within a time window.

A sender labels each request with a timestamp and with the timestamp of its previous request to the same entity, the
predecessor. A receiver buffers a request whose predecessor it has not delivered yet, and drops a request that it has
delivered already. Requests older than the window are not sorted.
Source: DurableTask.Core, src/DurableTask.Core/Entities/OrchestrationEntityContext/MessageSorter.cs;
docs/protocol/durable-orchestration.md 11.6.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from emulator.dotnet.json_values import json_object, json_string
from emulator.durable.core.entities.messages import (
    NO_TIMESTAMP,
    Request,
    Timestamp,
    read_timestamp,
    request_from_members,
)
from emulator.instant import Instant

# A lock request that an entity forwards has the label that its sender made for the first entity of the set, so it has
# no place in the order of the requests to the next one. The last lock that an orchestration was granted is remembered
# as the last request of another sender: of this prefix and the orchestration's id, which no orchestration can have as
# its id. .NET keeps and drops the entry as it does those of all senders.
_LOCKS = "@@"

# A horizon moves only when it is this much older than the window. Moving it looks at all senders or receivers, which
# is too expensive for every request.
_MIN_ADVANCE = timedelta(seconds=10)


@dataclass(slots=True)
class _ReceiveBuffer:
    """State of one sender. `last`: timestamp of the newest delivered request; `buffered`: requests that arrived early.

    `execution_id`: the sender's execution; None if the sender is an entity.
    """

    last: Timestamp = NO_TIMESTAMP
    execution_id: str | None = None
    buffered: dict[Timestamp, Request] = field(default_factory=dict)

    @classmethod
    def from_members(cls, members: Mapping[str, Any]) -> _ReceiveBuffer:
        requests = [request_from_members(request) for request in json_object(members.get("Buffered")).values()]
        return cls(
            last=read_timestamp(members.get("Last")),
            execution_id=json_string(members.get("ExecutionId")),
            buffered={request.timestamp: request for request in requests},
        )

    def members(self) -> dict[str, Any]:
        members: dict[str, Any] = {}
        if self.last != NO_TIMESTAMP:
            members["Last"] = self.last.text
        if self.execution_id is not None:
            members["ExecutionId"] = self.execution_id
        if self.buffered:
            members["Buffered"] = {timestamp.text: request.members() for timestamp, request in self.buffered.items()}
        return members

    def restart(self, execution_id: str | None) -> list[Request]:
        """Begin with another execution of the sender; return the requests buffered from the one before."""
        # The predecessors that they wait for may never arrive: the other execution has ended or was replaced.
        # Timestamps of the new execution say nothing about the old one, so `last` is reset too.
        released = [self.buffered[timestamp] for timestamp in sorted(self.buffered)]
        self.last, self.execution_id, self.buffered = NO_TIMESTAMP, execution_id, {}
        return released

    def receive(self, request: Request, horizon: Timestamp) -> list[Request]:
        """Return the requests to deliver now that `request` has arrived."""
        if request.timestamp <= self.last:
            return []  # A duplicate: queues deliver at least once.
        if request.predecessor > self.last and request.predecessor >= horizon:
            self.buffered[request.timestamp] = request
            return []
        return [self._deliver(request, horizon), *self.deliver_buffered(horizon)]

    def deliver_buffered(self, horizon: Timestamp) -> Iterator[Request]:
        """Yield the buffered requests whose predecessor has been delivered or is older than `horizon`."""
        left = sorted(self.buffered)
        while left:
            waiting, left = left, []
            for timestamp in waiting:
                request = self.buffered[timestamp]
                if request.predecessor > self.last and request.predecessor >= horizon:
                    # Later requests follow this one, unless its sender was killed and has repeated the episode with
                    # other messages: then its predecessor may never come, and those of the repetition must not wait.
                    left.append(timestamp)
                    continue
                del self.buffered[timestamp]
                yield self._deliver(request, horizon)
            if len(left) == len(waiting):
                return

    def _deliver(self, request: Request, horizon: Timestamp) -> Request:
        if request.timestamp >= horizon:
            # A request that waited for one that was never sent comes behind later ones. .NET goes back to its time,
            # and all that follow the later ones wait until they are older than the window.
            self.last = max(self.last, request.timestamp)
        elif self.last < horizon:
            # Below the horizon duplicates are not recognised any more, so there is no need to remember the time.
            self.last = NO_TIMESTAMP
        return request


class MessageSorter:
    """State of all senders to, and all receivers from, one instance. It changes with every message.

    `members` is its JSON, which an entity keeps in its scheduler state. `window`: zero switches sorting off.
    """

    def __init__(self, window: timedelta) -> None:
        self._window = window
        # .NET's dictionaries compare instance ids without letter case and keep the spelling that came first. So the
        # keys here are lower-case, and the values contain the spelling to write.
        self._sent: dict[str, tuple[str, Timestamp]] = {}
        self._senders: dict[str, tuple[str, _ReceiveBuffer]] = {}
        self._send_horizon = NO_TIMESTAMP
        self._receive_horizon = NO_TIMESTAMP

    @classmethod
    def from_members(cls, members: Mapping[str, Any], window: timedelta) -> MessageSorter:
        """Read the members that `members` returned. Raises ValueError if they are invalid."""
        sorter = cls(window)
        for target, last in json_object(members.get("LastSentToInstance")).items():
            sorter._sent[target.lower()] = (target, read_timestamp(last))
        for name, buffer in json_object(members.get("ReceivedFromInstance")).items():
            sorter._senders[name.lower()] = (name, _ReceiveBuffer.from_members(json_object(buffer)))
        sorter._send_horizon = read_timestamp(members.get("SendHorizon"))
        sorter._receive_horizon = read_timestamp(members.get("ReceiveHorizon"))
        return sorter

    @property
    def sources(self) -> int:
        """Number of senders whose state is kept."""
        return len(self._senders)

    @property
    def targets(self) -> int:
        """Number of receivers whose last timestamp is kept."""
        return len(self._sent)

    @property
    def buffered(self) -> int:
        """Number of requests that wait for their predecessor."""
        return sum(len(buffer.buffered) for _, buffer in self._senders.values())

    def members(self) -> dict[str, Any]:
        """Return the JSON members in .NET's order; members with their default value are left out."""
        members: dict[str, Any] = {}
        if self._sent:
            members["LastSentToInstance"] = {target: last.text for target, last in self._sent.values()}
        if self._senders:
            members["ReceivedFromInstance"] = {name: buffer.members() for name, buffer in self._senders.values()}
        if self._receive_horizon != NO_TIMESTAMP:
            members["ReceiveHorizon"] = self._receive_horizon.text
        if self._send_horizon != NO_TIMESTAMP:
            members["SendHorizon"] = self._send_horizon.text
        return members

    # Sending ---------------------------------------------------------------------------------------------------

    def label(self, request: Request, target: str, now: Instant) -> Request:
        """Return the request with its timestamp and predecessor, and remember the timestamp for `target`."""
        if not self._window:
            return request
        if self._send_horizon.instant + self._window + _MIN_ADVANCE < now:
            # A receiver does not wait for a predecessor outside the window, so older entries are not needed.
            self._send_horizon = Timestamp(_earlier(now, self._window))
            self._sent = {key: sent for key, sent in self._sent.items() if sent[1] >= self._send_horizon}
        timestamp, predecessor = Timestamp(now), NO_TIMESTAMP
        if target.lower() in self._sent:
            predecessor = self._sent[target.lower()][1]
            # All requests of one episode have the same clock; a receiver would drop the second one as a duplicate.
            if timestamp <= predecessor:
                timestamp = predecessor.one_tick_later()
        self.note_sent(target, timestamp)
        return replace(request, timestamp=timestamp, predecessor=predecessor)

    def note_sent(self, target: str, timestamp: Timestamp) -> None:
        """Remember the timestamp of a request that an earlier episode labelled and recorded in the history."""
        spelled = self._sent.get(target.lower(), (target, timestamp))[0]
        self._sent[target.lower()] = (spelled, timestamp)

    # Receiving -------------------------------------------------------------------------------------------------

    def receive(self, request: Request) -> list[Request]:
        """Return the requests to process now that `request` has arrived: none, only it, or buffered ones as well."""
        # Requests of clients have no parent and no timestamp. A lock request that another entity of the set forwarded
        # (position > 0) carries the label that the orchestration made for the first entity.
        if not self._window or request.parent is None or request.position > 0:
            return [request]
        delivered = list(self._advance_horizon(request.timestamp))
        if request.timestamp < self._receive_horizon:
            return [*delivered, request]
        key = request.parent.lower()
        if key not in self._senders:
            self._senders[key] = (request.parent, _ReceiveBuffer(execution_id=request.parent_execution))
        buffer = self._senders[key][1]
        if buffer.execution_id != request.parent_execution:
            # Of an execution that the sender has replaced since; the lock of a killed host may have delayed it. .NET
            # goes back to that execution: the request then waits for predecessors that were delivered long ago, and
            # duplicates of the newer execution are not recognised any more.
            if request.timestamp <= buffer.last:
                return [*delivered, request]
            delivered += buffer.restart(request.parent_execution)
        return [*delivered, *buffer.receive(request, self._receive_horizon)]

    # Locks -----------------------------------------------------------------------------------------------------

    def note_lock(self, request: Request) -> None:
        """Remember a lock request that was granted, until it is older than the window."""
        if self._window and request.parent is not None and request.timestamp != NO_TIMESTAMP:
            name = _LOCKS + request.parent
            self._senders[name.lower()] = (name, _ReceiveBuffer(last=request.timestamp, execution_id=request.id))

    def has_granted(self, request: Request) -> bool:
        """Return whether a lock request, or a later one of the same orchestration, was granted before."""
        _, granted = self._senders.get(f"{_LOCKS}{request.parent}".lower(), ("", _ReceiveBuffer()))
        return NO_TIMESTAMP < request.timestamp <= granted.last

    def lock_of(self, parent: str) -> str | None:
        """Return the id of the lock request that was granted last to an orchestration; None: unknown."""
        _, granted = self._senders.get(f"{_LOCKS}{parent}".lower(), ("", _ReceiveBuffer()))
        return granted.execution_id

    # Horizon ---------------------------------------------------------------------------------------------------

    def _advance_horizon(self, newest: Timestamp) -> Iterator[Request]:
        """Move the horizon to one window before `newest`; yield buffered requests that need not wait any longer.

        Senders that have sent nothing since the new horizon are removed, which bounds the size of the state.
        """
        # The time comes from the requests, not from a clock: a receiver whose clock is ahead would stop sorting.
        if self._receive_horizon.instant + self._window + _MIN_ADVANCE >= newest.instant:
            return
        self._receive_horizon = Timestamp(_earlier(newest.instant, self._window), zoned=newest.zoned)
        for key, (_, buffer) in list(self._senders.items()):
            if buffer.last < self._receive_horizon:
                buffer.last = NO_TIMESTAMP
            yield from buffer.deliver_buffered(self._receive_horizon)
            if buffer.last == NO_TIMESTAMP and not buffer.buffered:
                del self._senders[key]


def _earlier(moment: Instant, window: timedelta) -> Instant:
    return moment + -window
