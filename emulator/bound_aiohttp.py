"""HTTP client session of aiohttp whose methods are those that the library had before user code was loaded.

Tests of apps replace methods of `aiohttp.ClientSession` to answer the requests of the app, for example by
aioresponses. Requests between the parts of azemu must pass nevertheless.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import ClientSession
from yarl import URL

# The method behind all others. It is not public, but it is what libraries for tests replace.
_request = ClientSession._request


class BoundSession:
    """A client session. `options`: those of aiohttp.ClientSession."""

    def __init__(self, **options: Any) -> None:
        self._session = ClientSession(**options)

    async def __aenter__(self) -> BoundSession:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._session.closed

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    @asynccontextmanager
    async def request(self, method: str, url: str | URL, **options: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request. `options` and errors: those of aiohttp.ClientSession.request."""
        response = await _request(self._session, method, url, **options)
        try:
            yield response
        finally:
            response.release()

    def get(self, url: str, **options: Any) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """See `request`."""
        return self.request("GET", url, **options)

    def post(self, url: str, **options: Any) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """See `request`."""
        return self.request("POST", url, **options)

    def delete(self, url: str, **options: Any) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """See `request`."""
        return self.request("DELETE", url, **options)
