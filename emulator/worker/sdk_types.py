"""SDK types: parameters that take a client or message of an Azure SDK (deferred bindings), and their converters.

The packages azurefunctions-extensions-bindings-… register a converter per binding type, beside those of
azure.functions. Source: azure_functions_worker/bindings/meta.py; docs/protocol/python-worker.md 9.4.
"""

from __future__ import annotations

import sys
import typing
from typing import Any


def sdk_converter(binding_type: str, annotation: Any) -> Any | None:
    """Return the converter of an input binding whose parameter has an SDK type, or a list of one; None otherwise."""
    registry = _registry()
    try:
        if registry is None or not registry.check_supported_type(annotation):
            return None
    except TypeError:
        # The package compares classes and raises this for `typing.Optional[X]`, which is none of its types.
        return None
    # Without a converter for this binding, the official worker takes the usual one, which then refuses the annotation.
    return registry.get(binding_type)


def is_service_client(annotation: Any) -> bool:
    """Return whether an annotation is a type for which no binding is declared, such as ServiceBusMessageActions."""
    # Only newer versions of the base package have such types.
    check = getattr(_registry(), "check_supported_grpc_client_type", None)
    return check is not None and bool(check(annotation))


def full_name(annotation: Any) -> str:
    """Return module and name of an SDK type; of its element if it is a list."""
    element = typing.get_args(annotation)[0] if typing.get_args(annotation) else annotation
    return f"{element.__module__}.{element.__qualname__}"


def _registry() -> Any | None:
    # An annotation can be an SDK type only if the app has imported its package, which has imported the base package.
    base = sys.modules.get("azurefunctions.extensions.base")
    return None if base is None else base.get_binding_registry()
