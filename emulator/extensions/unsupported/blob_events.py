"""Events of blob triggers: a blob of the app's storage, or content that the caller sends.

Source: docs/protocol/functions-host.md 2.3, 6 and 8.4; docs/protocol/python-worker.md 4.5.
"""

from __future__ import annotations

from typing import Any

from emulator.config.connections import DEFAULT_CONNECTION
from emulator.extensions.unsupported.event_source import EventSource, InvalidInput, as_bytes, json_datum
from emulator.host.expressions import parse_template
from emulator.host.port import TriggerEvent
from emulator.storage.port import NotFound
from emulator.worker.port import Datum

_PATH = "BlobTrigger"


async def blob_event(source: EventSource) -> TriggerEvent:
    """Return the event of a blob.

    The input is the path of a blob, `container/name`, as in the Functions host. If the caller's metadata has the path
    (BlobTrigger), the input is the content, and no blob is read. Raises InvalidInput for a path that the trigger does
    not match or a blob that does not exist; ConnectionNotConfigured and StorageError.
    """
    given = {name.lower(): value for name, value in source.given.metadata.items()}.get(_PATH.lower())
    path = source.text if given is None else str(given)
    pattern = source.property("path")
    # A path without a slash names a container: all of its blobs are meant.
    captures = parse_template(pattern if "/" in pattern else f"{pattern}/{{name}}").match(path)
    if captures is None:
        raise InvalidInput(
            f"The input of function '{source.function.name}' ({source.binding.type}) must be the path of a blob that "
            f"matches '{pattern}'. It is: {path[:100] or 'empty'}"
        )
    container_name, _, name = path.partition("/")
    if given is not None:
        content = as_bytes(source.given.data or b"")
        return _event(source, content, path, captures, {"Length": len(content)}, uri=f"http://localhost/{path}")
    container = source.context.accounts(source.property("connection") or DEFAULT_CONNECTION).container(container_name)
    try:
        content, properties = await container.read(name), await container.properties(name)
    except NotFound:
        raise InvalidInput(
            f"There is no blob '{path}' for function '{source.function.name}'. Upload it first, or send its content as "
            f'the input and its path as metadata: {{"{_PATH}": "{path}"}}.'
        ) from None
    facts = {
        "Length": properties.size,
        "ContentType": properties.content_type,
        "ETag": properties.etag,
        "LastModified": properties.last_modified.isoformat(),
    }
    return _event(source, content, path, captures, facts, uri=container.url(name), metadata=dict(properties.metadata))


def _event(
    source: EventSource,
    content: bytes,
    path: str,
    captures: dict[str, str],
    properties: dict[str, Any],
    *,
    uri: str,
    metadata: dict[str, str] | None = None,
) -> TriggerEvent:
    return source.event(
        # Bytes whatever dataType says: docs/protocol/functions-host.md 7.3.
        Datum("bytes", content),
        {
            _PATH: Datum("string", path),
            "Uri": json_datum(uri),
            "Properties": json_datum(properties),
            "Metadata": json_datum(metadata or {}),
            **{name: Datum("string", value) for name, value in captures.items()},
        },
    )
