"""Random choices of a simulation: all from generators that its seed determines."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch
from uuid import UUID

from emulator import ids, random_numbers
from emulator.ids import NewId


class Choices:
    """A generator for one part of the simulation, so that a choice of one part does not change those of another."""

    def __init__(self, seed: int, part: str) -> None:
        self.generator = random.Random(f"{seed} {part}")

    def seconds(self, _what: str, longest: float) -> float:
        """Return how long something takes: mostly short."""
        return float(longest * self.generator.random() ** 3)

    def new_id(self) -> NewId:
        """Return a function that returns ids of 32 hex digits."""
        return lambda: UUID(int=self.generator.getrandbits(128), version=4).hex


@contextmanager
def seeded_random_numbers(seed: int) -> Iterator[None]:
    """Let the host's own generator, and its ids, be determined by the seed."""
    generator = random_numbers._generator
    state = generator.getstate()
    generator.seed(seed)
    try:
        with patch.object(ids, "random_bytes", random.Random(seed).randbytes):
            yield
    finally:
        generator.setstate(state)
