"""How a request gets to a storage service and its answer back: the seam below `http`, and aiohttp behind it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import aiohttp
from yarl import URL

# aiohttp warns about bytes beyond this size, and sends a stream in pieces.
_STREAM_BYTES = 1024 * 1024

# A content type that aiohttp adds would not be in the signature.
_NO_AUTO_HEADERS = ("Content-Type", "User-Agent", "Accept-Encoding")


@dataclass(frozen=True, slots=True)
class Answer:
    """A response that has been read whole. Looking a header up ignores case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class NotConnected(Exception):
    """Nobody listens there: the request was not sent. The message says why."""


class Interrupted(Exception):
    """The answer did not come, or not whole. The request may have been carried out."""


class Transport(Protocol):
    async def send(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """`target`: path and query, escaped; `headers` with the Content-Length if there is a body.

        Raises NotConnected, Interrupted.
        """


class AiohttpTransport:
    """To an emulator elsewhere, through proxies and whatever else lies between. `origin`: scheme, host and port."""

    def __init__(self, session: aiohttp.ClientSession, origin: str) -> None:
        self._session = session
        self._origin = origin

    async def send(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        data = io.BytesIO(body) if len(body) > _STREAM_BYTES else body or None
        url = URL(self._origin + target, encoded=True)
        try:
            async with self._session.request(
                method, url, headers=headers, data=data, allow_redirects=False, skip_auto_headers=_NO_AUTO_HEADERS
            ) as response:
                return Answer(response.status, response.headers, await response.read())
        except aiohttp.ClientConnectorError as error:
            raise NotConnected(str(error)) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Interrupted(str(error) or type(error).__name__) from error
