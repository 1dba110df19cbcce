"""/runtime/webhooks/{extension}/…: requests that extensions answer themselves.

Source: host, WebHost/Controllers/HostController.cs (ExtensionWebHookHandler); docs/protocol/functions-host.md 5.2
and 6.
"""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from emulator.host.http.keys.authorization import SystemLevel
from emulator.host.http.routing.routes import HttpCall, Route
from emulator.host.http.routing.templates import parse_template
from emulator.host.port import Webhook

_METHODS = ("GET", "PUT", "POST", "DELETE", "OPTIONS")


def system_key_name(webhook: str) -> str:
    """The system key that opens a webhook, next to the master key."""
    return f"{webhook.lower()}_extension"


def webhook_routes(webhooks: Iterable[Webhook]) -> list[Route]:
    return [_route(webhook) for webhook in webhooks]


def _route(webhook: Webhook) -> Route:
    async def answer(call: HttpCall) -> web.StreamResponse:
        return await webhook.handle(call.request)

    template = f"runtime/webhooks/{webhook.name}/{{*rest}}"
    return Route(
        name=f"{' '.join(_METHODS)} /{template}",
        template=parse_template(template),
        methods=_METHODS,
        access=SystemLevel(system_key_name(webhook.name)),
        answer=answer,
    )
