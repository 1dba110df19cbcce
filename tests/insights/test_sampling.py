"""Adaptive sampling, with the rules of the Application Insights SDK for .NET."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from emulator.config.hostjson import SamplingOptions
from emulator.insights.sampling import AdaptiveSampling, sampling_score

# Like random ones: their scores are spread evenly.
IDS = [hashlib.sha256(str(number).encode()).hexdigest()[:32] for number in range(2000)]


class Run:
    """Sampling at a time that the test sets."""

    def __init__(self, **options: Any) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)
        self.sampling = AdaptiveSampling(SamplingOptions(**options), lambda: self.time)

    def kept(self, seconds: int, *, per_second: int) -> list[float]:
        """Offer items for some seconds. Return the percentages of those that are kept."""
        percentages = []
        for second in range(seconds):
            for number in range(per_second):
                operation = IDS[(second * per_second + number) % len(IDS)]
                percentages.append(self.sampling.percentage("Trace", operation))
            self.time += timedelta(seconds=1)
        return [percentage for percentage in percentages if percentage is not None]


def test_the_score_is_that_of_the_other_sdks() -> None:
    utils = pytest.importorskip("azure.monitor.opentelemetry.exporter.export.trace._utils")
    for operation in ("0af7651916cd43dd8448eb211c80319c", "f" * 32, *IDS[:50]):
        # Theirs is a fraction.
        assert sampling_score(operation) == pytest.approx(utils._get_DJB2_sample_score(operation) * 100)


def test_little_telemetry_is_sent_completely() -> None:
    assert Run().kept(600, per_second=10) == [100.0] * 6000


def test_much_telemetry_is_reduced_after_two_minutes_and_restored_later() -> None:
    run = Run(max_telemetry_items_per_second=20)
    assert set(run.kept(115, per_second=100)) == {100.0}
    run.kept(30, per_second=100)
    reduced = run.kept(100, per_second=100)
    # One of five or six, and all that are kept say so.
    assert set(reduced) <= {100 / 5, 100 / 6}
    assert 1000 < len(reduced) < 3000
    # Fifteen minutes later it may be raised.
    run.kept(16 * 60, per_second=5)
    assert set(run.kept(60, per_second=5)) == {100.0}


def test_items_of_one_operation_share_their_fate_and_excluded_types_are_kept() -> None:
    sampling = Run(initial_sampling_percentage=10).sampling
    for operation in IDS[:200]:
        assert len({sampling.percentage(kind, operation) for kind in ("Trace", "Dependency", "Exception")}) == 1
        assert sampling.percentage("Request", operation) == 100.0


def test_included_types_are_the_only_ones_that_are_sampled() -> None:
    sampling = Run(initial_sampling_percentage=0.1, included_types="Trace;Event", excluded_types="").sampling
    assert sampling.percentage("Exception", IDS[3]) == 100.0
    assert [sampling.percentage("Trace", operation) for operation in IDS[:100]].count(None) > 90
