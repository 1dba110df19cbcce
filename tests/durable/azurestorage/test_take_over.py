"""A .NET host was killed in the middle of its work: our host goes on with its hub, as the real one did."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from emulator.app import App
from emulator.clock import Clock, SystemClock
from emulator.durable.azurestorage.hub import AzureStorageTaskHub
from emulator.durable.core.events import ExecutionResumed
from emulator.durable.core.identity import RuntimeStatus
from emulator.durable.hub import InstanceStatus
from emulator.durable.options import DurableTaskOptions, resolve_options
from emulator.ids import new_id
from emulator.storage.builtin import open_builtin
from emulator.storage.port import StorageAccount
from emulator.virtual_time import VirtualClock
from tests.recordings import GOLDEN_3_19, MIDFLIGHT, RECORDED_APP, RecordingSet
from tests.recordings.loading import LoadedHub, load_hub
from tests.running_apps import OPTION, copy_app, run_app
from tests.storage.bench import unique

from .world import World, messages_left

SETTINGS = {f"{OPTION}storageProvider__maxQueuePollingInterval": "00:00:00.500"}


@pytest.fixture
def app_folder(tmp_path: Path) -> Path:
    return copy_app(RECORDED_APP, tmp_path / "app")


@asynccontextmanager
async def our_host(folder: Path, hub: str, storage: str, clock: Clock) -> AsyncIterator[tuple[World, StorageAccount]]:
    settings = SETTINGS | {f"{OPTION}hubName": hub}
    async with run_app(folder, storage=storage, settings=settings, clock=clock) as running:
        yield World(_client(running.app, clock), clock), running.app.accounts("AzureWebJobsStorage")


def _client(app: App, clock: Clock) -> AzureStorageTaskHub:
    account = app.accounts("AzureWebJobsStorage")
    options = resolve_options(app.configuration.host.section(DurableTaskOptions), app.configuration.settings)
    return AzureStorageTaskHub(options, account, clock=clock, new_id=new_id)


async def carry_on(world: World, steps: Sequence[Mapping[str, Any]]) -> None:
    for step in steps:
        match step:
            case {"event": name, "data": data}:
                await world.raise_event(step.get("instance", "i1"), name, data)
            case {"resume": id}:
                await world.send(id, ExecutionResumed(timestamp=world.now, reason="back"))
                await world.becomes(id, RuntimeStatus.RUNNING)
            case {"start": name, "instance": id}:
                await world.start(name, None, id=id)
            case _:
                raise AssertionError(f"unknown step {step}")


def check(status: InstanceStatus, expected: Mapping[str, Any]) -> None:
    assert status.runtime_status is RuntimeStatus.from_wire_name(expected["runtimeStatus"]), status
    if "output" in expected:
        assert json.loads(status.output or "null") == expected["output"]
    if "customStatus" in expected:
        assert json.loads(status.custom_status or "null") == expected["customStatus"]


async def finish(world: World, account: StorageAccount, loaded: LoadedHub) -> None:
    await carry_on(world, loaded.then)
    for id, expected in loaded.expect.items():
        check(await world.ended(id, within_seconds=600), expected)
    late = await messages_left(account, loaded.hub.lower())
    assert all("-control-" in name for name in late), "an activity is still to be run"


# Some seconds each, so only those of the current extension run every time.
@pytest.mark.parametrize(
    ("recordings", "name"),
    [pytest.param(*each, marks=() if each[0] is GOLDEN_3_19 else pytest.mark.soak) for each in MIDFLIGHT],
    ids=str,
)
def test_a_killed_hosts_hub_is_finished_from_the_moment_of_its_death(
    recordings: RecordingSet, name: str, app_folder: Path, tmp_path: Path
) -> None:
    """The clock begins when the host was killed: its leases have to run out first."""
    recorded = recordings.midflight(name)
    clock = VirtualClock(datetime.fromisoformat(recorded["stopped"]))
    store = tmp_path / "store.db"

    async def main() -> None:
        with clock.running():
            async with open_builtin(store, clock) as account:
                loaded = await load_hub(account, recorded, "TakenOver")
            async with our_host(app_folder, loaded.hub, f"builtin:{store}", clock) as (world, account):
                await finish(world, account, loaded)

    with asyncio.Runner(loop_factory=clock.new_loop) as runner:
        runner.run(main())


# A server stores the same as the built-in store, on which all hubs are tried. Timers take many seconds of real time.
ON_A_SERVER = ("entity_with_state", "half_a_fan_out", "large_payload_kept")


@pytest.mark.azurite
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in ON_A_SERVER else pytest.mark.soak) for name in GOLDEN_3_19.midflight_names],
)
async def test_a_killed_hosts_hub_is_finished_on_a_real_server(name: str, app_folder: Path, azurite: str) -> None:
    clock, hub = SystemClock(), unique("Hub")
    async with our_host(app_folder, unique("Other"), azurite, clock) as (_, account):
        loaded = await load_hub(account, GOLDEN_3_19.midflight(name), hub)
    async with our_host(app_folder, hub, azurite, clock) as (world, account):
        await finish(world, account, loaded)
