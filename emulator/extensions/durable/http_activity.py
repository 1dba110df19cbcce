"""BuiltIn::HttpActivity: the activity behind `call_http`, which the host itself runs.

Source: durable-extension, Listener/TaskHttpActivityShim.cs; docs/protocol/durable-orchestration.md 6.6.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from multidict import CIMultiDict

from emulator.clock import Clock, within
from emulator.dotnet.json_writer import json_text
from emulator.durable.executor import ActivityFailed, ActivityRequest, ActivitySucceeded
from emulator.extensions.durable.managed_identity import ManagedIdentity, TokenSource, TokenUnavailable

_log = logging.getLogger(__name__)

_TIMEOUT_SECONDS = 240
_AGENT = "azemu"
_TYPE = "System.Net.Http.HttpRequestException, System.Net.Http"

# .NET keeps these with the content, not with the response, so that they are not in the result.
_CONTENT_HEADERS = frozenset(("allow", "expires", "last-modified"))  # and all that begin with "content-"
# .NET parses these, and shows each element as a value of its own.
_LISTS = frozenset(
    ("accept-ranges", "connection", "pragma", "trailer", "transfer-encoding", "upgrade", "vary", "via", "warning")
)


class HttpActivity:
    """Sends requests. Made by `http_activity`, which closes its connections."""

    def __init__(self, session: aiohttp.ClientSession, tokens: TokenSource, clock: Clock) -> None:
        self._session = session
        self._tokens = tokens
        self._clock = clock

    async def act(self, request: ActivityRequest) -> ActivitySucceeded | ActivityFailed:
        """Any status is a success; only an exchange that did not take place is a failure."""
        try:
            [wanted] = json.loads(request.input or "")
            with self._clock.busy():
                result = await within(self._clock, _TIMEOUT_SECONDS, self._exchange(wanted))
        except TokenUnavailable as error:
            _log.error("%s: Unable to retrieve a token for call_http. %s", request.instance.instance_id, error)
            return _failed(str(error))
        except TimeoutError:
            return _failed(
                "The request was canceled due to the configured HttpClient.Timeout of "
                f"{_TIMEOUT_SECONDS} seconds elapsing."
            )
        except (aiohttp.ClientError, OSError, ValueError, LookupError) as error:
            return _failed(_message_of(error))
        self._warn_of_unfollowed(request, wanted, result)
        return ActivitySucceeded(json_text(result))

    async def _exchange(self, wanted: Mapping[str, Any]) -> Mapping[str, Any]:
        headers = _request_headers(wanted.get("headers") or {})
        content = wanted.get("content")
        if headers.get("Content-Type", "").lower().startswith("multipart/"):
            raise ValueError("Multipart content is not supported with CallHttpAsync.")
        if content is not None:
            headers.setdefault("Content-Type", "text/plain; charset=utf-8")
        source = wanted.get("tokenSource")
        if source:
            headers["Authorization"] = f"Bearer {await self._tokens.token(str(source['resource']))}"
        async with self._session.request(
            wanted["method"],
            wanted["uri"],
            headers=headers,
            data=None if content is None else str(content).encode(),
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type"),
        ) as answer:
            return {
                "statusCode": answer.status,
                "headers": _response_headers(answer),
                "content": await answer.text(errors="replace"),
            }

    def _warn_of_unfollowed(
        self, request: ActivityRequest, wanted: Mapping[str, Any], result: Mapping[str, Any]
    ) -> None:
        if result["statusCode"] == 202 and "Location" in result["headers"] and not _polls(wanted):
            _log.warning(
                "%s: call_http got a 202 with a Location. Python orchestrations are not made to poll it, here as on "
                "Azure: the 202 is the result.",
                request.instance.instance_id,
            )


@asynccontextmanager
async def http_activity(settings: Mapping[str, str], clock: Clock) -> AsyncIterator[HttpActivity]:
    """The activity while the body runs. `settings`: the app's; they may name a managed identity."""
    # The limits of the engine are enough, and time is measured by our clock.
    connector, timeout = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(total=None, sock_connect=None)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers={"User-Agent": _AGENT}) as session:
        yield HttpActivity(session, ManagedIdentity(settings, session), clock)


def _polls(wanted: Mapping[str, Any]) -> bool:
    return bool(wanted.get("asynchronousPatternEnabled"))


def _request_headers(wanted: Mapping[str, Any]) -> CIMultiDict[str]:
    headers: CIMultiDict[str] = CIMultiDict()
    for name, value in wanted.items():
        for each in value if isinstance(value, list) else [value]:
            headers.add(name, str(each))
    return headers


def _response_headers(answer: aiohttp.ClientResponse) -> Mapping[str, object]:
    """A text for one value, a list for several, in the order in which they came."""
    values: dict[str, list[str]] = {}
    for name, value in answer.headers.items():
        if not _belongs_to_content(name.lower()):
            values.setdefault(name, []).extend(_values(name.lower(), value))
    return {name: found[0] if len(found) == 1 else found for name, found in values.items()}


def _belongs_to_content(name: str) -> bool:
    return name.startswith("content-") or name in _CONTENT_HEADERS


def _values(name: str, value: str) -> list[str]:
    if name == "server":
        return value.split()
    if name in _LISTS:
        return [each.strip() for each in value.split(",")]
    return [value]


def _message_of(error: Exception) -> str:
    """As .NET says it: `Connection refused (127.0.0.1:18081)`."""
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno
        text = os.strerror(number) if number and number > 0 else error.os_error.strerror or str(error.os_error)
        return f"{text} ({error.host}:{error.port})"
    return str(error) or type(error).__name__


def _failed(message: str) -> ActivityFailed:
    """The reason is the bare message. The details are a serialized exception, on one line."""
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
