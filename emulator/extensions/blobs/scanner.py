"""Scanner of containers: one host of an app at a time looks for new blobs, for the blob triggers of all hosts.

Source: docs/protocol/functions-host.md 8.4 and 9.2 (webjobs extension for blobs: SharedBlobListener).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from emulator.background import task_group
from emulator.config.connections import StorageConnection, resolve_connection
from emulator.extensions.blobs.account_scan import BLOBS_PER_PASS, AccountScan, ScanInfo
from emulator.extensions.blobs.blob_functions import BlobFunction
from emulator.extensions.blobs.container_scan import ContainerScan
from emulator.extensions.blobs.passing_on import PassingOn
from emulator.host.context import ExtensionContext
from emulator.host.locks import HostLockLost
from emulator.logs import get_logger
from emulator.polling.failures import Failures
from emulator.storage.port import StorageAccount, StorageOutage

_log = get_logger(__name__)

LOCK: Final = "WebJobs.Internal.Blobs.Listener"
"""The lock of the host that scans."""


@dataclass(frozen=True, slots=True)
class _Watched:
    """A container and the functions whose path names it."""

    connection: str
    account: StorageAccount
    container: str
    functions: Sequence[BlobFunction]


async def scan_containers(
    functions: Sequence[BlobFunction], passing_on: PassingOn, host_account: StorageAccount, context: ExtensionContext
) -> None:
    """Scan the containers of these functions whenever this host has the lock, until cancelled."""
    watched = _by_container([function for function in functions if function.is_watched])
    if not watched:
        return
    started_at = context.clock.now()
    real = [place for place in watched if not context.accounts.is_emulated(place.connection)]

    def scan_of(place: _Watched) -> ContainerScan | AccountScan:
        container = place.account.container(place.container)
        if place not in real:
            return ContainerScan(container, place.functions, passing_on, context.clock, started_at=started_at)
        connection = resolve_connection(context.settings, place.connection)
        # The built-in store counts as emulated.
        assert isinstance(connection, StorageConnection)
        info = ScanInfo(host_account, context.host_id, connection.account, place.container)
        limit = max(BLOBS_PER_PASS // len(real), 1)
        return AccountScan(container, place.functions, passing_on, context.clock, info, limit=limit)

    async def scan_all() -> None:
        async with task_group() as group:
            for place in watched:
                group.create_task(scan_of(place).run(), name=f"scan container {place.container}")

    failures = Failures("Taking the lock for the search of new blobs", context.clock)
    while True:
        try:
            async with context.locks.singleton(LOCK):
                failures.resolved()
                # New objects each time: meanwhile another host may have passed on blobs.
                await scan_all()
        except HostLockLost as lost:
            # If storage was away for longer than the lease, the account has logged that.
            level = logging.DEBUG if isinstance(lost.__cause__, StorageOutage) else logging.WARNING
            _log.log(level, "%s Another host may look for new blobs now; this one waits for the lock.", lost)
        except Exception as error:
            await failures.wait_before_retry(error)


def _by_container(functions: Sequence[BlobFunction]) -> list[_Watched]:
    # Accounts are compared by identity, because two connections may lead to the same account.
    places: dict[tuple[int, str], list[BlobFunction]] = {}
    for function in functions:
        places.setdefault((id(function.account), function.path.container), []).append(function)
    return [
        _Watched(group[0].connection, group[0].account, group[0].path.container, group) for group in places.values()
    ]
