"""Misspelled keys of host.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from emulator.config.hostjson import read_host_json
from emulator.config.queue_options import QueuesOptions
from emulator.config.settings import Settings
from emulator.durable.options import DurableTaskOptions
from emulator.host.http_options import HttpOptions
from tests.running_apps import DURABLE_APP, run_app


def typos(folder: Path, content: Mapping[str, Any], **settings: str) -> list[str]:
    """The warnings of a host.json, without its path."""
    path = folder / "host.json"
    path.write_text(json.dumps({"version": "2.0", **content}), encoding="utf-8")
    host, warnings = read_host_json(folder, Settings(settings))
    warnings += host.typos(DurableTaskOptions) + host.typos(HttpOptions) + host.typos(QueuesOptions)
    return [warning.removeprefix(f"{path}: ") for warning in warnings]


@pytest.mark.parametrize(
    ("content", "key", "meant"),
    [
        ({"functionTimout": "00:05:00"}, "functionTimout", "functionTimeout"),
        ({"extension": {}}, "extension", "extensions"),
        ({"extensionBundles": {}}, "extensionBundles", "extensionBundle"),
        ({"logging": {"logLevels": {}}}, "logging.logLevels", "logLevel"),
        ({"logging": {"applicationInsight": {}}}, "logging.applicationInsight", "applicationInsights"),
        ({"extensions": {"durableTasks": {}}}, "extensions.durableTasks", "durableTask"),
        ({"extensions": {"queues": {"batchSizes": 2}}}, "extensions.queues.batchSizes", "batchSize"),
        ({"extensions": {"http": {"routePrefx": ""}}}, "extensions.http.routePrefx", "routePrefix"),
        (
            {"extensions": {"durableTask": {"maxConcurentActivityFunctions": 2}}},
            "extensions.durableTask.maxConcurentActivityFunctions",
            "maxConcurrentActivityFunctions",
        ),
        (
            {"extensions": {"durableTask": {"storageProvider": {"partitionCounts": 2}}}},
            "extensions.durableTask.storageProvider.partitionCounts",
            "partitionCount",
        ),
    ],
)
def test_a_misspelled_key_names_the_right_one(tmp_path: Path, content: Mapping[str, Any], key: str, meant: str) -> None:
    assert typos(tmp_path, content) == [f'"{key}" is not a known option and has no effect. Did you mean "{meant}"?']


def test_a_key_beside_the_right_one_is_something_else(tmp_path: Path) -> None:
    assert typos(tmp_path, {"functionTimeout": "00:05:00", "functionTimeouts": "00:06:00"}) == []


def test_a_section_of_the_first_version_is_in_the_wrong_place(tmp_path: Path) -> None:
    assert typos(tmp_path, {"durableTask": {"hubName": "MyHub"}}) == [
        'the section "durableTask" has no effect here. Move it into "extensions".'
    ]


def test_a_misspelled_setting_is_named(tmp_path: Path) -> None:
    name = "AzureFunctionsJobHost__functionTimout"
    assert typos(tmp_path, {}, **{name: "00:05:00"}) == [
        f'App setting {name}: "functionTimout" is not a known option and has no effect. Did you mean "functionTimeout"?'
    ]


def test_other_keys_are_no_typos(tmp_path: Path) -> None:
    """Options of other versions and extensions, in the spellings that are found in public apps."""
    sampling = {"isEnabled": True, "excludedTypes": "Request", "maxTelemetryItemsPerSecond": 20}
    insights = {"samplingSettings": sampling, "enableLiveMetricsFilters": True, "httpAutoCollectionOptions": {}}
    durable = {
        "HubName": "MyHub",
        "azureStorageConnectionStringName": "S",
        "controlQueueBatchSize": 32,
        "partitionCount": 4,
        "controlQueueVisibilityTimeout": "00:05:00",
        "workItemQueueVisibilityTimeout": "00:05:00",
        "maxQueuePollingInterval": "00:00:10",
        "logReplayEvents": False,
        "traceInputsAndOutputs": False,
        "eventGridTopicEndpoint": "e",
        "eventGridKeySettingName": "k",
        "largeMessageBlobThreshold": 1,
        "tracing": {"traceInputsAndOutputs": False, "traceReplayEvents": False, "DistributedTracingEnabled": True},
        "storageProvider": {"connectionStringName": "AzureWebJobsStorage", "maxQueuePollingInterval": "00:00:10"},
    }
    content = {
        "$schema": "https://json.schemastore.org/host.json",
        "managedDependency": {"enabled": True},
        "configurationProfile": "mcp-custom-handler",
        "customHandler": {"description": {"defaultExecutablePath": "python"}, "enableForwardingHttpRequest": True},
        "logging": {"logLevel": {"default": "Information", "Host.Results": "Error"}, "applicationInsights": insights},
        "extensions": {
            "durableTask": durable,
            "http": {"routePrefix": "", "hsts": {"isEnabled": True, "maxAge": "10"}, "customHeaders": {"X-A": "b"}},
            "queues": {"maxPollingInterval": "00:00:02", "messageEncoding": "none"},
            "eventHubs": {"maxEventBatchSize": 10, "maxBatchSize": 10, "batchCheckpointFrequency": 1},
            "serviceBus": {"prefetchCount": 1, "messageHandlerOptions": {"autoComplete": True}},
            "cosmosDB": {"connectionMode": "Gateway"},
            "mcp": {"serverName": "s", "system": {"webhookAuthorizationLevel": "Anonymous"}},
            "sql": {},
            "mySql": {},
            "customOfOurs": {"x": 1},
        },
    }
    assert typos(tmp_path, content) == []
    mssql = {"type": "mssql", "connectionStringName": "S", "taskEventBatchSize": 10, "connectionNames": "n"}
    assert typos(tmp_path, {"extensions": {"durableTask": {"storageProvider": mssql}}}) == []


async def test_a_typo_in_the_section_of_an_extension_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    host = {"extensions": {"durableTask": {"hubNames": "Mine"}}}
    async with run_app(tmp_path, DURABLE_APP, host=host):
        assert 'Did you mean "hubName"?' in caplog.text
