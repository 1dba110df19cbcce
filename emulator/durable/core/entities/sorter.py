"""Order and exactly-once delivery of requests between two instances.

A sender labels each request with its time and the time of the one before it to the same entity. The receiver holds
back what came too early and drops what came twice, within a window; older traffic passes unsorted.
Source: DurableTask.Core, src/DurableTask.Core/Entities/OrchestrationEntityContext/MessageSorter.cs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from emulator.dotnet.json_values import json_object, json_string
from emulator.durable.core.entities.messages import NO_STAMP, Request, Stamp, read_stamp, request_from_members
from emulator.instant import Instant

_SLACK = timedelta(seconds=10)  # the horizon moves only when it has fallen this far behind


@dataclass(slots=True)
class _Sender:
    """What is known of one sender. `last`: the newest request delivered; `held`: those that came too early."""

    last: Stamp = NO_STAMP
    execution_id: str | None = None
    held: dict[Stamp, Request] = field(default_factory=dict)

    def deliver(self, request: Request, horizon: Stamp) -> Request:
        self.last = request.timestamp if request.timestamp >= horizon else NO_STAMP
        return request

    def deliver_held(self, horizon: Stamp) -> Iterator[Request]:
        """Those of the held ones whose turn has come."""
        for stamp in sorted(self.held):
            request = self.held[stamp]
            if request.predecessor > self.last and request.predecessor >= horizon:
                return
            del self.held[stamp]
            yield self.deliver(request, horizon)


class MessageSorter:
    """Changes with every message; `members` is its JSON, kept in the scheduler state of an entity.

    `window` zero switches all of it off.
    """

    def __init__(self, window: timedelta) -> None:
        self._window = window
        self._sent: dict[str, tuple[str, Stamp]] = {}  # keys compare without case, and are written as they came
        self._senders: dict[str, tuple[str, _Sender]] = {}
        self._send_horizon = NO_STAMP
        self._receive_horizon = NO_STAMP

    @classmethod
    def from_members(cls, members: Mapping[str, Any], window: timedelta) -> MessageSorter:
        """What `members` wrote. Raises ValueError when it is something else."""
        sorter = cls(window)
        for target, last in json_object(members.get("LastSentToInstance")).items():
            sorter._sent[target.lower()] = (target, read_stamp(last))
        for name, about in json_object(members.get("ReceivedFromInstance")).items():
            sorter._senders[name.lower()] = (name, _sender(json_object(about)))
        sorter._send_horizon = read_stamp(members.get("SendHorizon"))
        sorter._receive_horizon = read_stamp(members.get("ReceiveHorizon"))
        return sorter

    @property
    def sources(self) -> int:
        """How many senders are remembered."""
        return len(self._senders)

    @property
    def targets(self) -> int:
        """How many receivers are remembered."""
        return len(self._sent)

    @property
    def held(self) -> int:
        """How many requests came too early and wait."""
        return sum(len(sender.held) for _, sender in self._senders.values())

    def members(self) -> dict[str, Any]:
        members: dict[str, Any] = {}
        if self._sent:
            members["LastSentToInstance"] = {target: last.text for target, last in self._sent.values()}
        if self._senders:
            members["ReceivedFromInstance"] = {name: _about(sender) for name, sender in self._senders.values()}
        if self._receive_horizon != NO_STAMP:
            members["ReceiveHorizon"] = self._receive_horizon.text
        if self._send_horizon != NO_STAMP:
            members["SendHorizon"] = self._send_horizon.text
        return members

    # Sending ---------------------------------------------------------------------------------------------------

    def label(self, request: Request, target: str, now: Instant) -> Request:
        """The request with its time and that of the one before it to the same target."""
        if not self._window:
            return request
        self._forget_old_targets(now)
        stamp, predecessor = Stamp(now), NO_STAMP
        if target.lower() in self._sent:
            predecessor = self._sent[target.lower()][1]
            if stamp <= predecessor:
                stamp = predecessor.one_tick_later()
        self.note_sent(target, stamp)
        return replace(request, timestamp=stamp, predecessor=predecessor)

    def note_sent(self, target: str, stamp: Stamp) -> None:
        """Remember a request that was labelled before (a replay finds it in the history)."""
        spelled = self._sent.get(target.lower(), (target, stamp))[0]
        self._sent[target.lower()] = (spelled, stamp)

    def _forget_old_targets(self, now: Instant) -> None:
        if self._send_horizon.instant + self._window + _SLACK < now:
            self._send_horizon = Stamp(_earlier(now, self._window))
            self._sent = {key: sent for key, sent in self._sent.items() if sent[1] >= self._send_horizon}

    # Receiving -------------------------------------------------------------------------------------------------

    def receive(self, request: Request) -> list[Request]:
        """Which requests are to be processed now that this one has come: none, it alone, or held ones as well."""
        if not self._window or request.parent is None or request.position > 0:
            return [request]
        delivered = list(self._move_horizon(request.timestamp))
        if request.timestamp < self._receive_horizon:
            return [*delivered, request]
        sender, released = self._sender_of(request)
        return [*delivered, *released, *self._in_turn(sender, request)]

    def _in_turn(self, sender: _Sender, request: Request) -> Iterable[Request]:
        horizon = self._receive_horizon
        if request.timestamp <= sender.last:
            return ()  # a duplicate
        if request.predecessor > sender.last and request.predecessor >= horizon:
            sender.held[request.timestamp] = request
            return ()
        return [sender.deliver(request, horizon), *sender.deliver_held(horizon)]

    def _sender_of(self, request: Request) -> tuple[_Sender, list[Request]]:
        """The request's sender; if another execution of it speaks now, what was held of the one before."""
        assert request.parent is not None
        known = self._senders.get(request.parent.lower())
        if known is None:
            sender = _Sender(execution_id=request.parent_execution)
            self._senders[request.parent.lower()] = (request.parent, sender)
            return sender, []
        sender = known[1]
        if sender.execution_id == request.parent_execution:
            return sender, []
        released = [sender.held[stamp] for stamp in sorted(sender.held)]
        sender.last, sender.execution_id, sender.held = NO_STAMP, request.parent_execution, {}
        return sender, released

    def _move_horizon(self, newest: Stamp) -> Iterator[Request]:
        """Let time pass: senders not heard of for a window are forgotten, what was held of them is delivered."""
        if self._receive_horizon.instant + self._window + _SLACK >= newest.instant:
            return
        self._receive_horizon = Stamp(_earlier(newest.instant, self._window), zoned=newest.zoned)
        for key, (_, sender) in list(self._senders.items()):
            if sender.last < self._receive_horizon:
                sender.last = NO_STAMP
            yield from sender.deliver_held(self._receive_horizon)
            if sender.last == NO_STAMP and not sender.held:
                del self._senders[key]


def _earlier(moment: Instant, window: timedelta) -> Instant:
    return moment + -window


def _sender(members: Mapping[str, Any]) -> _Sender:
    held = [request_from_members(request) for request in json_object(members.get("Buffered")).values()]
    return _Sender(
        last=read_stamp(members.get("Last")),
        execution_id=json_string(members.get("ExecutionId")),
        held={request.timestamp: request for request in held},
    )


def _about(sender: _Sender) -> dict[str, Any]:
    members: dict[str, Any] = {}
    if sender.last != NO_STAMP:
        members["Last"] = sender.last.text
    if sender.execution_id is not None:
        members["ExecutionId"] = sender.execution_id
    if sender.held:
        members["Buffered"] = {stamp.text: request.members() for stamp, request in sender.held.items()}
    return members
