"""Several processes on one file, some of them killed: nothing acknowledged is lost or dequeued twice."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from emulator.clock import SystemClock
from emulator.storage.builtin import open_builtin
from emulator.storage.paging import query_rows
from tests.storage.bench import collected, take_all

ROOT = Path(__file__).parents[3]


def start(program: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", f"tests.storage.builtin.{program}", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def killed_at_random(path: Path, first: int, chance: random.Random) -> set[int]:
    """Kill a writer at work. Return the numbers that it reported as acknowledged."""
    with start("writer", path, first) as writer:
        assert writer.stdout is not None
        acknowledged = set()
        for _ in range(chance.randrange(1, 120)):
            acknowledged.add(int(writer.stdout.readline()))
        writer.kill()
        # What it still said before it died counts, too; a line that was cut by the kill does not.
        rest = writer.stdout.read()
    acknowledged.update(int(line) for line in rest.splitlines(keepends=True) if line.endswith("\n"))
    return acknowledged


async def encode_properties(path: Path) -> tuple[set[int], set[int]]:
    """The numbers among the messages and among the rows."""
    async with open_builtin(path, SystemClock()) as account:
        messages = await account.queue("numbers").list_messages()
        rows = await collected(query_rows(account.table("Numbers")))
    assert all(row.properties["Half"] == int(row.row_key) // 2 for row in rows)
    return {int(message.body) for message in messages}, {int(row.row_key) for row in rows}


@pytest.mark.parametrize("kills", [8, pytest.param(200, marks=[pytest.mark.soak, pytest.mark.timeout(600)])])
async def test_a_killed_process_loses_nothing_that_was_acknowledged(tmp_path: Path, kills: int) -> None:
    path = tmp_path / "storage.db"
    chance = random.Random(kills)
    acknowledged: set[int] = set()
    for attempt in range(kills):
        acknowledged |= await asyncio.to_thread(killed_at_random, path, attempt * 10_000, chance)
        messages, rows = await encode_properties(path)
        assert acknowledged <= messages
        assert acknowledged <= rows
    assert len(acknowledged) > kills


async def test_processes_share_a_queue_without_dequeuing_twice(tmp_path: Path) -> None:
    path = tmp_path / "storage.db"
    async with open_builtin(path, SystemClock()) as account:
        queue = account.queue("numbers")
        await queue.create()
        await asyncio.gather(*(queue.put(str(number)) for number in range(300)))
    takers = [start("taker", path) for _ in range(3)]
    outputs = [taker.communicate()[0].split() for taker in takers]
    assert sorted(int(number) for taken in outputs for number in taken) == list(range(300))


async def test_a_message_of_another_process_ends_the_wait(tmp_path: Path) -> None:
    path = tmp_path / "storage.db"
    async with open_builtin(path, SystemClock()) as account:
        queue = account.queue("numbers")
        await queue.create()
        waiting = asyncio.create_task(queue.wait(timedelta(hours=1)))
        with start("writer", path, 0) as writer:
            await waiting
            writer.kill()
        assert await take_all(queue)
