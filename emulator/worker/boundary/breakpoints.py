"""Hint for `breakpoint()` in a process without a terminal."""

from __future__ import annotations

import os
import sys
from typing import Any

from emulator.logs import get_logger

_log = get_logger(__name__)


def explain_breakpoints() -> None:
    """Let `breakpoint()` log how to debug, instead of starting a debugger that reads an empty standard input.

    A debugger that is attached, and one that PYTHONBREAKPOINT names, are used as usual.
    """
    if sys.breakpointhook is not sys.__breakpointhook__:
        return  # A debugger that has started this process.

    def hint(*arguments: Any, **options: Any) -> None:
        if os.environ.get("PYTHONBREAKPOINT"):
            sys.__breakpointhook__(*arguments, **options)
            return
        caller = sys._getframe(1)
        _log.warning(
            "breakpoint() at %s:%d is skipped: functions have no terminal while azemu restarts them at changes. "
            'Start with "azemu start --no-reload", or attach a debugger: '
            'azemu start --python-arguments "-m debugpy --listen 5678".',
            caller.f_code.co_filename,
            caller.f_lineno,
        )

    sys.breakpointhook = hint
