"""Queue triggers do with messages what the recorded extension did.

Not compared: how often queues are polled (azemu asks less often, and the built-in store not at all until something has
changed); `queue_idle_development`, `queue_idle_production`: the pauses, which tests/polling checks;
`queue_scoped`, `queue_singleton`, `queue_singleton_long`: [Singleton], which Python apps cannot declare;
`queue_expressions`: blob bindings; `queue_two_hosts`: test_hosts.py, with processes.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

from emulator.host.port import TriggerEvent
from emulator.storage.builtin import BuiltinAccount
from emulator.virtual_time import VirtualClock
from emulator.worker.port import Datum
from tests.recordings.triggers import TRIGGERS
from tests.waiting import eventually

from .replay import OPTION, Replay, recorded_runs, recorded_story, recorded_texts_left, runs_of


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


async def test_a_poison_queue_has_no_poison_queue(replay: Replay) -> None:
    await replay.play("queue_poison_cycle")
    assert runs_of(replay) == recorded_runs("queue_poison_cycle")
    assert replay.story() == recorded_story("queue_poison_cycle") == {}


async def test_a_queue_with_a_long_name_has_no_poison_queue(
    tmp_path: Path, account: BuiltinAccount, clock: VirtualClock
) -> None:
    replay = Replay(tmp_path / "app", account, clock, q="q" * 57)
    await replay.play("queue_poison_trigger", host=2)
    assert runs_of(replay) == recorded_runs("queue_poison_trigger", host=2)
    assert replay.story() == {}


async def test_messages_that_are_not_base64_are_poison_at_once(replay: Replay) -> None:
    await replay.play("queue_not_base64")
    # What fails because of its bytes never reaches a function, here as there.
    assert runs_of(replay) == recorded_runs("queue_not_base64")
    assert replay.story() == recorded_story("queue_not_base64")


async def test_trigger_metadata_are_the_recorded_binding_data(replay: Replay) -> None:
    await replay.play("queue_texts", until=24)
    stored = {line["id"]: line["stored"] for line in TRIGGERS.steps("queue_texts") if "stored" in line}
    recorded = {
        (line["function"], stored[line["bindingData"]["Id"]["json"]]): {
            name: value["json"] for name, value in line["bindingData"].items()
        }
        for line in TRIGGERS.received("queue_texts")
        if line["event"] == "start" and line["function"] in ("QString", "QBytes")
    }
    compared = 0
    for run in replay.runs.begun:
        data = {
            name: datum.value if datum.type == "string" else json.loads(datum.value)
            for name, datum in run.trigger_metadata.items()
        }
        expected = recorded.get((run.function, replay.texts.get(data["Id"])))
        # The members of a JSON message are in its metadata, too, which the extension alone does not do.
        if expected is None or expected.get("QueueTrigger", "").startswith("{"):
            continue
        compared += 1
        assert list(data) == list(expected)
        assert _forms(data) == _forms(expected)
        for name in ("QueueTrigger", "DequeueCount"):
            assert data.get(name) == expected.get(name)
    assert compared >= 8


def _forms(data: dict[str, Any]) -> list[str]:
    """Return the values with digits as 0 and the ids left out: the forms of texts, numbers and times."""
    return [
        f"{type(value).__name__} {re.sub('[0-9]', '0', str(value)) if name.endswith('Time') else ''}"
        for name, value in data.items()
    ]


async def test_at_most_a_batch_and_the_threshold_run_at_once(replay: Replay) -> None:
    """By default 16 messages and 8 for each processor, as recorded on two in `queue_batch_default`."""
    await replay.account.queue("q-work").create()
    for number in range(100):
        await replay.put("q-work", base64.b64encode(f"{number} sleep:5".encode()).decode())
    await replay.start("QPlain")
    await eventually(lambda: len(replay.runs.ended) == 100, "runs", clock=replay.clock, within=3600)
    times = sorted([(run.began_at, 1) for run in replay.runs.ended] + [(run.ended_at, -1) for run in replay.runs.ended])
    running = list(accumulate(step for _, step in times))
    assert max(running) == 16 + 8 * (os.cpu_count() or 1)


STRICT = [f"{OPTION}batchSize=2", f"{OPTION}newBatchThreshold=0"]


async def put_sleeps(replay: Replay, *texts: str) -> None:
    await replay.account.queue("q-work").create()
    for text in texts:
        await replay.put("q-work", base64.b64encode(text.encode()).decode())


async def test_locks_are_renewed_while_a_function_runs(replay: Replay) -> None:
    """As recorded in `queue_long`."""
    await put_sleeps(replay, "sleep:390", "sleep:330 fail")
    await replay.start("QString")
    await replay.clock.sleep(400)
    assert replay.story() == recorded_story("queue_long", until=405)
    assert [(run.message, run.succeeded) for run in replay.runs.ended] == [
        ("sleep:330 fail", False),
        ("sleep:390", True),
    ]
    assert len(replay.runs.begun) == 3  # The failed message runs a second time.


async def test_a_drained_host_ends_what_runs_and_takes_no_more(replay: Replay) -> None:
    """As recorded in `queue_drain`."""
    await put_sleeps(replay, "sleep:6", "sleep:3")
    app = await replay.start("QString", STRICT)
    await replay.clock.sleep(1.3)
    app.host.drain()
    await replay.clock.sleep(6)
    assert [run.succeeded for run in replay.runs.ended] == [True, True]
    await put_sleeps(replay, "after drain")
    await replay.clock.sleep(12)
    assert await replay.texts_left() == recorded_texts_left("queue_drain")


async def test_a_stop_waits_for_what_runs_and_leaves_the_rest(replay: Replay) -> None:
    """As recorded in `queue_stop`."""
    await put_sleeps(replay, "0 sleep:5", "1 sleep:5", "waits 0", "waits 1", "waits 2")
    await replay.start("QString", STRICT)
    await replay.clock.sleep(2)
    await replay.stop()
    assert runs_of(replay) == recorded_runs("queue_stop", until=7.6)
    assert replay.story() == recorded_story("queue_stop", until=7.6)
    left = await replay.account.queue("q-work").list_messages()
    assert [message.dequeue_count for message in left] == [0, 0, 0]


async def test_an_output_wakes_the_trigger_of_the_same_host(replay: Replay) -> None:
    """As recorded in `queue_output_wakes`."""
    await replay.account.queue("out").create()
    app = await replay.start("QPlain", ["q=out"])
    await replay.clock.sleep(45)
    put_at = replay.clock.now()
    await app.host.invoke("OutString", TriggerEvent(value=Datum("string", "wake up")))
    await eventually(lambda: replay.runs.ended[1:], "run", clock=replay.clock)
    assert replay.runs.begun[1].function == "QPlain"
    assert replay.runs.ended[1].began_at == put_at


async def test_a_message_of_a_killed_host_is_received_when_its_ten_minutes_are_over(replay: Replay) -> None:
    """As recorded in `queue_kill`."""
    await replay.account.queue("q-work").create()
    await replay.put("q-work", base64.b64encode(b"sleep:60").decode())
    await replay.start("QString")
    await eventually(lambda: replay.runs.begun, "run", clock=replay.clock)
    # Nothing that a killed host does reaches storage any more.
    replay.calls.cut_off = True
    await replay.stop()
    replay.calls.cut_off = False
    await replay.start("QString")
    await eventually(lambda: replay.runs.ended[1:], "second run", clock=replay.clock, within=3600, every=1)
    lost, again = replay.runs.ended
    assert (again.metadata["DequeueCount"], again.succeeded) == ("2", True)
    assert timedelta(minutes=10) <= again.began_at - lost.began_at < timedelta(minutes=10, seconds=10)
