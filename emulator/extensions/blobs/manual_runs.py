"""Manual runs of blob triggers: for a blob of the app's storage, or for content that the caller sends.

Source: docs/protocol/functions-host.md 6.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from emulator.errors import EmulatorError
from emulator.extensions.blobs.blob_functions import path_of
from emulator.extensions.blobs.trigger_events import PATH, blob_event, trigger_value
from emulator.host.bindings import connection_of
from emulator.host.context import ExtensionContext
from emulator.host.port import Function, ManualInput, TriggerEvent
from emulator.host.trigger_metadata import json_datum, metadata_datum
from emulator.storage.port import BlobProperties, NotFound
from emulator.worker.port import Binding, Datum


class InvalidInput(EmulatorError):
    """The input of a manual run names no blob that the trigger could receive."""


async def manual_event(
    function: Function, binding: Binding, given: ManualInput, context: ExtensionContext
) -> TriggerEvent:
    """Return the event of a blob.

    The input is the path of a blob, `container/name`, as in the Functions host. If the caller's metadata has the path
    (BlobTrigger), the input is the content, and no blob is read. Raises InvalidInput for a path that the trigger does
    not match or a blob that does not exist; ConnectionNotConfigured and StorageError.
    """
    trigger_path = path_of(binding)
    chosen = {name.lower(): value for name, value in given.metadata.items()}
    has_content = PATH.lower() in chosen
    path = str(chosen[PATH.lower()]) if has_content else given.text or ""
    container_name, _, name = path.partition("/")
    captures = trigger_path.match(name) if name and container_name == trigger_path.container else None
    if captures is None:
        raise InvalidInput(
            f"The input of function '{function.name}' ({binding.type}) must be the path of a blob that matches "
            f"'{trigger_path.text}'. It is: {path[:100] or 'empty'}"
        )
    if has_content:
        content = given.data.encode() if isinstance(given.data, str) else given.data or b""
        now = context.clock.now().replace(microsecond=0)
        properties = BlobProperties(
            name,
            len(content),
            '"0x0"',
            now,
            created_at=now,
            content_md5=hashlib.md5(content, usedforsecurity=False).digest(),
        )
        uri, value = f"http://localhost/{path}", Datum("bytes", content)
    else:
        container = context.accounts(connection_of(binding)).container(container_name)
        try:
            properties = await container.properties(name)
        except NotFound:
            raise InvalidInput(
                f"There is no blob '{path}' for function '{function.name}'. Upload it first, or send its content as "
                f'the input and its path as metadata: {{"{PATH}": "{path}"}}.'
            ) from None
        value = await trigger_value(function, container, properties, context)
        uri = container.url(name)
    event = blob_event(value, properties, container=container_name, uri=uri, captures=captures)
    return _with_chosen(event, given.metadata)


def _with_chosen(event: TriggerEvent, chosen: Mapping[str, Any]) -> TriggerEvent:
    """Return the event with the facts that the caller has chosen instead of those of the blob."""
    spelled = {name.lower(): name for name in event.metadata}
    # The spelling of the host stays, because the library's converters look for exactly that.
    facts = {spelled.get(name.lower(), name): value for name, value in chosen.items()}
    return replace(
        event,
        metadata={
            **event.metadata,
            # The only other texts are captures and what callers add; the library reads the Uri as JSON.
            **{name: (json_datum if name == "Uri" else metadata_datum)(value) for name, value in facts.items()},
        },
        binding_data={**event.binding_data, **facts},
    )
