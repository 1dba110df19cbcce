"""Connections are open files, and a process may have only so many: 1024 on most Linux systems, 256 on macOS.

with open_files():
    ...        # as many connections as the system lets us have; more of them wait, and the log says so
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

logger = logging.getLogger(__name__)

_ENOUGH: Final = 8192
_SAY_EVERY_SECONDS: Final = 10.0


@contextmanager
def open_files() -> Iterator[None]:
    """Raise the limit of this process, and while entered say calmly on the running loop that it is reached.

    asyncio would write a traceback for every look at a connection that it cannot take, a hundred in a row.
    """
    _raise_limit()
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    last = -_SAY_EVERY_SECONDS

    def on_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        nonlocal last
        if not _is_full(context):
            (before or type(loop).default_exception_handler)(loop, context)
        elif loop.time() - last >= _SAY_EVERY_SECONDS:
            last = loop.time()
            logger.warning("No more connections can be taken for now (%s); they wait.", context["exception"])

    loop.set_exception_handler(on_error)
    try:
        yield
    finally:
        loop.set_exception_handler(before)


def _is_full(context: dict[str, Any]) -> bool:
    return isinstance(context.get("exception"), OSError) and "accept" in context.get("message", "").lower()


def _raise_limit() -> None:
    if sys.platform == "win32":
        return  # Sockets are not counted there.
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else min(_ENOUGH, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # macOS has one more limit, which only it knows.
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
