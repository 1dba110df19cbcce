"""Requests to the app, and their answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from emulator.clock import Clock


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response, read to its end. `headers`: names in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)


class Http:
    """Belongs to the host's loop, like everything that must not outlive the app."""

    def __init__(self, session: aiohttp.ClientSession, origin: str, clock: Clock) -> None:
        self._session = session
        self._origin = origin
        self._clock = clock

    async def request(self, method: str, path: str, **options: Any) -> Answer:
        """`path`: below the app's address, or a whole URL. `options`: aiohttp's: json, data, params, headers …"""
        url = path if "://" in path else f"{self._origin}/{path.lstrip('/')}"
        # A request counts as work: time does not jump under it.
        with self._clock.busy():
            async with self._session.request(method, url, allow_redirects=False, **options) as response:
                return Answer(response.status, response.headers, await response.read())
