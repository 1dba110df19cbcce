"""Retry policies of functions: whether a failed function runs again, and after which delay.

Source: webjobs-sdk, Host/Executors/RetryStrategies; docs/protocol/functions-host.md 7.6.
"""

from __future__ import annotations

from collections.abc import Callable

from emulator.worker.port import RetryPolicy

UNLIMITED = -1
"""A maximum number of retries that means no maximum."""


def may_retry(policy: RetryPolicy, retries_done: int) -> bool:
    """Whether a function that has been retried `retries_done` times may run again."""
    return policy.max_attempts == UNLIMITED or retries_done < policy.max_attempts


def delay_before(policy: RetryPolicy, retry: int, last_delay: float, spread: Callable[[float, float], float]) -> float:
    """Return the seconds to wait before retry number `retry` (from 1). `spread(a, b)`: a random number from a to b.

    An exponential delay that has reached the maximum stays there, as in .NET, although the next one could be smaller.
    """
    # The first retry of an exponential policy waits for the minimum exactly; randomness begins with the second.
    if policy.strategy == "fixed_delay":
        return policy.delay
    if retry == 1:
        return policy.minimum
    if last_delay >= policy.maximum:
        return policy.maximum
    # Without the limit an unlimited number of retries would overflow the float. 2 to the power of 64 times any
    # interval is longer than every maximum, so the limit changes no result.
    doublings = min(retry - 2, 64)
    return min(policy.minimum * (1 + spread(0.8, 1.2) * 2.0**doublings), policy.maximum)
