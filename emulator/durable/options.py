"""Options of Durable Functions in host.json (extensions.durableTask), with their defaults.

Source: durable-extension, Options/*.cs, AzureStorageDurabilityProviderFactory.cs;
docs/protocol/durable-client-http.md chapter 5.
"""

from __future__ import annotations

import enum
import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import ClassVar, Final

from emulator.config.connections import DEFAULT_CONNECTION
from emulator.config.schema import Section, option
from emulator.config.settings import Settings
from emulator.errors import ConfigurationError

DEFAULT_HUB_NAME: Final = "TestHubName"

AZURE_STORAGE: Final = "AzureStorage"
OTHER_PROVIDERS: Final[Mapping[str, str]] = {
    "azuremanaged": "the Durable Task Scheduler",
    "mssql": "Microsoft SQL Server",
    "netherite": "Netherite",
}
"""Storage providers of .NET that azemu does not have, by type in lower case. Their apps run on azemu's own engine."""

SCHEDULER_SETTING: Final = "DURABLE_TASK_SCHEDULER_CONNECTION_STRING"
"""The setting that the documentation of the Durable Task Scheduler uses. Its value may name the task hub."""
_TASK_HUB_PART: Final = re.compile(r"(?:^|;)\s*TaskHub\s*=\s*([^;\s][^;]*)", re.IGNORECASE)
_SETTING_NAME: Final = re.compile("%([^%]+)%")

MAX_PAYLOAD_SETTING: Final = "AZEMU_MAX_PAYLOAD_MIB"
"""App setting: how large a payload may be when it is read from a compressed blob or response, in MiB."""
MIB: Final = 1024 * 1024
DEFAULT_MAX_PAYLOAD_BYTES: Final = 64 * MIB

# The message of the extension says 45 characters, but its code accepts 50.
_STORABLE: Final = re.compile("[A-Za-z][A-Za-z0-9]{2,49}")


class OverridableStates(enum.Enum):
    """Values of overridableExistingInstanceStates: which instances a start with the same id may replace."""

    NON_RUNNING = "NonRunningStates"
    ANY = "AnyState"


class VersionMatch(enum.Enum):
    """Values of versionMatchStrategy."""

    NONE = "None"
    STRICT = "Strict"
    CURRENT_OR_OLDER = "CurrentOrOlder"


class VersionFailure(enum.Enum):
    """Values of versionFailureStrategy."""

    REJECT = "Reject"
    FAIL = "Fail"


class MessageEncoding(enum.Enum):
    """Values of storageProvider.queueClientMessageEncoding."""

    UTF8 = "UTF8"
    BASE64 = "Base64"


# The default outside of the Consumption plan, whose smaller one azemu does not take over.
def _ten_per_cpu() -> int:
    return 10 * (os.cpu_count() or 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureStorageProvider:
    """The section extensions.durableTask.storageProvider of host.json.

    `type`: with another provider (`OTHER_PROVIDERS`) all other options have their defaults.
    """

    type: str = AZURE_STORAGE
    connection_name: str = option(DEFAULT_CONNECTION, formerly="connectionStringName")
    # Read when the hub is created; an existing hub keeps its number of control queues.
    partition_count: int = option(4, at_least=1, at_most=16)
    control_queue_batch_size: int = option(32, at_least=1)
    control_queue_buffer_threshold: int = option(256, at_least=1, at_most=1000)
    control_queue_visibility_timeout: timedelta = option(
        timedelta(minutes=5), at_least=timedelta(minutes=1), at_most=timedelta(minutes=60)
    )
    # The .NET code has no limits for this one.
    work_item_queue_visibility_timeout: timedelta = timedelta(minutes=5)
    max_queue_polling_interval: timedelta = option(timedelta(seconds=30), at_least=timedelta(milliseconds=1))
    tracking_store_connection_name: str | None = option(None, formerly="trackingStoreConnectionStringName")
    tracking_store_name_prefix: str = "DurableTask"
    fetch_large_messages_automatically: bool = True
    use_legacy_partition_management: bool = False
    use_table_partition_management: bool = True
    queue_client_message_encoding: MessageEncoding = MessageEncoding.UTF8
    partition_table_operation_timeout: timedelta = timedelta(seconds=2)
    use_instance_table_etag: bool = False

    @classmethod
    def relevant(cls, section: Section) -> Section:
        """Return what is read: of the section of another provider only the type.

        Options of other providers have names in common with these, but other limits and meanings: `partitionCount` of
        Netherite is up to 32, and `connectionStringName` is not the connection of a storage account.
        """
        kind = section.get("type")
        if kind is None or str(kind).lower() == AZURE_STORAGE.lower():
            return section
        return Section({"type": kind}, section.path, section.origin)

    @property
    def other(self) -> str | None:
        """The name of another provider that host.json asks for; None: Azure Storage."""
        return OTHER_PROVIDERS.get(self.type.lower())


@dataclass(frozen=True, slots=True, kw_only=True)
class AppLeaseOptions:
    """The section extensions.durableTask.appLeaseOptions of host.json."""

    renew_interval: timedelta = timedelta(seconds=25)
    acquire_interval: timedelta = timedelta(minutes=5)
    lease_interval: timedelta = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class DurableHttpSettings:
    """The section extensions.durableTask.httpSettings of host.json."""

    default_async_request_sleep_time: timedelta = option(
        timedelta(seconds=30),
        key="defaultAsyncRequestSleepTimeMilliseconds",
        unit=timedelta(milliseconds=1),
        at_least=timedelta(0),
    )
    use_forwarded_host: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DurableTracing:
    """The section extensions.durableTask.tracing of host.json."""

    trace_inputs_and_outputs: bool = False
    distributed_tracing_enabled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DurableTaskOptions:
    """The section extensions.durableTask of host.json.

    `configured_hub_name`: as host.json has it, None if absent. `hub_name`: the task hub that is used, which
    `resolve_options` derives from the former and the app settings. `max_payload_bytes`: from the app setting
    AZEMU_MAX_PAYLOAD_MIB.
    """

    section_name: ClassVar[str] = "durableTask"

    # None is not replaced by the default here: only a default name is made valid for storage, and only a default name
    # is refused in a deployment slot.
    configured_hub_name: str | None = option(None, key="hubName")
    hub_name: str = option(DEFAULT_HUB_NAME, key="")
    max_payload_bytes: int = option(DEFAULT_MAX_PAYLOAD_BYTES, key="")
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
    overridable_existing_instance_states: OverridableStates = OverridableStates.NON_RUNNING
    entity_message_reorder_window: timedelta = option(
        timedelta(minutes=30),
        key="entityMessageReorderWindowInMinutes",
        unit=timedelta(minutes=1),
        at_least=timedelta(0),
    )
    # None means on: it is the default for all languages but .NET.
    local_rpc_endpoint_enabled: bool | None = None
    store_inputs_in_orchestration_history: bool = False
    use_app_lease: bool = True
    app_lease_options: AppLeaseOptions = AppLeaseOptions()
    http_settings: DurableHttpSettings = DurableHttpSettings()
    tracing: DurableTracing = DurableTracing()
    storage_provider: AzureStorageProvider = AzureStorageProvider()

    @property
    def stored_hub_name(self) -> str:
        """The hub name as it is part of the names of queues, tables and containers."""
        return self.hub_name if self.storage_provider.other is None else storable_hub_name(self.hub_name)


def resolve_options(options: DurableTaskOptions, settings: Settings) -> DurableTaskOptions:
    """Complete the options as read from host.json with app settings, and check the storage provider.

    Raises ConfigurationError.
    """
    provider = options.storage_provider
    if provider.other is None and provider.type.lower() != AZURE_STORAGE.lower():
        raise ConfigurationError(
            f"Storage provider type ({provider.type}) was not found. Available storage providers: AzureStorage; "
            "azureManaged, mssql and netherite run on the same storage here. "
            "Set extensions.durableTask.storageProvider.type in host.json."
        )
    # The hub name is not part of reading host.json, because it depends on app settings as well.
    name = hub_name(options.configured_hub_name, settings, any_name=provider.other is not None)
    limit = _max_payload_bytes(settings.get(MAX_PAYLOAD_SETTING))
    return replace(options, hub_name=name, max_payload_bytes=limit)


def _max_payload_bytes(setting: str | None) -> int:
    text = (setting or "").strip()
    if not text:
        return DEFAULT_MAX_PAYLOAD_BYTES
    # Six digits of MiB are a terabyte.
    if not re.fullmatch("[1-9][0-9]{0,5}", text):
        raise ConfigurationError(f'The app setting {MAX_PAYLOAD_SETTING} is "{text}", not a number of MiB such as 256.')
    return int(text) * MIB


def storable_hub_name(name: str) -> str:
    """Return a hub name for Azure Storage: the same one if it is valid there, else one that is derived from it.

    Names that differ only in letter case are one hub, as everywhere in Azure Storage.
    """
    if _STORABLE.fullmatch(name):
        return name
    digest = hashlib.sha256(name.lower().encode("utf-8", "surrogatepass")).hexdigest()[:8]
    letters = re.sub("[^A-Za-z0-9]", "", name)[:36]
    # The digest keeps names apart that differ only in what was removed. The letter is for names that begin otherwise.
    return f"{letters if letters[:1].isalpha() else f't{letters}'}{digest}"


def hub_name(configured: str | None, settings: Settings, *, any_name: bool = False) -> str:
    """Return the name of the app's task hub: the one of host.json (`configured`) or else a default for the site.

    `any_name`: the hub's provider is not Azure Storage and has rules of its own. Raises ConfigurationError for a name
    that storage does not accept, and for one whose setting is missing.
    """
    site = settings.get("WEBSITE_SITE_NAME")
    default = DEFAULT_HUB_NAME
    if site:
        # The name of an app on Azure may contain characters, or begin with a digit, that table names may not.
        default = re.sub("[^A-Za-z0-9]", "", site)
        default = f"t{default}"[:45] if default[:1].isdigit() else default[:45]
        default = (default if len(default) >= 3 else f"{default}Hub") if default else "DefaultTaskHub"
    # An unknown %NAME% stays as it is, and then fails the check of the characters below.
    name = settings.expand_known(configured) if configured is not None else default
    # Two slots of an app may share a storage account. With the same hub, each would run orchestrations that the code of
    # the other has started.
    slot = settings.get("WEBSITE_SLOT_NAME")
    if slot and slot.lower() != "production" and name == default:
        raise ConfigurationError(
            "Task Hub name must be specified in host.json when using slots. Specified name must not equal the "
            f"default HubName ({default}). See documentation on Task Hubs for information on how to set this: "
            "https://docs.microsoft.com/azure/azure-functions/durable/durable-functions-task-hubs"
        )
    if any_name:
        # The missing setting is reported together with all others (config/missing_settings.py). It does not matter
        # here: the scheduler or database whose hub it names is not used.
        if configured is not None and name.strip() and _SETTING_NAME.search(name) is None:
            return name
        scheduler = _TASK_HUB_PART.search(settings.get(SCHEDULER_SETTING) or "")
        return scheduler[1].strip() if scheduler else default
    if configured is not None and not _STORABLE.fullmatch(name):
        unset = _SETTING_NAME.search(name)
        advice = (
            f"The app setting '{unset[1]}', which extensions.durableTask.hubName in host.json contains, is not set: "
            'add it to "Values" in local.settings.json, or write a name without percent signs.'
            if unset
            else "Set extensions.durableTask.hubName in host.json."
        )
        raise ConfigurationError(
            f"Task hub name '{name}' should contain only alphanumeric characters, start with a letter, and have "
            f"length between 3 and 45. {advice}"
        )
    return name
