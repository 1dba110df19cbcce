"""Exit codes of the command `azemu`, of its host process, and of the process that runs Azurite."""

from __future__ import annotations

from typing import Final

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
# Ended by a second Ctrl-C. Shells report a program that a signal ended as 128 + the signal's number; SIGINT is 2.
INTERRUPTED: Final = 130

# The others are only for the supervisor. Python, shells and signals do not use these numbers.
RESTART: Final = 82
"""The host process asks to be restarted at once (POST /admin/host/restart)."""
NOT_STARTED: Final = 83
"""The host could not start, and the host process has printed the reason."""
RUNNER_EXISTS: Final = 84
"""The process that runs Azurite: another one has the data folder."""
CHAOS: Final = 85
"""The host process has crashed as the seed of --chaos wants it."""
