"""Fixtures for tests that start azemu as a process."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from emulator.storage.file_lock import try_lock
from tests.waiting import PATIENCE_SECONDS


@pytest.fixture
def usual_ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Lock for tests that use Azurite at its default ports. Only one of them runs at a time, in all test processes."""
    lock = tmp_path_factory.getbasetemp().parent / "usual-ports.lock"
    deadline = time.monotonic() + PATIENCE_SECONDS * 2
    while time.monotonic() < deadline:
        with try_lock(lock) as ours:
            if ours:
                yield
                return
        time.sleep(0.1)
    raise AssertionError("the default ports of Azurite did not become free")
