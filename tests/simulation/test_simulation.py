"""Two and three hosts in one process, in virtual time, with faults at every storage call: no rule is broken.

More seeds: `AZEMU_SIMULATIONS=500 AZEMU_FIRST_SEED=7000 pytest -m soak tests/simulation`.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence
from subprocess import PIPE, run
from typing import Any

import pytest

from emulator.durable.azurestorage.tracking.history import HistoryTable
from emulator.durable.azurestorage.work.checkpointing import Checkpointer
from emulator.durable.core.known_results import KnownResults
from emulator.storage.port import Operation, Row, TableOperation
from tests.simulation.simulation import simulate

SMALL = 1
COUNT = int(os.environ.get("AZEMU_SIMULATIONS", "2000"))
FIRST = int(os.environ.get("AZEMU_FIRST_SEED", "1"))
AT_ONCE = 50


@pytest.fixture(autouse=True)
def silent(caplog: pytest.LogCaptureFixture) -> None:
    # The faults make thousands of lines, which take half of the time.
    caplog.set_level(logging.CRITICAL)


def failures(seeds: Sequence[int], *, scenarios: int, through_hosts: bool = False) -> list[str]:
    """Run simulations and describe those that fail, with the command that repeats them."""
    words = f"--scenarios {scenarios}{' --through-hosts' if through_hosts else ''}"
    return [
        f"python -m tests.simulation {outcome.seed} {words}\n{outcome.problems}"
        for outcome in (simulate(seed, scenarios=scenarios, through_hosts=through_hosts) for seed in seeds)
        if outcome.problems
    ]


@pytest.mark.parametrize("first", range(1, 51, 10))
def test_no_rule_is_broken(first: int) -> None:
    assert "\n".join(failures(range(first, first + 10), scenarios=SMALL)) == ""


# Seeds that found a defect of the host or of the checker.
FOUND = (1116, 1385, 1584, 1782, 1865, 1979, 9577, 9589, 9923, 10580)


def test_no_rule_is_broken_under_seeds_that_found_a_defect() -> None:
    assert "\n".join(failures(FOUND, scenarios=6)) == ""


@pytest.mark.soak
@pytest.mark.parametrize("first", range(FIRST, FIRST + COUNT, AT_ONCE))
def test_no_rule_is_broken_under_many_seeds(first: int) -> None:
    seeds = range(first, min(first + AT_ONCE, FIRST + COUNT))
    # Every second time, so that both ways are tried in the time of one.
    through_hosts = (first - FIRST) // AT_ONCE % 2 == 1
    assert "\n".join(failures(seeds, scenarios=6, through_hosts=through_hosts)) == ""


@pytest.mark.parametrize(("seed", "scenarios"), [(3, SMALL), (1457, 6)])
def test_a_seed_repeats_every_storage_call(seed: int, scenarios: int) -> None:
    """In another process, too, where strings have other hashes, and objects other addresses."""
    outcome = simulate(seed, scenarios=scenarios)
    command = [sys.executable, "-m", "tests.simulation", str(seed), "--scenarios", str(scenarios)]
    text = run(command, env={**os.environ, "PYTHONHASHSEED": "1"}, stdout=PIPE, text=True, check=True).stdout
    assert outcome.calls > 100
    assert outcome.faults
    assert f"digest {outcome.digest}" in text


# Defects that the simulation must find ------------------------------------------------------------------------


def without_sentinel_check(patch: pytest.MonkeyPatch) -> None:
    """Append to a history that another host has changed."""
    commit = HistoryTable._commit

    async def overwriting(
        self: HistoryTable, instance_id: str, execution_id: str, batch: Sequence[Row], etag: str | None, **named: Any
    ) -> str | None:
        table = self.table

        class AnyEtag:
            async def submit(self, operations: Sequence[TableOperation]) -> list[str | None]:
                *events, sentinel = operations
                return await table.submit([*events, TableOperation(Operation.INSERT_OR_MERGE, sentinel.row)])

        patched = object.__new__(HistoryTable)
        patched.__dict__.update(self.__dict__, table=AnyEtag())
        return await commit(patched, instance_id, execution_id, batch, etag, **named)

    patch.setattr(HistoryTable, "_commit", overwriting)


def delete_before_save(patch: pytest.MonkeyPatch) -> None:
    """Delete the messages of an episode before its history is stored."""
    send = Checkpointer._send

    async def deleting(self: Checkpointer, episode: Any, outcome: Any) -> None:
        await self._sessions._buffer.discard(episode.messages)
        await send(self, episode, outcome)

    patch.setattr(Checkpointer, "_send", deleting)


def without_deduplication(patch: pytest.MonkeyPatch) -> None:
    """Take every message for a new one."""
    patch.setattr(KnownResults, "has", lambda self, event, redelivered=False: False)


@pytest.mark.soak
@pytest.mark.parametrize("defect", [without_sentinel_check, delete_before_save, without_deduplication])
def test_a_defect_is_found(defect: Callable[[pytest.MonkeyPatch], None]) -> None:
    """By a seed that finds nothing without the defect."""

    def finds(seed: int) -> bool:
        with pytest.MonkeyPatch.context() as patch:
            defect(patch)
            is_found = bool(simulate(seed).problems)
        return is_found and not simulate(seed).problems

    assert any(map(finds, range(1, 201)))
