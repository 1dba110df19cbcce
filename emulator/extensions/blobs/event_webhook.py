"""The webhook for blob events of Event Grid: `/runtime/webhooks/blobs?functionName=Host.Functions.<function>`.

Each event becomes a message in the queue of found blobs. Source: docs/protocol/functions-host.md 8.4 and 8.6 (webjobs
extension for blobs: BlobTriggerEventGridHttpHandler).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from aiohttp import web

from emulator.clock import Clock
from emulator.errors import EmulatorError
from emulator.extensions.blobs.binding_paths import is_url, parse_blob_path
from emulator.extensions.blobs.blob_functions import BLOB_TRIGGER
from emulator.extensions.blobs.trigger_messages import TriggerMessage, function_id
from emulator.host.event_grid_requests import InvalidEvents, events_in
from emulator.host.event_grid_webhook import answer_delivery
from emulator.host.port import Function

_ALLOWED_ORIGIN: Final = "eventgrid.azure.net"


class EventWebhook:
    """The webhook of one host. `functions`: of the catalog. `put`: puts a message into the queue of found blobs."""

    def __init__(
        self,
        functions: Callable[[], Sequence[Function]],
        put: Callable[[TriggerMessage], Awaitable[None]],
        clock: Clock,
    ) -> None:
        self._clock = clock
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
            return web.Response(
                status=404,
                text=f"No blob trigger has the functionName '{identifier}'. The functionName in the query string is "
                f"Host.Functions. with the function's name behind it. This app has: {', '.join(known) or 'none'}.",
            )

        async def notify(body: bytes) -> web.Response:
            # All are read before the first is put, so that a body is taken completely or not at all.
            for message in [_message(known[identifier], event) for event in events_in(body)]:
                await self._put(message)
            return web.Response(status=202)

        try:
            return await answer_delivery(request, self._clock, allowed_origin=_ALLOWED_ORIGIN, notify=notify)
        except EmulatorError as error:
            return web.Response(status=500, text=str(error))


def _message(function: str, event: Mapping[str, Any]) -> TriggerMessage:
    """Return the message for an event, in either schema. Raises InvalidEvents, InvalidBlobPath."""
    data = event.get("data")
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
