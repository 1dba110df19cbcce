"""Storage for connections with UseDevelopmentStorage=true, and for apps that name no storage: Azurite, or the built-in
store if Azurite is not available.

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
from emulator.config.missing_settings import example_hint
from emulator.config.settings import Settings
from emulator.config.start import (
    BUILTIN_PATH,
    DEVELOPMENT_STORAGE,
    Configuration,
    development_connections,
    storage_value,
)
from emulator.errors import ConfigurationError
from emulator.storage.azurite import HOW_TO_GET_AZURITE, NoAzurite, open_azurite
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
    app_settings = configuration.settings
    # Connections that name an account in Azure, or another server, need nothing to be started.
    connections = development_connections(app_settings)
    if is_storage_missing(app_settings):
        print_line(
            f"{DEFAULT_CONNECTION} is not set. Using local storage, as with {DEFAULT_CONNECTION}={DEVELOPMENT_STORAGE}."
            f"{example_hint(configuration.root)}"
        )
        connections = [DEFAULT_CONNECTION, *connections]
    if not connections:
        yield AppStorage(description=describe_storage(app_settings))
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
                f"--storage builtin). It has no server: the app's own storage clients cannot use it. {missing.reason} "
                f"To get Azurite, install {HOW_TO_GET_AZURITE}."
            )
            settings = dict.fromkeys(connections, storage_value("builtin", configuration.root))
            yield AppStorage(description=describe_storage(app_settings.with_values(settings)), settings=settings)
            return
        # The text UseDevelopmentStorage=true means the well-known ports, which Azurite need not have got. The storage
        # clients for Python do not understand it at all, and user code passes the setting to them.
        settings = dict.fromkeys(connections, azurite.connection_string)
        description = describe_storage(app_settings)
        if DEFAULT_CONNECTION in connections:
            where = azurite.origin
            if azurite.folder is not None:
                by = "started by azemu" if azurite.started_here else "started by another azemu"
                where = f"{by}, data in {azurite.folder}"
            description = f"{azurite.description} ({where})"
        yield AppStorage(description=description, settings=settings, restarted=azurite.restarted)


def is_storage_missing(settings: Settings) -> bool:
    """Return whether AzureWebJobsStorage has no value in any of its forms; a value of spaces does not count."""
    if not (settings.get(DEFAULT_CONNECTION) or " ").strip():
        settings = settings.with_values({DEFAULT_CONNECTION: ""})
    try:
        resolve_connection(settings, DEFAULT_CONNECTION)
    except ConnectionNotConfigured:
        return True
    except ConfigurationError:
        # It has a value. What is wrong with it is reported where it is used.
        return False
    return False


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
