"""Locks of timer functions: one host at a time, hand-over, killed hosts, lost locks. Compared with the recordings."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from emulator.background import background
from emulator.host.lease_journal import LeaseJournal, open_lease_journal
from emulator.host.locks import CONTAINER, BlobHostLocks
from emulator.ids import new_id
from emulator.storage.builtin import open_builtin
from emulator.storage.port import LeaseState
from emulator.virtual_time import VirtualClock
from tests.extensions.timers.replaying import HOST_ID, RunningHost, Stage
from tests.processes import started
from tests.recordings.triggers import TRIGGERS
from tests.running_apps import HTTP_APP, run_app, write_app
from tests.storage.bench import unique
from tests.storage_calls import StorageCalls
from tests.waiting import eventually

LOCK = f"locks/{HOST_ID}/Host.Functions.TCron.Listener"
OTHER_LEASE = "0f8fad5b-d9cb-469f-a165-70867728950e"
EVERY_TEN_SECONDS = {"cron": "*/10 * * * * *"}
# Begins one second after an occurrence.
START = datetime(2026, 11, 29, 4, 0, 1, tzinfo=UTC)

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(START)


@pytest.fixture
def run(clock: VirtualClock) -> Iterator[Run]:
    with asyncio.Runner(loop_factory=clock.new_loop) as runner:
        yield runner.run


async def passes(clock: VirtualClock, seconds: float) -> None:
    await clock.advance(timedelta(seconds=seconds), upkeep=True)


async def stop(host: RunningHost) -> None:
    host.stop.set()
    assert host.task is not None
    with host.clock.running(upkeep=True):
        await host.task


def occurrences(*hosts: RunningHost) -> list[datetime]:
    return sorted(moment for host in hosts for moment, _ in host.received)


def test_a_second_host_takes_a_timer_over_when_the_first_stops_and_when_it_is_killed(
    run: Run, clock: VirtualClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def hosts() -> None:
        async with Stage(tmp_path, clock) as stage:
            first = await stage.start(1, "TCron", EVERY_TEN_SECONDS)
            second = await stage.start(2, "TCron", EVERY_TEN_SECONDS)
            await passes(clock, 60)
            assert (len(first.received), len(second.received)) == (6, 0)
            await stop(first)
            await passes(clock, 60)
            # It looks for the lock every five seconds, so that at most one occurrence is in between.
            assert len(second.received) >= 5
            third = await stage.start(1, "TCron", EVERY_TEN_SECONDS)
            await passes(clock, 30)
            assert third.received == []
            second.kill()
            await passes(clock, 80)
            assert len(third.received) >= 1
            # An occurrence runs on one host only.
            counts = Counter(occurrences(first, second, third))
            assert max(counts.values()) == 1
            assert [change.operation for change in first.calls.of(f"{CONTAINER}/{LOCK}")][:2] == [
                "put blob",
                "lease acquire",
            ]

    run(hosts())
    assert 'The listener of function "TCron" waits for its lock, which another host holds' in caplog.text


def test_a_listener_lock_period_of_host_json_is_used(run: Run, clock: VirtualClock, tmp_path: Path) -> None:
    prefix = "AzureFunctionsJobHost__singleton__"
    settings = {**EVERY_TEN_SECONDS, f"{prefix}listenerLockPeriod": "00:00:15"}

    async def hosts() -> None:
        async with Stage(tmp_path, clock) as stage:
            first = await stage.start(1, "TCron", settings)
            second = await stage.start(2, "TCron", settings)
            await passes(clock, 30)
            [acquired] = [change for change in first.calls.changes if change.operation == "lease acquire"]
            assert acquired.arguments["duration"] == timedelta(seconds=15)
            renewals = [change for change in first.calls.changes if change.operation == "lease renew"]
            assert len(renewals) in (3, 4)
            first.kill()
            await passes(clock, 21)
            assert second.calls.of(f"{CONTAINER}/{LOCK}") != []

    run(hosts())


def test_a_host_that_loses_its_lock_stops_the_timer_and_waits_for_the_lock(
    run: Run, clock: VirtualClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The steps of the recording `timer_lock_lost`, in which the process ends."""

    async def hosts() -> None:
        async with Stage(tmp_path, clock) as stage:
            host = await stage.start(1, "TCron", EVERY_TEN_SECONDS)
            await passes(clock, 12)
            async with stage.container() as container:
                lease = container.lease(LOCK)
                await lease.break_(after=timedelta(0))
                await lease.acquire(OTHER_LEASE, duration=timedelta(seconds=60))
                await passes(clock, 20)
                ran = len(host.received)
                for _ in range(3):
                    await passes(clock, 25)
                    await lease.renew(OTHER_LEASE)
                assert len(host.received) == ran
                await lease.release(OTHER_LEASE)
                await passes(clock, 20)
                assert len(host.received) > ran

    run(hosts())
    assert (
        f"Singleton lock renewal failed for blob '{HOST_ID}/Host.Functions.TCron.Listener' with error code 409: "
        "LeaseIdMismatchWithLeaseOperation."
    ) in caplog.text


def test_a_retry_that_waits_ends_when_the_host_stops(
    run: Run, clock: VirtualClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def hosts() -> None:
        async with Stage(tmp_path, clock) as stage:
            stage.tells["TRetryFixed"] = "fail"
            host = await stage.start(1, "TRetryFixed", {"cron": "0 * * * * *"})
            await passes(clock, 60)
            begun = clock.now()
            host.stop.set()
            assert host.task is not None
            with clock.running():
                await host.task
            assert clock.now() - begun < timedelta(seconds=1)
            assert len(host.received) == 1
            # The occurrence counts as done.
            [*_, status] = host.calls.of(f"{CONTAINER}/timers/{HOST_ID}/Host.Functions.TRetryFixed/status")
            assert b'"Last":"2026-11-29T04:01:00+00:00"' in status.arguments["content"]

    run(hosts())
    assert "Invocation cancelled - exiting retry loop." in caplog.text


def test_a_primary_host_changes_what_was_recorded(run: Run, clock: VirtualClock, tmp_path: Path) -> None:
    """The recording `host_primary_lock`. The metadata are written with the blob, which is empty."""
    recorded: dict[int, list[str]] = {1: [], 2: []}
    for line in TRIGGERS.changes("host_primary_lock", f"{CONTAINER}/locks/{HOST_ID}/host"):
        recorded[line["host"]].append(line["op"])

    async def hosts() -> None:
        calls = {1: StorageCalls(), 2: StorageCalls()}
        async with open_builtin(tmp_path / "storage.db", clock) as account:

            def host(number: int) -> BlobHostLocks:
                container = calls[number].around(account).container(CONTAINER)
                return BlobHostLocks(container, HOST_ID, clock=clock, new_id=new_id)

            first, second, again = host(1), host(2), host(1)

            async def hold(locks: BlobHostLocks, until: float) -> None:
                async with locks.running():
                    await clock.sleep((START + timedelta(seconds=until) - clock.now()).total_seconds())

            async with AsyncExitStack() as stack:
                stopped = await stack.enter_async_context(background(hold(first, 55)))
                await passes(clock, 9)
                await stack.enter_async_context(background(hold(second, 1000)))
                await passes(clock, 66)
                assert stopped.done()
                ended = await stack.enter_async_context(background(hold(again, 112)))
                await passes(clock, 7)
                calls[2].cut_off = True
                await passes(clock, 31)
                await ended
            found = {
                number: [change.operation for change in made.of(f"{CONTAINER}/locks/{HOST_ID}/host")]
                for number, made in calls.items()
            }
            assert {n: without_repeats(ops) for n, ops in found.items()} == {
                n: without_repeats(ops) for n, ops in recorded.items()
            }
            properties = await account.container(CONTAINER).properties(f"locks/{HOST_ID}/host")
            assert properties.lease_state is LeaseState.AVAILABLE
            assert [name.lower() for name in properties.metadata] == ["functioninstance"]

    run(hosts())


def without_repeats(operations: list[str]) -> list[str]:
    """Count a series of renewals once: their number depends on the second."""
    return [op for index, op in enumerate(operations) if index == 0 or operations[index - 1] != op]


# Killed hosts of the same folder -----------------------------------------------------------------------------------


async def test_the_lock_of_a_killed_host_is_taken_over_at_once(tmp_path: Path, clock: VirtualClock) -> None:
    clock = asyncio.get_running_loop().clock  # type: ignore[attr-defined]
    with clock.running():
        async with open_builtin(None, clock) as account:
            container = account.container(CONTAINER)

            def host(journal: LeaseJournal | None) -> BlobHostLocks:
                return BlobHostLocks(container, HOST_ID, clock=clock, new_id=new_id, journal=journal)

            with open_lease_journal(tmp_path) as dying:
                holding = host(dying).listener("TCron")
                await holding.__aenter__()
                with open_lease_journal(tmp_path) as living:
                    # The lock of a living host is never taken, however long another one waits.
                    waiting = asyncio.ensure_future(host(living).listener("TCron").__aenter__())
                    await clock.sleep(200)
                    assert not waiting.done()
                    waiting.cancel()
                    await asyncio.wait({waiting})
                # What a kill leaves behind: a lease that is not renewed, and a file that is not locked.
                remains = {path.name: path.read_bytes() for path in tmp_path.glob("*.leases")}
            for name, content in remains.items():
                (tmp_path / name).write_bytes(content)
            began = clock.now()
            with open_lease_journal(tmp_path) as next_journal:
                async with host(next_journal).listener("TCron"):
                    assert clock.now() == began
            await holding.__aexit__(None, None, None)


async def test_a_lock_that_another_host_has_taken_since_is_left_alone(tmp_path: Path) -> None:
    clock = asyncio.get_running_loop().clock  # type: ignore[attr-defined]
    with clock.running():
        async with open_builtin(None, clock) as account:
            container = account.container(CONTAINER)
            await container.create()
            await container.write(LOCK, b"")
            await container.lease(LOCK).acquire(OTHER_LEASE, duration=None)
            with open_lease_journal(tmp_path) as journal:
                assert journal is not None
                journal.record(LOCK, "11111111-d9cb-469f-a165-70867728950e")
            with open_lease_journal(tmp_path) as journal:
                locks = BlobHostLocks(container, HOST_ID, clock=clock, new_id=new_id, journal=journal)
                waiting = asyncio.ensure_future(locks.listener("TCron").__aenter__())
                await clock.sleep(100)
                assert not waiting.done()
                waiting.cancel()
                await asyncio.wait({waiting})
                assert (await container.properties(LOCK)).lease_state is LeaseState.LEASED


def test_a_journal_of_another_folder_is_not_used(tmp_path: Path) -> None:
    original, copy = tmp_path / "original", tmp_path / "copy"
    with open_lease_journal(original) as journal:
        assert journal is not None
        journal.record("blob", "id")
    copy.mkdir()
    (copy / "0.leases").write_bytes((original / "0.leases").read_bytes())
    (copy / "1.leases").write_bytes((original / "0.leases").read_bytes())
    with open_lease_journal(copy) as journal:
        assert journal is not None
        assert journal.of_killed_hosts("blob") == []
    with open_lease_journal(original) as journal:
        assert journal is not None
        assert journal.of_killed_hosts("blob") == ["id"]


def test_a_folder_that_cannot_be_written_has_no_journal(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with open_lease_journal(tmp_path / "file" / "hosts") as journal:
        assert journal is None


def test_a_process_that_is_started_after_a_kill_runs_its_timers_at_once(tmp_path: Path) -> None:
    function = """
    @app.timer_trigger(arg_name="timer", schedule="0 0 3 1 1 *", run_on_startup=True)
    def tick(timer: func.TimerRequest):
        print("tick runs")
    """
    write_app(
        tmp_path, HTTP_APP, function, settings={"AzureWebJobsStorage": "builtin", "FUNCTIONS_WORKER_RUNTIME": "python"}
    )
    with started(tmp_path, "--no-reload", "--storage", "builtin") as host:
        host.wait_for("tick runs")
        host.process.kill()
        host.process.wait()
    with started(tmp_path, "--no-reload", "--storage", "builtin") as host:
        host.wait_for("Took over the lock .*Host.Functions.tick.Listener from a host of this app that was killed")
        host.wait_for("tick runs")


@pytest.mark.azurite
async def test_a_timer_on_azurite_stores_its_status_and_frees_its_lock(azurite: str, tmp_path: Path) -> None:
    function = """
    @app.timer_trigger(arg_name="timer", schedule="0 0 3 1 1 *", run_on_startup=True)
    def tick(timer: func.TimerRequest): ...
    """
    host_id = unique("timers")
    settings = {"AzureFunctionsWebHost__hostid": host_id, "TZ": "UTC"}
    lock, status = (f"{kind}/{host_id}/Host.Functions.tick" for kind in ("locks", "timers"))
    async with run_app(tmp_path, HTTP_APP, function, storage=azurite, settings=settings) as app:
        container = app.app.accounts("AzureWebJobsStorage").container(CONTAINER)

        async def has_run() -> bool:
            return not json.loads(await container.read(f"{status}/status"))["Last"].startswith("0001")

        await eventually(has_run, "status after the run at the start")
        assert (await container.properties(f"{lock}.Listener")).lease_state is LeaseState.LEASED
    async with run_app(tmp_path, storage=azurite, settings={**settings, "AzureWebJobs.tick.Disabled": "1"}) as app:
        container = app.app.accounts("AzureWebJobsStorage").container(CONTAINER)
        assert (await container.properties(f"{lock}.Listener")).lease_state is LeaseState.AVAILABLE


# Storage and time that fail ----------------------------------------------------------------------------------------


def test_a_timer_starts_when_storage_is_back(
    run: Run, clock: VirtualClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def hosts() -> None:
        async with Stage(tmp_path, clock) as stage:
            host = await stage.start(1, "TCron", {"cron": "0 * * * * *"}, reaches_storage=False)
            await passes(clock, 90)
            assert host.received == []
            host.calls.cut_off = False
            await passes(clock, 120)
            assert len(host.received) >= 1

    run(hosts())
    reports = [line.replace(":", ".").partition(".")[0] for line in caplog.messages if line.startswith("Storage ")]
    # The stage ends the host without storage.
    assert reports[:2] == ["Storage does not respond", "Storage responds again"]


def test_an_outage_costs_no_run_and_ends_by_itself(
    run: Run, clock: VirtualClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def hosts() -> None:
        async with Stage(tmp_path, clock) as stage:
            host = await stage.start(1, "TCron", {"cron": "0 * * * * *"})
            await passes(clock, 90)
            host.calls.cut_off = True
            # The lease is still valid at 04:02:00, but the status cannot be stored.
            await passes(clock, 40)
            # A minute without a renewal: another host may have the lock, so nothing runs.
            await passes(clock, 120)
            host.calls.cut_off = False
            await passes(clock, 60)
            values = [json.loads(str(invocation.inputs["timer"].value)) for _, invocation in host.received]  # type: ignore[union-attr]
            # The first start after the outage makes up for what was missed.
            assert [value["IsPastDue"] for value in values if value["IsPastDue"]] == [True]

    run(hosts())
    assert "Function 'Host.Functions.TCron' failed to update the timer trigger status." in caplog.text


def test_a_computer_that_was_suspended_runs_a_missed_timer_soon(run: Run, clock: VirtualClock, tmp_path: Path) -> None:
    async def hosts() -> None:
        suspended = Suspended(clock)
        async with Stage(tmp_path, clock, host_clock=suspended) as stage:
            host = await stage.start(1, "TCron", {"cron": "0 0 * * * *"})
            await passes(clock, 60)
            suspended.lost = timedelta(hours=4)
            await passes(clock, 31)
            assert len(host.received) == 1

    run(hosts())


class Suspended:
    """A clock whose timers have stood still for a time that is `lost`, as while a computer is suspended."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self.lost = timedelta(0)

    def now(self) -> datetime:
        return self._clock.now() + self.lost

    def __getattr__(self, name: str) -> Any:
        return getattr(self._clock, name)
