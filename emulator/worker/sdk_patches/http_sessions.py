"""SDK patch: one aiohttp session per event loop for the requests of the durable client, instead of one per process.

Changes: `_get_session` and `_handle_request_error` of `azure.durable_functions.models.utils.http_utils`. Releases
    before 1.5.0 do not have them, and open a session for each request: there, the name `aiohttp` of the module.
Why: the SDK keeps one `aiohttp.ClientSession` for the whole process, which belongs to the event loop of the first
    request. A process that opens a second app, at the same time or later (as tests do), would use that session on
    another loop, where it fails, or on a loop that is closed. Besides, tests of apps replace methods of ClientSession,
    and the durable client must reach the host nevertheless. The requests name their invocation (`SENDER_HEADER`),
    which the SDK does only if the function has a parameter `context`, and with signals never.
Written for: azure-functions-durable 1.7.0.
Otherwise: a module without these names is left alone. The app runs; a second app in the same process may fail
    with "Event loop is closed" when it uses its durable client.
"""

from __future__ import annotations

import asyncio
import sys
from types import ModuleType, SimpleNamespace
from typing import Any, Final

import aiohttp

from emulator.bound_aiohttp import BoundSession
from emulator.worker.user_logs import current_invocation_id

MODULE = "azure.durable_functions.models.utils.http_utils"
SENDER_HEADER: Final = "X-Azemu-Invocation"
"""Header with the id of the invocation that sends a request. A name of azemu's own, because the host on Azure logs the
operations of requests with the SDK's header."""

_GET_SESSION = "_get_session"
_HANDLE_REQUEST_ERROR = "_handle_request_error"
_AIOHTTP = "aiohttp"


class SessionPerLoop:
    """The aiohttp sessions of all event loops that have sent a request."""

    def __init__(self) -> None:
        self._sessions: dict[asyncio.AbstractEventLoop, BoundSession] = {}

    async def get(self) -> BoundSession:
        """Return the session of the running loop; open it if there is none. Replaces `_get_session`."""
        loop = asyncio.get_running_loop()
        session = self._sessions.get(loop)
        if session is None or session.closed:
            # The SDK's own limits: user code must see the same timeouts as on Azure.
            timeout = aiohttp.ClientTimeout(total=240, sock_connect=10)
            session = self._sessions[loop] = BoundSession(timeout=timeout, trace_configs=[_naming_the_sender()])
        return session

    async def close(self) -> None:
        """Close the session of the running loop, if there is one. Replaces `_handle_request_error`."""
        # The SDK closes its session after a failed request, because the host may have been restarted. The next request
        # opens a new one.
        session = self._sessions.pop(asyncio.get_running_loop(), None)
        if session is not None:
            await session.close()


def _naming_the_sender() -> aiohttp.TraceConfig:
    async def add_header(
        session: aiohttp.ClientSession, context: Any, request: aiohttp.TraceRequestStartParams
    ) -> None:
        if (invocation_id := current_invocation_id()) is not None:
            request.headers[SENDER_HEADER] = invocation_id

    config = aiohttp.TraceConfig()
    config.on_request_start.append(add_header)
    return config


def patch(module: ModuleType) -> bool:
    """Replace the functions of the SDK's module. Return False if it does not have them. Idempotent."""
    if not hasattr(module, _GET_SESSION) and hasattr(module, _AIOHTTP):
        # The only thing that these releases use of aiohttp.
        setattr(module, _AIOHTTP, SimpleNamespace(ClientSession=BoundSession))
        return True
    if not hasattr(module, _GET_SESSION) or not hasattr(module, _HANDLE_REQUEST_ERROR):
        return False
    if _sessions_of(module) is None:
        sessions = SessionPerLoop()
        setattr(module, _GET_SESSION, sessions.get)
        setattr(module, _HANDLE_REQUEST_ERROR, sessions.close)
    return True


async def close_session_of_this_loop() -> None:
    """Close the durable client's session of the running loop. Call it before the loop ends.

    An open session would be reported as "Unclosed client session" when it is garbage-collected.
    """
    sessions = _sessions_of(sys.modules.get(MODULE))
    if sessions is not None:
        await sessions.close()


def _sessions_of(module: ModuleType | None) -> SessionPerLoop | None:
    # The replaced function is a bound method, so the module itself holds the state. A module-level variable here would
    # be out of step when the SDK is imported again, as some test suites do.
    owner = getattr(getattr(module, _GET_SESSION, None), "__self__", None)
    return owner if isinstance(owner, SessionPerLoop) else None
