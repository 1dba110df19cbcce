"""Identifiers that a test can foretell."""

from __future__ import annotations

import itertools

from emulator.ids import NewId


def counting_ids() -> NewId:
    """000…1, 000…2, …"""
    numbers = itertools.count(1)
    return lambda: f"{next(numbers):032x}"
