"""Endpoints of the page Home: the state of the host, its storage, its task hub and its queues."""

from __future__ import annotations

import asyncio
import platform
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiohttp import web

from emulator import __version__
from emulator.config.connections import DEFAULT_CONNECTION
from emulator.dashboard.api.functions import run_members
from emulator.dashboard.api.logs import line_members
from emulator.dashboard.parts import DashboardParts
from emulator.dashboard.routing import endpoint, utc_text
from emulator.durable.azurestorage.partitioning.table_partitions import read_partition
from emulator.errors import ConfigurationError, EmulatorError
from emulator.host.admin.api import json_response
from emulator.host.http.routing.routes import HttpCall, Route
from emulator.instant import Instant
from emulator.storage.paging import query_rows
from emulator.storage.port import NotFound, StorageAccount
from emulator.worker.port import member_of

_FAILED: Final = re.compile(r"(?P<instance>.+?): Function '(?P<function>.+?) \(\w+\)' failed with an error\.")
_MAX_RUNNING: Final = 50
_MAX_ERRORS: Final = 20
POISON: Final = "-poison"


def home_routes(parts: DashboardParts) -> list[Route]:
    """Return the endpoints: `home` (facts that need no storage) and `home/storage` (queue depths and partitions)."""

    async def state(call: HttpCall) -> web.Response:
        host, configuration, recording = parts.host, parts.configuration, parts.recording
        running = recording.running
        # The host logs two lines for an invocation that has failed; this one does not say why.
        errors = [line for line in recording.errors if not line.message.startswith("Executed 'Functions.")]
        # The extension logs a third one, which says less than the function's own. Without that it is all there is.
        reported = {(line.instance_id, line.function) for line in errors if line.function}
        errors = [
            line
            for line in errors
            if not ((failed := _FAILED.match(line.message)) and (failed["instance"], failed["function"]) in reported)
        ]
        try:
            storage = parts.accounts(DEFAULT_CONNECTION).description
        except ConfigurationError:
            # An app of HTTP functions needs no storage.
            storage = None
        return json_response(
            {
                "state": host.status.state.value,
                "errors": [
                    *host.status.errors,
                    *(error for error in host.load_errors if error not in host.status.errors),
                ],
                "app": configuration.root.name,
                "folder": str(configuration.root),
                "version": __version__,
                "python": platform.python_version(),
                "port": parts.port,
                "startedAt": utc_text(parts.started_at),
                "now": utc_text(parts.clock.now()),
                "isVirtualTime": parts.time is not None,
                "storage": storage,
                "storageIsLocal": parts.accounts.is_emulated(DEFAULT_CONNECTION),
                "mayWrite": parts.may_write(),
                "taskHub": parts.durable_options.hub_name if parts.is_durable else None,
                "functions": len(host.catalog.functions),
                "functionsInError": len(host.catalog.problems),
                "startedInvocations": host.started_invocations,
                "failedInvocations": sum(recording.counts(name).failed for name in recording.functions),
                "running": [run_members(run) for run in running[:_MAX_RUNNING]],
                "runningCount": len(running),
                "recentErrors": [line_members(line) for line in errors[: -_MAX_ERRORS - 1 : -1]],
            }
        )

    async def storage_state(call: HttpCall) -> web.Response:
        # One that cannot be reached must not hide what is known of the others.
        queues, partitions = await asyncio.gather(_queues(parts), _partitions(parts))
        return json_response({**queues, **partitions})

    return [endpoint("GET", "home", state), endpoint("GET", "home/storage", storage_state)]


async def _queues(parts: DashboardParts) -> Mapping[str, Any]:
    """Return the number of messages in the queues of the task hub and of queue triggers, with their poison queues."""
    queues: list[tuple[StorageAccount, str, str, str]] = []
    error: str | None = None
    try:
        if parts.is_durable:
            names, account = parts.hub_names, parts.accounts(parts.durable_options.storage_provider.connection_name)
            queues += [(account, name, "control", "") for name in names.control_queues]
            queues.append((account, names.work_item_queue, "workItems", ""))
        for function in parts.host.catalog.functions:
            if function.trigger.type.lower() == "queuetrigger":
                name = str(member_of(function.trigger.properties, "queueName") or "").lower()
                connection = str(member_of(function.trigger.properties, "connection") or DEFAULT_CONNECTION)
                account = parts.accounts(connection)
                queues.append((account, name, "trigger", function.name))
                queues.append((account, name + POISON, "poison", function.name))
    except ConfigurationError as problem:
        error = str(problem)

    async def depth(account: StorageAccount, name: str, kind: str, function: str) -> dict[str, Any] | None:
        nonlocal error
        try:
            count = await account.queue(name).count()
        except NotFound:
            # Poison queues exist only when a message was moved to them.
            return None
        except EmulatorError as problem:
            error = str(problem)
            return None
        return {"name": name, "kind": kind, "function": function or None, "messages": count}

    depths = await asyncio.gather(*(depth(*queue) for queue in queues))
    return {"queues": [found for found in depths if found is not None], "queuesError": error}


async def _partitions(parts: DashboardParts) -> Mapping[str, Any]:
    """Return the leases of the control queues; None: the task hub keeps them in blobs, or there is none."""
    provider = parts.durable_options.storage_provider
    if not parts.is_durable or not provider.use_table_partition_management:
        return {"partitions": None, "partitionsError": None}
    table = parts.hub_names.partitions_table
    connection = provider.tracking_store_connection_name or provider.connection_name
    partitions: Sequence[Mapping[str, Any]] = ()
    error = None
    try:
        account = parts.accounts(connection)
        rows = [row async for row in query_rows(account.table(table))]
        partitions = [
            {
                "queue": partition.queue_name,
                "owner": partition.owner,
                "nextOwner": partition.next_owner,
                "ownedSince": _time(partition.owned_since),
                "expiresAt": _time(partition.expires_at),
                "isDraining": partition.is_draining,
            }
            for partition in map(read_partition, rows)
        ]
    except NotFound:
        pass  # The host has not created the task hub yet.
    except EmulatorError as problem:
        error = str(problem)
    return {"partitions": partitions, "partitionsError": error}


def _time(instant: Instant | None) -> str | None:
    return None if instant is None else utc_text(instant.datetime)
