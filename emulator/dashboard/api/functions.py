"""Endpoints of the page Functions: the functions of the app, their invocations, and sample payloads to run them."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any, Final

from aiohttp import web

from emulator.dashboard.api.samples import sample_of
from emulator.dashboard.durable.function_source import documented_example
from emulator.dashboard.parts import DashboardParts
from emulator.dashboard.routing import ApiError, endpoint, utc_text
from emulator.host.admin.api import json_response
from emulator.host.console.banner import is_http
from emulator.host.http.routing.routes import HttpCall, Route
from emulator.host.http_options import HttpOptions
from emulator.host.manual_invocation import NoSuchFunction, find_function
from emulator.host.port import Function
from emulator.host.recording import Run
from emulator.worker.port import member_of

# What says most about a trigger, by member of its binding.
_DETAILS: Final = (
    *("queueName", "schedule", "path", "topicName", "eventHubName", "databaseName", "containerName", "tableName"),
    *("orchestration", "activity", "entityName"),
)
_MAX_OUTPUTS: Final = 100


def functions_routes(parts: DashboardParts) -> list[Route]:
    """Return the endpoints `functions`, `functions/{name}`, `functions/{name}/runs` and `functions/{name}/outputs`."""

    def named(call: HttpCall) -> Function:
        try:
            return find_function(parts.host, call.values["name"])
        except NoSuchFunction as error:
            raise ApiError(404, str(error)) from None

    async def functions(call: HttpCall) -> web.Response:
        manual = {found.function.name for found in parts.host.manual_bindings() if found.is_manual}
        listed = [
            {**_members(parts, function), "isManual": function.name in manual}
            for function in parts.host.catalog.functions
        ]
        # The catalog leaves out functions that cannot run, and users look for exactly these.
        listed += [
            {"name": problem.function, "state": "Error", "reason": problem.message}
            for problem in parts.host.catalog.problems
        ]
        return json_response({"functions": listed, "loadErrors": list(parts.host.load_errors)})

    async def function(call: HttpCall) -> web.Response:
        found = named(call)
        place = found.metadata.source
        example = documented_example(place, parts.configuration.root) if place else None
        manual = next((bound for bound in parts.host.manual_bindings() if bound.function is found), None)
        return json_response(
            {
                **_members(parts, found),
                "isManual": manual is not None and manual.is_manual,
                "suppliedInputs": [binding.name for binding in manual.inputs] if manual is not None else [],
                "capturedOutputs": [binding.name for binding in manual.outputs] if manual is not None else [],
                "bindings": [
                    {
                        "name": binding.name,
                        "type": binding.type,
                        "direction": binding.direction,
                        "properties": {
                            name: value
                            for name, value in binding.properties.items()
                            if name not in ("name", "type", "direction")
                        },
                    }
                    for binding in found.metadata.bindings
                ],
                "sample": sample_of(found, _path(parts, found), example),
            }
        )

    async def runs(call: HttpCall) -> web.Response:
        name = named(call).name
        latest = parts.recording.counts(name).latest
        return json_response({"runs": [run_members(run) for run in reversed(latest)]})

    async def outputs(call: HttpCall) -> web.Response:
        captured = parts.captured_outputs.of(named(call).name)
        return json_response({"outputs": [output.json_members() for output in reversed(captured[-_MAX_OUTPUTS:])]})

    return [
        endpoint("GET", "functions", functions),
        endpoint("GET", "functions/{name}", function),
        endpoint("GET", "functions/{name}/runs", runs),
        endpoint("GET", "functions/{name}/outputs", outputs),
    ]


def run_members(run: Run) -> dict[str, Any]:
    """Return an attempt to run a function as the API shows it."""
    ended = run.ended_at
    return {
        "invocationId": run.invocation_id,
        "function": run.function,
        "instanceId": run.instance_id,
        "reason": run.reason,
        "retry": run.retry,
        "state": "Running" if ended is None else "Succeeded" if run.error is None else "Failed",
        "startedAt": utc_text(run.started_at),
        "durationMs": None if ended is None else (ended - run.started_at) / timedelta(milliseconds=1),
        "input": run.input,
        "result": run.result,
        "error": run.error,
    }


def _members(parts: DashboardParts, function: Function) -> dict[str, Any]:
    counts = parts.recording.counts(function.name)
    ended = counts.succeeded + counts.failed
    trigger, error, source = function.trigger, function.metadata.load_error, function.metadata.source
    details = [str(value) for name in _DETAILS if (value := member_of(trigger.properties, name))]
    http = {}
    if is_http(function):
        methods = member_of(trigger.properties, "methods") or ()
        http = {"methods": [str(method).upper() for method in methods], "path": _path(parts, function)}
    return {
        "name": function.name,
        "trigger": trigger.type,
        "detail": " / ".join(details) or None,
        **http,
        "state": "Error" if error else "Disabled" if function.disabled else "OK",
        "reason": error,
        # With a path from the app's folder.
        "source": source and source.removeprefix(f"{parts.configuration.root}{os.sep}"),
        "succeeded": counts.succeeded,
        "failed": counts.failed,
        "running": sum(run.function == function.name for run in parts.recording.running),
        "averageMs": counts.seconds * 1000 / ended if ended else None,
        "lastRun": run_members(counts.latest[-1]) if counts.latest else None,
    }


def _path(parts: DashboardParts, function: Function) -> str | None:
    """Return the path of an HTTP function, with its parameters in braces; None for all others."""
    if not is_http(function):
        return None
    prefix = parts.configuration.host.section(HttpOptions).route_prefix.strip("/")
    route = str(member_of(function.trigger.properties, "route") or function.name).strip("/")
    return "/" + "/".join(part for part in (prefix, route) if part)
