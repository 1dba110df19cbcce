"""Transport of requests to a storage service: its interface (a Protocol class), and its implementation with aiohttp."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import aiohttp
from yarl import URL

from emulator.bound_aiohttp import BoundSession

# aiohttp warns about larger bodies if they are bytes: they would block the event loop. It sends a stream in pieces.
_STREAM_BYTES = 1024 * 1024

# aiohttp would add a Content-Type, which the signature covers, so the service would refuse the request. The other two
# only cost time.
_NO_AUTO_HEADERS = ("Content-Type", "User-Agent", "Accept-Encoding")


@dataclass(frozen=True, slots=True)
class Response:
    """A complete response. Looking up a header ignores case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class NotConnected(Exception):
    """There is no connection to the server, so the request was not sent. The message says why."""


class ResponseLost(Exception):
    """The response did not arrive, or only a part of it. The service may have executed the request."""


class Transport(Protocol):
    """Sends requests to one server."""

    async def send(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Response:
        """Send a request and return its response, whatever its status.

        `target`: path and query, escaped. `headers` must have the Content-Length if there is a body. Raises
        NotConnected, ResponseLost.
        """


class AiohttpTransport:
    """Transport to an emulator on another machine, possibly over TLS or a proxy. `origin`: scheme, host and port."""

    def __init__(self, session: BoundSession, origin: str) -> None:
        self._session = session
        self._origin = origin

    async def send(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Response:
        data = io.BytesIO(body) if len(body) > _STREAM_BYTES else body or None
        # encoded: yarl would otherwise normalise the escapes, and the signature covers the path as it was escaped here.
        url = URL(self._origin + target, encoded=True)
        try:
            async with self._session.request(
                method, url, headers=headers, data=data, allow_redirects=False, skip_auto_headers=_NO_AUTO_HEADERS
            ) as response:
                return Response(response.status, response.headers, await response.read())
        except aiohttp.ClientConnectorError as error:
            raise NotConnected(str(error)) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ResponseLost(str(error) or type(error).__name__) from error
