"""Opening of a diagnosis for a host of this process, or for a hub whose host runs elsewhere, if at all."""

from __future__ import annotations

from emulator.clock import Clock
from emulator.config.start import Configuration
from emulator.diagnosis.diagnosis import Diagnosis
from emulator.diagnosis.host_reader import RunningHost
from emulator.durable.options import DurableTaskOptions, resolve_options
from emulator.host.host import Host
from emulator.storage.accounts import StorageAccounts
from emulator.worker.inprocess import InProcessWorker
from emulator.worker.tracing import Traced


def open_diagnosis(
    configuration: Configuration,
    accounts: StorageAccounts,
    clock: Clock,
    *,
    host: Host | None = None,
    worker: InProcessWorker | None = None,
) -> Diagnosis:
    """Return the diagnosis of an app's own task hub. `host`, `worker`: of this process; None: only storage is read.

    Raises ConfigurationError, and ConnectionNotConfigured if the app names no storage.
    """
    options = resolve_options(configuration.host.section(DurableTaskOptions), configuration.settings)
    provider = options.storage_provider
    tracking = provider.tracking_store_connection_name
    running = None
    if host is not None and worker is not None:
        traced = worker

        async def trace(function: str, context: str, seconds: float) -> Traced | None:
            return await traced.trace(function, context, seconds=seconds)

        running = RunningHost(host=host, root=configuration.root, trace=trace, places=worker.running_at)
    return Diagnosis(
        options,
        accounts(provider.connection_name),
        accounts(tracking) if tracking else None,
        clock,
        host=running,
        may_lose_writes=accounts.may_lose_writes(provider.connection_name),
    )
