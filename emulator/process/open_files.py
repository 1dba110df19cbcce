"""Connections are open files, and a process may have only so many: 1024 on most Linux systems, 256 on macOS."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Final

_ENOUGH: Final = 8192


def allow_many_open_files() -> None:
    """Raise the limit of this process as far as the system lets us."""
    if sys.platform == "win32":
        return  # Sockets are not counted there.
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else min(_ENOUGH, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # macOS has one more limit, which only it knows.
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
