"""Messages of the queue `azure-webjobs-blobtrigger-<host id>`: one blob for one function.

Source: docs/protocol/functions-host.md 8.4 (webjobs extension for blobs: BlobTriggerMessage, BlobTriggerQueueWriter).
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Final

from emulator import bound_json as json

POISON_QUEUE: Final = "webjobs-blobtrigger-poison"
_TYPE: Final = "BlobTrigger"
_FUNCTION_PREFIX: Final = "Host.Functions."


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerMessage:
    """A blob that is to be processed. `function`: its name. `etag`: of the version that was found, in quotes."""

    function: str
    container: str
    blob: str
    etag: str
    blob_type: str = "BlockBlob"


class NoTriggerMessage(ValueError):
    """The text of a message is not that of a blob to process."""


def queue_name(host_id: str) -> str:
    """Return the name of the queue, which is in the storage account of the host."""
    return f"azure-webjobs-blobtrigger-{host_id}"


def function_id(function: str) -> str:
    """Return the id of a function in messages, receipts and URLs of webhooks."""
    return f"{_FUNCTION_PREFIX}{function}"


def stored_text(message: TriggerMessage) -> str:
    """Return a message as the queue stores it: JSON in the format of the extension, as base64."""
    members = {
        "Type": _TYPE,
        "FunctionId": function_id(message.function),
        "BlobType": message.blob_type,
        "ContainerName": message.container,
        "BlobName": message.blob,
        "ETag": message.etag,
    }
    # Indented by two blanks, and other characters as they are: the format of Newtonsoft.Json.
    text = json.dumps(members, indent=2, ensure_ascii=False)
    return base64.b64encode(text.encode("utf-8", "surrogatepass")).decode()


def read_message(stored: str) -> TriggerMessage:
    """Read a message as the queue stores it. Raises NoTriggerMessage."""
    try:
        members = json.loads(base64.b64decode(stored, validate=True).decode("utf-8", "surrogatepass"))
        kind = _text(members, "Type")
        message = TriggerMessage(
            function=_text(members, "FunctionId").removeprefix(_FUNCTION_PREFIX),
            container=_container(members),
            blob=_text(members, "BlobName"),
            etag=_text(members, "ETag"),
            blob_type=members.get("BlobType") or "BlockBlob",
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise NoTriggerMessage(f"{type(error).__name__}: {error}") from None
    if kind != _TYPE:
        raise NoTriggerMessage(f"its type is {kind}")
    return message


def _container(members: dict[str, object]) -> str:
    name = _text(members, "ContainerName")
    # JSON can escape half of a surrogate pair, which no storage client can send.
    if any("\ud800" <= letter <= "\udfff" for letter in name):
        raise ValueError("ContainerName has half of a surrogate pair")
    return name


def _text(members: dict[str, object], name: str) -> str:
    value = members[name]
    if not isinstance(value, str):
        raise TypeError(f"{name} is not text")
    return value
