"""The RPC listener: the management API on a loopback port, for the SDK inside the worker. It checks no keys.

Source: durable-extension, LocalHttpListener.cs; spec/durable-client-http.md 1.7.
"""

from __future__ import annotations

import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

from aiohttp import web

from emulator.errors import EmulatorError
from emulator.extensions.durable.api_request import ApiRequest, error_answer, read_request

Answer = Callable[[ApiRequest], Awaitable[web.Response]]

HOST = "127.0.0.1"
BASE_PATH = "/durabletask/"

_PREFERRED_PORT = 17071
_OTHER_PORTS = range(30_000, 31_000)
_ATTEMPTS = 10
_log = logging.getLogger(__name__)


class NoFreePort(EmulatorError):
    """The RPC listener found no port."""

    def __init__(self) -> None:
        super().__init__(
            f"Unable to find a port for the local RPC endpoint after {_ATTEMPTS} attempts: tried {_PREFERRED_PORT} and "
            f"ports from {_OTHER_PORTS.start} to {_OTHER_PORTS.stop - 1}."
        )


class RpcListener:
    """`base_url`: where the SDK finds it, with the trailing slash that the SDK relies on; None while it is closed."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.base_url: str | None = None

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        """Listen while the body runs. Raises NoFreePort."""
        app = web.Application(client_max_size=0)  # no limit
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            self.base_url = f"http://{HOST}:{await _open_port(runner)}{BASE_PATH}"
            _log.info("Opened local http RPC endpoint: %s", self.base_url)
            yield
            _log.info("Closing local http RPC endpoint: %s", self.base_url)
        finally:
            self.base_url = None
            await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.Response:
        # The base is cut off by its length, whatever the path says there.
        if len(request.raw_path.partition("?")[0]) < len(BASE_PATH):
            return error_answer(
                400,
                "One or more of the arguments submitted is incorrect",
                exception="startIndex cannot be larger than length of string. (Parameter 'startIndex')",
                exception_type="System.ArgumentOutOfRangeException",
            )
        return await self._answer(await read_request(request, len(BASE_PATH)))


async def _open_port(runner: web.AppRunner) -> int:
    for attempt, port in enumerate(_ports(), start=1):
        try:
            await web.TCPSite(runner, HOST, port).start()
        except OSError:
            _log.warning("Failed to open local port %d. This was attempt #%d to open a local port.", port, attempt)
        else:
            return port
    raise NoFreePort


def _ports() -> Iterator[int]:
    yield _PREFERRED_PORT
    yield from random.sample(_OTHER_PORTS, _ATTEMPTS - 1)
