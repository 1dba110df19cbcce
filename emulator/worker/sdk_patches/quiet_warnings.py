"""SDK patch: warnings that the SDK emits during normal work are logged at level DEBUG instead.

Changes: the name `warnings` in `azure.durable_functions.models.TaskOrchestrationExecutor` (warns about a completion
    that arrives before the orchestrator waits for it) and in `azure.functions._durable_functions` (warns once per
    process about values that are decoded without a declared type).
Why: a test runner that turns warnings into errors (`filterwarnings = ["error"]`) would fail the orchestration although
    nothing is wrong with it. By default Python only prints such warnings.
Written for: azure-functions-durable 1.7.0, azure-functions 1.26.0.
Otherwise: a module that does not import `warnings` is left alone.
"""

from __future__ import annotations

from types import ModuleType

from emulator.logs import get_logger

MODULES = ("azure.durable_functions.models.TaskOrchestrationExecutor", "azure.functions._durable_functions")

_WARNINGS = "warnings"

_log = get_logger(__name__)


class DebugLog:
    """Replacement for the module `warnings` that offers only `warn`, the one function that the SDK calls."""

    def warn(self, message: object, *_: object, **__: object) -> None:
        """Log the message at level DEBUG."""
        _log.debug("%s", message)


def patch(module: ModuleType) -> bool:
    """Replace the module's name `warnings`. Return False if it has none. Idempotent."""
    if not hasattr(module, _WARNINGS):
        return False
    # Only this module's reference is replaced, not the function `warnings.warn`: warnings of user code stay as they
    # are.
    setattr(module, _WARNINGS, DebugLog())
    return True
