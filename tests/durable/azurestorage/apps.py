"""The scripted orchestrators of these tests."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from emulator.durable.core.identity import EntityId

from .scripted import ContinueAsNew, Script, act, ask, child, event, timer

Steps = Generator[Any, Any, Any]
COUNTER = EntityId("counter", "k")


def nothing(input: Any) -> Steps:
    yield []
    return input


def chain(input: int) -> Steps:
    """Doubles three times."""
    for _ in range(3):
        input = yield act("Double", input)
    return input


def fan_out(input: int) -> Steps:
    return sum((yield [act("Double", number) for number in range(input)]))


def parent(input: int) -> Steps:
    """A child without and one with an id of its own."""
    first = yield child("chain", input)
    return (yield child("chain", first, "second"))


def naps(input: float) -> Steps:
    yield timer(input)
    return "slept"


def listens(input: int) -> Steps:
    """The first `input` words."""
    found = []
    for _ in range(input):
        found.append((yield event("word")))
    return found


def loops(input: int) -> Steps:
    """Continues as new until 3."""
    yield act("Double", input)
    return ContinueAsNew(input + 1) if input < 3 else input


def counts(input: int) -> Steps:
    yield ask(COUNTER, "add", input)
    return (yield ask(COUNTER, "add", input))


def fails(input: Any) -> Steps:
    yield act("Boom", input)


def large(input: str) -> Steps:
    doubled = yield act("Double", input)
    word = yield event("word")
    return doubled + word


def grows(input: str) -> Steps:
    """Two generations, each with a large input and a large result of an activity."""
    doubled = yield act("Double", input)
    return ContinueAsNew(doubled) if len(doubled) < 200_000 else doubled


def tours(input: int) -> Steps:
    """Two rounds of `input` activities that say where they ran; how many of each."""
    first = yield [act("Where", number) for number in range(input)]
    second = yield [act("Where", number) for number in range(input)]
    return {host: (first + second).count(host) for host in sorted({*first, *second})}


def app() -> Script:
    steps = (nothing, chain, fan_out, parent, naps, listens, loops, counts, fails, large, grows, tours)
    return Script({each.__name__: each for each in steps})
