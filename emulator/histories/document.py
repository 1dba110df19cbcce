"""History files of azemu: one JSON document with an orchestration, its sub-orchestrations and their histories.

    {"format": "azemu-history", "version": 1, "taskHub": …, "exportedAt": …, "instances": [
        {"instanceId": …, "name": …, "runtimeStatus": …, "customStatus": …, "history": [{"EventType": 0, …}, …]}, …]}

The first instance is the exported one. Events are written as in the messages of the task hub, with large payloads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from emulator.durable.azurestorage.messaging import wire
from emulator.durable.core.events import HistoryEvent
from emulator.errors import EmulatorError
from emulator.instant import MIN_INSTANT, Instant

FORMAT: Final = "azemu-history"
VERSION: Final = 1


class UnreadableHistory(EmulatorError):
    """The given object or file is not a recorded history."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedInstance:
    """An instance of a history file. `custom_status`: JSON text. `history`: the events of its last execution."""

    instance_id: str
    name: str
    status: str | None
    custom_status: str | None
    history: Sequence[HistoryEvent]


def document_of(instances: Sequence[RecordedInstance], *, task_hub: str, exported_at: Instant) -> dict[str, Any]:
    """Return the JSON document of a history file."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "taskHub": task_hub,
        "exportedAt": exported_at.text,
        "instances": [
            {
                "instanceId": instance.instance_id,
                "name": instance.name,
                "runtimeStatus": instance.status,
                "customStatus": instance.custom_status,
                "history": [wire.event_members(event) for event in instance.history],
            }
            for instance in instances
        ],
    }


def is_document(content: object) -> bool:
    """Return whether parsed JSON is a history file of azemu."""
    return isinstance(content, Mapping) and content.get("format") == FORMAT


def read_document(content: object) -> Sequence[RecordedInstance]:
    """Return the instances of a history file; the first is the exported one. Raises UnreadableHistory."""
    if not isinstance(content, Mapping) or content.get("format") != FORMAT:
        raise UnreadableHistory("This is not a history file of azemu. `azemu history export ID -o FILE` writes one.")
    # A newer version may have members without which the events mean something else.
    if content.get("version") != VERSION:
        raise UnreadableHistory(
            f"The history file has the version {str(content.get('version'))[:20]}. This azemu reads version {VERSION}."
        )
    items = content.get("instances")
    if not isinstance(items, list) or not items:
        raise UnreadableHistory('The history file has no instances: the member "instances" must be a list of them.')
    instances = [_instance(item) for item in items]
    [(name, times)] = Counter(instance.instance_id for instance in instances).most_common(1)
    if times > 1:
        raise UnreadableHistory(f"The history file has the instance {name[:100]!a} {times} times. Keep one of them.")
    return instances


def _instance(item: object) -> RecordedInstance:
    if not isinstance(item, Mapping) or not isinstance(item.get("instanceId"), str):
        raise UnreadableHistory('Every instance of a history file is an object with an "instanceId".')
    history = item.get("history")
    if not isinstance(history, list) or not all(isinstance(event, Mapping) for event in history):
        raise UnreadableHistory(f'The instance "{item["instanceId"]}" of the history file has no list "history".')
    status, custom_status = item.get("runtimeStatus"), item.get("customStatus")
    return RecordedInstance(
        instance_id=item["instanceId"],
        name=str(item.get("name") or ""),
        status=status if isinstance(status, str) else None,
        custom_status=custom_status if isinstance(custom_status, str) else None,
        history=read_events(history),
    )


def read_events(items: Sequence[Mapping[str, Any]]) -> Sequence[HistoryEvent]:
    """Return events that are written as in messages, or as in the worker protocol. Raises UnreadableHistory."""
    events: list[HistoryEvent] = []
    for item in items:
        kind = item.get("EventType")
        try:
            # Like the event in a queue message. Without the member that names its type, its number counts.
            name = wire.CLASS_NAMES.get(kind, kind) if isinstance(kind, int) else item["$type"]
            events.append(wire.read_event({**item, "$type": name}, MIN_INSTANT))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UnreadableHistory(f"The event {str(dict(item))[:300]} cannot be read: {error!r}") from error
    return events
