"""Adaptive sampling of telemetry, as `logging.applicationInsights.samplingSettings` of host.json describes it.

Source: ApplicationInsights-dotnet, SamplingPercentageEstimatorTelemetryProcessor.cs, SamplingScoreGenerator.cs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from emulator.config.hostjson import SamplingOptions
from emulator.random_numbers import uniform

_INT_MAX: Final = 2**31 - 1


class AdaptiveSampling:
    """Decides which items are sent, so that there are on average at most as many per second as configured.

    `now`: returns the time.
    """

    def __init__(self, options: SamplingOptions, now: Callable[[], datetime]) -> None:
        self._options = options
        self._now = now
        self._excluded = _types(options.excluded_types)
        self._included = _types(options.included_types)
        # One of so many operations is sent.
        self._rate = max(1, round(100 / options.initial_sampling_percentage))
        self._average: float | None = None
        self._kept = 0
        self._interval_began = self._rate_changed = now()

    def percentage(self, kind: str, operation_id: str | None) -> float | None:
        """Return the percentage of which an item is a part; None: it is not sent.

        `kind`: Request, Dependency, Trace or Exception. All items of an operation that are sampled share its fate.
        """
        if not self._options.is_enabled or kind.lower() in self._excluded:
            return 100.0
        if self._included and kind.lower() not in self._included:
            return 100.0
        now = self._now()
        elapsed = now - self._interval_began
        if elapsed >= self._options.evaluation_interval:
            self._change_rate(now, self._kept / max(elapsed / timedelta(seconds=1), 1e-3))
            self._kept, self._interval_began = 0, now
        percentage = 100 / self._rate
        score = uniform(0, 100) if operation_id is None else sampling_score(operation_id)
        if score >= percentage:
            return None
        self._kept += 1
        return percentage

    def _change_rate(self, now: datetime, per_second: float) -> None:
        options = self._options
        ratio = options.moving_average_ratio
        self._average = per_second if self._average is None else ratio * per_second + (1 - ratio) * self._average
        # What was counted are the items that were kept.
        wanted = math.ceil(self._average * self._rate / max(options.max_telemetry_items_per_second, 1e-6))
        lowest = math.ceil(100 / options.max_sampling_percentage)
        highest = math.floor(100 / options.min_sampling_percentage)
        wanted = max(lowest, min(wanted, highest), 1)
        if wanted == self._rate:
            return
        pause = (
            options.sampling_percentage_decrease_timeout
            if wanted > self._rate
            else options.sampling_percentage_increase_timeout
        )
        if now - self._rate_changed >= pause:
            # The average of items that were kept at one rate says nothing at another one.
            self._rate, self._rate_changed, self._average = wanted, now, None


def sampling_score(operation_id: str) -> float:
    """Return a number from 0 to 100 that all SDKs of Application Insights calculate from an operation id."""
    text = operation_id
    while len(text) < 8:
        text += text or "0"
    number = 5381
    for character in text:
        number = (number * 33 + ord(character)) & 0xFFFFFFFF
    # As a signed 32-bit number, like in .NET.
    number = number - 2**32 if number > _INT_MAX else number
    return min(abs(number), _INT_MAX) / _INT_MAX * 100


def _types(text: str) -> frozenset[str]:
    return frozenset(filter(None, (name.strip().lower() for name in text.split(";"))))
