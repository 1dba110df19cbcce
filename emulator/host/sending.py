"""Storage of an app as a user or test reaches it: put messages, blobs and rows where its triggers and bindings look.

`azemu send`, the admin API and `emulator.testing` share this module. Texts of messages have the encoding of the app's
queue triggers. What does not exist yet, a queue, table or container, is created.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from emulator import bound_json as json
from emulator.config.hostjson import HostOptions
from emulator.config.queue_options import QueueMessageEncoding, QueuesOptions, UndecodableMessage
from emulator.errors import EmulatorError
from emulator.ids import NewId, hyphenated
from emulator.instant import Instant
from emulator.storage.paging import query_rows
from emulator.storage.port import (
    MAX_MESSAGES,
    ZERO,
    Int64,
    NotFound,
    Operation,
    Row,
    StorageAccount,
    TableOperation,
    Value,
)

_INT32: Final = range(-(2**31), 2**31)
_INT64: Final = range(-(2**63), 2**63)


class NotStorable(EmulatorError):
    """A path, message, row or event cannot be what the caller says."""


def message_encoding(options: HostOptions) -> QueueMessageEncoding:
    """Return the encoding of messages in the app's queues (host.json: extensions.queues.messageEncoding)."""
    return options.section(QueuesOptions).message_encoding


def content_of(value: object) -> str | bytes:
    """Return text and bytes as they are, anything else as JSON. Raises NotStorable for what JSON cannot contain."""
    if isinstance(value, str | bytes):
        return value
    try:
        return json.dumps(value)
    except (TypeError, ValueError) as error:
        raise NotStorable(f"{type(value).__name__} is neither text nor bytes nor JSON: {error}.") from None


# Queues ----------------------------------------------------------------------------------------------------------


async def put_message(
    account: StorageAccount,
    queue: str,
    content: str | bytes,
    *,
    encoding: QueueMessageEncoding,
    hidden: timedelta = ZERO,
) -> bool:
    """Put a message into a queue, whose name is written in any letter case. Return whether the queue was created.

    Raises UndecodableMessage for bytes that the encoding cannot contain, and what the queue raises.
    """
    body = encoding.encode(content)
    target = account.queue(queue.lower())
    created = await target.create()
    await target.put(body, visible_in=hidden)
    return created


async def read_messages(account: StorageAccount, queue: str, *, encoding: QueueMessageEncoding) -> list[str | bytes]:
    """Return the visible messages of a queue, 32 at most, and leave them there; none if there is no queue.

    Text as text, what is not UTF-8 as bytes, and what is not in the encoding as it is stored.
    """
    try:
        messages = await account.queue(queue.lower()).peek(limit=MAX_MESSAGES)
    except NotFound:
        return []
    return [_decoded(message.body, encoding) for message in messages]


def _decoded(body: str, encoding: QueueMessageEncoding) -> str | bytes:
    try:
        content = encoding.decode(body)
    except UndecodableMessage:
        return body
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content


# Blobs -----------------------------------------------------------------------------------------------------------


async def upload(
    account: StorageAccount,
    path: str,
    content: bytes,
    *,
    content_type: str = "application/octet-stream",
    metadata: Mapping[str, str] | None = None,
) -> bool:
    """Write a blob. `path`: `container/name`. Return whether the container was created.

    Raises NotStorable, and what the container raises.
    """
    container, name = split_path(path)
    target = account.container(container)
    created = await target.create()
    await target.write(name, content, content_type=content_type, metadata=metadata)
    return created


async def read_blob(account: StorageAccount, path: str) -> bytes | None:
    """Return the content of a blob; None if it does not exist. Raises NotStorable."""
    container, name = split_path(path)
    try:
        return await account.container(container).read(name)
    except NotFound:
        return None


async def list_blobs(account: StorageAccount, container: str) -> list[str]:
    """Return the names of the blobs in a container, in ordinal order; none if it does not exist."""
    try:
        return [blob.name async for blob in account.container(container).list()]
    except NotFound:
        return []


def split_path(path: str) -> tuple[str, str]:
    """Return container and name of a blob's path. Raises NotStorable."""
    container, _, name = path.strip("/").partition("/")
    if not container or not name:
        raise NotStorable(f"'{path}' is not the path of a blob. Write container/name, such as images/cat.png.")
    return container, name


# Tables ----------------------------------------------------------------------------------------------------------


async def insert(account: StorageAccount, table: str, row: Mapping[str, Any]) -> None:
    """Insert a row, or replace the one with its keys. `row`: `PartitionKey`, `RowKey` and properties.

    Raises NotStorable, and what the table raises.
    """
    keys = [row.get(name) for name in ("PartitionKey", "RowKey")]
    if not all(isinstance(key, str) for key in keys):
        raise NotStorable(
            f"A row of table '{table}' needs PartitionKey and RowKey, both texts. This one has {json.dumps(keys)}."
        )
    properties = {
        name: _stored(table, name, value)
        for name, value in row.items()
        if name not in ("PartitionKey", "RowKey") and value is not None
    }
    target = account.table(table)
    await target.create()
    await target.submit([TableOperation(Operation.INSERT_OR_REPLACE, Row(str(keys[0]), str(keys[1]), properties))])


async def read_rows(account: StorageAccount, table: str) -> list[dict[str, Any]]:
    """Return all rows of a table, ordered by their keys, as `insert` takes them; none if there is no table."""
    try:
        rows = [row async for row in query_rows(account.table(table))]
    except NotFound:
        return []
    return [
        {
            "PartitionKey": row.partition_key,
            "RowKey": row.row_key,
            **{name: _plain(value) for name, value in row.properties.items()},
        }
        for row in rows
    ]


def _stored(table: str, name: str, value: object) -> Value:
    match value:
        case bool() | str() | float() | bytes() | UUID():
            return value
        case int() if value in _INT64:
            return value if value in _INT32 else Int64(value)
        case datetime():
            return Instant.of(value if value.tzinfo else value.replace(tzinfo=UTC))
        case _:
            raise NotStorable(
                f"Property '{name}' of a row of table '{table}' is {value!r:.100}. A table stores texts, numbers up to "
                "64 bits, booleans, bytes, datetimes and UUIDs; write anything else as JSON text."
            )


def _plain(value: Value) -> Any:
    match value:
        case Int64():
            return value.value
        case Instant():
            return value.datetime
        case _:
            return value


# Events ----------------------------------------------------------------------------------------------------------


def event_path(function: str, trigger_type: str, source: object) -> str:
    """Return the path of the webhook that runs a function for an event. `source`: that of a blob trigger.

    Raises NotStorable for a function that gets no events.
    """
    match trigger_type.lower():
        case "eventgridtrigger":
            return f"/runtime/webhooks/eventgrid?functionName={function}"
        case "blobtrigger" if str(source or "").lower() == "eventgrid":
            return f"/runtime/webhooks/blobs?functionName=Host.Functions.{function}"
        case _:
            raise NotStorable(
                f"Function '{function}' has a {trigger_type}. Only functions with an Event Grid trigger, or with a "
                "blob trigger whose source is Event Grid, get events."
            )


def completed_events(event: object, *, now: datetime, new_id: NewId) -> Sequence[Mapping[str, Any]]:
    """Return the events of a text, object or list, with the members that their schema requires.

    An object with `specversion` is a CloudEvent, any other one has the Event Grid schema. Raises NotStorable.
    """
    if isinstance(event, str | bytes):
        try:
            event = json.loads(event)
        except (ValueError, RecursionError) as error:
            raise NotStorable(f"The event is not JSON: {error}.") from None
    events: Sequence[Any] = event if isinstance(event, list | tuple) else [event]
    if not all(isinstance(single, Mapping) for single in events):
        raise NotStorable("An event is a JSON object, or an array of objects.")
    time = now.astimezone(UTC).isoformat().replace("+00:00", "Z")

    def completed(single: Mapping[str, Any]) -> Mapping[str, Any]:
        if "specversion" in single:
            return {"id": hyphenated(new_id()), "source": "azemu", "type": "azemu.event", "time": time, **single}
        defaults = {"eventType": "azemu.event", "subject": "azemu", "eventTime": time, "dataVersion": "1.0", "data": {}}
        return {"id": hyphenated(new_id()), "topic": "azemu", **defaults, **single}

    return [completed(single) for single in events]
