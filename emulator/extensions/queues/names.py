"""Names of queues, as bindings give them.

Source: net-sdk, Storage.Queues/QueueClientExtensions; docs/protocol/functions-host.md 8.3, from which the texts are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from emulator.errors import EmulatorError
from emulator.worker.port import member_of

QUEUE_NAME: Final = "queueName"
"""The member of a binding that names the queue."""
POISON_SUFFIX: Final = "-poison"
_LONGEST: Final = 63
_CHARACTERS: Final = re.compile("[a-z0-9-]*")


class InvalidQueueName(EmulatorError):
    """The name of a queue that the queue service would refuse."""

    def __init__(self, rule: str) -> None:
        super().__init__(f"{rule} (Parameter 'name')")


def queue_name_of(properties: Mapping[str, object]) -> str:
    """Return the queue that a binding names, in lower case; "" if it has none."""
    return str(member_of(properties, QUEUE_NAME) or "").lower()


def check_queue_name(name: str) -> None:
    """Raise InvalidQueueName if no queue can have this name (in lower case)."""
    if not name:
        raise InvalidQueueName("A queue name can't be null or empty")
    if not 3 <= len(name) <= _LONGEST:
        raise InvalidQueueName(f'A queue name must be from 3 to 63 characters long - "{name}"')
    if name.startswith("-") or name.endswith("-"):
        raise InvalidQueueName(f'The dash (-) character may not be the first or last letter - "{name}"')
    if "--" in name:
        raise InvalidQueueName("A queue name cannot contain consecutive dash(-) characters.")
    if not _CHARACTERS.fullmatch(name):
        raise InvalidQueueName(f'A queue name can contain only letters, numbers, and dash(-) characters - "{name}"')


def poison_queue_name(name: str) -> str | None:
    """Return the name of the poison queue of a queue; None if it has none.

    A poison queue has none, nor has a queue whose poison queue's name would be too long.
    """
    poison = f"{name}{POISON_SUFFIX}"
    return None if name.endswith(POISON_SUFFIX) or len(poison) > _LONGEST else poison
