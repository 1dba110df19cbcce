"""Virtual time jumps when everything is idle and a test lets it advance, and never while anything is working."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from emulator.clock import within
from emulator.virtual_time import VirtualClock
from tests.virtual_time.conftest import START
from tests.waiting import eventually

Run = Callable[[Any], Any]
DAYS = 86_400


def test_sleep_of_three_days_advances_virtual_time_by_three_days(clock: VirtualClock, run: Run) -> None:
    async def main() -> datetime:
        with clock.running():
            await clock.sleep(3 * DAYS)
        return clock.now()

    assert run(main()) == START + timedelta(days=3)


def test_sleepers_wake_in_order_of_due_time_then_arrival(clock: VirtualClock, run: Run) -> None:
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, (clock.now() - START).total_seconds()))

    async def main() -> None:
        with clock.running():
            await asyncio.gather(*(sleeper(n, s) for n, s in [("c", 9), ("a", 5), ("d", 9), ("b", 6.5)]))

    run(main())
    assert woken == [("a", 5), ("b", 6.5), ("c", 9), ("d", 9)]


def test_time_does_not_advance_by_itself(clock: VirtualClock, run: Run) -> None:
    async def main() -> None:
        sleeper = asyncio.create_task(clock.sleep(60))
        await clock.idle()
        await asyncio.sleep(0.01)
        assert not sleeper.done()
        assert clock.now() == START
        sleeper.cancel()

    run(main())


def test_upkeep_sleeper_causes_no_jump_and_wakes_late(clock: VirtualClock, run: Run) -> None:
    renewals: list[datetime] = []

    async def renew() -> None:
        while True:
            await clock.sleep(10, upkeep=True)
            renewals.append(clock.now())

    async def main() -> None:
        task = asyncio.create_task(renew())
        assert await clock.run_until_idle()
        assert clock.now() == START
        await clock.advance(timedelta(hours=1))
        task.cancel()

    run(main())
    assert renewals == [START + timedelta(hours=1)]


def test_advance_with_upkeep_stops_at_every_upkeep_sleeper(clock: VirtualClock, run: Run) -> None:
    renewals: list[datetime] = []

    async def renew() -> None:
        while True:
            await clock.sleep(10, upkeep=True)
            renewals.append(clock.now())

    async def main() -> None:
        task = asyncio.create_task(renew())
        await clock.advance(timedelta(seconds=35), upkeep=True)
        task.cancel()
        assert clock.now() == START + timedelta(seconds=35)

    run(main())
    assert renewals == [START + timedelta(seconds=s) for s in (10, 20, 30)]


@pytest.mark.parametrize("outer", [False, True])
def test_a_running_block_with_upkeep_stops_at_every_upkeep_sleeper_also_beside_others(
    clock: VirtualClock, run: Run, outer: bool
) -> None:
    renewals: list[datetime] = []

    async def renew() -> None:
        while True:
            await clock.sleep(10, upkeep=True)
            renewals.append(clock.now())

    async def main() -> None:
        task = asyncio.create_task(renew())
        with clock.running(upkeep=outer), clock.running(upkeep=not outer):
            await clock.sleep(35)
        task.cancel()

    run(main())
    assert renewals == [START + timedelta(seconds=s) for s in (10, 20, 30)]


def test_advance_runs_everything_that_falls_due(clock: VirtualClock, run: Run) -> None:
    seen: list[str] = []

    async def chain() -> None:
        for number in range(3):
            await clock.sleep(10)
            seen.append(f"step {number} after {(clock.now() - START).total_seconds():.0f} s")

    async def main() -> None:
        task = asyncio.create_task(chain())
        await clock.advance(timedelta(seconds=20))
        assert clock.now() == START + timedelta(seconds=20)
        assert seen == ["step 0 after 10 s", "step 1 after 20 s"]
        task.cancel()

    run(main())


def test_concurrent_advances_end_at_their_own_targets(clock: VirtualClock, run: Run) -> None:
    ends: list[datetime] = []

    async def pass_time(minutes: int) -> None:
        await clock.advance(timedelta(minutes=minutes))
        ends.append(clock.now())

    async def main() -> None:
        await asyncio.gather(pass_time(5), pass_time(2), clock.sleep(180))

    run(main())
    assert ends == [START + timedelta(minutes=2), START + timedelta(minutes=5)]


def test_run_until_idle_returns_whether_a_sleeper_is_left(clock: VirtualClock, run: Run) -> None:
    async def hourly() -> None:
        while True:
            await clock.sleep(3600)

    async def main() -> None:
        task = asyncio.create_task(hourly())
        assert not await clock.run_until_idle(timedelta(hours=5, minutes=30))
        assert clock.now() == START + timedelta(hours=5)
        task.cancel()
        assert await clock.run_until_idle()

    run(main())


def test_running_does_not_jump_beyond_its_limit(clock: VirtualClock, run: Run) -> None:
    async def main() -> None:
        near, far = asyncio.create_task(clock.sleep(10)), asyncio.create_task(clock.sleep(30))
        with clock.running(until=START + timedelta(seconds=20)):
            await near
            await clock.idle()
        assert not far.done()
        assert clock.now() == START + timedelta(seconds=10)
        far.cancel()

    run(main())


def test_frozen_time_does_not_advance(clock: VirtualClock, run: Run) -> None:
    async def main() -> None:
        task = asyncio.create_task(clock.sleep(5))
        with clock.running():
            with clock.frozen():
                assert not await clock.run_until_idle()
                with pytest.raises(RuntimeError, match="frozen"):
                    await clock.advance(timedelta(seconds=1))
            assert not task.done()
            await task
        assert clock.now() == START + timedelta(seconds=5)

    run(main())


def test_time_waits_for_busy_thread(clock: VirtualClock, run: Run) -> None:
    started, may_end = threading.Event(), threading.Event()
    seen: list[datetime] = []

    def work() -> None:
        with clock.busy():
            started.set()
            may_end.wait()
            seen.append(clock.now())

    async def main() -> None:
        thread = threading.Thread(target=work)
        thread.start()
        started.wait()
        # A real timer of the loop ends the work; until then the program would be idle but for the busy thread.
        asyncio.get_running_loop().call_later(0.05, may_end.set)
        with clock.running():
            await clock.sleep(DAYS)
        seen.append(clock.now())
        thread.join()

    run(main())
    assert seen == [START, START + timedelta(days=1)]


def test_ignore_work_lets_time_jump_while_busy(clock: VirtualClock, run: Run) -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_later(0.01, clock.ignore_work)
        with clock.running(), clock.busy():
            await clock.sleep(DAYS)
        assert clock.now() == START + timedelta(days=1)

    run(main())


def test_time_waits_for_the_loops_executor(clock: VirtualClock, run: Run) -> None:
    may_end = threading.Event()

    async def main() -> None:
        asyncio.get_running_loop().call_later(0.05, may_end.set)
        with clock.running():
            sleeper = asyncio.create_task(clock.sleep(DAYS))
            await asyncio.to_thread(may_end.wait)
            assert not sleeper.done()
            assert clock.now() == START
            await sleeper

    run(main())


def test_time_waits_for_received_socket_data(clock: VirtualClock, run: Run) -> None:
    async def main() -> None:
        left, right = socket.socketpair()
        left.setblocking(False)
        with left, right, clock.running():
            right.send(b"x" * 1000)
            sleeper = asyncio.create_task(clock.sleep(DAYS))
            loop = asyncio.get_running_loop()
            for _ in range(1000):
                await loop.sock_recv(left, 1)
            assert clock.now() == START
            await sleeper

    run(main())


def test_call_later_stays_real_and_does_not_hold_time_up(clock: VirtualClock, run: Run) -> None:
    async def main() -> None:
        late = asyncio.get_running_loop().call_later(3600, lambda: None)
        with clock.running():
            await clock.sleep(7200)
        assert clock.now() == START + timedelta(hours=2)
        assert not late.cancelled()
        late.cancel()

    run(main())


def test_within_times_out_in_virtual_time(clock: VirtualClock, run: Run) -> None:
    async def main() -> None:
        with clock.running():
            await within(clock, 60, clock.sleep(59))
            with pytest.raises(TimeoutError):
                await within(clock, 60, clock.sleep(61))
        assert clock.now() == START + timedelta(seconds=59 + 60)
        assert clock.sleepers() == []

    run(main())


def test_within_with_upkeep_causes_no_jump(clock: VirtualClock, run: Run) -> None:
    async def main() -> None:
        task = asyncio.create_task(within(clock, 60, asyncio.Event().wait(), upkeep=True))
        assert await clock.run_until_idle()
        assert clock.now() == START
        task.cancel()

    run(main())


def test_tasks_of_a_group_are_cancelled_in_the_same_order_in_every_run() -> None:
    def order_of_cancellation() -> list[int]:
        cancelled: list[int] = []

        async def worker(number: int) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.append(number)

        async def main() -> None:
            async with asyncio.TaskGroup() as group:
                for number in range(50):
                    group.create_task(worker(number))
                await asyncio.sleep(0)
                raise RuntimeError("stop")

        with asyncio.Runner(loop_factory=VirtualClock(START).new_loop) as runner, pytest.raises(ExceptionGroup):
            runner.run(main())
        return cancelled

    first = order_of_cancellation()
    # Kept, so that the tasks of the second run are not where those of the first were.
    elsewhere = [bytearray(size) for size in range(1, 2_000)]
    assert order_of_cancellation() == first
    assert len(first) == 50
    del elsewhere


def test_cancelled_sleepers_are_removed(clock: VirtualClock, run: Run) -> None:
    async def main() -> None:
        tasks = [asyncio.create_task(clock.sleep(n + 1)) for n in range(1000)]
        await clock.idle()
        for task in tasks:
            task.cancel()
        assert await clock.run_until_idle()
        assert clock.now() == START
        assert clock.sleepers() == []

    run(main())


def test_advance_can_be_called_from_another_thread(clock: VirtualClock) -> None:
    loop = clock.new_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(clock.advance(timedelta(days=3)), loop).result(timeout=30)
        assert clock.now() == START + timedelta(days=3)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_sleep_on_another_loop(clock: VirtualClock, run: Run) -> None:
    ended: list[datetime] = []

    async def elsewhere() -> None:
        await clock.sleep(60)
        ended.append(clock.now())

    async def main() -> None:
        thread = threading.Thread(target=lambda: asyncio.run(elsewhere()))
        thread.start()
        with clock.running():
            await eventually(lambda: ended, "end of the other thread's sleep")
        thread.join()

    run(main())
    assert ended == [START + timedelta(seconds=60)]


def test_explain_lists_sleepers_and_busy_code(clock: VirtualClock, run: Run) -> None:
    async def long_wait() -> None:
        await clock.sleep(60)

    async def main() -> None:
        task = asyncio.create_task(long_wait())
        await clock.idle()
        with clock.busy():
            text = clock.explain()
        assert "long_wait" in text
        assert "sleeps until 2026-03-01T12:01:00+00:00" in text
        assert "busy for 0.0 real seconds" in text
        assert __file__ in text
        task.cancel()

    run(main())


def test_clock_has_only_one_open_loop(clock: VirtualClock) -> None:
    clock.new_loop().close()
    loop = clock.new_loop()
    with pytest.raises(RuntimeError, match="already has a loop"):
        clock.new_loop()
    loop.close()
