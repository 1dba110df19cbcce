"""Publishing of events to a topic over HTTPS.

Source: Azure.Messaging.EventGrid, EventGridPublisherClient; docs/protocol/functions-host.md 8.6.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from http.client import responses
from typing import Any, Final

import aiohttp
from yarl import URL

from emulator.bound_aiohttp import BoundSession
from emulator.clock import Clock, within
from emulator.config.identity import open_identity
from emulator.dotnet.json_writer import newtonsoft_text
from emulator.errors import EmulatorError
from emulator.extensions.eventgrid.events import Batch
from emulator.extensions.eventgrid.topics import Topic

_API_VERSION: Final = "2018-01-01"
_SCOPE: Final = "https://eventgrid.azure.net/.default"
# Defaults of Azure.Core: three retries, the first after 0.8 seconds, each pause twice as long, 100 seconds per try.
_RETRIED: Final = frozenset((408, 429, 500, 502, 503, 504))
_MAX_RETRIES: Final = 3
_FIRST_PAUSE_SECONDS: Final = 0.8
_TRY_SECONDS: Final = 100.0
_MAX_SHOWN: Final = 300


class PublishingFailed(EmulatorError):
    """A topic did not accept events. The message names the topic and its setting."""


class Publisher:
    """Sends events to topics. An async context manager; connections are opened when they are needed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._stack = AsyncExitStack()
        self._session: BoundSession | None = None
        self._credentials: dict[str, Any] = {}

    async def __aenter__(self) -> Publisher:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def publish(self, topic: Topic, batch: Batch) -> None:
        """Send the events in one request, and again after a temporary error. Raises PublishingFailed."""
        headers = {"Content-Type": batch.schema.value, **await self._authorization(topic)}
        body = newtonsoft_text(batch.events).encode()
        pause = _FIRST_PAUSE_SECONDS
        for attempt in range(_MAX_RETRIES + 1):
            try:
                status, answer = await self._post(URL(topic.endpoint), headers, body)
                if status < 300:
                    return
                is_temporary = status in _RETRIED
                phrase = responses.get(status, "unknown")
                problem = f"Service request failed.\nStatus: {status} ({phrase})\n{answer[:_MAX_SHOWN]}".strip()
            except aiohttp.ClientConnectorCertificateError as error:
                is_temporary = False
                problem = f"{error} If it is a topic on this machine, trust its certificate: set SSL_CERT_FILE."
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                is_temporary, problem = True, f"No response: {error or type(error).__name__}"
            if not is_temporary or attempt == _MAX_RETRIES:
                break
            await self._clock.sleep(pause)
            pause *= 2
        raise PublishingFailed(f"{problem}\nTopic: {topic.endpoint} (app setting '{topic.setting}')")

    async def _post(self, endpoint: URL, headers: Mapping[str, str], body: bytes) -> tuple[int, str]:
        if self._session is None:
            # No limits of aiohttp's own: the clock measures the time, so that virtual time does not end a request.
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=None)
            self._session = await self._stack.enter_async_context(BoundSession(timeout=timeout))
        session = self._session

        async def send() -> tuple[int, str]:
            url = endpoint.update_query({"api-version": _API_VERSION})
            # Without redirects: the key of the topic would be sent to the new address, too.
            async with session.request("POST", url, data=body, headers=headers, allow_redirects=False) as response:
                return response.status, await response.text(errors="replace")

        with self._clock.busy():
            return await within(self._clock, _TRY_SECONDS, send(), upkeep=True)

    async def _authorization(self, topic: Topic) -> Mapping[str, str]:
        if topic.identity is None:
            return {"aeg-sas-key": topic.key or ""}
        if topic.setting not in self._credentials:
            # One for the life of the host, because a credential caches its tokens.
            opened = await self._stack.enter_async_context(open_identity(topic.identity))
            self._credentials[topic.setting] = opened
        try:
            with self._clock.busy():
                token = await self._credentials[topic.setting].get_token(_SCOPE)
        except Exception as error:  # The credentials of azure-identity document no common class of their errors.
            raise PublishingFailed(f"No token for the topic of the setting '{topic.setting}': {error}") from error
        return {"Authorization": f"Bearer {token.token}"}
