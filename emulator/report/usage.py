"""Sums of what a run has used: storage requests by purpose and by function, executions, and their prices."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from emulator.durable.azurestorage.names import HubNames
from emulator.host.port import Function
from emulator.host.recording import Recording
from emulator.report.idle import IdleRequests
from emulator.report.prices import Prices
from emulator.storage.counting import Request

# The memory of an execution on the Consumption plan is rounded up to a multiple of this, its time up to 100 ms.
_MEMORY_STEP: Final = 128
_SHORTEST_SECONDS: Final = 0.1
DEFAULT_MEMORY: Final = 256

_PARTITIONS: Final = "durable: leases of control queues"
# What grows with the number of orchestrations. The leases of control queues cost the same without work, so they belong
# to the idle month only.
_WORK_OF_ORCHESTRATIONS: Final = frozenset(
    (
        "durable: control queues",
        "durable: work-item queue",
        "durable: history",
        "durable: instances",
        "durable: large payloads",
    )
)
_HOST: Final = "host: locks, keys and schedules"
_DURABLE_TRIGGERS: Final = frozenset(("orchestrationtrigger", "activitytrigger", "entitytrigger"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a run has used. `orchestrations`: the number of instances that were started in it, entities excluded.

    `names`: of the task hub; None: the app has none.
    """

    requests: Mapping[Request, int]
    names: HubNames | None
    recording: Recording
    functions: Sequence[Function]
    orchestrations: int


def report_members(usage: Usage, idle: Sequence[IdleRequests], prices: Prices, *, memory: int) -> dict[str, Any]:
    """Return the members of the report. `memory`: of an execution, in MB (assumed, because azemu cannot measure it)."""
    purposes: Counter[tuple[str, str, str]] = Counter()
    idle_polls: Counter[tuple[str, str, str]] = Counter()
    causes: Counter[str] = Counter()
    work_price, work_requests, total_price = 0.0, 0, 0.0
    for request, number in usage.requests.items():
        purpose = _purpose(request, usage.names)
        key = (purpose, request.service, request.operation)
        purposes[key] += number
        price = prices.of_requests(request.service, request.operation, number)
        total_price += price
        # A poll without a message belongs to no function. How many there are on Azure is calculated for the idle month.
        if request.is_idle:
            idle_polls[key] += number
            continue
        causes[request.cause] += number
        if purpose in _WORK_OF_ORCHESTRATIONS:
            work_requests += number
            work_price += price
    runs = [_run(usage.recording, function, memory) for function in usage.functions]
    runs = [run for run in runs if run["runs"]]
    durable = [run for run in runs if run["isDurable"]]
    return {
        "storage": {
            "requests": sum(purposes.values()),
            "idlePolls": sum(idle_polls.values()),
            "purposes": [
                {"purpose": key[0], "service": key[1], "operation": key[2], "requests": n, "idlePolls": idle_polls[key]}
                for key, n in sorted(purposes.items())
            ],
            "functions": [{"function": name or None, "requests": number} for name, number in causes.most_common()],
        },
        "executions": runs,
        "prices": {
            "date": prices.date,
            "region": prices.region,
            "currency": prices.currency,
            "kind": prices.kind,
            "sources": list(prices.sources),
        },
        "run": _estimate(sum(purposes.values()), total_price, runs, prices),
        "orchestrations": usage.orchestrations,
        "perThousandOrchestrations": None
        if not usage.orchestrations
        else _estimate(work_requests, work_price, durable, prices, factor=1000 / usage.orchestrations),
        "idleMonth": {
            "requests": round(sum(each.per_month for each in idle)),
            "price": _rounded(sum(_price_of(each, prices) for each in idle)),
            "parts": [
                {
                    "what": each.what,
                    "service": each.service,
                    "everySeconds": each.every.total_seconds(),
                    "requests": round(each.per_month),
                    "price": _rounded(_price_of(each, prices)),
                }
                for each in idle
            ],
        },
        "assumptions": _assumptions(prices, memory),
    }


def _purpose(request: Request, names: HubNames | None) -> str:
    target = request.target
    if names is not None:
        if request.service == "queue" and target in names.control_queues:
            return "durable: control queues"
        known = {
            names.work_item_queue: "durable: work-item queue",
            names.history_table: "durable: history",
            names.instances_table: "durable: instances",
            names.partitions_table: _PARTITIONS,
            names.lease_container: _PARTITIONS,
            names.app_lease_container: _PARTITIONS,
            names.large_message_container: "durable: large payloads",
        }
        if target in known:
            return known[target]
    # Before the next rule, which this name fulfils, too.
    if target.startswith("azure-webjobs-blobtrigger"):
        return "blob triggers: queue of the host"
    if target.startswith("azure-webjobs-"):
        return _HOST
    return f"app: {target}"


def _run(recording: Recording, function: Function, memory: int) -> dict[str, Any]:
    counts = recording.counts(function.name)
    number = counts.succeeded + counts.failed
    # The recording has sums and no single times, so the shortest billed time is applied to the average.
    average = counts.seconds / number if number else 0.0
    gigabytes = math.ceil(memory / _MEMORY_STEP) * _MEMORY_STEP / 1024
    return {
        "function": function.name,
        "isDurable": function.trigger.type.lower() in _DURABLE_TRIGGERS,
        "runs": number,
        "failed": counts.failed,
        "seconds": round(counts.seconds, 3),
        "gigabyteSeconds": round(number * gigabytes * max(average, _SHORTEST_SECONDS), 4),
    }


def _estimate(
    requests: float, storage_price: float, runs: Sequence[Mapping[str, Any]], prices: Prices, *, factor: float = 1
) -> dict[str, Any]:
    executions = sum(run["runs"] for run in runs) * factor
    gigabyte_seconds = sum(run["gigabyteSeconds"] for run in runs) * factor
    execution_price = prices.of_executions(executions, gigabyte_seconds)
    return {
        "storageRequests": round(requests * factor),
        "storagePrice": _rounded(storage_price * factor),
        "executions": round(executions),
        "gigabyteSeconds": round(gigabyte_seconds, 3),
        "executionPrice": _rounded(execution_price),
        "price": _rounded(storage_price * factor + execution_price),
    }


def _price_of(idle: IdleRequests, prices: Prices) -> float:
    return prices.of_requests(idle.service, idle.operation, idle.per_month)


def _rounded(price: float) -> float:
    # A small run costs less than a cent, so two decimals would show nothing.
    return round(price, 6)


def _assumptions(prices: Prices, memory: int) -> list[str]:
    return [
        f"Prices are {prices.kind}; {prices.region}, {prices.date}. Your region, redundancy and contract differ.",
        f"Each execution uses {memory} MB. azemu cannot measure what the app would use on Azure.",
        f"Executions last as long as on this machine, and are billed for at least {_SHORTEST_SECONDS:g} s.",
        f"The free grant of each month ({prices.free_executions:,} executions, {prices.free_gigabyte_seconds:,} GB-s) "
        "is not subtracted.",
        "The idle month is one instance that runs all the time. On the Consumption plan idle apps have none, but the "
        "scale controller polls the queues, too.",
        "Not included: stored data, data transfer, Application Insights, other services, more than one instance.",
    ]
