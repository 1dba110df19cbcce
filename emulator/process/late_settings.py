"""Settings that take effect only if they are in the environment when the interpreter starts.

The host process of `azemu start` is started with all settings. With --no-reload, local.settings.json is read by the
interpreter that will run the app, which is too late for these.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from typing import Final

# Source: https://docs.python.org/3/using/cmdline.html#environment-variables. Not in the list are the variables that
# Python reads when it needs them, such as PYTHONBREAKPOINT and PYTHONASYNCIODEBUG.
_READ_BY_PYTHON: Final = frozenset(
    (
        "PYTHONCOERCECLOCALE",
        "PYTHONDEBUG",
        "PYTHONDEVMODE",
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONFAULTHANDLER",
        "PYTHONHASHSEED",
        "PYTHONHOME",
        "PYTHONINSPECT",
        "PYTHONINTMAXSTRDIGITS",
        "PYTHONIOENCODING",
        "PYTHONLEGACYWINDOWSFSENCODING",
        "PYTHONLEGACYWINDOWSSTDIO",
        "PYTHONMALLOC",
        "PYTHONNODEBUGRANGES",
        "PYTHONNOUSERSITE",
        "PYTHONOPTIMIZE",
        "PYTHONPATH",
        "PYTHONPLATLIBDIR",
        "PYTHONPROFILEIMPORTTIME",
        "PYTHONPYCACHEPREFIX",
        "PYTHONSAFEPATH",
        "PYTHONTRACEMALLOC",
        "PYTHONUNBUFFERED",
        "PYTHONUSERBASE",
        "PYTHONUTF8",
        "PYTHONVERBOSE",
        "PYTHONWARNDEFAULTENCODING",
        "PYTHONWARNINGS",
        "PYTHON_FROZEN_MODULES",
        "PYTHON_GIL",
        "PYTHON_JIT",
    )
)
# The loader of shared libraries and the locale.
_READ_BY_SYSTEM: Final = frozenset(
    ("LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_LIBRARY_PATH", "DYLD_INSERT_LIBRARIES", "LANG", "LC_ALL", "LC_CTYPE")
)


def settings_read_too_late(names: Iterable[str]) -> list[str]:
    """Return those of the settings that have no effect on an interpreter that already runs."""
    return sorted(name for name in names if name in _READ_BY_PYTHON or name in _READ_BY_SYSTEM)


def use_time_zone(settings: Mapping[str, str]) -> None:
    """Apply the setting TZ to this process, if there is one. It has no effect on Windows, as in any Python program."""
    if "TZ" in settings and hasattr(time, "tzset"):
        os.environ["TZ"] = settings["TZ"]
        time.tzset()
