"""What a process of azemu says by its exit code."""

from __future__ import annotations

from typing import Final

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
# Killed by a second Ctrl-C, as shells count it: 128 + the number of SIGINT.
INTERRUPTED: Final = 130

# Between the host process and its supervisor only.
RESTART: Final = 82
"""The host wants to be started again at once (/admin/host/restart, a function beyond its time limit)."""
NOT_STARTED: Final = 83
"""The host could not start and has told the user why."""
