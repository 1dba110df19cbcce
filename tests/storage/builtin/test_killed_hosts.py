"""Hosts killed under load: every acknowledged start completes exactly once, with the right result."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path

import pytest

from emulator.durable.core.events import ExecutionCompleted, TaskCompleted
from emulator.testing import SyncAppUnderTest, start_sync
from tests.running_apps import DURABLE_APP, write_app
from tests.storage.builtin.host import CHAIN, FIRST_DAY
from tests.storage.builtin.test_processes import start


def started_until_killed(folder: Path, file: Path, day: int, chance: random.Random) -> list[str]:
    """The instances whose start was acknowledged."""
    with start("host", folder, file, day) as host:
        assert host.stdout is not None
        acknowledged = [host.stdout.readline() for _ in range(chance.randrange(1, 25))]
        host.kill()
        acknowledged += host.stdout.read().splitlines(keepends=True)
    return [line.strip() for line in acknowledged if line.endswith("\n")]


def check(app: SyncAppUnderTest, instance: str) -> None:
    status = app.client.get_status(instance)
    history = app.history(instance)
    assert (status.runtime_status.name, status.output) == ("Completed", 6 * int(instance.split("-")[1]))
    assert sum(isinstance(event, ExecutionCompleted) for event in history) == 1
    answered = [event.task_scheduled_id for event in history if isinstance(event, TaskCompleted)]
    assert len(set(answered)) == 3


@pytest.mark.parametrize("kills", [2, pytest.param(200, marks=[pytest.mark.soak, pytest.mark.timeout(1200)])])
def test_every_acknowledged_start_completes_exactly_once(tmp_path: Path, kills: int) -> None:
    folder, file = write_app(tmp_path / "app", DURABLE_APP, CHAIN), tmp_path / "storage.db"
    chance = random.Random(kills)
    acknowledged: list[str] = []
    for day in range(kills):
        acknowledged += started_until_killed(folder, file, day, chance)
    with start_sync(folder, storage=file, now=FIRST_DAY + timedelta(days=kills)) as app:
        assert app.run_until_idle(timedelta(days=1))
        for instance in acknowledged:
            check(app, instance)
    assert len(acknowledged) >= kills
