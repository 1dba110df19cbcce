"""Rules of the history checker for entities: scheduler state, locks, order of operations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from emulator.chaos.hub_snapshot import HubSnapshot, StoredInstance
from emulator.chaos.violations import Rule, Violation
from emulator.dotnet.json_values import json_object, json_string
from emulator.durable.core.entities.messages import NO_TIMESTAMP, Request, Timestamp, read_timestamp, request_in
from emulator.durable.core.entities.scheduler import SchedulerState
from emulator.durable.core.events import EventSent
from emulator.durable.core.identity import EntityId, RuntimeStatus, is_entity
from emulator.durable.core.status import status_after

_TERMINATED = RuntimeStatus.TERMINATED.wire_name

EntityProblems = Callable[[EntityId, str | None], Iterable[str]]
"""An app's own rule. Called with an entity and the JSON text of its state (None: it has none) when all work is done;
returns what is wrong with it, for example that a counter is not the sum of what was sent."""


def entity_violations(
    hub: HubSnapshot, instance: StoredInstance, *, settled: bool, problems: EntityProblems | None
) -> Iterator[Violation]:
    """Yield what is wrong with an entity. Its stored generation has only its state, not the operations before it."""
    started, entity = instance.started, EntityId.parse(instance.instance_id)
    if started is None or entity is None:
        return
    try:
        state = SchedulerState.parse(started.input)
        senders = _senders(state.sorter)
        horizon = read_timestamp(state.sorter.get("ReceiveHorizon"))
    except ValueError as error:
        yield Violation(instance.instance_id, Rule.READABLE, f"its scheduler state cannot be read: {error}")
        return
    # A repeated message must be recognised, so no operation is in the queue twice.
    queued = Counter(request.id for request in state.queue)
    for request_id, count in queued.items():
        if count > 1:
            detail = f"the operation {request_id} is in its queue {count} times"
            yield Violation(instance.instance_id, Rule.ENTITY_ORDER, detail)
    # Not compared while the instance works: messages that have arrived are stored behind the state.
    if not settled:
        return
    custom_status = instance.status.properties.get("CustomStatus") if instance.status else None
    if custom_status != state.status_text:
        detail = f"its custom status is {custom_status!r}, its state says {state.status_text!r}"
        yield Violation(instance.instance_id, Rule.STATUS_ROW, detail)
    yield from _lock_violations(hub, instance, state)
    for detail in _order_problems(hub, instance.instance_id, senders, horizon):
        yield Violation(instance.instance_id, Rule.ENTITY_ORDER, detail)
    for problem in problems(entity, state.state if state.exists else None) if problems else ():
        yield Violation(instance.instance_id, Rule.ENTITY_STATE, problem)


def _order_problems(
    hub: HubSnapshot, entity_id: str, senders: Mapping[str, _Sender], horizon: Timestamp
) -> Iterator[str]:
    for name, sender in senders.items():
        waiting = len(sender.buffered - _of_unstored_episodes(hub, entity_id, name, sender))
        if waiting:
            yield f"{waiting} operations of {name} wait for an earlier one that has never arrived"
    for name, execution_id, sent in _sent_to(hub, entity_id):
        # A sender that the entity does not know has never reached it.
        received = senders.get(name.lower(), _Sender(NO_TIMESTAMP, execution_id, frozenset()))
        # Older operations than the horizon are not remembered, and of an older execution of the sender none is.
        if sent <= horizon or received.execution_id != execution_id:
            continue
        if received.last < sent:
            yield f"an operation that {name} sent at {sent.text} was not delivered"
        elif received.last > sent:
            yield (
                f"an operation of {name} with the time {received.last.text} was delivered, which it has not sent: its "
                f"last one is of {sent.text}"
            )


def _of_unstored_episodes(hub: HubSnapshot, entity_id: str, name: str, sender: _Sender) -> frozenset[Timestamp]:
    """Return the times of those operations that wait which a terminated sender sent and did not record.

    An episode whose messages were sent in part is repeated, unless the sender is terminated before. No host sends the
    rest of them then, so what has arrived waits until the time in which entities keep the order has passed.
    """
    for instance in hub.instances.values():
        # By the status row: an instance that was terminated before its first episode was stored has no history.
        row = instance.status.properties if instance.status and instance.instance_id.lower() == name else {}
        if row.get("RuntimeStatus") == _TERMINATED and row.get("ExecutionId") == sender.execution_id:
            return sender.buffered - {request.timestamp for request in operations_sent(instance, entity_id)}
    return frozenset()


def _lock_violations(hub: HubSnapshot, instance: StoredInstance, state: SchedulerState) -> Iterator[Violation]:
    if state.locked_by is None:
        if state.queue:
            detail = f"{len(state.queue)} operations are in its queue, and nothing runs them"
            yield Violation(instance.instance_id, Rule.LOST_MESSAGE, detail)
        return
    holder = hub.instances.get(state.locked_by)
    # A terminated orchestration leaves its locks, as on Azure. A purge of unused entities releases them.
    if holder is not None and status_of(holder) in (RuntimeStatus.COMPLETED, RuntimeStatus.FAILED):
        detail = f"it is locked by {state.locked_by}, which has ended"
        yield Violation(instance.instance_id, Rule.LOST_MESSAGE, detail)


def status_of(instance: StoredInstance) -> RuntimeStatus | None:
    """Return the status of an instance according to its history; None: it has none."""
    status: RuntimeStatus | None = None
    for stored in instance.events:
        status = status_after(status, stored.event)
    return status


@dataclass(frozen=True, slots=True)
class _Sender:
    """What an entity knows of a sender.

    `last`: the time of its last delivered operation; `buffered`: the times of those that wait for an earlier one.
    """

    last: Timestamp
    execution_id: str | None
    buffered: frozenset[Timestamp]


def _senders(sorter: Mapping[str, Any]) -> dict[str, _Sender]:
    # Keys in lower case: ids of senders are compared without letter case.
    senders = {name: json_object(members) for name, members in json_object(sorter.get("ReceivedFromInstance")).items()}
    return {
        name.lower(): _Sender(
            read_timestamp(members.get("Last")),
            json_string(members.get("ExecutionId")),
            frozenset(map(read_timestamp, json_object(members.get("Buffered")))),
        )
        for name, members in senders.items()
    }


def _sent_to(hub: HubSnapshot, entity_id: str) -> Iterator[tuple[str, str | None, Timestamp]]:
    """Yield of each instance that has sent operations: its id, its execution, and the time of the last one."""
    for sender in hub.instances.values():
        if is_entity(sender.instance_id):
            # Entities have no execution id in requests.
            last = _last_sent_by_entity(sender, entity_id)
            if last != NO_TIMESTAMP:
                yield sender.instance_id, None, last
        # The last episode of a terminated orchestration may have sent messages and not have been stored.
        elif status_of(sender) is not RuntimeStatus.TERMINATED:
            # Delayed signals are not sorted by their labels.
            times = [request.timestamp for request in operations_sent(sender, entity_id) if request.due is None]
            if times:
                yield sender.instance_id, sender.execution_id, max(times)


def _last_sent_by_entity(sender: StoredInstance, entity_id: str) -> Timestamp:
    try:
        sorter = SchedulerState.parse(sender.started.input if sender.started else None).sorter
        sent = json_object(sorter.get("LastSentToInstance"))
        return read_timestamp(sent.get(entity_id))
    # Reported by the rules about the sender itself.
    except ValueError:
        return NO_TIMESTAMP


def operations_sent(sender: StoredInstance, entity_id: str | None = None) -> Iterator[Request]:
    """Yield the requests in the history of an orchestration, to one entity or to all."""
    for stored in sender.events:
        event = stored.event
        if not isinstance(event, EventSent) or entity_id not in (None, event.instance_id):
            continue
        request = request_in(event)
        if request is not None:
            yield request
