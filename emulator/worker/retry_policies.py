"""Retry policies as apps write them: the decorator @app.retry, `retry` of host.json, and `retry` of a function.json.

Source: docs/protocol/python-worker.md 2.3; docs/protocol/functions-host.md 7.6.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from time import strptime
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

    Every strategy but `fixed_delay` is exponential, as for the official worker. Raises ValueError for intervals that
    are not HH:MM:SS and for a number that is none, TypeError if the intervals of the strategy are missing.
    """
    if not setting:
        return None
    strategy = str(setting["strategy"])
    attempts = int(setting["max_retry_count"])
    if strategy == "fixed_delay":
        return RetryPolicy("fixed_delay", attempts, delay=_interval(setting, "delay_interval"))
    return RetryPolicy(
        "exponential_backoff",
        attempts,
        minimum=_interval(setting, "minimum_interval"),
        maximum=_interval(setting, "maximum_interval"),
    )


def _interval(setting: Mapping[str, Any], name: str) -> float:
    text = setting.get(name)
    if text is None:
        # The official worker's error, "strptime() argument 0 must be str, not None", does not say what is wrong.
        strategy = setting["strategy"]
        reason = (
            ""
            if strategy in ("fixed_delay", "exponential_backoff")
            else ' Every strategy but "fixed_delay" is taken for "exponential_backoff", as on Azure.'
        )
        raise TypeError(
            f'The retry policy has strategy="{strategy}", but no {name}.{reason} Use strategy="fixed_delay" with '
            'delay_interval, or strategy="exponential_backoff" with minimum_interval and maximum_interval.'
        )
    # strptime itself produces the official texts, such as "unconverted data remains: .5". It accepts 60 seconds.
    parsed = strptime(text, "%H:%M:%S")
    return timedelta(hours=parsed.tm_hour, minutes=parsed.tm_min, seconds=parsed.tm_sec).total_seconds()
