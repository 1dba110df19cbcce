"""SDK types: parameters that take a client or message of an Azure SDK (deferred bindings), and their converters.

The packages azurefunctions-extensions-bindings-… register a converter per binding type, beside those of
azure.functions. Source: azure_functions_worker/bindings/meta.py; docs/protocol/python-worker.md 9.4.
"""

from __future__ import annotations

import sys
import typing
from typing import Any, Final

from emulator.worker.port import ModelBindingData

# Clients that a function keeps. Most functions have one, but a path with expressions may name a new blob in every run.
_MAX_CLIENTS: Final = 100


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


class SdkClients:
    """The SDK clients of a function, created by its package when they are first needed.

    As in the official worker, a parameter gets the same client again for the same blob or container, so that its
    connections are kept open. Callable on any thread.
    """

    def __init__(self) -> None:
        self._clients: dict[tuple[str, bytes], Any] = {}

    def of(self, parameter: str, binding_type: str, annotation: Any, data: ModelBindingData) -> Any:
        """Return the object that `data` describes. Raises what the package raises.

        A StorageStreamDownloader makes a request at this moment.
        """
        key = (parameter, data.content)
        if key in self._clients:
            return self._clients[key]
        base, converter = sys.modules["azurefunctions.extensions.base"], sdk_converter(binding_type, annotation)
        assert converter is not None  # The signature was checked.
        client = converter.decode(base.Datum(data, "model_binding_data"), trigger_metadata=None, pytype=annotation)
        # The official worker keeps a StorageStreamDownloader, too, which has nothing left to read in the second run.
        if type(client).__name__.endswith("Client"):
            while len(self._clients) >= _MAX_CLIENTS:
                self._clients.pop(next(iter(self._clients), key), None)
            # Of two threads, both get the client of the first one.
            return self._clients.setdefault(key, client)
        return client


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
