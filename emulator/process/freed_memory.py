"""Return of freed memory to the system: a payload of megabytes must not enlarge the host for the rest of its life."""

from __future__ import annotations

import sys
from typing import Final

# Parameters of glibc's mallopt and their values here.
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_LARGE_BYTES: Final = 1024 * 1024
_KEPT_BYTES: Final = 4 * 1024 * 1024


def return_freed_memory() -> None:
    """Let malloc return large blocks to the system as soon as they are freed. Does nothing without glibc.

    By default, glibc keeps up to 64 MiB per arena once a program has freed a block of 32 MiB, because it raises both
    thresholds.
    """
    if sys.platform != "linux":
        return
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # musl has none.
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
