"""A host is killed after it stored the history of an episode and before it wrote the status row."""

from __future__ import annotations

from pathlib import Path

import pytest

from emulator.durable.core.identity import RuntimeStatus
from emulator.durable.hub import InstanceStatus
from emulator.storage.port import StorageAccount
from emulator.virtual_time import VirtualClock
from tests.durable.azurestorage.crashing import CrashPoint, Moment
from tests.durable.azurestorage.test_crash_anywhere import either
from tests.durable.azurestorage.world import messages_left
from tests.durable.engine.app import App, running_app
from tests.running_apps import write_app
from tests.sdk_releases import DURABLE, needs
from tests.waiting import eventually

pytestmark = needs(DURABLE, "1.2.0")

APP = """
import azure.durable_functions as df

app = df.DFApp()


@app.orchestration_trigger(context_name="context")
def waits(context):
    context.set_custom_status("waiting")
    yield context.wait_for_external_event("go")
    context.set_custom_status("gone")
    return "done"


@app.orchestration_trigger(context_name="context")
def parent(context):
    return (yield context.call_sub_orchestrator("waits", None, "child"))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_app(tmp_path / "app", APP.lstrip())


async def row_of(app: App, instance: str, custom_status: str) -> InstanceStatus:
    """The status row once it has this custom status."""

    async def row() -> InstanceStatus | None:
        found = await app.hub.status(instance)
        return found if found is not None and found.custom_status == custom_status else None

    return await eventually(row, f'{instance} with the status "{custom_status}"', within=900, clock=app.clock, every=5)


async def killed_before_row(
    account: StorageAccount, clock: VirtualClock, folder: Path, orchestration: str, row: int
) -> None:
    """Start an orchestration on a host that is killed before it writes the status row number `row`, from 1."""
    crash = CrashPoint(("submit TestHubInstances", row), Moment.BEFORE)
    async with running_app(folder, crash.account(account), clock) as app:
        await App(app.hub, clock).begin(orchestration)
        await either(crash.happened.wait())


async def test_custom_status_is_computed_again(account: StorageAccount, clock: VirtualClock, folder: Path) -> None:
    await killed_before_row(account, clock, folder, "waits", row=2)  # The first is that of the client.
    async with running_app(folder, account, clock) as app:
        assert (await app.status("i1")).custom_status is None
        status = await row_of(app, "i1", '"waiting"')
        assert status.runtime_status is RuntimeStatus.RUNNING
        await app.tell("i1", "go")
        assert await app.output("i1") == "done"
        assert (await app.status("i1")).custom_status == '"gone"'


async def test_custom_status_is_computed_before_any_message_is_deleted(
    account: StorageAccount, clock: VirtualClock, folder: Path
) -> None:
    """A late event, and not the message of the interrupted episode, is what the next host gets first."""
    crash = CrashPoint(("submit TestHubInstances", 3), Moment.BEFORE)
    async with running_app(folder, crash.account(account), clock) as app:
        await app.begin("waits")
        await row_of(app, "i1", '"waiting"')
        await app.tell("i1", "go")
        await either(crash.happened.wait())
    async with running_app(folder, account, clock) as app:
        await app.tell("i1", "late")
        status = await app.ended("i1")
        assert (status.runtime_status, status.custom_status) == (RuntimeStatus.COMPLETED, '"gone"')
    assert await messages_left(account) == {"testhub-control-03": 1}  # Locked by the first host.


async def test_row_of_a_child_is_written(account: StorageAccount, clock: VirtualClock, folder: Path) -> None:
    await killed_before_row(account, clock, folder, "parent", row=3)
    async with running_app(folder, account, clock) as app:
        # The next episode of the child has no columns of its start.
        await app.tell("child", "go")
        assert await app.output("i1") == "done"
        status = await row_of(app, "child", '"gone"')
        assert (status.name, status.parent_instance_id, status.input) == ("waits", "i1", '"null"')
