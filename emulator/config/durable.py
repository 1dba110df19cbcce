"""host.json: extensions.durableTask. The defaults stand here and nowhere else.

Source: durable-extension, Options/*.cs; spec/durable-client-http.md chapter 5.
"""

from __future__ import annotations

import enum
import os
from dataclasses import dataclass, field
from datetime import timedelta


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


def _ten_per_cpu() -> int:
    return 10 * (os.cpu_count() or 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureStorageProvider:
    """extensions.durableTask.storageProvider"""

    type: str = "AzureStorage"
    connection_name: str = "AzureWebJobsStorage"
    partition_count: int = 4
    control_queue_batch_size: int = 32
    control_queue_buffer_threshold: int = 256
    control_queue_visibility_timeout: timedelta = timedelta(minutes=5)
    work_item_queue_visibility_timeout: timedelta = timedelta(minutes=5)
    max_queue_polling_interval: timedelta = timedelta(seconds=30)
    tracking_store_connection_name: str | None = None
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

    default_async_request_sleep_time: timedelta = timedelta(seconds=30)
    use_forwarded_host: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DurableTracing:
    """extensions.durableTask.tracing"""

    trace_inputs_and_outputs: bool = False
    trace_replay_events: bool = False
    distributed_tracing_enabled: bool = False
    version: str = "V1"


@dataclass(frozen=True, slots=True, kw_only=True)
class DurableTaskOptions:
    """extensions.durableTask. `hub_name` is final: %SETTING% expanded, validated or sanitised."""

    hub_name: str = "TestHubName"
    default_version: str | None = None
    version_match_strategy: VersionMatch = VersionMatch.CURRENT_OR_OLDER
    version_failure_strategy: VersionFailure = VersionFailure.REJECT
    max_concurrent_activity_functions: int = field(default_factory=_ten_per_cpu)
    max_concurrent_orchestrator_functions: int = field(default_factory=_ten_per_cpu)
    max_concurrent_entity_functions: int = field(default_factory=_ten_per_cpu)
    max_entity_operation_batch_size: int = 5000
    max_orchestration_actions: int = 100_000
    extended_sessions_enabled: bool = False
    extended_session_idle_timeout: timedelta = timedelta(seconds=30)
    overridable_existing_instance_states: OverridableStates = OverridableStates.NON_RUNNING
    entity_message_reorder_window: timedelta = timedelta(minutes=30)
    rollback_entity_operations_on_exceptions: bool = True
    use_graceful_shutdown: bool = False
    throw_status_exceptions_on_raise_event: bool | None = None
    local_rpc_endpoint_enabled: bool | None = None
    store_inputs_in_orchestration_history: bool = False
    use_app_lease: bool = True
    app_lease_options: AppLeaseOptions = AppLeaseOptions()
    http_settings: DurableHttpSettings = DurableHttpSettings()
    tracing: DurableTracing = DurableTracing()
    storage_provider: AzureStorageProvider = AzureStorageProvider()
