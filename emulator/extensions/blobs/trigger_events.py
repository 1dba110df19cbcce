"""The event of a blob trigger: value, trigger metadata and binding data of one blob.

Source: docs/protocol/functions-host.md 2.3, 7.3 and 8.4; docs/protocol/python-worker.md 4.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from emulator import bound_json as json
from emulator.extensions.blobs.dotnet_properties import json_values, property_values, uri_values
from emulator.host.port import TriggerEvent
from emulator.storage.port import BlobProperties, QueueMessage
from emulator.worker.port import Datum

PATH: Final = "BlobTrigger"
"""Name of the trigger metadata with the path of the blob, `container/name`."""
METADATA_NAMES: Final = (PATH, "Uri", "Properties", "Metadata")
"""Names of the trigger metadata of every blob; captures come after them."""


def blob_event(
    value: Datum,
    properties: BlobProperties,
    *,
    container: str,
    uri: str,
    captures: Mapping[str, str],
    reason: str | None = None,
    details: Mapping[str, str] | None = None,
) -> TriggerEvent:
    """Return the event of a blob. `captures`: the values of `{names}` in the trigger's path.

    `reason` None: the function is called manually.
    """
    path = f"{container}/{properties.name}"
    values, metadata = property_values(properties), dict(properties.metadata)
    # The members of a JSON blob are no binding data, because the value is never a text.
    event = TriggerEvent(
        value=value,
        metadata={
            PATH: Datum("string", path),
            "Uri": json_datum(uri),
            "Properties": json_datum(json_values(values)),
            "Metadata": json_datum(metadata),
            **{name: Datum("string", text) for name, text in captures.items()},
        },
        binding_data={
            PATH: path,
            "Uri": uri_values(uri),
            "Properties": values,
            "Metadata": metadata,
            **captures,
        },
        details=details or {},
    )
    return event if reason is None else replace(event, reason=reason)


def details_of(message: QueueMessage, properties: BlobProperties) -> dict[str, str]:
    """Return what the line `Trigger Details: …` says about a blob that a message of the internal queue names."""
    return {
        "MessageId": message.id,
        "DequeueCount": str(message.dequeue_count),
        "InsertedOn": _milliseconds(message.inserted_at),
        "BlobCreated": _milliseconds(properties.created_at or properties.last_modified),
        "BlobLastModified": _milliseconds(properties.last_modified),
    }


def _milliseconds(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")


def json_datum(value: Any) -> Datum:
    """Return a value as a JSON Datum."""
    return Datum("json", json.dumps(value, ensure_ascii=False, separators=(",", ":")))
