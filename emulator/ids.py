"""Generation of random ids (GUIDs). No other module creates them, so that tests can replace them by numbered ones."""

from __future__ import annotations

import uuid
from collections.abc import Callable

NewId = Callable[[], str]
"""Function that returns 32 lower-case hex digits, different at every call (.NET: Guid.ToString("N"))."""


def new_id() -> str:
    """Create a random id of 32 lower-case hex digits."""
    return uuid.uuid4().hex


def hyphenated(identifier: str) -> str:
    """Write an id of 32 hex digits in groups of 8-4-4-4-12 (.NET: Guid.ToString("D"))."""
    return str(uuid.UUID(hex=identifier))
