"""Queues of the page Storage: messages, which are peeked at, put, deleted, and moved out of poison queues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

from aiohttp import web

from emulator.config.queue_options import QueueMessageEncoding, UndecodableMessage
from emulator.dashboard.api.home import POISON
from emulator.dashboard.api.storage_accounts import account_of, first_names
from emulator.dashboard.parts import DashboardParts
from emulator.dashboard.routing import ApiError, body_members, check_writable, utc_text
from emulator.durable.azurestorage.messaging import wire
from emulator.durable.azurestorage.messaging.wire import UnreadableMessage
from emulator.host.admin.api import json_response
from emulator.host.http.routing.routes import HttpCall
from emulator.host.sending import message_encoding, put_message
from emulator.instant import Instant
from emulator.polling.message_listener import put_creating
from emulator.storage.port import MAX_MESSAGES, ZERO, NotFound, PopReceiptMismatch, Queue, QueueMessage

# Long enough to look for a message among those received, short enough if this process ends meanwhile.
_LOCK: Final = timedelta(seconds=30)
_MAX_COUNTED_QUEUES: Final = 200
_BLOB_TRIGGER_POISON: Final = "webjobs-blobtrigger-poison"


class Queues:
    """Endpoints of queues: lists, messages, and what is done with them."""

    def __init__(self, parts: DashboardParts) -> None:
        self._parts = parts
        self._encoding = message_encoding(parts.configuration.host)

    async def list(self, call: HttpCall) -> web.Response:
        account, _ = account_of(self._parts, call)
        names, is_complete = await first_names(account.queues())
        listed = []
        for index, name in enumerate(names):
            count = None
            # Each count is a request of its own.
            if index < _MAX_COUNTED_QUEUES:
                with suppress(NotFound):
                    count = await account.queue(name).count()
            kind = "taskHub" if self._is_of_hub(name) else "poison" if name.endswith(POISON) else "other"
            listed.append({"name": name, "messages": count, "kind": kind})
        return json_response({"queues": listed, "isComplete": is_complete})

    def _is_of_hub(self, name: str) -> bool:
        names = self._parts.hub_names
        return self._parts.is_durable and name.lower() in (*names.control_queues, names.work_item_queue)

    async def messages(self, call: HttpCall) -> web.Response:
        account, _ = account_of(self._parts, call)
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
        account, connection = account_of(self._parts, call)
        check_writable(self._parts, connection)
        text = (await body_members(call, self._parts)).get("text")
        if not isinstance(text, str):
            raise ApiError(400, 'The body must have the text of the message: {"text": "…"}.')
        await put_message(account, call.values["name"], text, encoding=self._encoding)
        return json_response({}, status=201)

    async def delete(self, call: HttpCall) -> web.Response:
        account, connection = account_of(self._parts, call)
        check_writable(self._parts, connection)
        queue = account.queue(call.values["name"].lower())
        if self._is_of_hub(queue.name):
            raise ApiError(409, f"The queue {queue.name} belongs to the task hub, and its messages to its instances.")
        message = await _received(queue, call.values["id"])
        await queue.delete(message)
        return web.Response(status=204)

    async def requeue(self, call: HttpCall) -> web.Response:
        """Move one message (`{"id": …}`) or all messages of a poison queue to the queue that they come from."""
        account, connection = account_of(self._parts, call)
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
