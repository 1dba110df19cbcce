"""Memory of the host during and after large payloads."""

from __future__ import annotations

import sys

import pytest

from benchmarks.payloads import SCENARIOS, measured

pytestmark = [
    pytest.mark.soak,
    pytest.mark.timeout(900),
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux reports the peak memory of another process"),
]


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_a_payload_of_60_megabytes_needs_a_few_times_its_size(scenario: str) -> None:
    memory = await measured(scenario, 60, "file")
    assert memory.peak <= 4 * 60
    assert memory.left <= 30
