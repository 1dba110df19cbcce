"""SDK patch: requests of one durable client object, sent by a given callable instead of the SDK's HTTP session.

Changes: `_post_async_request`, `_get_async_request` and `_delete_async_request` of a `DurableOrchestrationClient`
    object, not of the class. User code is not affected; `emulator.testing` uses it for `app.client`.
Why: the SDK's session belongs to the event loop that sends the request. A test has a loop of its own, or none, and a
    session left open there would be reported as "Unclosed client session".
Written for: azure-functions-durable 1.7.0, models/DurableOrchestrationClient.py.
Otherwise: a client without these attributes sends its requests itself, over the SDK's session.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

_INVOCATION_HEADER = "X-Azure-Functions-InvocationId"


class HttpResponse(Protocol):
    """An HTTP response with its body read."""

    @property
    def status(self) -> int:
        """The status code."""

    @property
    def body(self) -> bytes:
        """The body."""

    def json(self) -> Any:
        """Decode the body. Raises ValueError."""


SendRequest = Callable[..., Awaitable[HttpResponse]]
"""Called with the method, the URL, `headers=` and, for POST, `json=`."""


def redirect_requests(client: Any, send: SendRequest) -> None:
    """Let `client`, a DurableOrchestrationClient of the SDK, send its requests with `send`."""
    requests = _ClientRequests(send)
    replacements = {
        "_post_async_request": requests.post,
        "_get_async_request": requests.get,
        "_delete_async_request": requests.delete,
    }
    for name, replacement in replacements.items():
        if hasattr(client, name):
            setattr(client, name, replacement)


class _ClientRequests:
    """The SDK's three request functions. Their signatures are the SDK's; each returns [status, decoded JSON]."""

    def __init__(self, send: SendRequest) -> None:
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
        # The SDK replaces a missing body by an empty text for GET, and only for GET; its callers rely on that.
        return [status, "" if content is None else content]

    async def delete(self, url: str, function_invocation_id: str | None = None) -> list[Any]:
        return await self._request("DELETE", url, {_INVOCATION_HEADER: function_invocation_id})

    async def _request(self, method: str, url: str, headers: dict[str, str | None], **options: Any) -> list[Any]:
        present = {name: value for name, value in headers.items() if value}
        response = await self._send(method, url, headers=present, **options)
        return [response.status, response.json() if response.body.strip() else None]
