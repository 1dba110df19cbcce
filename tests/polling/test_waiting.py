"""Back-off, waits between polls, failure reports and lock renewal."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from emulator.background import background
from emulator.clock import Clock
from emulator.polling.backoff import Backoff
from emulator.polling.failures import Failures
from emulator.polling.lock_renewal import LockRenewer
from emulator.polling.message_wait import MessageWait
from emulator.storage.builtin import open_builtin
from emulator.storage.port import Queue, StorageError, StorageOutage, StorageUnreachable
from emulator.virtual_time import VirtualClock
from tests.storage.bench import unique

MINUTE = timedelta(minutes=1)


def milliseconds(backoff: Backoff, count: int) -> list[int]:
    return [backoff.next() // timedelta(milliseconds=1) for _ in range(count)]


def test_pauses_grow_up_to_the_longest_one() -> None:
    backoff = Backoff(timedelta(seconds=1), jitter=lambda: 1)
    assert milliseconds(backoff, 7) == [50, 100, 150, 250, 450, 850, 1000]
    assert milliseconds(backoff, 2000)[-1] == 1000


def test_pauses_of_a_queue_trigger_begin_with_100_milliseconds() -> None:
    backoff = Backoff(MINUTE, first=timedelta(milliseconds=100), jitter=lambda: 1)
    assert milliseconds(backoff, 4) == [100, 200, 300, 500]


def test_a_reset_begins_with_the_first_pause() -> None:
    backoff = Backoff(MINUTE)
    milliseconds(backoff, 5)
    backoff.reset()
    assert milliseconds(backoff, 1) == [50]


def test_no_pause_is_longer_than_the_limit() -> None:
    assert milliseconds(Backoff(timedelta(milliseconds=10)), 3) == [10, 10, 10]


@pytest.fixture
async def queue(clock: VirtualClock) -> object:
    async with open_builtin(None, clock) as account:
        queue = account.queue(unique("queue"))
        await queue.create()
        yield queue


async def seconds_waited(wait: MessageWait, backoff: Backoff, clock: Clock) -> float:
    async def let_time_pass() -> None:  # in small steps: virtual time does not stop for a wait between polls
        while True:
            await clock.sleep(0.01)

    began = clock.now()
    async with background(let_time_pass()):
        await wait.wait_for_message(backoff)
    return (clock.now() - began).total_seconds()


async def test_a_message_of_this_process_ends_the_wait_and_the_back_off(queue: Queue, clock: VirtualClock) -> None:
    wait, backoff = MessageWait(queue, clock), Backoff(MINUTE, first=MINUTE)
    await queue.put("a")
    assert await seconds_waited(wait, backoff, clock) == 0


async def test_an_expected_message_shortens_the_wait(queue: Queue, clock: VirtualClock) -> None:
    wait, backoff = MessageWait(queue, clock), Backoff(MINUTE, first=MINUTE)
    wait.expect(timedelta(seconds=2))
    wait.expect(timedelta(seconds=2))
    assert 2 <= await seconds_waited(wait, backoff, clock) < 2.1
    assert await seconds_waited(wait, backoff, clock) >= 59, "one poll finds both messages"


async def test_an_outage_is_reported_once_and_so_is_its_end(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    failures = Failures("Reading queue q", clock)
    failures.resolved()
    for _ in range(3):
        async with background(clock.sleep(60)):
            await failures.wait_before_retry(StorageError("it is forbidden", status=403, code="Forbidden"))
    failures.resolved()
    failures.resolved()
    assert [record.getMessage() for record in caplog.records] == [
        "Reading queue q failed and is retried until it succeeds: it is forbidden",
        "Reading queue q works again",
    ]


async def test_an_outage_of_the_account_is_not_reported_by_its_loops(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    failures = Failures("Reading queue q", clock)
    for _ in range(3):
        async with background(clock.sleep(60)):
            await failures.wait_before_retry(StorageOutage("no answer"))
    failures.resolved()
    assert not caplog.records


@dataclass
class Lock:
    """A lock of ten seconds. `answers`: what the next renewals do."""

    id: str
    until: datetime
    answers: list[bool | Exception] = field(default_factory=list)
    renewed: int = 0

    @property
    def description(self) -> str:
        return f"lock {self.id}"

    def needs_renewal(self, now: datetime) -> bool:
        return self.until - now < timedelta(seconds=5)

    async def renew(self) -> bool:
        self.renewed += 1
        answer = self.answers.pop(0) if self.answers else True
        if isinstance(answer, Exception):
            raise answer
        self.until += timedelta(seconds=5)
        return answer


async def test_locks_are_renewed_in_their_second_half_until_one_is_lost(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    lost: list[str] = []
    renewer: LockRenewer[Lock] = LockRenewer(
        clock, shortest_lock=timedelta(seconds=10), on_lost=lambda lock: lost.append(lock.id)
    )
    until = clock.now() + timedelta(seconds=10)
    kept = Lock("kept", until, [StorageUnreachable("no answer")])
    stolen, removed = Lock("stolen", until, [StorageUnreachable("no answer"), True, False]), Lock("removed", until)
    for lock in (kept, stolen, removed):
        renewer.add(lock)
    renewer.remove(removed)
    async with background(renewer.run()):
        for _ in range(60):
            await clock.sleep(0.25)
    assert lost == ["stolen"]
    assert (renewer.get("kept"), renewer.get("stolen"), len(renewer)) == (kept, None, 1)
    assert kept.renewed >= 3
    assert removed.renewed == 0
    assert [record.getMessage() for record in caplog.records] == [
        "Renewing the locks of messages failed and is retried until it succeeds: no answer",
        "Renewing the locks of messages works again",
    ]
