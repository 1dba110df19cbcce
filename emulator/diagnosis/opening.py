"""Opening of a diagnosis for a host of this process, or for a hub whose host runs elsewhere, if at all."""

from __future__ import annotations

from pathlib import Path

from emulator.clock import Clock
from emulator.diagnosis.diagnosis import Diagnosis
from emulator.diagnosis.host_reader import RunningHost
from emulator.durable.options import DurableTaskOptions
from emulator.host.host import Host
from emulator.storage.accounts import StorageAccounts
from emulator.worker.inprocess import InProcessWorker
from emulator.worker.tracing import Traced


def open_diagnosis(
    options: DurableTaskOptions, accounts: StorageAccounts, clock: Clock, *, host: RunningHost | None = None
) -> Diagnosis:
    """Return the diagnosis of the task hub of these options. `host`: see `running_host`; None: only storage is read.

    Raises ConfigurationError, and ConnectionNotConfigured if the app names no storage.
    """
    provider = options.storage_provider
    tracking = provider.tracking_store_connection_name
    return Diagnosis(
        options,
        accounts(provider.connection_name),
        accounts(tracking) if tracking else None,
        clock,
        host=host,
        may_lose_writes=accounts.may_lose_writes(provider.connection_name),
    )


def running_host(host: Host, worker: InProcessWorker, root: Path) -> RunningHost:
    """Return the host of this process, as a diagnosis asks it. `root`: the app's folder."""

    async def trace(function: str, context: str, seconds: float) -> Traced | None:
        return await worker.trace(function, context, seconds=seconds)

    return RunningHost(host=host, root=root, trace=trace, places=worker.running_at)
