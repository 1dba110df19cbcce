"""Rules: from the facts about a hub and its instances to the cause for which an instance does not progress.

`explain` looks in the order in which causes exclude each other: the end of the instance; an episode that runs or fails;
messages that wait for a host; the suspension; and last, what the code waits for (`waits`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from emulator.diagnosis import delivery, waits
from emulator.diagnosis.facts import HubFacts, InstanceFacts, SeenMessage
from emulator.diagnosis.finding import Cause, Finding, Note, notes_of_places
from emulator.durable.azurestorage.messaging.visibility import POISON_COUNT
from emulator.durable.core.events import ExecutionStarted, ExecutionSuspended, OrchestratorStarted, TimerFired
from emulator.durable.core.identity import FunctionKind, RuntimeStatus, is_entity
from emulator.durable.engine.work_log import WorkKey
from emulator.instant import Instant

# An episode of this length is no longer normal: orchestrators only decide, activities work.
_LONG_EPISODE_SECONDS = 1.0
# The extension's texts: the output of an instance that has failed is all that tells why.
_UNKNOWN_FUNCTION = re.compile(r"The function '([^']*)' doesn't exist, is disabled, or is not an (\w+) function")
_UNKNOWN_ACTIVITY = re.compile(r"Activity function '([^']*)' does not exist")
_NON_DETERMINISTIC = "Non-Deterministic workflow detected"


def explain(instance_id: str, hub: HubFacts, instances: Mapping[str, InstanceFacts]) -> Finding:
    """Return why the instance does not progress. `instances`: it and those that it waits for, by id."""
    facts = instances.get(instance_id) or InstanceFacts(instance_id=instance_id)
    return (
        _missing(facts, hub)
        or _ended(facts, hub)
        or (Finding(cause=Cause.UNREADABLE_HISTORY, values={"reason": facts.unreadable}) if facts.unreadable else None)
        or _episode(facts, hub)
        or _suspended(facts)
        or _undelivered(facts, hub)
        or _loop(facts, hub, _waiting(facts, hub, instances))
    )


# The end -----------------------------------------------------------------------------------------------------


def _missing(facts: InstanceFacts, hub: HubFacts) -> Finding | None:
    if facts.status is not None or facts.events or facts.unreadable:
        return None
    # A client sends the start message before it writes the row.
    if delivery.messages_to(facts.instance_id, hub):
        return _episode(facts, hub) or delivery.undelivered(facts.instance_id, hub)
    return Finding(
        cause=Cause.NOT_FOUND, values={"id": facts.instance_id, "hub": hub.names.hub, "similar": facts.similar}
    )


def _ended(facts: InstanceFacts, hub: HubFacts) -> Finding | None:
    status = facts.status
    if status is None or status.runtime_status is None or not status.runtime_status.is_terminal:
        return None
    at = status.completed_at or status.last_updated_at
    if status.runtime_status is RuntimeStatus.COMPLETED:
        return Finding(cause=Cause.COMPLETED, values={"at": at})
    if status.runtime_status is not RuntimeStatus.FAILED:
        return Finding(cause=Cause.TERMINATED, values={"at": at, "reason": status.output or "none"})
    output = status.output or ""
    return _unknown_function(output, hub) or Finding(
        cause=Cause.NON_DETERMINISTIC if _NON_DETERMINISTIC in output else Cause.FAILED,
        values={"at": at, "reason": output.partition("\n")[0].strip() or "no reason"},
    )


def _unknown_function(reason: str, hub: HubFacts) -> Finding | None:
    """Return the finding if an instance has failed because the app has no such function."""
    unknown = _UNKNOWN_FUNCTION.search(reason) or _UNKNOWN_ACTIVITY.search(reason)
    if unknown is None:
        return None
    name = unknown[1]
    kind = FunctionKind(unknown[2]) if unknown.re is _UNKNOWN_FUNCTION else FunctionKind.ACTIVITY
    host = hub.host
    # The reason why it is missing now is probably why it was missing then.
    off = None if host is None else host.switched_off.get(name.lower())
    if off is not None:
        return Finding(cause=Cause.SWITCHED_OFF, values={"name": name, "kind": kind.value, "why": off})
    known = [] if host is None else sorted(host.functions.get(kind, ()))
    cause = Cause.UNKNOWN_ORCHESTRATOR if kind is FunctionKind.ORCHESTRATOR else Cause.UNKNOWN_ACTIVITY
    exists_now = name.lower() in known
    return Finding(
        cause=cause,
        values={"name": name, "kind": kind.value},
        notes=[
            Note(key="exists-now", values={"name": name})
            if exists_now
            else Note(key="known-functions", values={"kind": kind.value, "names": known})
        ]
        if host is not None
        else (),
    )


# Episodes ----------------------------------------------------------------------------------------------------


def _episode(facts: InstanceFacts, hub: HubFacts) -> Finding | None:
    """Return the finding if this host runs an episode for long, or cannot complete it."""
    host, key = hub.host, WorkKey(facts.instance_id)
    if host is None:
        return None
    running = host.running_of(key)
    if running is not None and (hub.now - running.since).total_seconds() >= _LONG_EPISODE_SECONDS:
        values = {"name": running.name, "since": running.since, "now": hub.now}
        notes = notes_of_places(host.places.get(running.name.lower(), ()))
        return Finding(cause=Cause.BLOCKED, values=values, notes=notes)
    failed = host.failed.get(key)
    if failed is not None:
        # The error of the app is the cause of that of the episode.
        if host.load_errors:
            return Finding(cause=Cause.APP_BROKEN, values={"reason": delivery.load_error(host)})
        return Finding(cause=Cause.EPISODE_FAILS, values=delivery.failed_values(failed, hub))
    return None


def _suspended(facts: InstanceFacts) -> Finding | None:
    if facts.status is None or facts.status.runtime_status is not RuntimeStatus.SUSPENDED:
        return None
    # The row has the status, and only the history has time and reason.
    last = next((event for event in reversed(facts.events) if isinstance(event, ExecutionSuspended)), None)
    return Finding(
        cause=Cause.SUSPENDED,
        values={
            "since": last.timestamp if last else facts.status.last_updated_at,
            "reason": (last.reason if last else "") or "none",
            "id": facts.instance_id,
        },
        place=facts.position.place if facts.position else None,
    )


# Messages ----------------------------------------------------------------------------------------------------


def _undelivered(facts: InstanceFacts, hub: HubFacts) -> Finding | None:
    """Return the finding if the instance has messages that it could process now, or has not begun."""
    messages = delivery.messages_to(facts.instance_id, hub)
    poison = next((message for message in messages if message.dequeue_count >= POISON_COUNT), None)
    if poison is not None:
        return delivery.poison(poison, hub.control_queue(facts.instance_id).name, hub)
    start = facts.status.scheduled_start_at if facts.status else None
    if not facts.events and start is not None and start > hub.now:
        return Finding(
            cause=Cause.SCHEDULED_START,
            values={"due": start, "now": hub.now},
            notes=delivery.no_host_note(hub),
        )
    if not facts.events:
        # Storage that does not show hidden messages shows no received ones, which are not lost.
        is_received = hub.host is not None and facts.instance_id in hub.host.received
        queues = [hub.control_queue(facts.instance_id)]
        lost = None if messages or is_received else delivery.missing_message("its start message", queues, hub)
        return lost or delivery.undelivered(facts.instance_id, hub)
    is_late = any(_is_due(message, hub.now) for message in messages)
    return delivery.undelivered(facts.instance_id, hub) if is_late else None


def _is_due(message: SeenMessage, now: Instant) -> bool:
    """Whether a host could process the message now."""
    if isinstance(message.event, TimerFired) and message.event.fire_at > now:
        return False
    if isinstance(message.event, ExecutionStarted) and (message.event.scheduled_start_time or now) > now:
        return False
    # A message that was received and is hidden is locked by a host, or waits after a failure.
    return not message.is_hidden(now) or message.dequeue_count > 0


# Waits -------------------------------------------------------------------------------------------------------


def _waiting(facts: InstanceFacts, hub: HubFacts, instances: Mapping[str, InstanceFacts]) -> Finding:
    if is_entity(facts.instance_id):
        return waits.entity(facts, hub)

    def explain_other(instance_id: str) -> Finding:
        # Without this instance, so that two that wait for each other do not make an endless recursion.
        others = {key: value for key, value in instances.items() if key != facts.instance_id}
        if instance_id == facts.instance_id or instance_id not in others:
            return Finding(cause=Cause.UNKNOWN_WAIT, values={"why": "it was not read"}, instance_id=instance_id)
        return explain(instance_id, hub, others)

    return waits.explain_wait(facts, hub, instances, explain_other)


def _loop(facts: InstanceFacts, hub: HubFacts, inner: Finding) -> Finding:
    """Return the finding of an orchestration that continues as new again and again, around what it waits for now."""
    # A generation begins a new history, so only a host that has seen several knows that it is a loop.
    generations = None if hub.host is None else hub.host.generations.get(facts.instance_id)
    # A loop that waits for something else is explained by that, which may be what stops it.
    if generations is None or generations.count < 2 or inner.cause not in (Cause.TIMER, Cause.ANY_OF):
        return inner
    first, last = generations.times
    started = next((event.timestamp for event in facts.events if isinstance(event, OrchestratorStarted)), last)
    return Finding(
        cause=Cause.LOOP,
        values={"count": generations.count, "period": last - first, "started": started},
        place=inner.place,
        parts=[inner],
    )
