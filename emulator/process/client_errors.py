"""Event loop errors that HTTP clients cause: logged in one line instead of a traceback each."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from emulator.logs import get_logger

logger = get_logger(__name__)

_WARNING_INTERVAL_SECONDS: Final = 10.0


def shorten_client_errors() -> None:
    """Shorten the running event loop's reports of errors that clients cause, until it is closed; pass on all others."""
    loop = asyncio.get_running_loop()
    previous_handler = loop.get_exception_handler()
    last_warning = -_WARNING_INTERVAL_SECONDS

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        nonlocal last_warning
        error, message = context.get("exception"), context.get("message", "")
        if isinstance(error, OSError) and "accept" in message.lower():
            # The limit of open files is reached. The connections wait in the kernel's queue, and asyncio reports the
            # error at every attempt to accept one, up to a hundred times in a row.
            if loop.time() - last_warning >= _WARNING_INTERVAL_SECONDS:
                last_warning = loop.time()
                logger.warning("Too many open connections (%s). New connections wait until others are closed.", error)
        elif isinstance(error, ConnectionError) and "_call_connection_lost" in message:
            # The Windows event loop reports a client that closed its connection as an error of a callback.
            logger.debug("A client closed its connection: %s", error)
        elif isinstance(error, ValueError) and "_start_serving" in message:
            # A second after an error of accept, asyncio listens again, also if the host has closed its sockets by then.
            logger.debug("Nothing listens any longer: %s", error)
        else:
            (previous_handler or type(loop).default_exception_handler)(loop, context)

    # Not restored when the app has ended: asyncio listens again up to a second later, while the loop is still ending.
    loop.set_exception_handler(handle)
