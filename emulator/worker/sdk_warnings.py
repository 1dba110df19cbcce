"""What the durable SDK warns of in normal work: kept from becoming an error.

Under a test runner that turns warnings into errors, an event that comes before its wait, or the first value that is
decoded, would fail the orchestration. Both are logged at the level debug instead.
Source: azure-functions-durable 1.7.0, models/TaskOrchestrationExecutor.py (a completion that nobody waits for yet);
azure-functions 1.26.0, _durable_functions.py (once per process, values without a type).
"""

from __future__ import annotations

import logging
import sys
from typing import Any

_MODULES = ("azure.durable_functions.models.TaskOrchestrationExecutor", "azure.functions._durable_functions")

_log = logging.getLogger(__name__)


class _Remarks:
    """Takes the place of the module `warnings` in these two."""

    def warn(self, message: object, *_: object, **__: object) -> None:
        _log.debug("%s", message)


def soften_warnings() -> None:
    """Put in place once the app has been imported. Does nothing for a library that the app has not imported."""
    for name in _MODULES:
        module: Any = sys.modules.get(name)
        if hasattr(module, "warnings"):
            module.warnings = _Remarks()
