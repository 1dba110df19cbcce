"""Which versions a worker may run."""

from __future__ import annotations

import pytest

from emulator.durable.engine.versions import accepts
from emulator.durable.options import VersionMatch

NONE, STRICT, OLDER = VersionMatch.NONE, VersionMatch.STRICT, VersionMatch.CURRENT_OR_OLDER


@pytest.mark.parametrize(
    ("strategy", "worker", "instance", "accepted"),
    [
        (NONE, "1.0", "2.0", True),
        (STRICT, "1.0", "1.0", True),
        (STRICT, "1.0", "1.0.0", False),
        (STRICT, "1.0", None, False),
        (STRICT, None, "", True),
        (OLDER, None, None, True),
        (OLDER, None, "2.0", False),
        (OLDER, "1.0", None, True),
        (OLDER, "1.10", "1.9", True),
        (OLDER, "1.9", "1.10", False),
        (OLDER, "1.0", "1.0.0", False),
        (OLDER, "2", "10", True),  # one number alone is not a version for .NET, and as text "10" comes before "2"
        (OLDER, "beta", "ALPHA", True),
        (OLDER, "alpha", "beta", False),
    ],
)
def test_accepts(strategy: VersionMatch, worker: str | None, instance: str | None, accepted: bool) -> None:
    assert accepts(strategy, worker, instance) is accepted
