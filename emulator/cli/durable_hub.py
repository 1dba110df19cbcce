"""Command `azemu durable delete-hub`: delete everything of a task hub in storage."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta

from emulator import exit_codes
from emulator.cli.durable_access import HubStorage, RequestRefused, open_hub_storage
from emulator.cli.durable_arguments import DeleteHub
from emulator.cli.finding_hosts import find_host_if_running
from emulator.cli.hub_items import hub_items, refuse_running_hosts
from emulator.cli.printing import ProgressLine, confirm, print_json
from emulator.clock import SystemClock
from emulator.storage.port import AlreadyExists, PreconditionFailed, StorageAccount
from emulator.storage.transfer.export_file import Item, Kind
from emulator.storage.transfer.exporting import list_items


def run_delete_hub(command: DeleteHub) -> int:
    """Run the command and return its exit code.

    Raises ConfigurationError while a host uses the hub, RequestRefused if there is none, Declined.
    """
    return asyncio.run(_delete(command))


async def _delete(command: DeleteHub) -> int:
    async with open_hub_storage(command.where, must_exist=False) as storage:
        # By their names, so that control queues of a former, larger partition count are found, too.
        items = await list_items(storage.account, hub_items(storage.hub))
        if not items:
            raise RequestRefused(
                f"There is no {storage.description}. For another hub add --hub NAME, for another storage --storage "
                "STORAGE."
            )
        _refuse_own_host(command, storage)
        await refuse_running_hosts(storage.account, items, SystemClock())
        names = ", ".join(item.name for item in items)
        question = f"Delete the {storage.description} with all its instances ({names})?"
        # Unlike a purge, this takes everything, so a script has to say --yes.
        confirm(question, yes=command.yes, always=True)
        with ProgressLine() as progress:
            for number, item in enumerate(items):
                progress.show(f"Deleting {item} ({number + 1} of {len(items)}) …")
                await _drop(storage.account, item)
    if command.json:
        print_json({"hub": storage.hub, "deleted": [{"kind": item.kind.value, "name": item.name} for item in items]})
    else:
        sys.stderr.write(f"Deleted the {storage.description}: {names}.\n")
    return exit_codes.OK


def _refuse_own_host(command: DeleteHub, storage: HubStorage) -> None:
    """Raise RequestRefused if the host of this app runs. Its lease may be missing in the table while it starts."""
    if command.where.names_hub:
        return
    host = find_host_if_running(command.where.app, port=None, key=None, also_without_app=True)
    if host is None:
        return
    raise RequestRefused(
        f"The host of this app runs at port {host.port} and uses the {storage.description}. Stop it, then repeat the "
        "command."
    )


async def _drop(account: StorageAccount, item: Item) -> None:
    match item.kind:
        case Kind.TABLE:
            await account.table(item.name).drop()
        case Kind.CONTAINER:
            container = account.container(item.name)
            try:
                await container.drop()
            except (PreconditionFailed, AlreadyExists):
                # The app lease: a host keeps it when it stops, for up to a minute. The caller has checked that none
                # runs.
                await container.lease().break_(after=timedelta(0))
                await container.drop()
        case Kind.QUEUE:
            await account.queue(item.name).drop()
