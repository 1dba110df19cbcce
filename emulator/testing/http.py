"""HTTP requests of a test to the app, and their responses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from emulator import bound_json as json
from emulator.bound_aiohttp import BoundSession
from emulator.clock import Clock
from emulator.virtual_time import VirtualClock


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response with its body read. `headers` are looked up in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text (UTF-8)."""
        return self.body.decode()

    def json(self) -> Any:
        """Decode the body as JSON. Raises ValueError."""
        return json.loads(self.body)


class HttpClient:
    """Sends requests to the app. To be used on the host's loop only, so that no connection outlives the app.

    `waits`: whether the app needs time to answer: all running functions wait for a retry, or the host starts again
    after a crash. Virtual time advances then, although a request is open.
    `during`: entered around every request.
    """

    def __init__(
        self,
        session: BoundSession,
        origin: str,
        clock: Clock,
        waits: Callable[[], bool],
        during: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
    ) -> None:
        self._session = session
        self._origin = origin
        self._clock = clock
        self._waits = waits
        self._during = during

    async def request(self, method: str, path: str, **options: Any) -> Answer:
        """Send a request. `path`: below the app's address, or an absolute URL. `options`: those of aiohttp.

        Redirects are not followed: a test may want to see them.
        """
        url = path if "://" in path else f"{self._origin}/{path.lstrip('/')}"
        # Time must not advance before the response is there: the loop sees the socket, but not that a function works on
        # the request. But a function that waits for a retry could otherwise never respond.
        clock = self._clock
        async with self._during():
            with clock.busy_unless(self._waits) if isinstance(clock, VirtualClock) else clock.busy():
                async with self._session.request(method, url, allow_redirects=False, **options) as response:
                    return Answer(response.status, response.headers, await response.read())
