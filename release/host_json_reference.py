"""Write docs/reference/host-json.md, the options of host.json. A test checks that the file is current.

python -m release.host_json_reference
"""

from __future__ import annotations

import enum
import re
import types
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from emulator.config.hostjson import HostOptions
from emulator.config.queue_options import QueuesOptions
from emulator.config.schema import NO_RULE, Rule, camel_case
from emulator.config.unused_options import UNUSED_OPTIONS
from emulator.dotnet.timespan import format_timespan
from emulator.durable.options import DurableTaskOptions
from emulator.extensions.blobs.options import BlobsOptions
from emulator.host.http_options import HttpOptions

FILE: Final = Path(__file__).parents[1] / "docs" / "reference" / "host-json.md"

_BEGIN: Final = """\
# host.json

azemu reads host.json as the Functions host does: the same defaults, the same limits. A wrong value is an error at the
start; a key that is probably misspelled is a warning. Comments (`//`) are allowed. A setting
`AzureFunctionsJobHost__a__b` overrides the key `a.b`.

Time spans are written `hh:mm:ss`. This page is written by `python -m release.host_json_reference`.
"""

# The chapters of the page: heading, beginning of the keys, options.
_CHAPTERS: Final = (
    ("Host", "", HostOptions),
    ("HTTP", "extensions.http", HttpOptions),
    ("Queues", "extensions.queues", QueuesOptions),
    ("Blobs", "extensions.blobs", BlobsOptions),
    ("Durable Functions", "extensions.durableTask", DurableTaskOptions),
)

_MEANINGS: Final[Mapping[str, str]] = {
    "functionTimeout": "longest run of a function; `-1`: no limit",
    "functions": "run only these functions",
    "retry.strategy": "retry policy of functions without their own: fixed or growing intervals",
    "retry.maxRetryCount": "attempts after the first one; -1: without an end",
    "retry.delayInterval": "interval of `fixedDelay`",
    "retry.minimumInterval": "first interval of `exponentialBackoff`",
    "retry.maximumInterval": "longest interval of `exponentialBackoff`",
    "watchDirectories": "folders whose changes restart the host, besides the code",
    "watchFiles": "files whose changes restart the host",
    "fileWatchingEnabled": "restart the host after changes of files",
    "telemetryMode": "`OpenTelemetry`: send traces to the collector that the settings name",
    "singleton.lockPeriod": "lease of the lock of a singleton",
    "singleton.listenerLockPeriod": "lease of the lock of a listener, such as that of a timer",
    "extensionBundle.id": "read for checks and the admin API; nothing is downloaded",
    "extensionBundle.version": "as above",
    "logging.logLevel": "lowest level that is shown, by category; `default` for all others",
    **{
        f"logging.applicationInsights.samplingSettings.{key}": meaning
        for key, meaning in {
            "isEnabled": "send a part of the telemetry if there is much",
            "maxTelemetryItemsPerSecond": "how many items are sent on average",
            "evaluationInterval": "how often the percentage is calculated again",
            "initialSamplingPercentage": "the percentage at the start",
            "samplingPercentageIncreaseTimeout": "the shortest time before it is raised",
            "samplingPercentageDecreaseTimeout": "the shortest time before it is lowered",
            "minSamplingPercentage": "its lowest value",
            "maxSamplingPercentage": "its highest value",
            "movingAverageRatio": "weight of the last interval in the average",
            "excludedTypes": "sent completely, separated by `;`: `Request`, `Dependency`, `Trace`, `Exception`",
            "includedTypes": "the only types of which a part is sent; empty: all",
        }.items()
    },
    "extensions.http.routePrefix": "first part of all routes; empty: none",
    "extensions.http.maxOutstandingRequests": "requests that wait or run; more get 429; -1: no limit",
    "extensions.http.maxConcurrentRequests": "HTTP functions that run at the same time; -1: no limit",
    "extensions.http.customHeaders": "headers of all responses",
    "extensions.queues.batchSize": "messages that are received at once",
    "extensions.queues.newBatchThreshold": "receive when only so many are left; default: half a batch per processor",
    "extensions.queues.maxPollingInterval": "longest pause at an empty queue",
    "extensions.queues.maxDequeueCount": "attempts before a message goes to the poison queue",
    "extensions.queues.visibilityTimeout": "pause before the next attempt of a failed message",
    "extensions.queues.messageEncoding": "how the text of a message is stored",
    "extensions.blobs.maxDegreeOfParallelism": "blobs that are processed at the same time",
    "extensions.blobs.poisonBlobThreshold": "attempts before a blob is given up",
    "extensions.durableTask.hubName": "name of the task hub; `%SETTING%` takes it from a setting",
    "extensions.durableTask.defaultVersion": "version of new instances",
    "extensions.durableTask.versionMatchStrategy": "which versions of instances this host runs",
    "extensions.durableTask.versionFailureStrategy": "what happens with instances of other versions",
    "extensions.durableTask.maxConcurrentActivityFunctions": "activities that run at the same time",
    "extensions.durableTask.maxConcurrentOrchestratorFunctions": "orchestrators that run at the same time",
    "extensions.durableTask.maxConcurrentEntityFunctions": "entities that run at the same time",
    "extensions.durableTask.maxEntityOperationBatchSize": "operations of an entity in one call of the function",
    "extensions.durableTask.maxOrchestrationActions": "actions of an orchestrator in one episode",
    "extensions.durableTask.overridableExistingInstanceStates": "which instances a start with the same id replaces",
    "extensions.durableTask.entityMessageReorderWindowInMinutes": "how long messages wait for earlier ones",
    "extensions.durableTask.localRpcEndpointEnabled": "give the client binding an address of its own; default: yes",
    "extensions.durableTask.storeInputsInOrchestrationHistory": "store inputs of tasks in the history",
    "extensions.durableTask.useAppLease": "let one app at a time read the control queues of the task hub",
    "extensions.durableTask.appLeaseOptions.renewInterval": "renewal of that lease",
    "extensions.durableTask.appLeaseOptions.acquireInterval": "pause before the lease is tried again",
    "extensions.durableTask.appLeaseOptions.leaseInterval": "length of the lease",
    "extensions.durableTask.httpSettings.defaultAsyncRequestSleepTimeMilliseconds": "pause of `call_http`",
    "extensions.durableTask.httpSettings.useForwardedHost": "use `X-Forwarded-Host` in the URLs of responses",
    "extensions.durableTask.tracing.traceInputsAndOutputs": "show inputs and outputs in the log",
    "extensions.durableTask.tracing.distributedTracingEnabled": "store the `traceparent` of a start in the history",
    "extensions.durableTask.storageProvider.type": "`AzureStorage`; apps of other providers run on it, too",
    "extensions.durableTask.storageProvider.connectionName": "setting of the storage account of the task hub",
    "extensions.durableTask.storageProvider.partitionCount": "number of control queues of a new task hub",
    "extensions.durableTask.storageProvider.controlQueueBatchSize": "messages that are received at once",
    "extensions.durableTask.storageProvider.controlQueueBufferThreshold": "messages that are kept in memory per queue",
    "extensions.durableTask.storageProvider.controlQueueVisibilityTimeout": "lock of a received message",
    "extensions.durableTask.storageProvider.workItemQueueVisibilityTimeout": "lock of a received activity message",
    "extensions.durableTask.storageProvider.maxQueuePollingInterval": "longest pause at an empty queue",
    "extensions.durableTask.storageProvider.trackingStoreConnectionName": "setting of another account for the tables",
    "extensions.durableTask.storageProvider.trackingStoreNamePrefix": "beginning of the names of these tables",
    "extensions.durableTask.storageProvider.fetchLargeMessagesAutomatically": "show payloads that are in blobs",
    "extensions.durableTask.storageProvider.useLegacyPartitionManagement": "the oldest partition manager",
    "extensions.durableTask.storageProvider.useTablePartitionManagement": "partitions in a table; `false`: blob leases",
    "extensions.durableTask.storageProvider.queueClientMessageEncoding": "encoding of messages of the task hub",
    "extensions.durableTask.storageProvider.partitionTableOperationTimeout": "time limit of requests to that table",
    "extensions.durableTask.storageProvider.useInstanceTableEtag": "write status rows with their ETag",
}


def reference() -> str:
    """Return the text of the page. Raises KeyError for an option without a meaning in this module."""
    unused = {row.path for row in UNUSED_OPTIONS}
    chapters = []
    for heading, path, options in _CHAPTERS:
        rows = "\n".join(_rows(options, path, unused))
        # Short keys fit into the table.
        below = f"Keys below `{path}`:\n\n" if path else ""
        rows = rows.replace(f"| `{path}.", "| `") if path else rows
        chapters.append(f"## {heading}\n\n{below}| Key | Type | Default | Meaning |\n|---|---|---|---|\n{rows}\n")
    rows = "\n".join(f"| `{row.path}` | {row.reason} |" for row in UNUSED_OPTIONS)
    chapters.append(
        "## Checked, without effect\n\nA wrong value is an error as on Azure. More: [differences from Azure]("
        "../compatibility.md#options-of-hostjson-without-effect).\n\n"
        f"| Key | Reason |\n|---|---|\n{rows}\n"
    )
    return "\n".join([_BEGIN, *chapters])


def _rows(options: type[Any], path: str, unused: set[str]) -> Iterator[str]:
    hints = get_type_hints(options)
    for member in fields(options):
        rule: Rule = member.metadata.get("rule", NO_RULE)
        if rule.key == "":
            continue
        key = ".".join(filter(None, (path, rule.key or camel_case(member.name))))
        kind = _without_none(hints[member.name])
        if is_dataclass(kind):
            assert isinstance(kind, type)
            if key != "extensions.http.hsts":  # read, but only HTTPS would have the header
                yield from _rows(kind, key, unused)
        elif key not in unused:
            yield f"| `{key}` | {_type_text(kind, rule)} | {_default_text(member, rule)} | {_MEANINGS[key]} |"


def _without_none(kind: Any) -> Any:
    if get_origin(kind) in (Union, types.UnionType):
        [kind] = [part for part in get_args(kind) if part is not type(None)]
    return kind


def _type_text(kind: Any, rule: Rule) -> str:
    if get_origin(kind) is tuple:
        return "array of texts"
    if get_origin(kind) is not None:
        return "object"
    if issubclass(kind, enum.Enum):
        return ", ".join(f"`{member.value}`" for member in kind)
    name = {bool: "true or false", str: "text", int: "number", float: "number", timedelta: "time span"}[kind]
    if rule.unit is not None:
        name = "number"
    low, high = _bound_text(rule.at_least, rule), _bound_text(rule.at_most, rule)
    if low is None and high is None:
        return name
    return f"{name}, {low} to {high}" if low and high else f"{name}, at least {low}"


def _bound_text(bound: Any, rule: Rule) -> str | None:
    if isinstance(bound, timedelta):
        return re.sub(r"(\.\d*?)0+$", r"\1", format_timespan(bound)) if rule.unit is None else f"{bound / rule.unit:g}"
    return None if bound is None else f"{bound:g}"


def _default_text(member: Field[Any], rule: Rule) -> str:
    if member.default is MISSING:
        if member.default_factory is MISSING:
            return "required"
        # Only these depend on the machine.
        return "none" if member.default_factory is dict else _PER_PROCESSOR[member.name]
    value = member.default
    if value is None or value in ((), ""):
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, enum.Enum):
        return f"`{value.value}`"
    if isinstance(value, timedelta):
        return f"`{_bound_text(value, rule)}`"
    return f"`{value}`"


_PER_PROCESSOR: Final = {
    "max_degree_of_parallelism": "8 per processor",
    "max_concurrent_activity_functions": "10 per processor",
    "max_concurrent_orchestrator_functions": "10 per processor",
    "max_concurrent_entity_functions": "10 per processor",
}


if __name__ == "__main__":
    FILE.write_text(reference(), encoding="utf-8", newline="\n")
