"""Names of a task hub's queues, tables and containers, table keys, and the control queue of an instance.

Source: docs/protocol/task-hub-storage.md chapters 1, 3.2 and 5.1 (durabletask: AzureStorageOrchestrationService.cs,
KeySanitation.cs, Fnv1aHashHelper.cs).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from emulator.durable.core.identity import ESCAPED_IN_KEYS
from emulator.durable.options import DurableTaskOptions

SENTINEL = "sentinel"
"""RowKey of the row whose ETag guards a history. It sorts behind all event rows, whose keys are upper-case hex."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubNames:
    """The names that belong to a hub name.

    `tracking_prefix`: replaces the hub name in the names of the History and Instances tables, if these are in a
    separate tracking store (trackingStoreNamePrefix).
    """

    hub: str
    partition_count: int
    tracking_prefix: str | None = None

    @property
    def control_queues(self) -> tuple[str, ...]:
        """All control queues, by number."""
        return tuple(self.control_queue(index) for index in range(self.partition_count))

    def control_queue(self, index: int) -> str:
        """Return the name of the control queue with this number."""
        # Queue and container names must be lower case; table names may keep the case of the hub name.
        return f"{self.hub.lower()}-control-{index:02d}"

    def control_queue_of(self, instance_id: str) -> str:
        """Return the queue that all messages to this instance go to.

        The hash is computed from the instance id as it is, case-sensitive and not escaped.
        """
        # Every host and client must compute the same queue, in every version: the hash is part of the protocol.
        return self.control_queue(fnv1a32(instance_id) % self.partition_count)

    @property
    def work_item_queue(self) -> str:
        """The queue of the activities."""
        return f"{self.hub.lower()}-workitems"

    @property
    def history_table(self) -> str:
        """The table of the history events."""
        return f"{self.tracking_prefix or self.hub}History"

    @property
    def instances_table(self) -> str:
        """The table of the status rows."""
        return f"{self.tracking_prefix or self.hub}Instances"

    @property
    def partitions_table(self) -> str:
        """The table of the table partition manager."""
        return f"{self.hub}Partitions"

    @property
    def lease_container(self) -> str:
        """The container of the blob partition managers."""
        return f"{self.hub.lower()}-leases"

    @property
    def app_lease_container(self) -> str:
        """The container whose lease is the app lease."""
        return f"{self.hub.lower()}-applease"

    @property
    def app_lease_blob(self) -> str:
        """The blob that names the holder of the app lease."""
        return f"{self.hub.lower()}-appleaseinfo"

    @property
    def large_message_container(self) -> str:
        """The container of payloads that queues and tables cannot take."""
        return f"{self.hub.lower()}-largemessages"


def hub_names(options: DurableTaskOptions) -> HubNames:
    """Return the names of the task hub that the options of an app choose."""
    provider = options.storage_provider
    # Without a tracking store, .NET ignores the prefix.
    prefix = provider.tracking_store_name_prefix if provider.tracking_store_connection_name else None
    return HubNames(hub=options.stored_hub_name, partition_count=provider.partition_count, tracking_prefix=prefix)


def fnv1a32(text: str) -> int:
    """Return the 32-bit FNV-1a hash of the text in UTF-8."""
    try:
        content = text.encode()
    except UnicodeEncodeError:
        # .NET encodes a lone surrogate as U+FFFD. Python refuses it, but replaces it when it decodes UTF-16.
        content = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()
    value = 2166136261
    for byte in content:
        value = ((value ^ byte) * 16777619) & 0xFFFFFFFF
    return value


# Characters that table keys must not contain, and the escape character itself.
_ESCAPES = {"^": "^^", "/": "^0", "\\": "^1", "#": "^2", "?": "^3"} | {
    chr(code): "^" + chr(0xC0 + code) for code in (*range(0x20), *range(0x7F, 0xA0))
}
_ESCAPED = re.compile(r"\^(.)", re.DOTALL)
_UNESCAPES = {"0": "/", "1": "\\", "2": "#", "3": "?"}


def escape_key(instance_id: str) -> str:
    """Return the partition key of an instance id. Escape exactly once: the escape character is escaped, too."""
    return ESCAPED_IN_KEYS.sub(lambda match: _ESCAPES[match[0]], instance_id)


def unescape_key(partition_key: str) -> str:
    """Return the instance id of a partition key. Sequences that `escape_key` never makes lose only their `^`."""

    def unescaped(match: re.Match[str]) -> str:
        character = match[1]
        if character in _UNESCAPES:
            return _UNESCAPES[character]
        # Control characters are escaped as the letters from U+00C0 on.
        return chr(ord(character) - 0xC0) if ord(character) >= 0xC0 else character

    return _ESCAPED.sub(unescaped, partition_key)


def history_row_key(ordinal: int) -> str:
    """Return the row key of an event: its zero-based number in its execution, 16 upper-case hex digits."""
    return f"{ordinal:016X}"
