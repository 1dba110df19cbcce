"""What tests with real processes share."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from emulator.storage.file_lock import try_lock
from tests.cli.processes import PATIENCE_SECONDS


@pytest.fixture
def usual_ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """For a test whose azemu starts an Azurite at the usual ports, or finds one: no two of them at a time."""
    lock = tmp_path_factory.getbasetemp().parent / "usual-ports.lock"
    deadline = time.monotonic() + PATIENCE_SECONDS * 2
    while time.monotonic() < deadline:
        with try_lock(lock) as ours:
            if ours:
                yield
                return
        time.sleep(0.1)
    raise AssertionError("the usual ports of Azurite did not become free")
