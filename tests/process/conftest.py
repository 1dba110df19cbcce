"""Fixtures for tests that start azemu as a process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from emulator.storage.file_lock import try_lock
from tests.waiting import eventually_sync


@pytest.fixture
def usual_ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Lock for tests that use Azurite at its default ports. Only one of them runs at a time, in all test processes."""
    lock = tmp_path_factory.getbasetemp().parent / "usual-ports.lock"

    def locked() -> ExitStack | None:
        with ExitStack() as stack:
            return stack.pop_all() if stack.enter_context(try_lock(lock)) else None

    with eventually_sync(locked, "free default ports of Azurite", within=120):
        yield
