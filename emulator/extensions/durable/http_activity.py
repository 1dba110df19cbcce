"""Durable HTTP: the built-in activity BuiltIn::HttpActivity that sends the requests of `call_http`.

Source: durable-extension, Listener/TaskHttpActivityShim.cs; docs/protocol/durable-orchestration.md 6.6.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from multidict import CIMultiDict

from emulator import bound_json as json
from emulator.clock import Clock, within
from emulator.dotnet.json_values import json_list, json_object, json_string
from emulator.dotnet.json_writer import json_text
from emulator.durable.core.replay.durable_http import HTTP_ACTIVITY
from emulator.durable.executor import ActivityFailed, ActivityRequest, ActivitySucceeded
from emulator.durable.options import DEFAULT_MAX_PAYLOAD_BYTES, MAX_PAYLOAD_SETTING, MIB
from emulator.extensions.durable.managed_identity import ManagedIdentity, TokenSource, TokenUnavailable
from emulator.logs import get_logger

_log = get_logger(__name__)

_TIMEOUT_SECONDS = 240
_AGENT = "azemu"
# The exception in the details of a failure. Orchestrations see it as the error's type.
_TYPE = "System.Net.Http.HttpRequestException, System.Net.Http"

# .NET's HttpResponseMessage keeps these headers, and all that begin with "content-", with the content instead of the
# response. The extension reads only the response, so they are missing from the result.
_CONTENT_HEADERS = frozenset(("allow", "expires", "last-modified"))
# .NET parses these headers, and returns their elements as separate values.
_LISTS = frozenset(
    ("accept-ranges", "connection", "pragma", "trailer", "transfer-encoding", "upgrade", "vary", "via", "warning")
)


class HttpActivity:
    """Sends the requests of `call_http`. Created by `http_activity`, which closes its connections."""

    def __init__(
        self, session: aiohttp.ClientSession, tokens: TokenSource, clock: Clock, max_payload_bytes: int
    ) -> None:
        self._session = session
        self._tokens = tokens
        self._clock = clock
        self._max_payload_bytes = max_payload_bytes

    async def act(self, request: ActivityRequest) -> ActivitySucceeded | ActivityFailed:
        """Send the request in the activity's input. Every HTTP status is a success; a missing response is a failure."""
        instance_id = request.instance.instance_id
        try:
            http_request = _read_input(request.input)
            # The server may be another process, so virtual time must not jump while it works.
            with self._clock.busy():
                result = await within(self._clock, _TIMEOUT_SECONDS, self._exchange(http_request))
        except TokenUnavailable as error:
            _log.error("%s: Unable to retrieve a token for call_http. %s", instance_id, error)
            return _failed(str(error))
        except TimeoutError:
            return _failed(
                "The request was canceled due to the configured HttpClient.Timeout of "
                f"{_TIMEOUT_SECONDS} seconds elapsing."
            )
        except aiohttp.ClientConnectorError as error:
            # .NET's text: `Connection refused (127.0.0.1:18081)`.
            number = error.os_error.errno
            text = os.strerror(number) if number and number > 0 else error.os_error.strerror or str(error.os_error)
            return _failed(f"{text} ({error.host}:{error.port})")
        except (aiohttp.ClientError, OSError, ValueError, LookupError) as error:
            return _failed(str(error) or type(error).__name__)
        if result["statusCode"] == 202 and "Location" in result["headers"] and not http_request.is_polled:
            _log.warning(
                "%s: call_http received a 202 response with a Location header. As on Azure, Python orchestrations do "
                "not poll it: the 202 response is the result.",
                instance_id,
            )
        return ActivitySucceeded(json_text(result))

    async def _exchange(self, http_request: _HttpRequest) -> Mapping[str, Any]:
        headers, content = http_request.headers, http_request.content
        if headers.get("Content-Type", "").lower().startswith("multipart/"):
            raise ValueError("Multipart content is not supported with CallHttpAsync.")
        if content is not None:
            # The default of .NET's StringContent.
            headers.setdefault("Content-Type", "text/plain; charset=utf-8")
        if http_request.resource is not None:
            headers["Authorization"] = f"Bearer {await self._tokens.token(http_request.resource)}"
        async with self._session.request(
            http_request.method,
            http_request.uri,
            headers=headers,
            # Half of a surrogate pair has no UTF-8; .NET's encoder replaces it as well.
            data=None if content is None else content.encode("utf-8", "replace"),
            # .NET's HttpClient sends none of these unless the caller sets them.
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type"),
        ) as response:
            return {
                "statusCode": response.status,
                "headers": _response_headers(response.headers),
                "content": await self._text_of(response),
            }

    async def _text_of(self, response: aiohttp.ClientResponse) -> str:
        """Return the body. Raises ValueError if it is larger than the limit when it is decompressed."""
        if "Content-Encoding" in response.headers:
            # Decompressed piece by piece: a few kilobytes may be gigabytes.
            parts, size = list[bytes](), 0
            async for part in response.content.iter_any():
                parts.append(part)
                size += len(part)
                if size > self._max_payload_bytes:
                    raise ValueError(
                        f"The response of {response.url} has more than {self._max_payload_bytes / MIB:g} MiB when it "
                        f"is decompressed. The app setting {MAX_PAYLOAD_SETTING} is the limit."
                    )
            return b"".join(parts).decode(response.charset or "utf-8", "replace")
        return await response.text(errors="replace")


@dataclass(frozen=True, slots=True, kw_only=True)
class _HttpRequest:
    """The request that an orchestration has asked for. `resource`: of the token that the request needs."""

    method: str
    uri: str
    headers: CIMultiDict[str]
    content: str | None
    resource: str | None
    is_polled: bool


def _read_input(text: str | None) -> _HttpRequest:
    """Read the activity's input, an array with one request. Raises ValueError that says what is wrong."""
    try:
        [given] = json_list(json.loads(text or ""))
        members = json_object(given)
        source = json_object(members.get("tokenSource"))
        method, uri = json_string(members.get("method")), json_string(members.get("uri"))
        resource = json_string(source.get("resource"))
        headers: CIMultiDict[str] = CIMultiDict()
        for name, value in json_object(members.get("headers")).items():
            for item in value if isinstance(value, list) else [value]:
                headers.add(name, str(item))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"The input of {HTTP_ACTIVITY} cannot be read: {error}") from None
    if method is None or uri is None or (source and resource is None):
        raise ValueError(f"A request of {HTTP_ACTIVITY} needs a method and a uri, and its tokenSource a resource.")
    content = members.get("content")
    return _HttpRequest(
        method=method,
        uri=uri,
        headers=headers,
        content=None if content is None else str(content),
        resource=resource,
        is_polled=bool(members.get("asynchronousPatternEnabled")),
    )


@asynccontextmanager
async def http_activity(
    settings: Mapping[str, str], clock: Clock, *, max_payload_bytes: int = DEFAULT_MAX_PAYLOAD_BYTES
) -> AsyncIterator[HttpActivity]:
    """Open the HTTP client of the activity while entered.

    `settings`: the app's; they may name a managed identity. `max_payload_bytes`: limit of a compressed response.
    """
    # No limits of aiohttp's own: the engine limits the number of activities, and the clock measures the time, so that
    # virtual time applies to the timeout.
    connector, timeout = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(total=None, sock_connect=None)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers={"User-Agent": _AGENT}) as session:
        yield HttpActivity(session, ManagedIdentity(settings, session), clock, max_payload_bytes)


def _response_headers(headers: Mapping[str, str]) -> Mapping[str, object]:
    """Return a text for a header with one value, a list for one with several, in the order of arrival."""
    values_by_name: dict[str, list[str]] = {}
    for name, value in headers.items():
        lower = name.lower()
        if lower.startswith("content-") or lower in _CONTENT_HEADERS:
            continue
        if lower == "server":
            values = value.split()
        elif lower in _LISTS:
            values = [item.strip() for item in value.split(",")]
        else:
            values = [value]
        values_by_name.setdefault(name, []).extend(values)
    return {name: values[0] if len(values) == 1 else values for name, values in values_by_name.items()}


def _failed(message: str) -> ActivityFailed:
    # The reason is the message alone. The details are .NET's exception, as Newtonsoft serialises it on one line.
    details = {
        "$type": _TYPE,
        "StatusCode": None,
        "Message": message,
        "Data": {"$type": "System.Collections.ListDictionaryInternal, System.Private.CoreLib"},
        "InnerException": None,
        "HelpLink": None,
        "Source": "System.Net.Http",
        "HResult": -2147467259,
        "StackTrace": None,
    }
    return ActivityFailed(message, json_text(details))
