"""The value of a blob trigger: the content of one version of a blob, as bytes or as a stream, or a client of the SDK.

Source: docs/protocol/functions-host.md 7.3 and 8.4.
"""

from __future__ import annotations

from emulator.clock import Clock
from emulator.config.settings import Settings
from emulator.extensions.blobs.blob_content import ContentForm, read_content
from emulator.extensions.blobs.sdk_references import client_reference
from emulator.host.port import Function
from emulator.storage.port import BlobContainer, BlobProperties
from emulator.worker.port import Datum


async def trigger_value(
    function: Function, container: BlobContainer, properties: BlobProperties, *, settings: Settings, clock: Clock
) -> Datum:
    """Return the value of the function's parameter for that version of a blob.

    Raises NotFound, PreconditionFailed if the blob has been replaced, and other StorageErrors.
    """
    trigger = function.trigger
    if trigger.name in function.metadata.sdk_types:
        return client_reference(trigger, settings, container=container.name, blob=properties.name)
    # Bytes whatever dataType says, also for `str`. All other parameters are an InputStream.
    form = ContentForm.BYTES if trigger.name in function.metadata.parameter_types else ContentForm.STREAM
    return await read_content(container, properties.name, form, clock, if_match=properties.etag)
