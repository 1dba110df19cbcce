"""The value of a blob trigger's parameter: the blob's bytes, a stream, or a reference for a client of the Azure SDK.

Source: docs/protocol/functions-host.md 7.2, 8.4; docs/protocol/python-worker.md 9.4.
"""

from __future__ import annotations

from emulator.clock import Clock
from emulator.config.settings import Settings
from emulator.extensions.blobs.blob_content import ContentForm, content_form, read_content
from emulator.extensions.blobs.sdk_references import client_reference
from emulator.host.port import Function
from emulator.storage.port import BlobContainer, BlobProperties
from emulator.worker.port import Datum


async def trigger_value(
    function: Function, container: BlobContainer, properties: BlobProperties, *, settings: Settings, clock: Clock
) -> Datum | None:
    """Read one version of a blob; None if it is gone. Raises PreconditionFailed if it has been replaced."""
    trigger = function.trigger
    if trigger.name in function.metadata.sdk_types:
        return client_reference(trigger, settings, container=container.name, blob=properties.name)
    # A trigger sends bytes whatever its dataType is, as in the Functions host.
    is_stream = content_form(function, trigger) is ContentForm.STREAM
    form = ContentForm.STREAM if is_stream else ContentForm.BYTES
    return await read_content(container, properties.name, form, clock, if_match=properties.etag)
