"""Check of the task hub of an app, by its settings."""

from __future__ import annotations

from emulator.chaos.history_checker import check_hub
from emulator.chaos.violations import Violation
from emulator.clock import Clock
from emulator.config.connections import ConnectionNotConfigured
from emulator.config.start import Configuration
from emulator.durable.options import DurableTaskOptions, resolve_options
from emulator.storage.accounts import StorageAccounts


async def check_app(
    configuration: Configuration, accounts: StorageAccounts, clock: Clock, *, settled: bool
) -> list[Violation]:
    """Return the broken rules of the app's task hub; none if the app has no storage. `settled`: see `check_hub`."""
    options = resolve_options(configuration.host.section(DurableTaskOptions), configuration.settings)
    provider = options.storage_provider
    tracking = provider.tracking_store_connection_name
    try:
        return await check_hub(
            accounts(provider.connection_name),
            options.hub_name,
            clock,
            settled=settled,
            tracking=accounts(tracking) if tracking else None,
            prefix=provider.tracking_store_name_prefix if tracking else None,
        )
    except ConnectionNotConfigured:
        return []
