"""Generation of random ids (GUIDs). No other module creates them, so that tests can replace them by numbered ones."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from emulator.random_numbers import random_bytes

NewId = Callable[[], str]
"""Function that returns 32 lower-case hex digits, different at every call (.NET: Guid.ToString("N"))."""


def new_id() -> str:
    """Create a random id of 32 lower-case hex digits."""
    # Not uuid4: tests of apps replace it by a function that returns the same id at every call.
    return UUID(bytes=random_bytes(16), version=4).hex


def hyphenated(identifier: str) -> str:
    """Write an id of 32 hex digits in groups of 8-4-4-4-12 (.NET: Guid.ToString("D"))."""
    return str(UUID(hex=identifier))
