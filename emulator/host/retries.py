"""How long to wait before a failed function runs again, by its retry policy or host.json's.

Source: webjobs-sdk, Host/Executors/RetryStrategies; docs/protocol/functions-host.md 7.6.
"""

from __future__ import annotations

from collections.abc import Callable

from emulator.worker.port import RetryPolicy

FOR_EVER = -1


def may_retry(policy: RetryPolicy, retries_done: int) -> bool:
    return policy.max_attempts == FOR_EVER or retries_done < policy.max_attempts


def delay_before(policy: RetryPolicy, retry: int, last_delay: float, spread: Callable[[float, float], float]) -> float:
    """Seconds before retry number `retry` (from 1). `spread(a, b)`: a random number between the two.

    An exponential delay that has reached the maximum stays there.
    """
    if policy.strategy == "fixed_delay":
        return policy.delay
    if retry == 1:
        return policy.minimum
    if last_delay >= policy.maximum:
        return policy.maximum
    # Beyond this power every delay is over any maximum; a retry for ever must not overflow.
    doublings = min(retry - 2, 64)
    return min(policy.minimum * (1 + spread(0.8, 1.2) * 2.0**doublings), policy.maximum)
