"""Options of queues in host.json (extensions.queues), and the text of a message in each encoding.

Used by the queues extension, and by what puts messages for queue triggers from outside of a function.
Source: docs/protocol/functions-host.md 1.3, 8.3 (net-sdk: Storage.Queues/Config/QueuesOptions.cs).
"""

from __future__ import annotations

import base64
import binascii
import enum
import os
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar

from emulator.config.schema import option
from emulator.errors import EmulatorError

_LONGEST_TIMEOUT = timedelta(days=7)


class UndecodableMessage(EmulatorError):
    """The text of a message is not in the app's message encoding."""


class QueueMessageEncoding(enum.Enum):
    """Values of extensions.queues.messageEncoding."""

    BASE64 = "base64"
    NONE = "none"

    def encode(self, content: str | bytes) -> str:
        """Return the text of the queue message with this content. Raises UndecodableMessage (none: not UTF-8)."""
        if self is QueueMessageEncoding.BASE64:
            if isinstance(content, str):
                # JSON can escape half of a surrogate pair. .NET encodes it as U+FFFD, Python refuses it but replaces it
                # on the way over UTF-16.
                content = content.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()
            return base64.b64encode(content).decode()
        try:
            return content if isinstance(content, str) else content.decode()
        except UnicodeDecodeError:
            raise UndecodableMessage(
                "The bytes of the message are not UTF-8 text, which extensions.queues.messageEncoding none of "
                "host.json requires. Send text, or use base64."
            ) from None

    def decode(self, text: str) -> bytes:
        """Return the content of a queue message. Raises UndecodableMessage (base64: not base64)."""
        if self is QueueMessageEncoding.NONE:
            return text.encode()
        try:
            # .NET ignores white space in base64, and nothing else.
            return base64.b64decode("".join(text.split()), validate=True)
        except (binascii.Error, ValueError):  # ValueError: characters beyond ASCII
            raise UndecodableMessage("The text of the message is not base64.") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuesOptions:
    """The section extensions.queues of host.json. `new_batch_threshold` None: half a batch for each processor."""

    section_name: ClassVar[str] = "queues"

    # 32 is the largest number of messages that storage returns at once.
    batch_size: int = option(16, at_least=1, at_most=32)
    new_batch_threshold: int | None = option(None, at_least=0)
    # The default of a host in the environment Development, which every host on a developer's machine is.
    max_polling_interval: timedelta = option(timedelta(seconds=2), at_least=timedelta(milliseconds=100))
    max_dequeue_count: int = option(5, at_least=1)
    # The extension does not check it, but storage refuses other values at every failure of a function.
    visibility_timeout: timedelta = option(timedelta(0), at_least=timedelta(0), at_most=_LONGEST_TIMEOUT)
    message_encoding: QueueMessageEncoding = QueueMessageEncoding.BASE64

    @property
    def threshold(self) -> int:
        """`new_batch_threshold`, or its default."""
        if self.new_batch_threshold is not None:
            return self.new_batch_threshold
        return self.batch_size // 2 * (os.cpu_count() or 1)
