"""What everything of a task hub is called, and which control queue an instance belongs to.

Source: docs/protocol/task-hub-storage.md chapters 1, 3.2 and 5.1 (durabletask: AzureStorageOrchestrationService.cs,
KeySanitation.cs,
Fnv1aHashHelper.cs).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

SENTINEL = "sentinel"
"""RowKey of the row whose ETag guards a history; it sorts behind all event rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubNames:
    """`tracking_prefix`: set when history and instances live in a separate tracking store."""

    hub: str
    partition_count: int
    tracking_prefix: str | None = None

    @property
    def control_queues(self) -> tuple[str, ...]:
        return tuple(self.control_queue(index) for index in range(self.partition_count))

    def control_queue(self, index: int) -> str:
        return f"{self.hub.lower()}-control-{index:02d}"

    def control_queue_of(self, instance_id: str) -> str:
        """The one queue that all messages to this instance go to. The raw id counts, as it is spelled."""
        return self.control_queue(fnv1a32(instance_id) % self.partition_count)

    @property
    def work_item_queue(self) -> str:
        return f"{self.hub.lower()}-workitems"

    @property
    def history_table(self) -> str:
        return f"{self.tracking_prefix or self.hub}History"

    @property
    def instances_table(self) -> str:
        return f"{self.tracking_prefix or self.hub}Instances"

    @property
    def partitions_table(self) -> str:
        return f"{self.hub}Partitions"

    @property
    def lease_container(self) -> str:
        return f"{self.hub.lower()}-leases"

    @property
    def app_lease_container(self) -> str:
        return f"{self.hub.lower()}-applease"

    @property
    def app_lease_blob(self) -> str:
        return f"{self.hub.lower()}-appleaseinfo"

    @property
    def large_message_container(self) -> str:
        return f"{self.hub.lower()}-largemessages"


def fnv1a32(text: str) -> int:
    """FNV-1a over the UTF-8 bytes; a lone surrogate counts as U+FFFD, as .NET encodes it."""
    value = 2166136261
    for byte in _utf8(text):
        value = ((value ^ byte) * 16777619) & 0xFFFFFFFF
    return value


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


_ESCAPES = {"^": "^^", "/": "^0", "\\": "^1", "#": "^2", "?": "^3"} | {
    chr(code): "^" + chr(0xC0 + code) for code in (*range(0x20), *range(0x7F, 0xA0))
}
_MUST_ESCAPE = re.compile(r"[\^/\\#?\x00-\x1f\x7f-\x9f]")
_ESCAPED = re.compile(r"\^(.)", re.DOTALL)
_UNESCAPES = {"0": "/", "1": "\\", "2": "#", "3": "?"}


def escape_key(instance_id: str) -> str:
    """The partition key of an instance id. Not idempotent: escape exactly once."""
    return _MUST_ESCAPE.sub(lambda found: _ESCAPES[found[0]], instance_id)


def unescape_key(partition_key: str) -> str:
    return _ESCAPED.sub(lambda found: _unescaped(found[1]), partition_key)


def _unescaped(character: str) -> str:
    if character in _UNESCAPES:
        return _UNESCAPES[character]
    return chr(ord(character) - 0xC0) if ord(character) >= 0xC0 else character


def history_row_key(ordinal: int) -> str:
    """The event's zero-based number in its execution, 16 upper-case hex digits."""
    return f"{ordinal:016X}"
