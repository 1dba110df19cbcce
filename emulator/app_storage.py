"""Storage for connections with UseDevelopmentStorage=true: Azurite, or the built-in store if Azurite is not available.

`azemu start` and the tests open it before the host, because the host itself starts no storage.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from emulator.clock import Clock
from emulator.config.connections import (
    DEFAULT_CONNECTION,
    BuiltinConnection,
    ConnectionNotConfigured,
    resolve_connection,
)
from emulator.config.settings import Settings
from emulator.config.start import BUILTIN_PATH, Configuration, development_connections, storage_value
from emulator.storage.azurite import FOLDER, HOW_TO_GET_AZURITE, NoAzurite, open_azurite
from emulator.storage.endpoints import account_description


@dataclass(frozen=True, slots=True, kw_only=True)
class AppStorage:
    """The storage that is open. `settings`: app settings that the host must use instead of its own ones.

    `description`: for users; None: the app has no storage. `restarted`: set when the storage was lost and is available
    again, not necessarily with all its contents.
    """

    description: str | None
    settings: Mapping[str, str] = field(default_factory=dict)
    restarted: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def open_app_storage(
    configuration: Configuration, *, clock: Clock, print_line: Callable[[str], None]
) -> AsyncIterator[AppStorage]:
    """Open the storage that the app's settings ask for while entered. `print_line` shows a line to the user.

    Raises StorageUnavailable, and ConfigurationError when AzureWebJobsStorage cannot be understood.
    """
    description = describe_storage(configuration.settings)
    # Connections that name an account in Azure, or another server, need nothing to be started.
    connections = development_connections(configuration.settings)
    if not connections:
        yield AppStorage(description=description)
        return
    async with AsyncExitStack() as stack:
        try:
            azurite = await stack.enter_async_context(
                open_azurite(configuration.root, clock=clock, print_line=print_line)
            )
        except NoAzurite as missing:
            # A user who asked for Azurite by name needs what only a server can do, such as access by other programs.
            if configuration.wants_azurite:
                raise
            print_line(
                f"Azurite is not available; using the built-in store in {BUILTIN_PATH} of the app's folder (as with "
                f"--storage builtin). {missing.reason} To get Azurite, install {HOW_TO_GET_AZURITE}."
            )
            settings = dict.fromkeys(connections, storage_value("builtin", configuration.root))
            yield AppStorage(
                description=describe_storage(configuration.settings.with_values(settings)), settings=settings
            )
            return
        # UseDevelopmentStorage=true means the well-known ports. If Azurite listens on others, the settings must say so,
        # because user code reads them too.
        settings = {} if azurite.has_usual_ports else dict.fromkeys(connections, azurite.connection_string)
        if DEFAULT_CONNECTION in connections:
            where = f"started by azemu, data in {FOLDER}/" if azurite.started_here else azurite.origin
            description = f"{azurite.description} ({where})"
        yield AppStorage(description=description, settings=settings, restarted=azurite.restarted)


def describe_storage(settings: Settings) -> str | None:
    """Return a description of AzureWebJobsStorage for users; None if it has no value.

    Raises ConfigurationError if its value is not a storage connection.
    """
    try:
        connection = resolve_connection(settings, DEFAULT_CONNECTION)
    except ConnectionNotConfigured:
        return None
    if isinstance(connection, BuiltinConnection):
        return f"built-in, {connection.path or 'in memory (gone when the host ends)'}"
    return account_description(connection)
