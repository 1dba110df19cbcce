"""RPC listener: the durable HTTP API on a loopback port, without keys, for the SDK in the Python worker.

Its responses contain the system key, and every user of the machine can connect to it. Hence, unlike that of the
extension, its path begins with a token that only the client bindings of this host know:

    http://127.0.0.1:17071/durabletask/4f1c…/instances/abc

Source: durable-extension, LocalHttpListener.cs; docs/protocol/durable-client-http.md 1.7.
"""

from __future__ import annotations

import hmac
import sys
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Protocol

from aiohttp import web

from emulator.clock import Clock
from emulator.errors import EmulatorError
from emulator.extensions.durable.management.api_request import message_response
from emulator.extensions.durable.management.management_urls import WEBHOOK_PATH
from emulator.host.http.callers import CallerRules
from emulator.host.http.server.connections import Listener, listen
from emulator.listening import PortUnavailable
from emulator.logs import get_logger
from emulator.random_numbers import random_bytes, sample

# Loopback only: requests need a token, but no key.
ADDRESS = "127.0.0.1"
BASE_PATH = "/durabletask/"

# LocalHttpListener tries its preferred port, then random ones of a range.
_PREFERRED_PORT = 17071
_OTHER_PORTS = range(30_000, 31_000)
_ATTEMPTS = 10
_TOKEN_BYTES = 24
# Unlike the Functions host, LocalHttpListener does not limit request bodies. The caller is the app itself.
_NO_LIMIT = sys.maxsize
_log = get_logger(__name__)


class ApiHandler(Protocol):
    """Handler of the durable HTTP API; see `HttpApi.handle`."""

    def __call__(self, request: web.Request, *, base_length: int, body_limit: int) -> Awaitable[web.Response]: ...


class NoFreePort(EmulatorError):
    """The RPC listener found no free port."""

    def __init__(self) -> None:
        super().__init__(
            f"Unable to find a port for the local RPC endpoint after {_ATTEMPTS} attempts: tried {_PREFERRED_PORT} and "
            f"ports from {_OTHER_PORTS.start} to {_OTHER_PORTS.stop - 1}."
        )


class RpcListener:
    """Server of the durable HTTP API for the SDK.

    `base_url`: its URL with the token; None while it is closed. `any_port`: use a port that the system chooses, not the
    extension's.
    """

    def __init__(self, handle: ApiHandler, callers: CallerRules, clock: Clock, *, any_port: bool = False) -> None:
        self._base_path = f"{BASE_PATH}{random_bytes(_TOKEN_BYTES).hex()}/"
        self._handle = handle
        self._callers = callers
        self._clock = clock
        self._any_port = any_port
        self.base_url: str | None = None

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        """Listen while entered. Raises NoFreePort."""
        async with AsyncExitStack() as stack:
            listener = await self._open(stack)
            origin = f"http://{ADDRESS}:{listener.port}"
            # The SDK appends paths that do not begin with a slash.
            self.base_url = f"{origin}{self._base_path}"
            # Without the token, because logs are shown to others.
            _log.info("Opened local http RPC endpoint: %s%s", origin, BASE_PATH)
            try:
                yield
            finally:
                _log.info("Closing local http RPC endpoint: %s%s", origin, BASE_PATH)
                # From here on client bindings fail at once instead of sending requests to a closed port.
                self.base_url = None

    async def _open(self, stack: AsyncExitStack) -> Listener:
        ports = [0] if self._any_port else [_PREFERRED_PORT, *sample(_OTHER_PORTS, _ATTEMPTS - 1)]
        for attempt, port in enumerate(ports, start=1):
            try:
                return await stack.enter_async_context(listen(self._respond, self._clock, address=ADDRESS, port=port))
            except PortUnavailable:
                _log.debug("Failed to open local port %d. This was attempt #%d to open a local port.", port, attempt)
        raise NoFreePort

    async def _respond(self, request: web.Request) -> web.Response:
        refusal = self._callers.refusal(request)
        # In constant time, so that the response time says nothing about the token.
        has_token = hmac.compare_digest(request.raw_path[: len(self._base_path)].encode(), self._base_path.encode())
        if refusal is None and not has_token:
            refusal = message_response(
                403,
                "The path must begin with the rpcBaseUrl of a durable client binding, which has a token for this run "
                f"of the host. Without the token use {WEBHOOK_PATH} on the port of the host.",
            )
        if refusal is not None:
            return refusal
        return await self._handle(request, base_length=len(self._base_path), body_limit=_NO_LIMIT)
