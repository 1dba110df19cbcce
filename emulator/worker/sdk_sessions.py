"""The durable SDK's HTTP connections, one set for each event loop.

azure-functions-durable keeps one aiohttp session for the whole process, which belongs to the loop of the first call. A
process that opens a second app, at the same time or later, as tests do, would use it on another loop, where it fails,
or on one that has been closed. So its session is looked up by loop, and closed before the loop ends.
Source: azure-functions-durable 1.7.0, models/utils/http_utils.py.
"""

from __future__ import annotations

import asyncio
import sys
from types import ModuleType

import aiohttp

_MODULE = "azure.durable_functions.models.utils.http_utils"


class LoopSessions:
    """Takes the place of the functions with which the SDK opens and closes its session."""

    def __init__(self) -> None:
        self._sessions: dict[asyncio.AbstractEventLoop, aiohttp.ClientSession] = {}

    async def get(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        session = self._sessions.get(loop)
        if session is None or session.closed:
            # The SDK's own limits.
            timeout = aiohttp.ClientTimeout(total=240, sock_connect=10)
            session = self._sessions[loop] = aiohttp.ClientSession(timeout=timeout)
        return session

    async def close(self) -> None:
        session = self._sessions.pop(asyncio.get_running_loop(), None)
        if session is not None:
            await session.close()


def loop_sessions() -> LoopSessions | None:
    """Put in place once the app has been imported; None: it has not imported the SDK, or another one than we know."""
    module = sys.modules.get(_MODULE)
    if module is None or not hasattr(module, "_get_session") or not hasattr(module, "_handle_request_error"):
        return None
    return _in_place(module)


def _in_place(module: ModuleType) -> LoopSessions:
    found = getattr(module._get_session, "__self__", None)
    if isinstance(found, LoopSessions):
        return found
    sessions = LoopSessions()
    module._get_session = sessions.get  # type: ignore[attr-defined]
    module._handle_request_error = sessions.close  # type: ignore[attr-defined]
    return sessions
