"""host.json: extensions.durableTask."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from emulator.config.hostjson import read_host_json
from emulator.config.settings import Settings
from emulator.durable.options import (
    SCHEDULER_SETTING,
    AzureStorageProvider,
    DurableTaskOptions,
    MessageEncoding,
    OverridableStates,
    VersionFailure,
    VersionMatch,
    hub_name,
    resolve_options,
    storable_hub_name,
)
from emulator.errors import ConfigurationError

Read = Callable[..., tuple[DurableTaskOptions, list[str]]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """read(section, **settings): the options and the warnings of host.json."""

    def read(section: Mapping[str, Any], **settings: str) -> tuple[DurableTaskOptions, list[str]]:
        content = {"version": "2.0", "extensions": {"durableTask": section}}
        (tmp_path / "host.json").write_text(json.dumps(content), encoding="utf-8")
        host, warnings = read_host_json(tmp_path, Settings(settings))
        return resolve_options(host.section(DurableTaskOptions), Settings(settings)), warnings

    return read


def test_the_defaults(read: Read) -> None:
    options, warnings = read({})
    per_cpu = 10 * (os.cpu_count() or 1)
    assert warnings == []
    assert options == DurableTaskOptions()
    assert options.hub_name == "TestHubName"
    assert options.max_concurrent_activity_functions == per_cpu
    assert options.max_concurrent_orchestrator_functions == per_cpu
    assert options.storage_provider.partition_count == 4
    assert options.storage_provider.control_queue_buffer_threshold == 256
    assert options.storage_provider.use_table_partition_management is True


def test_every_option_is_read(read: Read) -> None:
    options, _ = read(
        {
            "hubName": "MyHub",
            "defaultVersion": "1.2",
            "versionMatchStrategy": "strict",
            "versionFailureStrategy": "Fail",
            "maxConcurrentActivityFunctions": 3,
            "maxEntityOperationBatchSize": 7,
            "extendedSessionIdleTimeoutInSeconds": 12,
            "overridableExistingInstanceStates": "AnyState",
            "entityMessageReorderWindowInMinutes": 0,
            "throwStatusExceptionsOnRaiseEvent": True,
            "localRpcEndpointEnabled": False,
            "appLeaseOptions": {"renewInterval": "00:00:10"},
            "httpSettings": {"defaultAsyncRequestSleepTimeMilliseconds": 500, "useForwardedHost": True},
            "tracing": {"traceInputsAndOutputs": True, "version": "V2"},
            "storageProvider": {
                "type": "azurestorage",
                "connectionName": "Hub",
                "partitionCount": 16,
                "maxQueuePollingInterval": "00:00:01",
                "trackingStoreConnectionName": "Track",
                "queueClientMessageEncoding": "Base64",
            },
        }
    )
    assert options.hub_name == "MyHub"
    assert options.default_version == "1.2"
    assert options.version_match_strategy is VersionMatch.STRICT
    assert options.version_failure_strategy is VersionFailure.FAIL
    assert (options.max_concurrent_activity_functions, options.max_entity_operation_batch_size) == (3, 7)
    assert options.overridable_existing_instance_states is OverridableStates.ANY
    assert options.entity_message_reorder_window == timedelta(0)
    assert options.local_rpc_endpoint_enabled is False
    assert options.app_lease_options.renew_interval == timedelta(seconds=10)
    assert options.http_settings.default_async_request_sleep_time == timedelta(milliseconds=500)
    assert options.http_settings.use_forwarded_host is True
    assert options.tracing.trace_inputs_and_outputs is True
    provider = options.storage_provider
    assert (provider.connection_name, provider.partition_count) == ("Hub", 16)
    assert provider.max_queue_polling_interval == timedelta(seconds=1)
    assert provider.tracking_store_connection_name == "Track"
    assert provider.queue_client_message_encoding is MessageEncoding.BASE64


def test_option_names_of_version_2_are_read(read: Read) -> None:
    options, _ = read({"storageProvider": {"connectionStringName": "Old"}})
    assert options.storage_provider.connection_name == "Old"


def test_a_setting_overrides_nested_options(read: Read) -> None:
    options, _ = read(
        {"storageProvider": {"partitionCount": 2}},
        AzureFunctionsJobHost__extensions__durableTask__storageProvider__partitionCount="8",
        AzureFunctionsJobHost__extensions__durableTask__hubName="FromSetting",
    )
    assert (options.storage_provider.partition_count, options.hub_name) == (8, "FromSetting")


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (
            {"maxConcurrentActivityFunctions": 0},
            "MaxConcurrentActivityFunctions must be a positive integer value. Found: 0.",
        ),
        (
            {"maxConcurrentOrchestratorFunctions": -1},
            "MaxConcurrentOrchestratorFunctions must be a positive integer value. Found: -1.",
        ),
        (
            {"maxConcurrentEntityFunctions": 0},
            "MaxConcurrentEntityFunctions must be a positive integer value. Found: 0.",
        ),
        (
            {"storageProvider": {"partitionCount": 17}},
            "extensions.durableTask.storageProvider.partitionCount is 17; allowed: a whole number from 1 to 16.",
        ),
        (
            {"storageProvider": {"controlQueueBufferThreshold": 0}},
            "extensions.durableTask.storageProvider.controlQueueBufferThreshold is 0; "
            "allowed: a whole number from 1 to 1000.",
        ),
        (
            {"storageProvider": {"controlQueueVisibilityTimeout": "00:00:30"}},
            'extensions.durableTask.storageProvider.controlQueueVisibilityTimeout is "00:00:30"; '
            "allowed: a time span hh:mm:ss from 00:01:00 to 01:00:00.",
        ),
        (
            {"versionMatchStrategy": "Newest"},
            'extensions.durableTask.versionMatchStrategy is "Newest"; allowed: None, Strict, CurrentOrOlder.',
        ),
        (
            {"tracing": {"version": "V3"}},
            'extensions.durableTask.tracing.version is "V3"; allowed: None, V1, V2.',
        ),
        (
            {"notifications": {"eventGrid": {"publishRetryCount": -1}}},
            "extensions.durableTask.notifications.eventGrid.publishRetryCount is -1; "
            "allowed: a whole number of at least 0.",
        ),
        (
            {"httpSettings": {"defaultAsyncRequestSleepTimeMilliseconds": "1 s"}},
            "extensions.durableTask.httpSettings.defaultAsyncRequestSleepTimeMilliseconds is "
            '"1 s"; allowed: a whole number of at least 0.',
        ),
    ],
)
def test_a_wrong_option_is_refused(read: Read, tmp_path: Path, section: object, message: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        read(section)
    assert str(raised.value) == f"{tmp_path / 'host.json'}: {message}"


def test_an_unknown_storage_provider_is_refused(read: Read) -> None:
    with pytest.raises(ConfigurationError, match=r"Storage provider type \(azureManged\) was not found"):
        read({"storageProvider": {"type": "azureManged"}})


@pytest.mark.parametrize(
    ("provider", "name"),
    [
        (
            {"type": "azureManaged", "connectionStringName": "DURABLE_TASK_SCHEDULER_CONNECTION_STRING"},
            "the Durable Task Scheduler",
        ),
        (
            {"type": "mssql", "connectionStringName": "SQLDB_Connection", "taskEventLockTimeout": "00:02:00"},
            "Microsoft SQL Server",
        ),
        (
            {"type": "Netherite", "partitionCount": 32, "StorageConnectionName": "S", "EventHubsConnectionName": "E"},
            "Netherite",
        ),
    ],
)
def test_apps_of_other_providers_use_azure_storage(read: Read, provider: dict[str, object], name: str) -> None:
    options, warnings = read({"hubName": "my_hub", "storageProvider": provider})
    assert warnings == []
    assert options.storage_provider == AzureStorageProvider(type=str(provider["type"]))
    assert options.storage_provider.other == name
    assert options.hub_name == "my_hub"


@pytest.mark.parametrize(
    ("configured", "settings", "name"),
    [
        ("default", {}, "default"),
        ("task-tracking_hub", {}, "task-tracking_hub"),
        ("%TASKHUB_NAME%", {"TASKHUB_NAME": "my-hub"}, "my-hub"),
        (
            "%TASKHUB_NAME%",
            {SCHEDULER_SETTING: "Endpoint=http://localhost:8080;Authentication=None;TaskHub=from-string"},
            "from-string",
        ),
        (None, {SCHEDULER_SETTING: "Endpoint=x;taskhub = spaced "}, "spaced"),
        ("%TASKHUB_NAME%", {}, "TestHubName"),
        (None, {}, "TestHubName"),
    ],
)
def test_hub_name_of_other_providers(configured: str | None, settings: Mapping[str, str], name: str) -> None:
    assert hub_name(configured, Settings(settings), any_name=True) == name


def test_every_hub_name_has_a_name_in_storage() -> None:
    assert storable_hub_name("MyHub") == "MyHub"
    names = ["my_hub", "my-hub", "myhub", "9lives", "__", "ä" * 60, "x" * 80, "x" * 81]
    stored = [storable_hub_name(name) for name in names]
    assert len(set(stored)) == len(names)
    for name in stored:
        # The strict rule for hub names, which leaves room for the suffixes of tables, queues and containers.
        assert re.fullmatch("[A-Za-z][A-Za-z0-9]{2,44}", name), name
    assert storable_hub_name("MY_HUB").lower() == storable_hub_name("my_hub").lower()


def test_extended_sessions_are_unused_with_a_warning(read: Read) -> None:
    _, [warning] = read({"extendedSessionsEnabled": True})
    assert "extendedSessionsEnabled is not supported for Python" in warning


@pytest.mark.parametrize(
    ("explicit", "settings", "name"),
    [
        (None, {}, "TestHubName"),
        (None, {"WEBSITE_SITE_NAME": "my-shop"}, "myshop"),
        (None, {"WEBSITE_SITE_NAME": "4ever"}, "t4ever"),
        (None, {"WEBSITE_SITE_NAME": "ab"}, "abHub"),
        (None, {"WEBSITE_SITE_NAME": "--"}, "DefaultTaskHub"),
        (None, {"WEBSITE_SITE_NAME": "a" * 60}, "a" * 45),
        ("Explicit1", {"WEBSITE_SITE_NAME": "shop"}, "Explicit1"),
        ("%HUB%Hub", {"HUB": "Orders"}, "OrdersHub"),
        ("a" * 50, {}, "a" * 50),
        (None, {"WEBSITE_SLOT_NAME": "Production"}, "TestHubName"),
        ("Staging", {"WEBSITE_SLOT_NAME": "staging"}, "Staging"),
    ],
)
def test_hub_name_from_host_json_or_site_name(explicit: str | None, settings: Mapping[str, str], name: str) -> None:
    assert hub_name(explicit, Settings(settings)) == name


@pytest.mark.parametrize("explicit", ["ab", "1hub", "my-hub", "a" * 51, "", "%MISSING%", "hübname"])
def test_a_hub_name_that_storage_does_not_accept_is_refused(explicit: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        hub_name(explicit, Settings({}))
    assert ("app setting 'MISSING'" in str(raised.value)) is (explicit == "%MISSING%")
    assert str(raised.value).startswith(
        f"Task hub name '{explicit}' should contain only alphanumeric characters, start with a letter, and have length "
        "between 3 and 45."
    )


@pytest.mark.parametrize("explicit", [None, "TestHubName"])
def test_a_deployment_slot_without_its_own_hub_is_refused(explicit: str | None) -> None:
    with pytest.raises(ConfigurationError, match=r"Task Hub name must be specified in host[.]json when using slots"):
        hub_name(explicit, Settings({"WEBSITE_SLOT_NAME": "staging"}))


def test_event_grid_notifications_are_accepted_and_unused(read: Read) -> None:
    section = {
        "topicEndpoint": "%TOPIC%",
        "keySettingName": "TOPIC_KEY",
        "publishRetryCount": 3,
        "publishRetryInterval": "00:00:30",
        "publishRetryHttpStatus": [400, 403],
        "publishEventTypes": ["Failed", "started"],
    }
    options, warnings = read({"notifications": {"eventGrid": section}}, TOPIC="https://topic", TOPIC_KEY="k")
    assert (options, warnings) == (DurableTaskOptions(), [])


@pytest.mark.parametrize(
    "section", [{"topicEndpoint": "https://t"}, {"topicEndpoint": "https://t", "keySettingName": "K"}]
)
def test_event_grid_without_a_key_is_refused(read: Read, section: Mapping[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="Failed to start lifecycle notification feature"):
        read({"notifications": {"eventGrid": section}})


def test_an_unknown_event_type_is_refused(read: Read, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as raised:
        read({"notifications": {"eventGrid": {"publishEventTypes": ["Paused"]}}})
    assert str(raised.value) == (
        f"{tmp_path / 'host.json'}: extensions.durableTask.notifications.eventGrid.publishEventTypes is "
        '["Paused"]; allowed: Started, Completed, Failed, Terminated.'
    )
