"""Changes that azemu makes to the azure-functions libraries in the app's process, one module per change.

Each module documents what it changes, why, and for which release it was written. Every change is optional: if a library
is not imported, or no longer has the attribute that is replaced, the change is skipped and the app runs with the
library as it is. `tests/worker/test_sdk_patches.py` fails if the installed release no longer has one of these
attributes, or no longer needs the change.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import ModuleType

from emulator.logs import get_logger
from emulator.worker.sdk_patches import entity_errors, history_timestamps, http_sessions, quiet_warnings

_log = get_logger(__name__)

_PATCHES: Mapping[str, Callable[[ModuleType], bool]] = {
    http_sessions.MODULE: http_sessions.patch,
    history_timestamps.MODULE: history_timestamps.patch,
    entity_errors.MODULE: entity_errors.patch,
    **dict.fromkeys(quiet_warnings.MODULES, quiet_warnings.patch),
}


def apply_sdk_patches() -> None:
    """Apply all changes to the library modules that are imported so far. Idempotent.

    Call it after the app's modules have been imported.
    """
    for name, patch in _PATCHES.items():
        # Only modules that the app itself has imported: azemu does not depend on the durable SDK, and importing it here
        # would slow down the start of apps without durable functions.
        module = sys.modules.get(name)
        if module is not None and not patch(module):
            _log.debug("The module %s differs from the known releases, so azemu does not patch it", name)
