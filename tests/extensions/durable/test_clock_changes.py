"""The system clock is set while a host runs: instances go on."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from emulator.clock import SystemClock
from tests.running_apps import DURABLE_APP, run_app
from tests.waiting import eventually

FLOW = """
@app.orchestration_trigger(context_name="context")
def flow(context):
    yield context.wait_for_external_event("go")
    return (yield context.call_activity("shout", "done"))

@app.activity_trigger(input_name="text")
def shout(text: str) -> str:
    return text.upper()
"""


class SetClock(SystemClock):
    """System clock that somebody has set: it differs from the real time by `shift`."""

    def __init__(self) -> None:
        self.shift = timedelta()

    def now(self) -> datetime:
        return super().now() + self.shift


@pytest.mark.parametrize("hours", [-5, 5])
async def test_instances_go_on_when_the_clock_is_set(tmp_path: Path, hours: int) -> None:
    clock = SetClock()
    async with run_app(tmp_path / "app", DURABLE_APP, FLOW, clock=clock, storage=f"builtin:{tmp_path / 's.db'}") as app:
        webhook = "/runtime/webhooks/durabletask"

        async def has_status(instance: str, status: str) -> bool:
            return bool((await app.get(f"{webhook}/instances/{instance}")).json()["runtimeStatus"] == status)

        await app.post(f"{webhook}/orchestrators/flow/before")
        await eventually(lambda: has_status("before", "Running"), "the first episode")
        clock.shift = timedelta(hours=hours)
        await app.post(f"{webhook}/orchestrators/flow/after")
        for instance in ("before", "after"):
            await app.post(f"{webhook}/instances/{instance}/raiseEvent/go", json=1)
            await eventually(partial(has_status, instance, "Completed"), f"the end of {instance}")
