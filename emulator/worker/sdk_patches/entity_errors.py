"""SDK patch: an exception of an entity operation is logged, with the line that raised it, before the SDK handles it.

Changes: `Entity.__init__` in `azure.durable_functions.entity`, which puts a wrapper around the user's function.
Why: `Entity.handle` catches the exception of an operation and keeps only its message, so the log could name neither the
    exception's type nor the user's file and line. What the SDK returns stays the same.
Written for: azure-functions-durable 1.7.0, entity.py.
Otherwise: a module without this class is left alone. Failed operations are logged with their message only.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from types import ModuleType
from typing import Any

from emulator.worker.origins import origin_of
from emulator.worker.user_logs import log_in_invocation

MODULE = "azure.durable_functions.entity"

_PATCHED = "_azemu_logs_errors"


def patch(module: ModuleType) -> bool:
    """Replace the constructor of `Entity`. Return False if the module has none. Idempotent."""
    entity = getattr(module, "Entity", None)
    original = getattr(entity, "__init__", None)
    if entity is None or original is None:
        return False
    if not hasattr(original, _PATCHED):

        @functools.wraps(original)
        def create(self: Any, entity_func: Callable[[Any], Any]) -> None:
            original(self, logging_errors(entity_func))

        setattr(create, _PATCHED, True)
        entity.__init__ = create
    return True


def logging_errors(entity_function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return the entity function with a log line for each exception that it raises."""

    @functools.wraps(entity_function)
    def run(context: Any) -> Any:
        try:
            return entity_function(context)
        except Exception as error:
            # Both are public properties of the SDK's context, but other releases may differ.
            operation = getattr(context, "operation_name", "")
            key = getattr(context, "entity_key", "")
            log_in_invocation(
                logging.ERROR,
                f"The operation '{operation}' of the entity with the key '{key}' failed. {origin_of(error)}",
                MODULE,
            )
            raise

    return run
