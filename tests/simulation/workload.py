"""What clients do in a simulation, and what must come of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from emulator.clock import Clock
from emulator.durable.core.identity import TERMINAL, EntityId, RuntimeStatus
from emulator.durable.hub import InstanceStatus
from tests.durable.azurestorage.world import World
from tests.simulation.choices import Choices
from tests.simulation.programs import LARGE, LOGS

# Longer than any lock and any delay of a retry, so that only lost work takes so long.
PATIENCE_SECONDS = 1.5 * 3600


class Stuck(AssertionError):
    """An instance has not reached its end."""


@dataclass
class Client:
    """Client of the simulation. `senders`: how many notes each sender has sent to each log; None: unknown."""

    world: World
    clock: Clock
    choices: Choices
    repaired: set[str]
    problems: list[str] = field(default_factory=list)
    client_notes: Counter[int] = field(default_factory=Counter)
    terminated: set[str] = field(default_factory=set)
    counted: dict[str, int] = field(default_factory=dict)
    transferred: dict[str, int] = field(default_factory=dict)

    async def pause(self, longest: float) -> None:
        await self.clock.sleep(0.01 + self.choices.seconds("pause", longest))

    async def ended(self, id: str, *wanted: RuntimeStatus, patience: float = PATIENCE_SECONDS) -> InstanceStatus:
        """Wait until the instance has a status, a terminal one by default. Raises Stuck."""
        every, waited = 1.0, 0.0
        while waited < patience:
            status = await self.world.hub.status(id)
            if status is not None and status.runtime_status in (wanted or TERMINAL):
                return status
            await self.clock.sleep(every)
            waited += every
            every = min(every * 1.2, 60)
        raise Stuck(f"{id} is {status and status.runtime_status!r} after {patience:g} s")

    async def completes(self, id: str, output: Any) -> None:
        status = await self.ended(id)
        self.expect(status.runtime_status is RuntimeStatus.COMPLETED, f"{id} is {status.runtime_status}")
        self.expect(status.output == json.dumps(output), f"{id}: output {(status.output or '')[:80]}")

    def expect(self, fact: bool, problem: str) -> None:
        if not fact:
            self.problems.append(problem)


# Each scenario gets an id of its own. -------------------------------------------------------------------------


async def chain(it: Client, id: str) -> None:
    await it.world.start("chain", 4, id=id)
    await it.completes(id, 6)
    status = await it.world.status(id)
    it.expect(status.custom_status == "6", f"{id}: custom status {status.custom_status}")


async def fan_out(it: Client, id: str) -> None:
    await it.world.start("fan_out", 6, id=id)
    await it.completes(id, 21)


async def parent(it: Client, id: str) -> None:
    await it.world.start("parent", 3, id=id)
    await it.completes(id, [1, 1, 1, True, "done"])


async def listens(it: Client, id: str) -> None:
    await it.world.start("listens", 4, id=id)
    for word in ("a", "b", "c", "d"):
        await it.pause(20)
        await it.world.raise_event(id, "word", word)
    await it.completes(id, ["a", "b", "c", "d"])


async def loops(it: Client, id: str) -> None:
    """A word may be delivered to two generations, so they are collected in a set."""
    await it.world.start("loops", {"total": 4, "words": []}, id=id)
    for word in ("a", "b", "c", "d"):
        await it.pause(10)
        await it.world.raise_event(id, "word", word)
    await it.completes(id, ["a", "b", "c", "d"])


async def races(it: Client, id: str) -> None:
    await it.world.start("races", 15, id=id)
    await it.pause(60)
    await it.world.raise_event(id, "word", 1)
    status = await it.ended(id)
    it.expect(status.output in ('"event"', '"timer"'), f"{id}: output {status.output}")


async def counts(it: Client, id: str) -> None:
    it.counted[id] = 3
    await it.world.start("counts", 3, id=id)
    await it.completes(id, 3)


async def transfers(it: Client, id: str) -> None:
    it.transferred[id] = 2
    await it.world.start("transfers", 2, id=id)
    await it.completes(id, 2)


async def large(it: Client, id: str) -> None:
    await it.world.start("large", LARGE, id=id)
    await it.world.raise_event(id, "word", LARGE)
    await it.completes(id, LARGE + LARGE)


async def terminated(it: Client, id: str) -> None:
    name = it.choices.generator.choice(["chain", "counts", "sleeps", "fan_out"])
    it.terminated.add(id)
    await it.world.start(name, 5, id=id)
    await it.pause(20)
    await it.world.terminate(id, "enough")
    status = await it.ended(id)
    is_right = status.runtime_status in (RuntimeStatus.TERMINATED, RuntimeStatus.COMPLETED)
    it.expect(is_right, f"{id} is {status.runtime_status}")
    if status.runtime_status is RuntimeStatus.TERMINATED:
        it.expect(status.output == "enough", f"{id}: output {status.output}")


async def suspended(it: Client, id: str) -> None:
    await it.world.start("chain", 4, id=id)
    await it.pause(10)
    await it.world.suspend(id)
    # Queues do not keep the order: a resumption must not be sent before the suspension has arrived.
    await it.ended(id, RuntimeStatus.SUSPENDED, *TERMINAL)
    await it.pause(40)
    await it.world.resume(id)
    await it.completes(id, 6)


async def purged(it: Client, id: str) -> None:
    await it.world.start("fan_out", 3, id=id)
    await it.completes(id, 6)
    await it.pause(5)
    await it.world.hub.purge(id)
    await it.pause(60)
    it.expect(await it.world.hub.status(id) is None, f"{id} is there again after its purge")


async def restarted(it: Client, id: str) -> None:
    await it.world.start("chain", 2, id=id)
    await it.completes(id, 1)
    await it.pause(5)
    await it.world.start("chain", 3, id=id)
    await it.clock.sleep(1)
    await it.completes(id, 3)


async def rewound(it: Client, id: str) -> None:
    await it.world.start("broken", None, id=id)
    status = await it.ended(id)
    it.expect(status.runtime_status is RuntimeStatus.FAILED, f"{id} is {status.runtime_status}")
    it.repaired.add(id)
    # An activity that was repeated after a crash fails twice, and its second failure may end the rewound execution.
    for _ in range(3):
        status = await it.ended(id)
        if status.runtime_status is RuntimeStatus.COMPLETED:
            break
        await it.pause(5)
        await it.world.hub.rewind(id, "repaired")
        with suppress(Stuck):
            await it.ended(id, RuntimeStatus.COMPLETED, patience=300)
    await it.completes(id, [2, "done"])


async def scheduled(it: Client, id: str) -> None:
    await it.world.start("chain", 2, id=id, at=it.world.now + timedelta(seconds=20))
    await it.completes(id, 1)


async def signals(it: Client, id: str) -> None:
    """A client's signals have no labels: one that is delivered again after a crash is executed again."""
    for number in range(4):
        it.client_notes[number] += 1
        await it.world.signal(LOGS[0].instance_id, "note", json.dumps([id, number]))
        await it.pause(10)


# Not `transfers`. An entity whose episode is repeated after its messages were sent may take the requests in another
# order, if the lock of one of their messages has not ended. Then it has granted its lock twice, to two orchestrations
# that wait for each other, or it runs an operation whose caller has got the result already after the lock was released.
# That is the protocol, in .NET as here (docs/compatibility.md): messages are sent before a state is stored, and nothing
# that is stored says what was sent. Python's SDK has no locks.
SCENARIOS: list[Callable[[Client, str], Awaitable[None]]] = [
    chain,
    fan_out,
    parent,
    listens,
    loops,
    races,
    counts,
    large,
    terminated,
    suspended,
    purged,
    restarted,
    rewound,
    scheduled,
    signals,
]


# States of the entities ---------------------------------------------------------------------------------------


def entity_problems(client: Client, entity: EntityId, state: str | None) -> Iterator[str]:
    """Say what is wrong with the list of notes that an entity has."""
    notes = json.loads(state) if state else []
    by_sender: dict[str, list[list[Any]]] = {}
    for note in notes:
        by_sender.setdefault(note[1], []).append(note)
    for sender, own in by_sender.items():
        numbers = [[operation, number] for operation, _, number in own]
        expected = expected_notes(client, entity, sender)
        if sender.startswith("signals"):
            missing = {0, 1, 2, 3} - {number for _, number in numbers}
            if missing:
                yield f"the signals {missing} of {sender} are missing"
        elif sender.startswith("terminated"):
            if any(note in numbers[:at] for at, note in enumerate(numbers)):
                yield f"operations of {sender} were executed twice: {numbers}"
        elif expected is not None and numbers != expected:
            yield f"operations of {sender}: {numbers} instead of {expected}"
    for sender in client.counted if entity in LOGS[:2] else ():
        if sender not in by_sender:
            yield f"no operation of {sender} was executed"
    if entity.name == "account":
        holders = [note[1:] for note in notes]
        if any(holders[at] != holders[at + 1] for at in range(0, len(holders) - 1, 2)):
            yield f"operations came between those of a lock's holder: {holders}"


def expected_notes(client: Client, entity: EntityId, sender: str) -> list[list[Any]] | None:
    """Return the operations and numbers that a sender has sent; None: it is not known how many."""
    if sender in client.counted:
        sent = []
        for number in range(client.counted[sender]):
            sent += [["note", 2 * number], ["note", 2 * number + 1]]
            if entity == LOGS[0]:
                sent.append(["forward", number])
        return sent
    if sender in client.transferred:
        operation = "withdraw" if entity.key == "a" else "deposit"
        return [[name, n] for n in range(client.transferred[sender]) for name in ("begin", operation)]
    return None
