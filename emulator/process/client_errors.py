"""What asyncio complains of with tracebacks, although clients may do it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

logger = logging.getLogger(__name__)

_SAY_EVERY_SECONDS: Final = 10.0


@contextmanager
def quiet_client_errors() -> Iterator[None]:
    """While entered, the running loop says calmly what clients cause, and everything else as before.

    With more connections than the system allows, the others wait; asyncio would write a traceback for every look at
    them, a hundred in a row. A client that goes away is nothing to speak of, but on Windows asyncio does.
    """
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    last = -_SAY_EVERY_SECONDS

    def on_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        nonlocal last
        error, message = context.get("exception"), context.get("message", "")
        if isinstance(error, OSError) and "accept" in message.lower():
            if loop.time() - last >= _SAY_EVERY_SECONDS:
                last = loop.time()
                logger.warning("No more connections can be taken for now (%s); they wait.", error)
        elif isinstance(error, ConnectionError) and "_call_connection_lost" in message:
            logger.debug("A connection is gone: %s", error)
        else:
            (before or type(loop).default_exception_handler)(loop, context)

    loop.set_exception_handler(on_error)
    try:
        yield
    finally:
        loop.set_exception_handler(before)
