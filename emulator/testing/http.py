"""HTTP requests of a test to the app, and their responses."""

from __future__ import annotations

from collections.abc import Mapping
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
    """Sends requests to the app. To be used on the host's loop only, so that no connection outlives the app."""

    def __init__(self, session: BoundSession, origin: str, clock: Clock) -> None:
        self._session = session
        self._origin = origin
        self._clock = clock

    async def request(self, method: str, path: str, *, lets_time_pass: bool = False, **options: Any) -> Answer:
        """Send a request. `path`: below the app's address, or an absolute URL. `options`: those of aiohttp.

        `lets_time_pass`: virtual time jumps over the waits of the functions that work on it, such as those for a retry.
        Redirects are not followed: a test may want to see them.
        """
        url = path if "://" in path else f"{self._origin}/{path.lstrip('/')}"
        # busy(): time must not advance before the response is there. The loop sees the socket, but not that a function
        # works on the request.
        passing = self._clock.running() if lets_time_pass and isinstance(self._clock, VirtualClock) else None
        with passing or self._clock.busy():
            async with self._session.request(method, url, allow_redirects=False, **options) as response:
                return Answer(response.status, response.headers, await response.read())
