"""Whether the running code is an orchestrator that is being replayed, for the lines that it logs."""

from __future__ import annotations

import inspect
import sys
from typing import Any, Final

_CONTEXT: Final = "DurableOrchestrationContext"


def is_replaying() -> bool:
    """Return whether the calling code belongs to an orchestrator function whose context says `is_replaying`."""
    # Without the library nothing is an orchestrator.
    if "azure.durable_functions" not in sys.modules:
        return False
    # Only the frames connect a line with the context: it is a parameter of the orchestrator, a generator.
    frame = sys._getframe(1)
    while frame.f_back is not None:
        frame = frame.f_back
        code = frame.f_code
        if code.co_flags & inspect.CO_GENERATOR and code.co_argcount:
            context: Any = frame.f_locals.get(code.co_varnames[0])
            if type(context).__name__ == _CONTEXT:
                return bool(context.is_replaying)
    return False
