"""The hubs that killed .NET hosts left: `why` names the true cause, with and without a new host."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from emulator.accounts import open_accounts
from emulator.app import LastingParts
from emulator.config.start import StartOptions, configure
from emulator.diagnosis.finding import Cause
from emulator.diagnosis.opening import open_diagnosis, running_host
from emulator.durable.options import DurableTaskOptions, resolve_options
from emulator.storage.accounts import StorageAccounts
from emulator.virtual_time import VirtualClock
from tests.recordings import GOLDEN_3_19, MIDFLIGHT, RECORDED_APP, RecordingSet
from tests.recordings.loading import load_hub
from tests.running_apps import OPTION, RunningApp, copy_app, run_app

# By hub: the instance; its causes without a host, a minute after the kill; and, where it waited when the host was
# killed, its causes in a host of the app at that moment.
EXPECTED: dict[str, tuple[str, Sequence[Cause], Sequence[Cause]]] = {
    "between_retries": ("i1", [Cause.NO_HOST], [Cause.RETRY_PAUSE]),
    "child_waiting": ("i1", [Cause.TIMER], [Cause.EVENT_NOT_RAISED, Cause.TIMER]),
    "early_event_kept": ("i1", [Cause.EVENT_NOT_RAISED], [Cause.EVENT_NOT_RAISED]),
    "entity_with_state": ("i2", [Cause.NOT_FOUND], []),
    "eternal_loop": ("i1", [Cause.NO_HOST], []),
    "events_never_seen": ("i1", [Cause.NO_HOST], []),
    "half_a_fan_out": ("i1", [Cause.NO_HOST] * 6, []),
    "large_payload_kept": ("i2", [Cause.TIMER], [Cause.EVENT_NOT_RAISED, Cause.TIMER]),
    "started_but_never_seen": ("i1", [Cause.NO_HOST], []),
    "suspended": ("i1", [Cause.SUSPENDED], [Cause.SUSPENDED]),
    "waiting_for_event": ("i1", [Cause.TIMER], [Cause.EVENT_NOT_RAISED, Cause.TIMER]),
    "waiting_for_timer": ("i1", [Cause.NO_HOST], [Cause.TIMER]),
}


@pytest.mark.parametrize(
    ("recordings", "name"),
    [pytest.param(*each, marks=() if each[0] is GOLDEN_3_19 else pytest.mark.soak) for each in MIDFLIGHT],
    ids=str,
)
def test_why_names_the_cause_in_the_hub_of_a_killed_host(recordings: RecordingSet, name: str, tmp_path: Path) -> None:
    recorded = recordings.midflight(name)
    instance, without_host, in_host = EXPECTED[name]
    clock = VirtualClock(datetime.fromisoformat(recorded["stopped"]))
    folder = copy_app(RECORDED_APP, tmp_path / "app")
    settings = {f"{OPTION}hubName": "Killed"}
    chosen = StartOptions(app=folder, port=0, storage="builtin:memory", settings=settings, create_host_json=False)
    configuration = configure(chosen, {})
    options = resolve_options(configuration.host.section(DurableTaskOptions), configuration.settings)

    def run(accounts: StorageAccounts) -> AbstractAsyncContextManager[RunningApp]:
        return run_app(folder, clock=clock, lasting=LastingParts(accounts), settings=settings, drain_seconds=0.2)

    async def main() -> None:
        async with open_accounts(configuration.settings, clock) as accounts:
            await load_hub(accounts("AzureWebJobsStorage"), recorded, "Killed")
            if in_host:
                async with AsyncExitStack() as stack:
                    app = (await stack.enter_async_context(run(accounts))).app
                    await clock.idle()
                    host = running_host(app.host, app.worker, folder)
                    found = await open_diagnosis(options, accounts, clock, host=host).why(instance)
                    assert found.causes == in_host, found.json()
                    with clock.running(upkeep=True):
                        await stack.aclose()
            # The leases of the killed host have run out.
            await clock.advance(timedelta(minutes=1))
            found = await open_diagnosis(options, accounts, clock).why(instance)
            assert found.causes == without_host, found.json()

    with asyncio.Runner(loop_factory=clock.new_loop) as runner:
        runner.run(main())
