"""Storage requests of a host on Azure that has nothing to do, calculated from the app's triggers and host.json.

The requests that azemu itself makes while it is idle say nothing about Azure: on the built-in store a listener waits
until a message comes, and on a developer's machine queues are polled more often.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from emulator.config.hostjson import HostOptions
from emulator.config.queue_options import QueuesOptions
from emulator.durable.options import DurableTaskOptions
from emulator.host.port import Function

MONTH: Final = timedelta(days=30)
# The default of the queue extension outside of the environment Development.
_QUEUE_POLLING: Final = timedelta(minutes=1)
# Source: durabletask, AzureStorageOrchestrationServiceSettings.cs, LeaseRenewInterval.
_PARTITION_RENEWAL: Final = timedelta(seconds=10)
# Between two passes over a container in Azure. Under Azurite the host uses another strategy, with two seconds.
# Source: docs/protocol/functions-host.md 8.4.
_BLOB_SCAN: Final = timedelta(seconds=10)
# Of the blob lease that makes one instance the primary host: it lasts 15 s and is renewed three seconds before its end.
# Source: docs/protocol/functions-host.md 9.2.
_PRIMARY_RENEWAL: Final = timedelta(seconds=12)


@dataclass(frozen=True, slots=True)
class IdleRequests:
    """Requests that one instance repeats. `what`: for users. `every`: their interval; `count`: how many each time."""

    what: str
    service: str
    operation: str
    every: timedelta
    count: int = 1

    @property
    def per_month(self) -> float:
        """The requests of 30 days."""
        return MONTH / self.every * self.count


def idle_requests(
    functions: Sequence[Function], host: HostOptions, durable: DurableTaskOptions | None
) -> list[IdleRequests]:
    """Return the requests of one instance without work. `durable` None: the app has no durable functions."""
    requests = [IdleRequests("host: lease of the primary host", "blob", "lease", _PRIMARY_RENEWAL)]
    if durable is not None:
        # At the longest interval: the pause grows with each poll that finds nothing, and an idle hub has reached it.
        provider = durable.storage_provider
        polling, partitions = provider.max_queue_polling_interval, provider.partition_count
        requests += [
            IdleRequests(f"durable: polls of {partitions} control queues", "queue", "get", polling, partitions),
            IdleRequests("durable: polls of the work-item queue", "queue", "get", polling),
        ]
        # The table manager reads all rows in each pass and renews each row of its own by a write.
        # Source: docs/protocol/task-hub-storage.md 5.3.
        if provider.use_table_partition_management and not provider.use_legacy_partition_management:
            requests += [
                IdleRequests("durable: reads of the partition table", "table", "query", _PARTITION_RENEWAL),
                IdleRequests("durable: renewals of partitions", "table", "write", _PARTITION_RENEWAL, partitions),
            ]
        else:
            requests.append(
                IdleRequests("durable: renewals of partition leases", "blob", "lease", _PARTITION_RENEWAL, partitions)
            )
        if durable.use_app_lease:
            interval = durable.app_lease_options.renew_interval
            requests.append(IdleRequests("durable: renewals of the app lease", "blob", "lease", interval))
    queues, lock = host.section(QueuesOptions), host.singleton.listener_lock_period
    queue_polling = queues.max_polling_interval
    # The default of this option here is that of a developer's machine. An app that sets just this value gets Azure's
    # default, too, because the options do not say where a value comes from.
    if queue_polling == QueuesOptions().max_polling_interval:
        queue_polling = _QUEUE_POLLING
    # The host has no listener for a disabled function.
    enabled = [function for function in functions if not function.disabled]
    for function in enabled:
        name = function.name
        match function.trigger.type.lower():
            case "queuetrigger":
                requests.append(IdleRequests(f"{name}: polls of its queue", "queue", "get", queue_polling))
            # The lock of a listener is renewed at half of its period (docs/protocol/functions-host.md 9.2).
            case "timertrigger":
                requests.append(IdleRequests(f"{name}: lease of its schedule", "blob", "lease", lock / 2))
    blob_triggers = [function.trigger for function in enabled if function.trigger.type.lower() == "blobtrigger"]
    if blob_triggers:
        requests.append(IdleRequests("blob triggers: polls of their queue", "queue", "get", queue_polling))
    # With the source EventGrid nothing is scanned: the events come to a webhook.
    scanned = {
        (str(trigger.properties.get("connection") or ""), str(trigger.properties.get("path") or "").partition("/")[0])
        for trigger in blob_triggers
        if str(trigger.properties.get("source") or "").lower() != "eventgrid"
    }
    requests += [
        IdleRequests(f"blob triggers: scans of the container {container}", "blob", "list", _BLOB_SCAN)
        for _, container in sorted(scanned)
    ]
    if scanned:
        # With each pass over the containers of an account, the logs of this hour and of the last one are listed. azemu
        # does not read them. Source: docs/protocol/functions-host.md 8.4.
        accounts = len({connection for connection, _ in scanned})
        requests.append(IdleRequests("blob triggers: listings of $logs", "blob", "list", _BLOB_SCAN, 2 * accounts))
        requests.append(IdleRequests("blob triggers: lease of the scanner", "blob", "lease", lock / 2))
    return requests
