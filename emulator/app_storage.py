"""The storage of an app, as `azemu start` provides it: Azurite where a connection means development storage, and the
built-in store where no Azurite can be had.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from emulator.clock import Clock
from emulator.config.connections import BuiltinConnection, ConnectionNotConfigured, resolve_connection
from emulator.config.settings import Settings
from emulator.config.start import BUILTIN_PATH, Configuration, development_connections, storage_value
from emulator.storage.azurite import FOLDER, HOW_TO_GET_AZURITE, Azurite, NoAzurite, open_azurite
from emulator.storage.endpoints import account_description


@dataclass(frozen=True, slots=True, kw_only=True)
class AppStorage:
    """`settings`: what the host must use instead of its own settings. `description`: for people; None: no storage.

    `again`: set when the storage was lost and is there again, not necessarily with all that was in it.
    """

    description: str | None
    settings: Mapping[str, str] = field(default_factory=dict)
    again: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def open_app_storage(
    configuration: Configuration, *, clock: Clock, say: Callable[[str], None]
) -> AsyncIterator[AppStorage]:
    """Have the storage that the app's settings ask for while entered.

    Raises StorageUnavailable, and ConfigurationError when AzureWebJobsStorage cannot be understood.
    """
    described = describe_storage(configuration.settings)
    meaning_development = development_connections(configuration.settings)
    if not meaning_development:
        yield AppStorage(description=described)
        return
    async with AsyncExitStack() as stack:
        try:
            azurite = await stack.enter_async_context(open_azurite(configuration.root, clock=clock, say=say))
        except NoAzurite as missing:
            if configuration.wants_azurite:
                raise
            say(_instead_of_azurite(missing))
            settings = dict.fromkeys(meaning_development, storage_value("builtin", configuration.root))
            yield AppStorage(
                description=describe_storage(configuration.settings.with_values(settings)), settings=settings
            )
            return
        # Elsewhere than the well-known ports, UseDevelopmentStorage=true would lead nowhere, in user code too.
        settings = {} if azurite.has_usual_ports else dict.fromkeys(meaning_development, azurite.connection_string)
        if "AzureWebJobsStorage" in meaning_development:
            described = _described(azurite)
        yield AppStorage(description=described, settings=settings, again=azurite.again)


def describe_storage(settings: Settings) -> str | None:
    """Where AzureWebJobsStorage lives. Raises ConfigurationError when its value cannot be understood."""
    try:
        connection = resolve_connection(settings, "AzureWebJobsStorage")
    except ConnectionNotConfigured:
        return None
    if isinstance(connection, BuiltinConnection):
        return f"built-in, {connection.path or 'in memory (gone when the host ends)'}"
    return account_description(connection)


def _instead_of_azurite(missing: NoAzurite) -> str:
    return (
        f"No Azurite can be had, so the built-in storage is used: {BUILTIN_PATH} in the app's folder (as with "
        f"--storage builtin). {missing.reason} To get Azurite, install {HOW_TO_GET_AZURITE}."
    )


def _described(azurite: Azurite) -> str:
    where = f"started by azemu, data in {FOLDER}/" if azurite.started_here else azurite.origin
    return f"{azurite.description} ({where})"
