"""New identifiers. The only module that may ask for randomness in them, so that tests can count instead."""

from __future__ import annotations

import uuid
from collections.abc import Callable

NewId = Callable[[], str]
"""Gives 32 lower-case hex digits, different at every call (.NET: Guid.ToString("N"))."""


def new_id() -> str:
    return uuid.uuid4().hex


def hyphenated(identifier: str) -> str:
    """The same GUID as .NET's format "D": 8-4-4-4-12."""
    return str(uuid.UUID(hex=identifier))
