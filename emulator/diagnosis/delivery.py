"""Rules for messages that wait for a host: who should receive them, and why that does not happen."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from emulator.diagnosis.facts import HostFacts, HubFacts, QueueFacts, SeenMessage
from emulator.diagnosis.finding import Cause, Finding, Note
from emulator.durable.azurestorage.messaging.visibility import abandoned_for
from emulator.durable.core.identity import FunctionKind, is_entity
from emulator.durable.engine.work_log import FailedWork

# A host that polls with the longest interval of .NET receives a message within this time.
_NORMAL_WAIT = timedelta(seconds=30)


def messages_to(instance_id: str, hub: HubFacts) -> Sequence[SeenMessage]:
    """Return the messages of the instance's control queue that are for it, the oldest first."""
    return [message for message in hub.control_queue(instance_id).messages if message.target == instance_id]


def undelivered(instance_id: str, hub: HubFacts) -> Finding:
    """Return why the messages to an instance are not processed."""
    queue = hub.control_queue(instance_id)
    messages = messages_to(instance_id, hub)
    # A host processes all messages of an instance together, so the oldest one tells how long they wait.
    first = messages[0] if messages else None
    waiting = (
        [
            Note(
                key="message",
                values={
                    "kind": first.event.type_name if first.event else "",
                    "queue": queue.name,
                    "since": first.inserted_at,
                },
            )
        ]
        if first is not None
        else []
    )
    finding = queue_without_reader(queue.name, hub)
    if finding is not None:
        return Finding(cause=finding.cause, values=finding.values, notes=[*waiting, *finding.notes])
    host, lease = hub.host, hub.leases.get(queue.name)
    owner = lease.owner if lease else None
    # Nothing is known of what another host does with the messages that it has received.
    if host is None or (queue.name not in host.owned_queues and owner != host.name):
        # Too early to call it a problem of the owner.
        if first is not None and hub.now - first.inserted_at < _NORMAL_WAIT:
            values = {"queue": queue.name, "ahead": ahead_of(first, queue)}
            return Finding(cause=Cause.QUEUED, values=values, notes=waiting)
        # A host that diagnoses the hub, and does not own the queue, may be of another app than the owner.
        other_app = [Note(key="other-app", values={"own": host.name, "hub": hub.names.hub})] if host is not None else []
        return Finding(
            cause=Cause.OTHER_HOST,
            values={"queue": queue.name, "owner": owner or "another host", "now": hub.now},
            notes=[*waiting, *other_app],
        )
    kind = FunctionKind.ENTITY if is_entity(instance_id) else FunctionKind.ORCHESTRATOR
    limit = host.limits.entities if kind is FunctionKind.ENTITY else host.limits.orchestrators
    # Before what was received: messages stay received while their instance waits for a slot.
    if host.count(kind) >= limit:
        values = {"kind": kind.value, "limit": limit, "running": host.names_of(kind)}
        return Finding(cause=Cause.ORCHESTRATOR_SLOTS, values=values, notes=waiting)
    if instance_id in host.received:
        return Finding(cause=Cause.RECEIVED, values={"queue": queue.name}, notes=waiting)
    if first is not None and first.is_hidden(hub.now):
        values = {"what": "the message", "until": first.visible_at, "count": first.dequeue_count}
        return Finding(cause=Cause.HIDDEN, values=values, notes=waiting)
    return Finding(cause=Cause.QUEUED, values={"queue": queue.name, "ahead": ahead_of(first, queue)}, notes=waiting)


def queue_without_reader(queue: str, hub: HubFacts) -> Finding | None:
    """Return the finding if no host reads a control queue at present."""
    lease, host = hub.leases.get(queue), hub.host
    if not hub.has_host and host is not None and host.load_errors:
        # A host whose app has no functions does not work on the hub.
        return Finding(cause=Cause.APP_BROKEN, values={"reason": load_error(host)})
    if not hub.has_host:
        # Rows of leases stay behind, and say who worked on the hub last.
        gone = sorted({other.owner for other in hub.leases.values() if other.owner})
        expired = max((other.expires_at for other in hub.leases.values() if other.expires_at), default=None)
        notes = [Note(key="last-host", values={"hosts": gone, "at": expired})] if gone else []
        return Finding(cause=Cause.NO_HOST, values={"hub": hub.names.hub}, notes=notes)
    if lease is None or lease.owner is None:
        return Finding(cause=Cause.NO_OWNER, values={"queue": queue, "hosts": hub.owners})
    if not lease.is_live:
        values = {"queue": queue, "owner": lease.owner, "at": lease.expires_at, "hosts": hub.owners}
        return Finding(cause=Cause.OWNER_DEAD, values=values)
    return None


def load_error(host: HostFacts) -> str:
    """Return why the app, or a part of it, could not be loaded, in one line."""
    lines = [line.strip() for line in "\n".join(host.load_errors).splitlines() if line.strip()]
    # The official worker's text: "Result: Failure", "Exception: SyntaxError: …", "Stack: …".
    return next((line for line in lines if line.startswith("Exception: ")), lines[0]).removeprefix("Exception: ")


def no_host_note(hub: HubFacts) -> Sequence[Note]:
    """Return a note if no host works on the hub: what the instance waits for will not be noticed."""
    return () if hub.has_host else (Note(key="no-host", values={"hub": hub.names.hub}),)


def ahead_of(message: SeenMessage | None, queue: QueueFacts) -> int:
    """Return how many of the known messages of a queue were put before this one."""
    # It is not among the messages that could be read, so all of them may come first.
    if message is None:
        return queue.count
    return next((number for number, other in enumerate(queue.messages) if other.id == message.id), len(queue.messages))


def poison(message: SeenMessage, queue: str, hub: HubFacts) -> Finding:
    """Return the finding for a message that was received too often."""
    return Finding(
        cause=Cause.POISON,
        values={
            "id": message.id,
            "queue": queue,
            "count": message.dequeue_count,
            "until": message.visible_at if message.is_hidden(hub.now) else None,
        },
    )


def missing_message(what: str, queues: Sequence[QueueFacts], hub: HubFacts) -> Finding | None:
    """Return the finding if a message is in none of these queues; None: a hidden message may be it.

    `what`: such as "the message of the activity charge".
    """
    # A message that the store does not show may be hidden, and must not be called lost.
    if not all(queue.is_complete for queue in queues):
        return None
    for queue in queues:
        for message in queue.messages:
            # A message that cannot be read may be the one that is missing.
            if message.problem:
                values = {"id": message.id, "queue": queue.name, "count": message.dequeue_count}
                return Finding(cause=Cause.UNREADABLE_MESSAGE, values={**values, "problem": message.problem})
    # `work.repairing` sends such messages again, on storage that may lose writes and only in a running host.
    return Finding(cause=Cause.LOST, values={"what": what, "repaired": hub.may_lose_writes and hub.has_host})


def undelivered_or_lost(what: str, instance_id: str, queues: Sequence[QueueFacts], hub: HubFacts) -> Finding:
    """Return why a message that must be in one of these queues does not arrive. `what`: see `missing_message`."""
    # A message that nothing can bring back is worse than a queue without a host, which the next start ends.
    queue = hub.control_queue(instance_id).name
    return missing_message(what, queues, hub) or queue_without_reader(queue, hub) or undelivered(instance_id, hub)


def failed_values(failed: FailedWork, hub: HubFacts) -> dict[str, object]:
    """Return what the texts need about a work item that could not be completed."""
    return {
        "name": failed.name,
        "attempts": failed.attempts,
        # Reasons may have a stack behind the first line.
        "reason": failed.reason.partition("\n")[0],
        "retry": failed.at + abandoned_for(failed.attempts),
        "now": hub.now,
    }
