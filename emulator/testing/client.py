"""The SDK's own client, as the app's functions get it through the durableClient binding, for the test.

The SDK sends its requests over a session of the event loop that it is used on. Here they go through the host's loop
instead, so that nothing of them is left when the app has ended, whatever loop (or none) the test has.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from emulator.app import App
from emulator.durable.options import DurableTaskOptions, resolve_options
from emulator.extensions.durable.binding import client_payload
from emulator.extensions.durable.management.management_urls import WEBHOOK_PATH, ManagementUrls
from emulator.testing.http import Answer

Send = Callable[..., Awaitable[Answer]]
"""method, URL, then aiohttp's options."""

_INVOCATION_HEADER = "X-Azure-Functions-InvocationId"


def durable_client(app: App, send: Send) -> Any:
    """A DurableOrchestrationClient of the SDK that the app has installed."""
    from azure.durable_functions import DurableOrchestrationClient

    durable = resolve_options(app.configuration.host.section(DurableTaskOptions), app.configuration.settings)
    base = f"http://127.0.0.1:{app.port}{WEBHOOK_PATH}"
    urls = ManagementUrls(base=base, hub=durable.hub_name, connection=durable.storage_provider.connection_name, code="")
    # The SDK speaks to the RPC endpoint only. The webhook below the same paths is the same API.
    client = DurableOrchestrationClient(json.dumps(client_payload(urls, None, f"{base}/")))
    # These three are what the client uses for every request (azure-functions-durable 1.7.0,
    # models/DurableOrchestrationClient.py).
    requests = _Requests(send)
    client._post_async_request = requests.post
    client._get_async_request = requests.get
    client._delete_async_request = requests.delete
    return client


class _Requests:
    """With the signatures of the SDK's functions: each gives [status, decoded JSON]."""

    def __init__(self, send: Send) -> None:
        self._send = send

    async def post(
        self,
        url: str,
        data: Any = None,
        trace_parent: str | None = None,
        trace_state: str | None = None,
        function_invocation_id: str | None = None,
    ) -> list[Any]:
        headers = {"traceparent": trace_parent, "tracestate": trace_state, _INVOCATION_HEADER: function_invocation_id}
        return await self._request("POST", url, headers, json=data)

    async def get(self, url: str, function_invocation_id: str | None = None) -> list[Any]:
        status, content = await self._request("GET", url, {_INVOCATION_HEADER: function_invocation_id})
        return [status, "" if content is None else content]

    async def delete(self, url: str, function_invocation_id: str | None = None) -> list[Any]:
        return await self._request("DELETE", url, {_INVOCATION_HEADER: function_invocation_id})

    async def _request(self, method: str, url: str, headers: dict[str, str | None], **options: Any) -> list[Any]:
        sent = {name: value for name, value in headers.items() if value}
        answer = await self._send(method, url, headers=sent, **options)
        return [answer.status, answer.json() if answer.body.strip() else None]
