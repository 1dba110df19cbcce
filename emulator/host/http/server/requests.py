"""Reading of HTTP requests: the body with its limits, and the request data that functions receive.

Source: host, GrpcMessageConversionExtensions.cs; docs/protocol/functions-host.md 2.3 and 4.4, python-worker.md 1.11.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from emulator import bound_json as json
from emulator.clock import Clock, within
from emulator.host.http.keys.authorization import KEY_QUERY
from emulator.host.http.routing.routes import HttpCall
from emulator.host.http.server.aiohttp_internals import send_continue
from emulator.worker.port import HttpRequestData

# A client that pauses this long within a body is treated as disconnected. Otherwise a client that vanished without
# closing its connection would keep its place among the concurrent requests.
_BODY_PAUSE_SECONDS = 30.0
_CHUNK_BYTES = 64 * 1024


class BodyTooLarge(Exception):
    """A request body is larger than the limit."""


class BodyBroken(Exception):
    """A request body is incomplete: invalid chunks, or a client that disconnected or stopped sending."""


async def read_body(request: web.Request, clock: Clock, *, limit: int) -> bytes:
    """Return the whole body. Raises BodyTooLarge and BodyBroken; the connection must be closed then.

    `limit`: in bytes.
    """
    # Reject by the header before the client has sent anything.
    if (request.content_length or 0) > limit:
        raise BodyTooLarge
    if not request.body_exists:
        return b""
    await accept_body(request)
    body = bytearray()
    # In virtual time the clock would otherwise jump to the next deadline while bytes are on their way.
    with clock.busy():
        while chunk := await next_chunk(request, clock):
            body += chunk
            # A chunked body has no Content-Length, so its size is known only now.
            if len(body) > limit:
                raise BodyTooLarge
    return bytes(body)


async def accept_body(request: web.Request) -> None:
    """Send `100 Continue` if the client waits for it before it sends the body."""
    # A client of HTTP/1.0 would take the interim response for the final one (RFC 9110 10.1.1).
    if request.version >= (1, 1) and request.headers.get("Expect", "").lower() == "100-continue":
        await send_continue(request)


async def next_chunk(request: web.Request, clock: Clock) -> bytes:
    """Return the next bytes of the body, b"" at its end. Raises BodyBroken."""
    content = request.content
    try:
        # The rest of the body is in memory already, so no timer is needed.
        if content.is_eof():
            return await content.read(_CHUNK_BYTES)
        return await within(clock, _BODY_PAUSE_SECONDS, content.readany(), upkeep=True)
    except (TimeoutError, ConnectionError, web.RequestPayloadError) as error:
        raise BodyBroken from error


def request_data(call: HttpCall, body: bytes) -> HttpRequestData:
    """Return a request as the worker passes it to functions."""
    request = call.request
    return HttpRequestData(
        method=request.method.upper(),
        url=f"{request.scheme}://{request.host}{request.rel_url.raw_path_qs}",
        # Lower case, as the Functions host sends header names to workers.
        headers=joined((name.lower(), value) for name, value in request.headers.items()),
        query=query_parameters(request.rel_url.raw_query_string),
        route_params=call.values,
        body=body,
    )


def query_parameters(query: str) -> dict[str, str]:
    """Return the parameters of a query string; see `joined`. Parameters without a value are left out."""
    parameters = joined(parse_qsl(query, keep_blank_values=True, errors="replace"))
    return {name: value for name, value in parameters.items() if value}


def joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return a mapping in which repeated names, ignoring case, have their values joined by commas.

    The first spelling of a name is kept.
    """
    names: dict[str, str] = {}
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(names.setdefault(name.lower(), name), []).append(value)
    return {name: ",".join(repeated) for name, repeated in values.items()}


class RequestBindingData(Mapping[str, object]):
    """Binding data of an HTTP trigger: JSON members of the body, query parameters, route parameters; the last wins.

    The values can be used in binding expressions such as `{name}`.
    """

    # Few functions have binding expressions, and a body may be large. So it is parsed at the first access.

    def __init__(self, data: HttpRequestData) -> None:
        self._data = data

    @cached_property
    def _values(self) -> Mapping[str, object]:
        data = self._data
        # The parameter `code` is the access key, which must not get into a path or a log line by `{code}`.
        query = {name: value for name, value in data.query.items() if name.lower() != KEY_QUERY}
        members: Any = None
        # Anything but an object has no members; a text that begins like one or with a byte order mark may be one.
        if data.body.lstrip().startswith(b"{") or data.body.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
            with suppress(ValueError, RecursionError):
                members = json.loads(data.body)
        if not isinstance(members, dict):
            members = {}
        return {**members, **query, **data.route_params, "Query": data.query, "Headers": data.headers}

    def __getitem__(self, name: str) -> object:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)
