"""Plan of faults: which storage calls of a host fail, come late or twice, or are its last.

    plan = FaultPlan(seed=17)
    plan.fault_at("queue.put", "hub-control-00", possible={Fault.FAIL_BEFORE, Fault.DUPLICATE})

Whether a call has a fault depends on the seed and on its access point alone: the operation, what it is applied to, and
how many such calls were made before. It does not depend on what other calls were made meanwhile, so the same seed gives
the same faults even if the calls of a program come in another order. A number of a generator, drawn for each call in
turn, would not have that property; so a hash of the access point is used.
"""

from __future__ import annotations

import enum
import hashlib
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from emulator.random_numbers import random_bytes

_MAX_SEED = 10**6


class Fault(enum.Enum):
    """Faults of one storage call. The values are used in messages: "queue.put hub-control-00 (call 17): <value>"."""

    FAIL_BEFORE = "failed"  # the service has not got the request
    FAIL_AFTER = "its response was lost"  # the service has done it
    DELAY = "delayed"  # a message becomes visible later; other calls take longer
    DUPLICATE = "sent twice"  # a message is put into its queue twice
    REORDER = "messages came in another order"
    LOSE_LOCK = "the lock was lost"  # of a message, a lease or a row: as if another host had it now
    CRASH_BEFORE = "the host crashed before it"
    CRASH_AFTER = "the host crashed after it"


CRASHES = frozenset((Fault.CRASH_BEFORE, Fault.CRASH_AFTER))


@dataclass(frozen=True, slots=True, kw_only=True)
class Intensities:
    """Probability of each kind of fault at every access point where it is possible, from 0 to 1."""

    fail_before: float = 0.03
    fail_after: float = 0.04
    delay: float = 0.05
    duplicate: float = 0.08
    reorder: float = 0.2
    lose_lock: float = 0.06
    crash_before: float = 0.01
    crash_after: float = 0.01

    def of(self, fault: Fault) -> float:
        """Return the probability of one fault."""
        return float(getattr(self, fault.name.lower()))


@dataclass(frozen=True, slots=True)
class AccessPoint:
    """A storage call. `operation`: such as "queue.put"; `target`: the name of the queue, table, container or blob.

    `number`: 1 for the first such call. `run`: 1 for the first host process of `azemu start`, 2 after its restart.
    """

    operation: str
    target: str
    number: int
    run: int = 1

    def __str__(self) -> str:
        run = f", run {self.run} of the host" if self.run > 1 else ""
        return f"{self.operation} {self.target} (call {self.number}{run})"


@dataclass(frozen=True, slots=True)
class Injected:
    """A fault that has happened. `amount`: a number in [0, 1) that decides how long a delay is, or which order."""

    fault: Fault
    point: AccessPoint
    amount: float

    def __str__(self) -> str:
        return f"{self.point}: {self.fault.value}"


@dataclass(slots=True, kw_only=True)
class FaultPlan:
    """The faults of one run, by `seed`.

    `budget`: how many faults happen at most, so that every program comes to its end; `crashes`: how many of them are
    crashes at most. `run`: number of the host process; a later one has other faults at the same calls, so that a host
    that crashes while it repeats its work does not crash at the same place again and again.
    `active`: whether faults happen; calls are counted only then. `happened`: the faults so far, in order. `note`: is
    called with each.
    """

    seed: int
    intensities: Intensities = field(default_factory=Intensities)
    budget: int = 60
    crashes: int = 3
    run: int = 1
    active: bool = True
    happened: list[Injected] = field(default_factory=list)
    note: Callable[[Injected], object] = lambda fault: None
    _calls: Counter[tuple[str, str]] = field(default_factory=Counter)

    def fault_at(self, operation: str, target: str, possible: Collection[Fault]) -> Injected | None:
        """Count a call; return its fault, one of `possible`, or None."""
        self._calls[operation, target] += 1
        point = AccessPoint(operation, target, self._calls[operation, target], self.run)
        injected = planned(self.seed, self.intensities, point, possible)
        if injected is None or len(self.happened) >= self.budget:
            return None
        if injected.fault in CRASHES and sum(each.fault in CRASHES for each in self.happened) >= self.crashes:
            return None
        self.happened.append(injected)
        self.note(injected)
        return injected


def planned(seed: int, intensities: Intensities, point: AccessPoint, possible: Collection[Fault]) -> Injected | None:
    """Return the fault of a call without regard to a budget. A pure function."""
    text = "\0".join((str(seed), point.operation, point.target, str(point.number), str(point.run)))
    digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
    choice, amount = (int.from_bytes(half) / 2**64 for half in (digest[:8], digest[8:]))
    # In the order of the enum, so that a fault at a point stays the same when others become possible there.
    for fault in Fault:
        probability = intensities.of(fault)
        if choice < probability:
            return Injected(fault, point, amount) if fault in possible else None
        choice -= probability
    return None


def new_seed() -> int:
    """Return a seed that is short enough to be typed."""
    return int.from_bytes(random_bytes(8)) % _MAX_SEED
