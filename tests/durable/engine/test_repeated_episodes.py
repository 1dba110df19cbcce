"""A host is killed after it sent the messages of an episode and before it stored the episode.

The next host repeats the episode. It has to send the same messages, so that their receivers recognise them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import pytest

from emulator.durable.azurestorage.messaging import wire
from emulator.durable.core.events import TaskCompleted, TaskFailed
from emulator.durable.core.identity import EntityId
from emulator.storage.builtin import open_builtin
from emulator.storage.port import StorageAccount
from emulator.virtual_time import VirtualClock
from tests.durable.azurestorage.crashing import CrashPoint, Moment
from tests.durable.azurestorage.test_crash_anywhere import either
from tests.durable.azurestorage.world import messages_left
from tests.durable.engine.app import App, running_app
from tests.running_apps import write_app
from tests.sdk_releases import DURABLE, needs
from tests.waiting import eventually

pytestmark = needs(DURABLE, "1.2.0")

APP = """
from datetime import timedelta

import azure.durable_functions as df

app = df.DFApp()


@app.orchestration_trigger(context_name="context")
def rounds(context):
    counter = df.EntityId("counter", "k")
    context.signal_entity(counter, "add", 1)
    context.signal_entity(counter, "add", 10)
    key = yield context.call_activity("echo", [str(context.new_uuid()), str(context.current_utc_datetime)])
    total = yield context.call_entity(counter, "add", 100)
    yield context.call_sub_orchestrator("child", key)
    yield context.create_timer(context.current_utc_datetime + timedelta(minutes=6))
    if context.get_input() > 1:
        context.continue_as_new(context.get_input() - 1)
        return None
    return total


@app.orchestration_trigger(context_name="context")
def child(context):
    return (yield context.call_activity("echo", str(context.new_uuid())))


@app.activity_trigger(input_name="value")
def echo(value):
    return value


@app.entity_trigger(context_name="context")
def counter(context):
    total = context.get_state(lambda: 0) + context.get_input()
    context.set_state(total)
    context.set_result(total)
"""

COUNTER = EntityId("counter", "k")
# What the operations of one round add.
ROUND = 111


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_app(tmp_path / "app", APP.lstrip())


async def start_and_crash(
    account: StorageAccount, clock: VirtualClock, folder: Path, rounds: int, crash: CrashPoint
) -> None:
    async with running_app(folder, crash.account(account), clock) as app:
        await App(app.hub, clock).begin("rounds", rounds)
        await either(app.output(), crash.happened.wait())


async def stored_episodes(clock: VirtualClock, folder: Path, rounds: int) -> int:
    """Number of episodes of all instances."""
    crash = CrashPoint()
    async with open_builtin(None, clock) as account:
        await start_and_crash(account, clock, folder, rounds, crash)
    return crash.log.count("submit TestHubHistory")


def by_episode(sent: Sequence[str]) -> Mapping[tuple[str | None, ...], list[str]]:
    """Texts of the messages that orchestrations and entities sent, without the envelope, by sender and episode."""
    found = defaultdict[tuple[str | None, ...], list[str]](list)
    for text in sent:
        data = wire.decode(text)
        assert data.message is not None
        is_of_activity = isinstance(data.message.event, TaskCompleted | TaskFailed)
        if data.sender is not None and data.sender.instance_id and not is_of_activity:
            key = (data.sender.instance_id, data.sender.execution_id, str(data.episode))
            found[key].append(repr(data.message))
    return found


async def nothing_left(account: StorageAccount) -> bool:
    return not await messages_left(account)


@pytest.mark.parametrize("rounds", [1, pytest.param(2, marks=pytest.mark.soak)])
async def test_a_repeated_episode_sends_the_same_messages(clock: VirtualClock, folder: Path, rounds: int) -> None:
    repeated = set()
    for number in range(1, 1 + await stored_episodes(clock, folder, rounds)):
        first, second = CrashPoint(("submit TestHubHistory", number), Moment.BEFORE), CrashPoint()
        async with open_builtin(None, clock) as account:
            await start_and_crash(account, clock, folder, rounds, first)
            async with running_app(folder, second.account(account), clock) as app:
                await app.output()
                # Messages that the killed host had locked come later than those that were sent since.
                await eventually(partial(nothing_left, account), "empty queues", within=3600, clock=clock, every=60)
                assert await app.entity_state(COUNTER) == str(rounds * ROUND), number
        before, after = by_episode(first.sent), by_episode(second.sent)
        for episode in before.keys() & after.keys():
            # The host may have been killed before it had sent all of them.
            assert not Counter(before[episode]) - Counter(after[episode]), (number, episode)
            repeated.add(episode[0])
    # The orchestration, its child and the entity have repeated an episode.
    assert len(repeated) >= 3, repeated
