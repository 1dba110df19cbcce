"""Events of queue triggers: what a function gets of a message, received or sent by hand.

Source: docs/protocol/functions-host.md 2.3, 7.3 and 8.3.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from emulator.errors import EmulatorError
from emulator.host.port import ManualInput, TriggerEvent
from emulator.host.trigger_metadata import metadata_datum
from emulator.logs import get_logger
from emulator.polling.message_listener import LOCK_TIME, MESSAGE_LIFETIME
from emulator.storage.port import QueueMessage
from emulator.worker.port import Binding, Datum

_log = get_logger(__name__)

# What .NET shows for a message that never expires.
_NEVER: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


def message_event(binding: Binding, queue_name: str, message: QueueMessage, content: bytes) -> TriggerEvent:
    """Return the event of a received message. `content`: its decoded text.

    Content that is not UTF-8 makes the run fail, unless the binding's dataType is binary.
    """
    text, unreadable = _as_text(content)
    if unreadable is not None:
        # The text of the extension.
        _log.warning(
            "Queue message's body cannot be converted to string because it contains non-UTF8 bytes, message id=%s",
            message.id,
        )
    facts = _facts(message, text)
    wants_bytes = (binding.data_type or "").upper() == "BINARY"
    return TriggerEvent(
        value=Datum("bytes", content) if wants_bytes or text is None else Datum("string", text),
        unusable=None if wants_bytes else unreadable,
        metadata={name: metadata_datum(value) for name, value in facts.items()},
        binding_data=facts,
        reason=f"New queue message detected on '{queue_name}'.",
        details={
            "MessageId": message.id,
            "DequeueCount": str(message.dequeue_count),
            "InsertedOn": message.inserted_at.isoformat(timespec="milliseconds"),
        },
    )


def manual_message_event(binding: Binding, given: ManualInput, *, message_id: str, now: datetime) -> TriggerEvent:
    """Return the event of a manual invocation: a message with the given data, received for the first time.

    Members of the given metadata replace those of the message, in any letter case.
    """
    message = QueueMessage(
        id=message_id,
        body="",
        pop_receipt=message_id,
        dequeue_count=1,
        inserted_at=now,
        next_visible_at=now + LOCK_TIME,
        expires_at=now + MESSAGE_LIFETIME,
    )
    facts = _facts(message, given.text or "")
    spelled = {name.lower(): name for name in facts}
    for name, value in given.metadata.items():
        facts[spelled.get(name.lower(), name)] = value
    wants_bytes = (binding.data_type or "").upper() == "BINARY"
    data = given.data or ""
    content = data.encode() if isinstance(data, str) else data
    return TriggerEvent(
        value=Datum("bytes", content) if wants_bytes else Datum("string", given.text or ""),
        metadata={name: metadata_datum(value) for name, value in facts.items()},
        binding_data=facts,
    )


def _as_text(content: bytes) -> tuple[str | None, EmulatorError | None]:
    """Return the text of UTF-8 bytes, or the reason why they have none."""
    try:
        return content.decode(), None
    except UnicodeDecodeError as error:
        # The words of .NET's exception.
        wrong = "".join(f"[{byte:02X}]" for byte in content[error.start : error.end])
        return None, EmulatorError(
            f"Unable to translate bytes {wrong} at index {error.start} from specified code page to Unicode. The "
            "message is not UTF-8 text. To get its bytes, set data_type=func.DataType.BINARY at the trigger."
        )


def _facts(message: QueueMessage, text: str | None) -> dict[str, Any]:
    """Return the binding data of a message, in the order of the extension."""
    return {
        **({} if text is None else {"QueueTrigger": text}),
        "DequeueCount": message.dequeue_count,
        "ExpirationTime": _whole_seconds(message.expires_at or _NEVER),
        "Id": message.id,
        "InsertionTime": _whole_seconds(message.inserted_at),
        "NextVisibleTime": _whole_seconds(message.next_visible_at),
        "PopReceipt": message.pop_receipt,
    }


def _whole_seconds(moment: datetime) -> datetime:
    # The service sends times as HTTP dates. The built-in store knows fractions.
    return moment.replace(microsecond=0)
