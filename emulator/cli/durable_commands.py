"""Command `azemu durable …`: open the durable API, and run one of the commands with it."""

from __future__ import annotations

import asyncio
from typing import assert_never

from emulator import exit_codes
from emulator.cli.durable_access import open_durable_api
from emulator.cli.durable_arguments import (
    Control,
    ListEntities,
    ListInstances,
    Purge,
    RaiseEvent,
    Restart,
    ShowInstance,
    Signal,
    StartInstance,
)
from emulator.cli.durable_entities import list_entities, signal_entity
from emulator.cli.durable_instances import (
    control,
    list_instances,
    purge,
    raise_event,
    restart,
    show_instance,
    start_instance,
)

DurableCommand = (
    ListInstances | ShowInstance | StartInstance | RaiseEvent | Control | Restart | Purge | ListEntities | Signal
)


def run_durable(command: DurableCommand) -> int:
    """Run a command and return its exit code: 1 if an instance was awaited and has not completed.

    Raises ConfigurationError, InvocationFailed, RequestRefused, HostNotRunning for a port that was given, Declined if
    the user does not confirm a deletion, and what the storage raises.
    """
    return asyncio.run(_run(command))


async def _run(command: DurableCommand) -> int:
    # A start and a signal may be what creates the hub.
    needs_hub = not isinstance(command, StartInstance | Signal)
    async with open_durable_api(command.where, needs_hub=needs_hub) as api:
        match command:
            case ListInstances():
                await list_instances(api, command)
            case ShowInstance():
                await show_instance(api, command)
            case StartInstance():
                return await start_instance(api, command)
            case RaiseEvent():
                await raise_event(api, command)
            case Control():
                await control(api, command)
            case Restart():
                await restart(api, command)
            case Purge():
                await purge(api, command)
            case ListEntities():
                await list_entities(api, command)
            case Signal():
                await signal_entity(api, command)
            case _:
                assert_never(command)
    return exit_codes.OK
