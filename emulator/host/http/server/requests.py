"""A request as functions see it.

Source: host, GrpcMessageConversionExtensions.cs; docs/protocol/functions-host.md 2.3 and 4.4, python-worker.md 1.11.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from urllib.parse import parse_qsl

from aiohttp import web

from emulator.clock import Clock, within
from emulator.host.http.keys.authorization import KEY_QUERY
from emulator.host.http.routing.routes import HttpCall
from emulator.host.http.server.aiohttp_internals import send_continue
from emulator.worker.port import HttpRequestData

# A client that sends nothing of its body for so long has gone away without saying so.
_SILENCE_SECONDS = 30.0
_ONE_CHUNK = 64 * 1024


class BodyTooLarge(Exception):
    """The body is larger than the limit."""


class BodyBroken(Exception):
    """The body never ends as its headers promised: bad chunks, or a client that went away or fell silent."""


async def read_body(request: web.Request, clock: Clock, *, limit: int) -> bytes:
    """The whole body. Raises BodyTooLarge and BodyBroken; the connection is of no use after that."""
    if (request.content_length or 0) > limit:
        raise BodyTooLarge
    if not request.body_exists:
        return b""
    await accept_body(request)
    body = bytearray()
    # Nobody but this task knows that a client is talking.
    with clock.busy():
        while chunk := await next_chunk(request, clock):
            body += chunk
            if len(body) > limit:
                raise BodyTooLarge
    return bytes(body)


async def accept_body(request: web.Request) -> None:
    """Ask for the body, if the client waits to be asked."""
    # A client of HTTP/1.0 would take the interim answer for the answer.
    if request.version >= (1, 1) and request.headers.get("Expect", "").lower() == "100-continue":
        await send_continue(request)


async def next_chunk(request: web.Request, clock: Clock) -> bytes:
    """The next bytes of the body, b"" at its end. Raises BodyBroken."""
    content = request.content
    try:
        if content.is_eof():
            return await content.read(_ONE_CHUNK)
        return await within(clock, _SILENCE_SECONDS, content.readany(), upkeep=True)
    except (TimeoutError, ConnectionError, web.RequestPayloadError) as error:
        raise BodyBroken from error


def request_data(call: HttpCall, body: bytes) -> HttpRequestData:
    request = call.request
    return HttpRequestData(
        method=request.method.upper(),
        url=f"{request.scheme}://{request.host}{request.rel_url.raw_path_qs}",
        headers=joined((name.lower(), value) for name, value in request.headers.items()),
        query=query_parameters(request.rel_url.raw_query_string),
        route_params=call.values,
        body=body,
    )


def query_parameters(query: str) -> dict[str, str]:
    """Names ignore case and keep that of their first use; values of one name are joined; empty results are dropped."""
    found = joined(parse_qsl(query, keep_blank_values=True, errors="replace"))
    return {name: value for name, value in found.items() if value}


def joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Pairs as a mapping: the values of one name, whatever its case, with commas between them."""
    names: dict[str, str] = {}
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(names.setdefault(name.lower(), name), []).append(value)
    return {name: ",".join(all_of_it) for name, all_of_it in values.items()}


class RequestBindingData(Mapping[str, object]):
    """What binding expressions may name: members of a JSON body, then the query, then route values; the later wins.

    The body is parsed when somebody looks: it may be large, and few functions have expressions.
    """

    def __init__(self, data: HttpRequestData) -> None:
        self._data = data

    @cached_property
    def _values(self) -> Mapping[str, object]:
        data = self._data
        query = {name: value for name, value in data.query.items() if name.lower() != KEY_QUERY}
        members = _json_members(data.body)
        return {**members, **query, **data.route_params, "Query": data.query, "Headers": data.headers}

    def __getitem__(self, name: str) -> object:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def _json_members(body: bytes) -> Mapping[str, object]:
    if not body.lstrip().startswith(b"{") and not body.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        return {}
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
