"""Listeners and engines are kept running: docs/protocol/functions-host.md 11.3."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from emulator.background import background
from emulator.errors import ConfigurationError
from emulator.host.restarting import Restartable, keeping
from emulator.virtual_time import VirtualClock, VirtualTimeLoop


@dataclass
class Told:
    """What was said, with the seconds since the beginning."""

    clock: VirtualClock
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.began = self.clock.now()

    def failed(self, error: Exception, *, entered: bool) -> None:
        self._say(f"{'broke' if entered else 'failed'}: {error}")

    def trying_again(self, attempt: int) -> None:
        self._say(f"again {attempt}")

    def started(self, retries: int) -> None:
        self._say(f"started after {retries}")

    def _say(self, text: str) -> None:
        self.lines.append(f"{(self.clock.now() - self.began).total_seconds():g} {text}")


@pytest.fixture
async def story() -> Told:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    return Told(loop.clock)


class Thing:
    """Fails as often as `errors` says, then lives; `left` counts the orderly ends."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.left = 0
        self.living = asyncio.Event()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        if self.errors:
            raise self.errors.pop(0)
        self.living.set()
        try:
            yield
        finally:
            self.left += 1


async def test_everything_is_entered_before_the_body_and_left_after_it(story: Told) -> None:
    things = [Thing(), Thing()]
    async with keeping([Restartable(str(n), thing.open, story) for n, thing in enumerate(things)], story.clock):
        assert all(thing.living.is_set() for thing in things)
        assert [thing.left for thing in things] == [0, 0]
    assert [thing.left for thing in things] == [1, 1]


async def test_what_fails_is_tried_again_in_the_background_with_growing_delays(story: Told) -> None:
    broken, sound = Thing(*(OSError(f"no {n}") for n in range(3))), Thing()
    async with keeping([Restartable("a", broken.open, story), Restartable("b", sound.open, story)], story.clock):
        # The body does not wait for what has failed.
        assert not broken.living.is_set()
        assert sound.living.is_set()
        await story.clock.advance(timedelta(seconds=60), upkeep=True)
        assert broken.living.is_set()
    assert story.lines == [
        "0 failed: no 0",
        "0 started after 0",
        "2 again 1",
        "2 failed: no 1",
        "6 again 2",
        "6 failed: no 2",
        "14 again 3",
        "14 started after 3",
    ]


async def test_settings_that_are_wrong_stay_wrong(story: Told) -> None:
    thing = Thing(ConfigurationError("no such setting"))
    async with keeping([Restartable("a", thing.open, story)], story.clock):
        await story.clock.advance(timedelta(hours=1), upkeep=True)
    assert story.lines == ["0 failed: no such setting"]


async def test_what_dies_while_running_is_opened_again(story: Told) -> None:
    deaths = [RuntimeError("died")]

    @asynccontextmanager
    async def fragile() -> AsyncIterator[None]:
        async def live() -> None:
            await story.clock.sleep(10)
            if deaths:
                raise deaths.pop()

        async with background(live()):
            yield

    async with keeping([Restartable("a", fragile, story)], story.clock):
        await story.clock.advance(timedelta(minutes=1), upkeep=True)
    assert story.lines == ["0 started after 0", "10 broke: died", "12 again 1", "12 started after 1"]


async def test_an_error_on_the_way_out_is_told_and_stops_nobody(story: Told) -> None:
    @asynccontextmanager
    async def clumsy() -> AsyncIterator[None]:
        yield
        raise OSError("stumbled")

    other = Thing()
    async with keeping([Restartable("a", clumsy, story), Restartable("b", other.open, story)], story.clock):
        pass
    assert other.left == 1
    assert "0 broke: stumbled" in story.lines


async def test_all_can_be_let_go_while_the_body_goes_on(story: Told) -> None:
    thing, late = Thing(), Thing(OSError("not yet"))
    async with keeping([Restartable("a", thing.open, story), Restartable("b", late.open, story)], story.clock) as leave:
        leave()
        await story.clock.advance(timedelta(hours=1), upkeep=True)
        assert thing.left == 1
        assert not late.living.is_set()
