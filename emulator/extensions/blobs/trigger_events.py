"""The event of a blob trigger: value, trigger metadata and binding data of one blob.

Source: docs/protocol/functions-host.md 2.3, 7.3 and 8.4; docs/protocol/python-worker.md 4.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

from emulator.extensions.blobs.blob_content import ContentForm, read_content
from emulator.extensions.blobs.dotnet_properties import json_values, property_values, uri_values
from emulator.extensions.blobs.sdk_references import client_reference
from emulator.host.context import ExtensionContext
from emulator.host.port import Function, TriggerEvent
from emulator.host.trigger_metadata import json_datum
from emulator.storage.port import BlobContainer, BlobProperties, QueueMessage
from emulator.worker.port import Datum

PATH: Final = "BlobTrigger"
"""Name of the trigger metadata with the path of the blob, `container/name`."""


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
    # The members of a JSON blob are not binding data, because the value is never a text.
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


async def trigger_value(
    function: Function, container: BlobContainer, properties: BlobProperties, context: ExtensionContext
) -> Datum:
    """Return the value of a trigger's parameter: the content of a version of a blob, or what an SDK client is made of.

    The content is bytes whatever dataType says, as in the Functions host; a large one is read while the function reads
    it. Raises NotFound, PreconditionFailed (the blob was replaced) and StorageUnreachable.
    """
    binding = function.trigger
    if binding.name in function.metadata.sdk_types:
        return client_reference(binding, context.settings, container=container.name, blob=properties.name)
    # Also for `str`. A parameter of any other type is an InputStream.
    is_plain = function.metadata.parameter_types.get(binding.name) is not None
    form = ContentForm.BYTES if is_plain else ContentForm.STREAM
    return await read_content(container, properties.name, form, context.clock, if_match=properties.etag)


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
