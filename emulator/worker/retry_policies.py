"""Retry policies as apps write them: the decorator @app.retry, `retry` of host.json, and `retry` of a function.json.

Source: docs/protocol/python-worker.md 2.3; docs/protocol/functions-host.md 7.6.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from emulator.config.hostjson import RetryOptions, RetryStrategy
from emulator.worker.port import RetryPolicy


def policy_of_options(options: RetryOptions | None) -> RetryPolicy | None:
    """Return the policy of a section `retry`; None if there is none."""
    if options is None:
        return None

    # Each strategy has intervals of its own. Those of the other one are absent, and not read.
    def seconds(interval: timedelta | None) -> float:
        return 0.0 if interval is None else interval.total_seconds()

    return RetryPolicy(
        "fixed_delay" if options.strategy is RetryStrategy.FIXED_DELAY else "exponential_backoff",
        options.max_retry_count,
        delay=seconds(options.delay_interval),
        minimum=seconds(options.minimum_interval),
        maximum=seconds(options.maximum_interval),
    )


def policy_of_decorator(setting: Mapping[str, Any] | None) -> RetryPolicy | None:
    """Return the policy of @app.retry; None if there is none. `setting`: as the library returns it.

    Raises ValueError for intervals that are not HH:MM:SS and for an unknown strategy, like the official worker.
    """
    if not setting:
        return None
    strategy = str(setting["strategy"])
    attempts = int(setting["max_retry_count"])
    if strategy == "fixed_delay":
        return RetryPolicy("fixed_delay", attempts, delay=_parse_interval(setting.get("delay_interval")))
    if strategy != "exponential_backoff":
        raise ValueError(f'unknown retry strategy "{strategy}": use "fixed_delay" or "exponential_backoff"')
    return RetryPolicy(
        "exponential_backoff",
        attempts,
        minimum=_parse_interval(setting.get("minimum_interval")),
        maximum=_parse_interval(setting.get("maximum_interval")),
    )


def _parse_interval(text: Any) -> float:
    # strptime itself produces the official texts: "unconverted data remains: .5", "must be str, not None".
    parsed = datetime.strptime(text, "%H:%M:%S")  # noqa: DTZ007 - a length of time, not a moment
    return timedelta(hours=parsed.hour, minutes=parsed.minute, seconds=parsed.second).total_seconds()
