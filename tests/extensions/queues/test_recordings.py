"""Queue triggers do with messages what the recorded extension did.

Not compared: how often queues are polled (azemu asks less often, and the built-in store not at all until something has
changed); `queue_idle_development`, `queue_idle_production`: the pauses, which tests/polling checks;
`queue_scoped`, `queue_singleton`, `queue_singleton_long`: [Singleton], which Python apps cannot declare;
`queue_expressions`: blob bindings; `queue_kill`, `queue_two_hosts`: test_hosts.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from emulator.storage.builtin import BuiltinAccount
from emulator.virtual_time import VirtualClock

from .replay import Replay, recorded_runs, recorded_story, recorded_texts_left, runs_of


@pytest.fixture
async def replay(tmp_path: Path, account: BuiltinAccount, clock: VirtualClock) -> AsyncIterator[Replay]:
    replay = Replay(tmp_path / "app", account, clock)
    yield replay
    await replay.stop()


@pytest.mark.parametrize(
    "scenario",
    [
        "queue_batch_1_0",
        "queue_batch_2_0",
        "queue_batch_4_2",
        "queue_encoding_none",
        "queue_max_dequeue_1",
        "queue_max_dequeue_2",
        "queue_missing",
        "queue_outage",
        "queue_poison",
        "queue_receipt_lost",
        "queue_retry",
        "queue_ttl",
        "queue_two_functions",
    ],
)
async def test_messages_are_run_and_changed_as_recorded(replay: Replay, scenario: str) -> None:
    await replay.play(scenario)
    if scenario != "queue_two_functions":  # Which function gets a message is chance.
        assert runs_of(replay) == recorded_runs(scenario)
    assert replay.story() == recorded_story(scenario)
    assert await replay.texts_left() == recorded_texts_left(scenario)
