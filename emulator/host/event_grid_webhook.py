"""Dispatch of the requests of Event Grid to a webhook: handshakes, notifications, the end of a subscription.

The triggers for Event Grid and for blobs share it. Source: Extensions.EventGrid, EventGridExtensionConfigProvider;
Storage.Blobs, BlobTriggerEventGridHttpHandler; docs/protocol/functions-host.md 8.4 and 8.6.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from emulator.clock import Clock
from emulator.host.event_grid_requests import EVENT_TYPE_HEADER, MAX_BODY_BYTES, validation_response
from emulator.host.http.server.requests import read_body


async def answer_delivery(
    request: web.Request, clock: Clock, *, allowed_origin: str, notify: Callable[[bytes], Awaitable[web.Response]]
) -> web.Response:
    """Answer a request of Event Grid for a function that exists.

    `allowed_origin`: the answer to the handshake of CloudEvents. `notify`: takes the body of a notification and returns
    the response. Raises InvalidEvents for a handshake without code, BodyTooLarge, BodyBroken, and what `notify` raises.
    """
    if request.method == "OPTIONS":
        return web.Response(headers={"WebHook-Allowed-Origin": allowed_origin})
    body = await read_body(request, clock, limit=MAX_BODY_BYTES)
    match request.headers.get(EVENT_TYPE_HEADER, "").strip().lower():
        case "subscriptionvalidation":
            return web.Response(text=validation_response(body))
        case "notification":
            return await notify(body)
        case "unsubscribe":
            return web.Response(status=202)
        case other:
            # The Functions host sends no text.
            found = f"has the value '{other}'" if other else "is missing"
            return web.Response(
                status=400,
                text=f"The header {EVENT_TYPE_HEADER} {found}; allowed: Notification (to deliver events), "
                f"SubscriptionValidation, Unsubscribe. With curl: -H '{EVENT_TYPE_HEADER}: Notification'",
            )
