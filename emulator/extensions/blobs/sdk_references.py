"""SDK types of blob bindings: the description from which azurefunctions-extensions-bindings-blob creates a client.

The package reads the connection from the environment and talks to the storage server itself.
Source: docs/protocol/python-worker.md 9.4.
"""

from __future__ import annotations

from emulator import bound_json as json
from emulator.config.connections import BuiltinConnection, resolve_connection
from emulator.config.settings import Settings
from emulator.errors import ConfigurationError
from emulator.host.bindings import connection_of
from emulator.host.port import InvalidFunction
from emulator.worker.port import Binding, Datum, ModelBindingData


def client_reference(binding: Binding, settings: Settings, *, container: str, blob: str) -> Datum:
    """Return the value of a parameter of an SDK type. `blob` is empty for a container."""
    content = {"Connection": _variable(binding, settings), "ContainerName": container, "BlobName": blob}
    return Datum(
        "model_binding_data",
        ModelBindingData(
            version="1.0",
            source="AzureStorageBlobs",
            content_type="application/json",
            content=json.dumps(content, separators=(",", ":")).encode(),
        ),
    )


def check_sdk_client(binding: Binding, settings: Settings) -> None:
    """Check that the connection of a parameter of an SDK type leads to a server. Raises InvalidFunction."""
    try:
        connection = resolve_connection(settings, connection_of(binding))
    except ConfigurationError:
        # Reported when the function runs, as for all connections of bindings.
        return
    if isinstance(connection, BuiltinConnection):
        raise InvalidFunction(
            f"The parameter '{binding.name}' takes a client of the Azure SDK, which needs a storage server, but the "
            f"connection '{connection_of(binding)}' leads to azemu's built-in store, which has none. Use Azurite "
            "(azemu start --storage azurite), or change the annotation to func.InputStream, bytes or str."
        )


def _variable(binding: Binding, settings: Settings) -> str:
    """Return the name of the environment variable with the connection; the package looks for exactly this name."""
    name = connection_of(binding)
    try:
        found = resolve_connection(settings, name).setting
    except ConfigurationError:
        return name
    return next((setting for setting, _ in settings.items() if setting.lower() == found.lower()), found)
