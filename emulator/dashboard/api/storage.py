"""Endpoints of the page Storage: queues with their messages, tables with their rows, containers with their blobs.

All have the parameter `connection`, the name of a connection setting; default: that of AzureWebJobsStorage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from itertools import islice
from typing import Any, Final
from urllib.parse import quote

from aiohttp import web

from emulator.config.connections import DEFAULT_CONNECTION, ConnectionNotConfigured
from emulator.config.queue_options import QueueMessageEncoding, UndecodableMessage
from emulator.dashboard.api.home import POISON
from emulator.dashboard.api.stored_values import json_value
from emulator.dashboard.parts import DashboardParts
from emulator.dashboard.routing import ApiError, body_members, check_writable, endpoint, number_of, utc_text
from emulator.durable.azurestorage.messaging import wire
from emulator.durable.azurestorage.messaging.wire import UnreadableMessage
from emulator.errors import ConfigurationError, EmulatorError
from emulator.host.admin.api import json_response
from emulator.host.http.routing.routes import HttpCall, Route
from emulator.host.sending import message_encoding, put_message
from emulator.instant import Instant
from emulator.logs import get_logger
from emulator.polling.message_listener import put_creating
from emulator.storage.filter_parser import InvalidFilter, parse_filter
from emulator.storage.port import (
    MAX_MESSAGES,
    ZERO,
    NotFound,
    PopReceiptMismatch,
    Queue,
    QueueMessage,
    StorageAccount,
)
from emulator.worker.port import member_of

_log = get_logger(__name__)

# Long enough to look for a message among those received, short enough if this process ends meanwhile.
_LOCK: Final = timedelta(seconds=30)
_MAX_NAMES: Final = 1000
_MAX_COUNTED_QUEUES: Final = 200
_PAGE: Final = 100
_MAX_PAGE: Final = 1000
_PREVIEW_BYTES: Final = 64 * 1024
# A blob is downloaded in parts of this size, so that it never is in memory as a whole.
_DOWNLOAD_BYTES: Final = 4 * 1024 * 1024
_BLOB_TRIGGER_POISON: Final = "webjobs-blobtrigger-poison"


def storage_routes(parts: DashboardParts) -> list[Route]:
    """Return the endpoints below `storage`."""
    queues, tables, blobs = _Queues(parts), _Tables(parts), _Blobs(parts)

    async def connections(call: HttpCall) -> web.Response:
        found = []
        for name in _connection_names(parts):
            with suppress(ConfigurationError):
                found.append(
                    {
                        "name": name,
                        "description": parts.accounts(name).description,
                        "isLocal": parts.accounts.is_emulated(name),
                        "mayWrite": parts.may_write(name),
                    }
                )
        return json_response({"connections": found})

    return [
        endpoint("GET", "storage/connections", connections),
        endpoint("GET", "storage/queues", queues.list),
        endpoint("GET", "storage/queues/{name}/messages", queues.messages),
        endpoint("POST", "storage/queues/{name}/messages", queues.put),
        endpoint("DELETE", "storage/queues/{name}/messages/{id}", queues.delete),
        endpoint("POST", "storage/queues/{name}/requeue", queues.requeue),
        endpoint("GET", "storage/tables", tables.list),
        endpoint("GET", "storage/tables/{name}/rows", tables.rows),
        endpoint("GET", "storage/containers", blobs.containers),
        endpoint("GET", "storage/containers/{name}/blobs", blobs.list),
        endpoint("GET", "storage/containers/{name}/blob", blobs.preview),
        endpoint("GET", "storage/containers/{name}/download", blobs.download),
    ]


def _connection_names(parts: DashboardParts) -> Sequence[str]:
    """Return the connections that the app's bindings and its task hub use, the default one first."""
    used = {
        str(connection)
        for function in parts.host.catalog.functions
        for binding in function.metadata.bindings
        if binding.type.lower().startswith(("queue", "blob", "table"))
        and (connection := member_of(binding.properties, "connection"))
    }
    if parts.is_durable:
        provider = parts.durable_options.storage_provider
        used |= {provider.connection_name, provider.tracking_store_connection_name or provider.connection_name}
    # Settings are found in any letter case, so the same one may be spelled in several ways.
    spelled = {name.lower(): name for name in sorted(used)}
    spelled.pop(DEFAULT_CONNECTION.lower(), None)
    # The short form of the default connection.
    spelled.pop("storage", None)
    return [DEFAULT_CONNECTION, *spelled.values()]


def _account(parts: DashboardParts, call: HttpCall) -> tuple[StorageAccount, str]:
    """Return the account of a request and the name of its connection. Raises ApiError 404."""
    connection = call.request.query.get("connection") or DEFAULT_CONNECTION
    # No others: `%NAME%` in the name of a connection is expanded, so messages about it would show values of settings.
    if connection.lower() not in map(str.lower, _connection_names(parts)):
        raise ApiError(404, f"The app uses no connection '{connection[:100]}'.")
    try:
        return parts.accounts(connection), connection
    except ConnectionNotConfigured as error:
        raise ApiError(404, str(error)) from None


# Queues ----------------------------------------------------------------------------------------------------------


class _Queues:
    def __init__(self, parts: DashboardParts) -> None:
        self._parts = parts
        self._encoding = message_encoding(parts.configuration.host)

    async def list(self, call: HttpCall) -> web.Response:
        account, _ = _account(self._parts, call)
        names = []
        async for name in account.queues():
            names.append(name)
            if len(names) == _MAX_NAMES:
                break
        listed = []
        for index, name in enumerate(names):
            count = None
            # Each count is a request of its own.
            if index < _MAX_COUNTED_QUEUES:
                with suppress(NotFound):
                    count = await account.queue(name).count()
            kind = "taskHub" if self._is_of_hub(name) else "poison" if name.endswith(POISON) else "other"
            listed.append({"name": name, "messages": count, "kind": kind})
        return json_response({"queues": listed, "isComplete": len(names) < _MAX_NAMES})

    def _is_of_hub(self, name: str) -> bool:
        names = self._parts.hub_names
        return self._parts.is_durable and name.lower() in (*names.control_queues, names.work_item_queue)

    async def messages(self, call: HttpCall) -> web.Response:
        account, _ = _account(self._parts, call)
        queue = account.queue(call.values["name"].lower())
        messages, count = await queue.peek(limit=MAX_MESSAGES), await queue.count()
        return json_response(
            {
                "messages": [_message(message, self._encoding) for message in messages],
                "count": count,
                "canRequeue": _origin_of(queue.name) is not None,
                "canDelete": not self._is_of_hub(queue.name),
            }
        )

    async def put(self, call: HttpCall) -> web.Response:
        account, connection = _account(self._parts, call)
        check_writable(self._parts, connection)
        text = (await body_members(call, self._parts)).get("text")
        if not isinstance(text, str):
            raise ApiError(400, 'The body must have the text of the message: {"text": "…"}.')
        await put_message(account, call.values["name"], text, encoding=self._encoding)
        return json_response({}, status=201)

    async def delete(self, call: HttpCall) -> web.Response:
        account, connection = _account(self._parts, call)
        check_writable(self._parts, connection)
        queue = account.queue(call.values["name"].lower())
        if self._is_of_hub(queue.name):
            raise ApiError(409, f"The queue {queue.name} belongs to the task hub, and its messages to its instances.")
        message = await _received(queue, call.values["id"])
        await queue.delete(message)
        return web.Response(status=204)

    async def requeue(self, call: HttpCall) -> web.Response:
        """Move one message (`{"id": …}`) or all messages of a poison queue to the queue that they come from."""
        account, connection = _account(self._parts, call)
        check_writable(self._parts, connection)
        source = account.queue(call.values["name"].lower())
        origin = _origin_of(source.name)
        if origin is None:
            raise ApiError(400, f"'{source.name}' is not the poison queue of a queue, whose name ends with '{POISON}'.")
        target = account.queue(origin)
        chosen = (await body_members(call, self._parts)).get("id")
        moved = 0
        if chosen is not None:
            await _move(source, await _received(source, str(chosen)), target)
            return json_response({"moved": 1, "queue": origin})
        # Not until the queue is empty: messages that arrive meanwhile have failed again, and would be moved endlessly.
        for _ in range(await source.count()):
            messages = await source.get(limit=1, hide_for=_LOCK)
            if not messages:
                break
            await _move(source, messages[0], target)
            moved += 1
        return json_response({"moved": moved, "queue": origin})


def _origin_of(queue: str) -> str | None:
    """Return the queue whose poison queue this is; None: it is not a poison queue of a queue."""
    # The messages of a blob trigger are made by the host, which puts them again when the blob is written again.
    if not queue.endswith(POISON) or queue in (POISON, _BLOB_TRIGGER_POISON):
        return None
    return queue.removesuffix(POISON)


async def _move(source: Queue, message: QueueMessage, target: Queue) -> None:
    # In this order: if the process ends between the two, the message exists twice, not never.
    await put_creating(target, message.body)
    with suppress(NotFound, PopReceiptMismatch):
        await source.delete(message)


async def _received(queue: Queue, message_id: str) -> QueueMessage:
    """Return a message with a pop receipt, without which storage deletes none. Raises ApiError 404.

    Messages before it in the queue are received, too, and made visible again; their dequeue counts have grown then.
    """
    # Receiving no further than the message disturbs as few others as possible.
    peeked = [message.id for message in await queue.peek(limit=MAX_MESSAGES)]
    received: Sequence[QueueMessage] = ()
    if message_id in peeked:
        received = await queue.get(limit=peeked.index(message_id) + 1, hide_for=_LOCK)
    found = next((message for message in received if message.id == message_id), None)
    for message in received:
        if message is not found:
            with suppress(NotFound, PopReceiptMismatch):
                await queue.hide(message, hide_for=ZERO)
    if found is None:
        raise ApiError(404, f"The queue {queue.name} has no visible message {message_id} any more.")
    return found


def _message(message: QueueMessage, encoding: QueueMessageEncoding) -> Mapping[str, Any]:
    text, is_encoded = _decoded(message.body, encoding)
    return {
        "id": message.id,
        "text": text,
        "isBase64": is_encoded,
        "summary": _durable_summary(message.body),
        "dequeueCount": message.dequeue_count,
        "insertedAt": utc_text(message.inserted_at),
        "expiresAt": utc_text(message.expires_at),
    }


def _decoded(body: str, encoding: QueueMessageEncoding) -> tuple[str, bool]:
    """Return the text of a message, and whether it is stored in base64."""
    # Queues of the task hub contain plain JSON, whatever the encoding of the app's own queues is.
    if body.lstrip().startswith(("{", "[")):
        return body, False
    with suppress(UndecodableMessage, UnicodeDecodeError):
        return encoding.decode(body).decode(), encoding is QueueMessageEncoding.BASE64
    return body, False


def _durable_summary(body: str) -> Mapping[str, Any] | None:
    """Return the facts of a message of a task hub; None for all others."""
    try:
        data = wire.decode(body)
    except UnreadableMessage:
        return None
    if data.message is None:
        return {"event": "stored in a blob", "blob": data.blob_name} if data.blob_name else None
    event, target = data.message.event, data.message.target
    # Not each event has each member.
    fire_at: Instant | None = getattr(event, "fire_at", None)
    summary = {
        "event": event.type_name,
        "instanceId": target.instance_id,
        "executionId": target.execution_id,
        "name": getattr(event, "name", None),
        "taskId": getattr(event, "task_scheduled_id", getattr(event, "timer_id", None)),
        "fireAt": None if fire_at is None else fire_at.text,
    }
    return {name: value for name, value in summary.items() if value is not None}


# Tables ----------------------------------------------------------------------------------------------------------


class _Tables:
    def __init__(self, parts: DashboardParts) -> None:
        self._parts = parts

    async def list(self, call: HttpCall) -> web.Response:
        account, _ = _account(self._parts, call)
        names = [name async for name in account.tables()]
        return json_response({"tables": [{"name": name} for name in names[:_MAX_NAMES]]})

    async def rows(self, call: HttpCall) -> web.Response:
        """Return one page of rows. `filter`: an OData filter; `limit`; `continuation`: from the page before."""
        account, _ = _account(self._parts, call)
        query = call.request.query
        where = None
        if text := query.get("filter", "").strip():
            try:
                where = parse_filter(text)
            except InvalidFilter as error:
                raise ApiError(400, str(error)) from None
        # One page for one request, even if it is empty: a filter may have to search the whole table.
        page = await account.table(call.values["name"]).page(
            where,
            limit=max(number_of(call, "limit", _PAGE, highest=_MAX_PAGE), 1),
            continuation=query.get("continuation") or None,
        )
        rows = [
            {
                "PartitionKey": row.partition_key,
                "RowKey": row.row_key,
                "Timestamp": None if row.timestamp is None else row.timestamp.text,
                **{name: json_value(value) for name, value in row.properties.items()},
            }
            for row in page.rows
        ]
        return json_response({"rows": rows, "continuation": page.continuation})


# Blobs -----------------------------------------------------------------------------------------------------------


class _Blobs:
    def __init__(self, parts: DashboardParts) -> None:
        self._parts = parts

    async def containers(self, call: HttpCall) -> web.Response:
        account, _ = _account(self._parts, call)
        names = [name async for name in account.containers()]
        return json_response({"containers": [{"name": name} for name in names[:_MAX_NAMES]]})

    async def list(self, call: HttpCall) -> web.Response:
        """Return blobs in ordinal order. `prefix`: of their names; `limit`; `after`: the last name so far."""
        account, _ = _account(self._parts, call)
        query = call.request.query
        limit, after = max(number_of(call, "limit", _PAGE, highest=_MAX_PAGE), 1), query.get("after", "")
        found: list[Mapping[str, Any]] = []
        is_complete = True
        async for blob in account.container(call.values["name"]).list(query.get("prefix", "")):
            # Storage lists from the beginning only; its markers are not part of the port.
            if blob.name <= after:
                continue
            if len(found) == limit:
                is_complete = False
                break
            found.append(
                {
                    "name": blob.name,
                    "size": blob.size,
                    "contentType": blob.content_type,
                    "lastModified": utc_text(blob.last_modified),
                    "lease": blob.lease_state.value,
                }
            )
        return json_response({"blobs": found, "isComplete": is_complete})

    async def preview(self, call: HttpCall) -> web.Response:
        """Return the properties of the blob `name` and the beginning of its content, if that is text."""
        account, _ = _account(self._parts, call)
        container, name = account.container(call.values["name"]), _blob_name(call)
        properties = await container.properties(name)
        content = b""
        # The service refuses a range of an empty blob.
        if properties.size:
            content = (await container.read_range(name, 0, _PREVIEW_BYTES)).content
        return json_response(
            {
                "name": name,
                "size": properties.size,
                "contentType": properties.content_type,
                "lastModified": utc_text(properties.last_modified),
                "etag": properties.etag,
                "metadata": dict(properties.metadata),
                "lease": properties.lease_state.value,
                "text": _text_of(content),
                "isComplete": len(content) == properties.size,
            }
        )

    async def download(self, call: HttpCall) -> web.StreamResponse:
        account, _ = _account(self._parts, call)
        container, name = account.container(call.values["name"]), _blob_name(call)
        properties = await container.properties(name)
        response = web.StreamResponse(
            headers={
                # Never as what it claims to be: a page among the blobs must not run as a page of this host.
                "Content-Type": "application/octet-stream",
                "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name.rpartition('/')[2], safe='')}",
                "X-Content-Type-Options": "nosniff",
                "Content-Length": str(properties.size),
            }
        )
        await response.prepare(call.request)
        try:
            for offset in range(0, properties.size, _DOWNLOAD_BYTES):
                # With the ETag, because parts of two versions must not become one file.
                part = await container.read_range(name, offset, _DOWNLOAD_BYTES, if_match=properties.etag)
                await response.write(part.content)
            await response.write_eof()
        except ConnectionError:
            pass  # The client has cancelled the download.
        except EmulatorError as error:
            # The status has been sent. Only the end of the connection tells the client that the content is not whole.
            _log.warning("The download of the blob %s/%s has ended early: %s", container.name, name, error)
            if call.request.transport is not None:
                call.request.transport.abort()
        return response


def _blob_name(call: HttpCall) -> str:
    name = call.request.query.get("name")
    if not name:
        raise ApiError(400, "The parameter name must be the name of a blob.")
    return name


def _text_of(content: bytes) -> str | None:
    """Return the content as text; None if it is not text in UTF-8."""
    # The last character may be cut.
    for end in islice(range(len(content), -1, -1), 4):
        with suppress(UnicodeDecodeError):
            text = content[:end].decode()
            return None if "\0" in text else text
    return None
