"""host.json: extensions.durableTask. The defaults stand here and nowhere else.

Source: durable-extension, Options/*.cs, AzureStorageDurabilityProviderFactory.cs;
docs/protocol/durable-client-http.md chapter 5.
"""

from __future__ import annotations

import enum
import os
import re
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

from emulator.config.schema import Section, option, read_section
from emulator.config.settings import Settings
from emulator.errors import ConfigurationError

DEFAULT_HUB_NAME: Final = "TestHubName"
EVENT_TYPES: Final = ("Started", "Completed", "Failed", "Terminated")


class OverridableStates(enum.Enum):
    NON_RUNNING = "NonRunningStates"
    ANY = "AnyState"


class VersionMatch(enum.Enum):
    NONE = "None"
    STRICT = "Strict"
    CURRENT_OR_OLDER = "CurrentOrOlder"


class VersionFailure(enum.Enum):
    REJECT = "Reject"
    FAIL = "Fail"


class MessageEncoding(enum.Enum):
    UTF8 = "UTF8"
    BASE64 = "Base64"


class TracingVersion(enum.StrEnum):
    NONE = "None"
    V1 = "V1"
    V2 = "V2"


class CorrelationProtocol(enum.StrEnum):
    HTTP = "HttpCorrelationProtocol"
    W3C = "W3CTraceContext"


def _ten_per_cpu() -> int:
    return 10 * (os.cpu_count() or 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureStorageProvider:
    """extensions.durableTask.storageProvider"""

    type: str = "AzureStorage"
    connection_name: str = option("AzureWebJobsStorage", formerly="connectionStringName")
    partition_count: int = option(4, at_least=1, at_most=16)
    control_queue_batch_size: int = option(32, at_least=1)
    control_queue_buffer_threshold: int = option(256, at_least=1, at_most=1000)
    control_queue_visibility_timeout: timedelta = option(
        timedelta(minutes=5), at_least=timedelta(minutes=1), at_most=timedelta(minutes=60)
    )
    work_item_queue_visibility_timeout: timedelta = timedelta(minutes=5)
    max_queue_polling_interval: timedelta = option(timedelta(seconds=30), at_least=timedelta(milliseconds=1))
    tracking_store_connection_name: str | None = option(None, formerly="trackingStoreConnectionStringName")
    tracking_store_name_prefix: str = "DurableTask"
    fetch_large_messages_automatically: bool = True
    use_legacy_partition_management: bool = False
    use_table_partition_management: bool = True
    allow_replaying_terminal_instances: bool = False
    queue_client_message_encoding: MessageEncoding = MessageEncoding.UTF8
    partition_table_operation_timeout: timedelta = timedelta(seconds=2)
    use_instance_table_etag: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AppLeaseOptions:
    """extensions.durableTask.appLeaseOptions"""

    renew_interval: timedelta = timedelta(seconds=25)
    acquire_interval: timedelta = timedelta(minutes=5)
    lease_interval: timedelta = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class DurableHttpSettings:
    """extensions.durableTask.httpSettings"""

    default_async_request_sleep_time: timedelta = option(
        timedelta(seconds=30),
        key="defaultAsyncRequestSleepTimeMilliseconds",
        unit=timedelta(milliseconds=1),
        at_least=timedelta(0),
    )
    use_forwarded_host: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DurableTracing:
    """extensions.durableTask.tracing"""

    trace_inputs_and_outputs: bool = False
    trace_replay_events: bool = False
    allow_verbose_linux_telemetry: bool = False
    distributed_tracing_enabled: bool = False
    distributed_tracing_protocol: CorrelationProtocol = CorrelationProtocol.HTTP
    version: TracingVersion = TracingVersion.V1


@dataclass(frozen=True, slots=True, kw_only=True)
class EventGridNotifications:
    """extensions.durableTask.notifications.eventGrid. `topic_endpoint` empty: off. `key`: the access key itself."""

    topic_endpoint: str = ""
    key_setting_name: str = ""
    key: str = field(default="", repr=False)
    publish_retry_count: int = option(0, at_least=0)
    publish_retry_interval: timedelta = option(
        timedelta(minutes=5), at_least=timedelta(milliseconds=1), at_most=timedelta(minutes=60)
    )
    publish_retry_http_status: tuple[int, ...] = ()
    publish_event_types: tuple[str, ...] = EVENT_TYPES


@dataclass(frozen=True, slots=True, kw_only=True)
class Notifications:
    """extensions.durableTask.notifications"""

    event_grid: EventGridNotifications = EventGridNotifications()


@dataclass(frozen=True, slots=True, kw_only=True)
class DurableTaskOptions:
    """extensions.durableTask. `hub_name` is final: %SETTING% expanded, validated or sanitised."""

    hub_name: str = DEFAULT_HUB_NAME
    default_version: str | None = None
    version_match_strategy: VersionMatch = VersionMatch.CURRENT_OR_OLDER
    version_failure_strategy: VersionFailure = VersionFailure.REJECT
    max_concurrent_activity_functions: int = option(
        default_factory=_ten_per_cpu,
        at_least=1,
        wording="MaxConcurrentActivityFunctions must be a positive integer value.",
    )
    max_concurrent_orchestrator_functions: int = option(
        default_factory=_ten_per_cpu,
        at_least=1,
        wording="MaxConcurrentOrchestratorFunctions must be a positive integer value.",
    )
    max_concurrent_entity_functions: int = option(
        default_factory=_ten_per_cpu,
        at_least=1,
        wording="MaxConcurrentEntityFunctions must be a positive integer value.",
    )
    max_entity_operation_batch_size: int = option(5000, at_least=1)
    max_orchestration_actions: int = option(100_000, at_least=1)
    extended_sessions_enabled: bool = False
    extended_session_idle_timeout: timedelta = option(
        timedelta(seconds=30), key="extendedSessionIdleTimeoutInSeconds", unit=timedelta(seconds=1)
    )
    overridable_existing_instance_states: OverridableStates = OverridableStates.NON_RUNNING
    entity_message_reorder_window: timedelta = option(
        timedelta(minutes=30),
        key="entityMessageReorderWindowInMinutes",
        unit=timedelta(minutes=1),
        at_least=timedelta(0),
    )
    rollback_entity_operations_on_exceptions: bool = True
    use_graceful_shutdown: bool = False
    throw_status_exceptions_on_raise_event: bool | None = None
    local_rpc_endpoint_enabled: bool | None = None
    store_inputs_in_orchestration_history: bool = False
    use_app_lease: bool = True
    app_lease_options: AppLeaseOptions = AppLeaseOptions()
    max_grpc_message_size_in_bytes: int = option(4_194_304, at_least=1)
    grpc_http_client_timeout: timedelta = timedelta(seconds=100)
    http_settings: DurableHttpSettings = DurableHttpSettings()
    tracing: DurableTracing = DurableTracing()
    notifications: Notifications = Notifications()
    storage_provider: AzureStorageProvider = AzureStorageProvider()


def read_durable_options(section: Section, settings: Settings) -> tuple[DurableTaskOptions, list[str]]:
    """The options, and warnings for the user. Raises ConfigurationError."""
    options = read_section(DurableTaskOptions, section)
    explicit = options.hub_name if section.get("hubName") is not None else None
    options = replace(
        options,
        hub_name=hub_name(explicit, settings),
        storage_provider=_checked_provider(options.storage_provider),
        notifications=Notifications(event_grid=_event_grid(options.notifications.event_grid, section, settings)),
    )
    warnings = []
    if options.extended_sessions_enabled:
        # The extension of 2024 warns and goes on without; later ones refuse to start.
        warnings.append(
            "extensions.durableTask.extendedSessionsEnabled is not supported for Python; the host goes on without."
        )
        options = replace(options, extended_sessions_enabled=False)
    provider = options.storage_provider
    if provider.control_queue_batch_size > provider.control_queue_buffer_threshold:
        warnings.append(
            f"controlQueueBatchSize ({provider.control_queue_batch_size}) is larger than "
            f"controlQueueBufferThreshold ({provider.control_queue_buffer_threshold}) in host.json."
        )
    return options, warnings


def hub_name(explicit: str | None, settings: Settings) -> str:
    """The task hub's name: host.json's, checked, or the default, made storage-safe. Raises ConfigurationError."""
    site = settings.get("WEBSITE_SITE_NAME")
    default = _sanitised(site) if site else DEFAULT_HUB_NAME
    name = settings.expand_known(explicit) if explicit is not None else default
    slot = settings.get("WEBSITE_SLOT_NAME")
    if slot and slot.lower() != "production" and name == default:
        raise ConfigurationError(
            "Task Hub name must be specified in host.json when using slots. Specified name must not equal the "
            f"default HubName ({default}). See documentation on Task Hubs for information on how to set this: "
            "https://docs.microsoft.com/azure/azure-functions/durable/durable-functions-task-hubs"
        )
    # The text says 45; the code of the extension takes 50.
    if explicit is not None and not re.fullmatch("[A-Za-z][A-Za-z0-9]{2,49}", name):
        raise ConfigurationError(
            f"Task hub name '{name}' should contain only alphanumeric characters, start with a letter, and have "
            "length between 3 and 45. It is extensions.durableTask.hubName of host.json."
        )
    return name


def _sanitised(name: str) -> str:
    name = re.sub("[^A-Za-z0-9]", "", name)
    if name[:1].isdigit():
        name = "t" + name
    name = name[:45]
    if not name:
        return "DefaultTaskHub"
    return name if len(name) >= 3 else name + "Hub"


def _checked_provider(provider: AzureStorageProvider) -> AzureStorageProvider:
    if provider.type.lower() != "azurestorage":
        raise ConfigurationError(
            f"Storage provider type ({provider.type}) was not found. Available storage providers: AzureStorage. "
            "It is extensions.durableTask.storageProvider.type of host.json."
        )
    return provider


def _event_grid(found: EventGridNotifications, section: Section, settings: Settings) -> EventGridNotifications:
    below = section.section("notifications").section("eventGrid")
    unknown = [name for name in found.publish_event_types if name.lower() not in map(str.lower, EVENT_TYPES)]
    if unknown:
        raise below.error("publishEventTypes", unknown, ", ".join(EVENT_TYPES))
    endpoint = settings.expand_known(found.topic_endpoint).strip()
    key = settings.get(found.key_setting_name) or "" if found.key_setting_name else ""
    if endpoint and not key:
        raise ConfigurationError(
            "Failed to start lifecycle notification feature. Please check the configuration values for "
            f"{found.topic_endpoint} and {found.key_setting_name or 'keySettingName'}: the first is the topic, the "
            "second names the app setting with its access key (extensions.durableTask.notifications.eventGrid)."
        )
    types = tuple(name for name in EVENT_TYPES if name.lower() in map(str.lower, found.publish_event_types))
    return replace(found, topic_endpoint=endpoint, key=key, publish_event_types=types)
