"""Reading of files that anything may have put into a folder: it never waits, and takes some MB of memory at most."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final

MOST_BYTES: Final = 8 * 1024 * 1024
"""Files for azemu and for people are smaller. A larger one is data, or one that has no end, such as /dev/zero."""


def read_regular(path: Path) -> bytes:
    """Return the content of a file. Raises OSError, also for a larger one and for one that is not a regular file."""
    with open(path, "rb", opener=_without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "Not a regular file", str(path))
        # Files of /proc have no size before they are read.
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise OSError(errno.EFBIG, f"Larger than {MOST_BYTES // 1024 // 1024} MB", str(path))
    return content


def read_regular_text(path: Path, *, errors: str = "strict") -> str:
    """Return the text of a file in UTF-8, with line ends `\\n`. Raises OSError, UnicodeDecodeError."""
    # Tools on Windows write a byte order mark.
    text = read_regular(path).decode("utf-8-sig", errors)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _without_waiting(path: str, flags: int) -> int:
    # Otherwise the call would wait until something writes to a named pipe. Windows has none in folders.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
