"""Limit of open files, which the host raises at its start.

Every connection counts as one; the default is 1024 on most Linux systems and 256 on macOS.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Final

_WANTED_FILES: Final = 8192


def raise_open_files_limit() -> None:
    """Raise this process's limit of open files to 8192, or as far as the system allows."""
    if sys.platform == "win32":
        return  # Windows does not count sockets as open files.
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = _WANTED_FILES if hard == resource.RLIM_INFINITY else min(_WANTED_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < limit:
        # macOS has another limit (kern.maxfilesperproc), which getrlimit does not report. The lower limit works, too.
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
