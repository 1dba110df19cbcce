"""The webhook for blob events of Event Grid: `/runtime/webhooks/blobs?functionName=Host.Functions.<function>`.

Each event becomes a message in the queue of found blobs. Source: docs/protocol/functions-host.md 8.4 and 8.6 (webjobs
extension for blobs: BlobTriggerEventGridHttpHandler).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from aiohttp import web

from emulator import bound_json as json
from emulator.errors import EmulatorError
from emulator.extensions.blobs.binding_paths import is_url, parse_blob_path
from emulator.extensions.blobs.blob_functions import BLOB_TRIGGER
from emulator.extensions.blobs.trigger_messages import TriggerMessage, function_id
from emulator.host.port import Function

_HEADER: Final = "aeg-event-type"
_ALLOWED_ORIGIN: Final = "eventgrid.azure.net"


class InvalidEvents(EmulatorError):
    """The body of a request to the webhook is not an event, or one without the URL of a blob."""


class EventWebhook:
    """The webhook of one host. `functions`: of the catalog. `put`: puts a message into the queue of found blobs."""

    def __init__(
        self, functions: Callable[[], Sequence[Function]], put: Callable[[TriggerMessage], Awaitable[None]]
    ) -> None:
        self._functions = functions
        self._put = put

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request: a handshake, or events."""
        identifier = request.query.get("functionName", "")
        known = {
            function_id(function.name): function.name
            for function in self._functions()
            if function.trigger.type.lower() == BLOB_TRIGGER and not function.disabled
        }
        # The extension accepts any name. A message without one ends the host that reads it, and any other is dropped.
        if identifier not in known:
            return web.Response(status=404, text=_unknown_function(identifier, list(known)))
        if request.method == "OPTIONS":
            return web.Response(headers={"WebHook-Allowed-Origin": _ALLOWED_ORIGIN})
        try:
            match request.headers.get(_HEADER, "").lower():
                case "subscriptionvalidation":
                    answer = {"validationResponse": _validation_code(await request.read())}
                    return web.Response(text=json.dumps(answer, separators=(",", ":")))
                case "notification":
                    for message in _messages(known[identifier], await request.read()):
                        await self._put(message)
                    return web.Response(status=202)
                case "unsubscribe":
                    return web.Response(status=202)
        except EmulatorError as error:
            return web.Response(status=500, text=str(error))
        return web.Response(
            status=400,
            text=f"The header {_HEADER} is missing or unknown. Send it with the value Notification (events), "
            "SubscriptionValidation or Unsubscribe.",
        )


def _unknown_function(identifier: str, known: Sequence[str]) -> str:
    return (
        f"No blob trigger has the functionName '{identifier}'. The functionName in the query string is "
        f"Host.Functions. with the function's name behind it. This app has: {', '.join(known) or 'none'}."
    )


def _messages(function: str, body: bytes) -> list[TriggerMessage]:
    """Return the messages for all events of a body, in both schemas. Raises InvalidEvents."""
    # All are read before the first is put, so that a body is taken completely or not at all.
    return [_message(function, event) for event in _events(body)]


def _events(body: bytes) -> list[Any]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidEvents(f"The body is not JSON: {error}.") from None
    return content if isinstance(content, list) else [content]


def _message(function: str, event: Any) -> TriggerMessage:
    data = event.get("data") if isinstance(event, dict) else None
    url = data.get("url") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(url, str):
        raise InvalidEvents("An event has no data.url, the URL of the blob.")
    if not is_url(url):
        raise InvalidEvents(f"data.url is not a URL: {url[:200]}")
    path = parse_blob_path(url)
    return TriggerMessage(
        function=function,
        container=path.container,
        blob=path.require_blob(),
        etag=f'"{data.get("eTag") or ""}"',
        blob_type=str(data.get("blobType") or "BlockBlob"),
    )


def _validation_code(body: bytes) -> str:
    """Return the code that Event Grid expects back. Raises InvalidEvents."""
    [first, *_] = _events(body) or [None]
    data = first.get("data") if isinstance(first, dict) else None
    if isinstance(data, str):
        try:
            data = json.loads(data)
        except ValueError:
            data = None
    code = data.get("validationCode") if isinstance(data, dict) else None
    if not isinstance(code, str):
        raise InvalidEvents("The validation event has no data.validationCode.")
    return code
