"""Options of host.json that are checked as on Azure but have no effect in azemu, one row per option.

The Functions host refuses to start when such an option has a wrong value, so azemu refuses it too: an app that starts
here must start there. An option that gets an effect moves from this table into the dataclass of its section. The
options are also listed, with the reasons, in docs/compatibility.md.

Sources: docs/protocol/functions-host.md 1.3; docs/protocol/durable-client-http.md chapter 5.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from emulator.config.schema import NO_RULE, Rule, Section, read_value
from emulator.config.settings import Settings
from emulator.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class UnusedOption:
    """One row: `path` from the top of host.json, `kind` as in a dataclass annotation, `reason`: why it has no effect.

    `warning`: shown to the user when the option is true.
    """

    path: str
    kind: Any
    reason: str
    rule: Rule = NO_RULE
    warning: str | None = None


class FileLoggingMode(enum.Enum):
    """Values of logging.fileLoggingMode."""

    DEBUG_ONLY = "debugOnly"
    ALWAYS = "always"
    NEVER = "never"


class TracingVersion(enum.Enum):
    """Values of extensions.durableTask.tracing.version."""

    NONE = "None"
    V1 = "V1"
    V2 = "V2"


class CorrelationProtocol(enum.Enum):
    """Values of extensions.durableTask.tracing.distributedTracingProtocol."""

    HTTP = "HttpCorrelationProtocol"
    W3C = "W3CTraceContext"


# Lifecycle events of an orchestration that the durable extension can publish to Event Grid.
# Names are compared without letter case, but shown as the extension spells them.
_LIFECYCLE_EVENTS: Final = ("Started", "Completed", "Failed", "Terminated")

# Reasons. Each is used by several rows, so that they read the same in every place.
_APP_SERVICE = "concerns the sandbox of Azure App Service"
_CONCURRENCY = "dynamic concurrency is not part of azemu"
_DOTNET = "concerns .NET code only"
_EVENT_GRID = "lifecycle events are not published"
_FILE_LOGS = "azemu writes no log files"
_GRPC = "Python apps with this SDK use no gRPC"
_INVOCATIONS = "the in-process worker gets no cancelled invocations"
_LOCKS = "a lock that another host holds is checked every five seconds, without an end"
_METRICS = "azemu sends no metrics"
_SESSIONS = "extended sessions are not supported for Python"
_TRACES = "traces are those of V2, and --otlp or Application Insights switches them on"

# Beginnings of paths.
_DURABLE = "extensions.durableTask"
_NOTIFICATIONS = f"{_DURABLE}.notifications.eventGrid"


def _row(path: str, kind: Any, reason: str, *, warning: str | None = None, **rule: Any) -> UnusedOption:
    return UnusedOption(path=path, kind=kind, reason=reason, rule=Rule(**rule), warning=warning)


UNUSED_OPTIONS: Final[Sequence[UnusedOption]] = (
    # Options of the host.
    _row("sendCanceledInvocationsToWorker", bool, _INVOCATIONS),
    _row("metadataProviderTimeout", timedelta, _INVOCATIONS),
    _row("logging.fileLoggingMode", FileLoggingMode, _FILE_LOGS),
    _row("logging.console.isEnabled", bool, _FILE_LOGS),
    _row("aggregator.batchSize", int, _METRICS, at_least=1),
    _row("aggregator.flushTimeout", timedelta, _METRICS),
    _row("aggregator.isEnabled", bool, _METRICS),
    _row("healthMonitor.enabled", bool, _APP_SERVICE),
    _row("healthMonitor.healthCheckInterval", timedelta, _APP_SERVICE),
    _row("healthMonitor.healthCheckWindow", timedelta, _APP_SERVICE),
    _row("healthMonitor.healthCheckThreshold", int, _APP_SERVICE),
    _row("healthMonitor.counterThreshold", float, _APP_SERVICE, at_least=0, at_most=1),
    _row("singleton.lockAcquisitionTimeout", timedelta, _LOCKS),
    _row("singleton.lockAcquisitionPollingInterval", timedelta, _LOCKS, at_least=timedelta(milliseconds=500)),
    _row("singleton.listenerLockRecoveryPollingInterval", timedelta, _LOCKS, at_least=timedelta(seconds=15)),
    _row("concurrency.dynamicConcurrencyEnabled", bool, _CONCURRENCY),
    _row("concurrency.snapshotPersistenceEnabled", bool, _CONCURRENCY),
    # Options of extensions.
    _row("extensions.http.dynamicThrottlesEnabled", bool, _APP_SERVICE),
    _row("extensions.http.enableChunkedRequestBinding", bool, "chunked request bodies are always accepted"),
    _row(
        f"{_DURABLE}.extendedSessionsEnabled",
        bool,
        _SESSIONS,
        # Extension versions since 2024 warn and continue without extended sessions; later ones refuse to start.
        warning=(
            "extensions.durableTask.extendedSessionsEnabled is not supported for Python; the host runs without "
            "extended sessions."
        ),
    ),
    _row(f"{_DURABLE}.extendedSessionIdleTimeoutInSeconds", timedelta, _SESSIONS, unit=timedelta(seconds=1)),
    _row(f"{_DURABLE}.rollbackEntityOperationsOnExceptions", bool, _DOTNET),
    _row(f"{_DURABLE}.throwStatusExceptionsOnRaiseEvent", bool, _DOTNET),
    _row(f"{_DURABLE}.useGracefulShutdown", bool, "the host always completes running work before it stops"),
    _row(f"{_DURABLE}.maxGrpcMessageSizeInBytes", int, _GRPC, at_least=1),
    _row(f"{_DURABLE}.grpcHttpClientTimeout", timedelta, _GRPC),
    _row(f"{_DURABLE}.tracing.traceReplayEvents", bool, _TRACES),
    _row(f"{_DURABLE}.tracing.allowVerboseLinuxTelemetry", bool, _TRACES),
    _row(f"{_DURABLE}.tracing.distributedTracingProtocol", CorrelationProtocol, _TRACES),
    _row(f"{_DURABLE}.tracing.version", TracingVersion, _TRACES),
    _row(
        f"{_DURABLE}.storageProvider.allowReplayingTerminalInstances",
        bool,
        "messages for an instance that has ended are always dropped",
    ),
    _row(f"{_NOTIFICATIONS}.topicEndpoint", str, _EVENT_GRID),
    _row(f"{_NOTIFICATIONS}.keySettingName", str, _EVENT_GRID),
    _row(f"{_NOTIFICATIONS}.publishRetryCount", int, _EVENT_GRID, at_least=0),
    _row(
        f"{_NOTIFICATIONS}.publishRetryInterval",
        timedelta,
        _EVENT_GRID,
        at_least=timedelta(milliseconds=1),
        at_most=timedelta(minutes=60),
    ),
    _row(f"{_NOTIFICATIONS}.publishRetryHttpStatus", tuple[int, ...], _EVENT_GRID),
    _row(f"{_NOTIFICATIONS}.publishEventTypes", tuple[str, ...], _EVENT_GRID),
)


def check_unused_options(document: Section, settings: Settings) -> list[str]:
    """Check every row's value in host.json and return warnings for the user. Raises ConfigurationError."""
    warnings = []
    values = {}
    # Reading a value applies the same checks as for options with an effect.
    for row in UNUSED_OPTIONS:
        *parents, key = row.path.split(".")
        section = document
        for parent in parents:
            section = section.section(parent)
        values[row.path] = value = read_value(section, key, row.kind, row.rule)
        if row.warning is not None and value is True:
            warnings.append(row.warning)
    # The durable extension checks its Event Grid notifications as a whole when it starts.
    known = {event_type.lower() for event_type in _LIFECYCLE_EVENTS}
    event_types = values[f"{_NOTIFICATIONS}.publishEventTypes"] or ()
    unknown = [event_type for event_type in event_types if event_type.lower() not in known]
    if unknown:
        notifications = document.section("extensions").section("durableTask").section("notifications")
        raise notifications.section("eventGrid").error("publishEventTypes", unknown, ", ".join(_LIFECYCLE_EVENTS))
    # Without a topic the feature is off, and a missing key does not matter.
    endpoint = values[f"{_NOTIFICATIONS}.topicEndpoint"] or ""
    key_setting = values[f"{_NOTIFICATIONS}.keySettingName"] or ""
    if settings.expand_known(endpoint).strip() and not (key_setting and settings.get(key_setting)):
        raise ConfigurationError(
            "Failed to start lifecycle notification feature. Please check the configuration values for "
            f"{endpoint} and {key_setting or 'keySettingName'}: the first is the topic, the second names the app "
            "setting with its access key (extensions.durableTask.notifications.eventGrid)."
        )
    return warnings
