"""What Azure Functions offered on the date below: Python versions, plans, extension bundles, and members of the SDK.

Only this file has facts that change with time. Sources: Microsoft Learn, "Azure Functions runtime versions overview",
"Python 3.13+ in Azure Functions", "Extension bundles", "Azure Functions hosting options", "Flex Consumption plan", "App
settings reference"; the end of support of Python itself (PEP 619, 664, 693, 719); the releases of
azure-functions-durable from 1.0.0 to 1.7.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

AS_OF: Final = date(2026, 11, 30)


@dataclass(frozen=True, slots=True)
class PythonVersion:
    """A Python version of Azure Functions."""

    supported_until: date


PYTHON_VERSIONS: Final[Mapping[tuple[int, int], PythonVersion]] = {
    (3, 10): PythonVersion(date(2026, 10, 31)),
    (3, 11): PythonVersion(date(2027, 10, 31)),
    (3, 12): PythonVersion(date(2028, 10, 31)),
    (3, 13): PythonVersion(date(2029, 10, 31)),
    (3, 14): PythonVersion(date(2030, 10, 31)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A hosting plan for apps in Python. `longest`: the highest functionTimeout in minutes, None: unlimited.

    `polls_blobs`: a blob trigger works without `source="EventGrid"`. `has_time_zones`: WEBSITE_TIME_ZONE has an effect.
    `newest_python`: no later version is offered; None: all are. `retires_on`: None if that is not announced.
    """

    title: str
    longest: int | None = None
    polls_blobs: bool = True
    has_time_zones: bool = True
    newest_python: tuple[int, int] | None = None
    retires_on: date | None = None


PLANS: Final[Mapping[str, Plan]] = {
    "flex": Plan(title="Flex Consumption", polls_blobs=False),
    "consumption": Plan(
        title="Consumption (Linux)",
        longest=10,
        has_time_zones=False,
        newest_python=(3, 12),
        retires_on=date(2028, 9, 30),
    ),
    "premium": Plan(title="Premium"),
    "dedicated": Plan(title="Dedicated"),
}
"""The hosting plans by the values of --plan."""

SDK_MEMBERS: Final[Mapping[str, Mapping[str, str]]] = {
    "orchestrator": {
        "call_activity": "1.0.0",
        "call_activity_with_retry": "1.0.0",
        "call_entity": "1.0.0",
        "call_http": "1.0.0",
        "call_sub_orchestrator": "1.0.0",
        "call_sub_orchestrator_with_retry": "1.0.0",
        "continue_as_new": "1.0.0",
        "create_timer": "1.0.0",
        "current_utc_datetime": "1.0.0",
        "custom_status": "1.0.0",
        "decision_started_event": "1.0.0",
        "deferred_tasks": "1.0.0",
        "from_json": "1.0.0",
        "function_context": "1.0.0",
        "get_input": "1.0.0",
        "histories": "1.0.0",
        "instance_id": "1.0.0",
        "is_replaying": "1.0.0",
        "new_guid": "1.0.0",
        "new_uuid": "1.0.0",
        "open_tasks": "1.0.0",
        "parent_instance_id": "1.0.0",
        "set_custom_status": "1.0.0",
        "signal_entity": "1.0.0",
        "task_all": "1.0.0",
        "task_any": "1.0.0",
        "version": "1.4.0",
        "wait_for_external_event": "1.0.0",
        "will_continue_as_new": "1.0.0",
    },
    "entity": {
        "destruct_on_exit": "1.0.0",
        "entity_key": "1.0.0",
        "entity_name": "1.0.0",
        "from_json": "1.0.0",
        "get_input": "1.0.0",
        "get_state": "1.0.0",
        "is_newly_constructed": "1.0.0",
        "operation_name": "1.0.0",
        "set_result": "1.0.0",
        "set_state": "1.0.0",
    },
    "client": {
        "create_check_status_response": "1.0.0",
        "create_http_management_payload": "1.0.0",
        "get_client_response_links": "1.0.0",
        "get_status": "1.0.0",
        "get_status_all": "1.0.0",
        "get_status_by": "1.0.0",
        "purge_instance_history": "1.0.0",
        "purge_instance_history_by": "1.0.0",
        "raise_event": "1.0.0",
        "read_entity_state": "1.0.0",
        "restart": "1.6.0",
        "resume": "1.2.9",
        "rewind": "1.0.0",
        "signal_entity": "1.0.0",
        "start_new": "1.0.0",
        "suspend": "1.2.9",
        "task_hub_name": "1.0.0",
        "terminate": "1.0.0",
        "wait_for_completion_or_create_check_status_response": "1.0.0",
    },
}
"""Members of the contexts and of the client of azure-functions-durable 1, each with the release that first had it."""

BUNDLE_ID: Final = "Microsoft.Azure.Functions.ExtensionBundle"
RECOMMENDED_BUNDLE: Final = "[4.*, 5.0.0)"
OLDEST_SUPPORTED_BUNDLE: Final = 4

# Packages by their names on the package index, and why they do not belong into requirements.txt.
MISPLACED_PACKAGES: Final[Mapping[str, str]] = {
    "azure-functions-worker": "It is part of the platform, and another version of it breaks the app.",
    "azemu": "It runs apps on your machine; on Azure the platform does.",
    "azure-functions-core-tools": "It runs apps on your machine; on Azure the platform does.",
}
