"""Admin API of functions, /admin/functions/… and /admin/warmup: list, status, manual invocation.

Source: host, WebHost/Controllers/FunctionsController.cs, Extensions/FunctionMetadataExtensions.cs;
docs/protocol/functions-host.md 6.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aiohttp import web

from emulator.clock import Clock
from emulator.errors import EmulatorError
from emulator.host.admin.api import HostFacts, RunningHost, admin_route, json_response
from emulator.host.bindings import HTTP_TRIGGER, WARMUP_TRIGGER
from emulator.host.console.categories import function_category
from emulator.host.http.keys.authorization import AdminApi, Anonymous
from emulator.host.http.routing.routes import HttpCall, Route
from emulator.host.http.server.requests import BodyBroken, BodyTooLarge, read_body
from emulator.host.http_options import HttpOptions
from emulator.host.port import Function, ManualEvent, TriggerEvent, text_event
from emulator.worker.port import Datum

logger = logging.getLogger(__name__)

Spawn = Callable[[Coroutine[Any, Any, None]], object]
"""Start a background task that is cancelled when the host stops."""

# The input of a manual invocation is trigger data, so it has the limit of request bodies.
_MAX_INPUT_BYTES = 100 * 1024 * 1024


class FunctionsApi:
    """Request handlers of /admin/functions/… and /admin/warmup.

    `manual_events`: per trigger type in lower case, a function that turns the text of a manual invocation into the
    trigger's event. Other trigger types receive the text as it is.
    """

    def __init__(
        self,
        host: RunningHost,
        facts: HostFacts,
        clock: Clock,
        *,
        manual_events: Mapping[str, ManualEvent],
        spawn: Spawn,
    ) -> None:
        self._host = host
        self._facts = facts
        self._clock = clock
        self._manual_events = manual_events
        self._spawn = spawn
        self._warmed_up = False

    def routes(self) -> list[Route]:
        """Return the routes, each with the access that the Functions host requires."""
        admin = AdminApi()
        return [
            admin_route("GET POST", "admin/warmup", Anonymous(), self.warm_up),
            admin_route("GET", "admin/functions", admin, self.list_functions),
            admin_route("GET", "admin/functions/{name}", admin, self.get_function),
            admin_route("POST", "admin/functions/{name}", admin, self.invoke_manually),
            admin_route("GET", "admin/functions/{name}/status", admin, self.function_status),
        ]

    async def list_functions(self, call: HttpCall) -> web.Response:
        # The list has https URLs even for requests over HTTP, as in FunctionsController.
        sockname = call.request.transport.get_extra_info("sockname") if call.request.transport else None
        base = f"https://localhost:{sockname[1] if sockname else 80}"
        return json_response([self._function_info(function, base) for function in self._host.catalog.functions])

    async def get_function(self, call: HttpCall) -> web.Response:
        function = self._host.catalog.find(call.values["name"])
        if function is None:
            return web.Response(status=404)
        base = f"{call.request.scheme}://{call.request.host}"
        return json_response(self._function_info(function, base))

    async def function_status(self, call: HttpCall) -> web.Response:
        name = call.values["name"]
        # A function with an indexing error is not in the catalog, but its errors are.
        errors = list(self._host.catalog.errors_of(name))
        if not errors and self._host.catalog.find(name) is None:
            return web.Response(status=404)
        return json_response({"errors": errors} if errors else {})

    async def invoke_manually(self, call: HttpCall) -> web.Response:
        try:
            body = json.loads(await read_body(call.request, self._clock, limit=_MAX_INPUT_BYTES))
        except (BodyBroken, BodyTooLarge, ValueError, RecursionError):
            return web.Response(status=400)
        # FunctionInvocation.Input is a string: .NET converts numbers and booleans and rejects objects and arrays.
        value = body.get("input") if isinstance(body, dict) else None
        if not isinstance(body, dict) or isinstance(value, dict | list):
            return web.Response(status=400)
        text = value if isinstance(value, str | None) else json.dumps(value)
        function = self._host.catalog.find(call.values["name"])
        if function is None:
            return web.Response(status=404)
        # Requests to the admin API do not wait for the host to start, unlike those to functions.
        if not self._host.status.can_invoke:
            return web.Response(status=503)
        # The response does not wait for the invocation, as in the Functions host.
        self._spawn(self._invoke_with_text(function, text))
        return web.Response(status=202)

    async def _invoke_with_text(self, function: Function, text: str | None) -> None:
        manual_event = self._manual_events.get(function.trigger.type.lower(), text_event)
        try:
            await self._invoke(function, await manual_event(function, function.trigger, text))
        except EmulatorError as error:
            function_category(function.name).error(
                "The function '%s' cannot be invoked manually: %s", function.name, error
            )
        except Exception:
            # An exception in a background task would stop the host.
            logger.exception("The manual invocation of function '%s' failed.", function.name)

    async def _invoke(self, function: Function, event: TriggerEvent) -> None:
        try:
            await self._host.invoke(function.name, event)
        except EmulatorError:
            # The invoker has logged it already, and the caller of the admin API has its response.
            logger.debug("Function '%s' failed when it was invoked through the admin API.", function.name)

    async def warm_up(self, call: HttpCall) -> web.Response:
        functions = self._host.catalog.functions
        function = next((function for function in functions if function.trigger.type.lower() == WARMUP_TRIGGER), None)
        # Azure sends this request once to each new instance; a warmup function may count on being called once only.
        if function is not None and not self._warmed_up and self._host.status.can_invoke:
            self._warmed_up = True
            await self._invoke(function, TriggerEvent(value=Datum("string", "")))
        return web.Response()

    def _function_info(self, function: Function, base: str) -> dict[str, Any]:
        """Return FunctionMetadataResponse. `base`: scheme and authority of its URLs."""
        name, script = function.name, function.metadata.script_file
        invoke_url = {}
        if function.trigger.type.lower() == HTTP_TRIGGER:
            # In lower case, templates included, as FunctionMetadataExtensions writes it.
            route = str(function.trigger.properties.get("route") or function.name).strip("/")
            prefix = self._facts.options.section(HttpOptions).route_prefix.strip("/")
            path = f"{prefix}/{route}" if prefix else route
            invoke_url["invoke_url_template"] = f"{base}/{path}".lower()
        # The files API below /admin/vfs does not exist here, but clients expect its URLs.
        files = f"{base}/admin/vfs"
        return {
            "name": name,
            "script_root_path_href": f"{files}/{quote(name)}/",
            "script_href": f"{files}/{quote(Path(script).name)}",
            "config_href": f"{files}/{quote(name)}/function.json",
            "test_data_href": f"{files}/data/Functions/sampledata/{quote(name)}.dat",
            "href": f"{base}/admin/functions/{quote(name)}",
            **invoke_url,
            "language": "python",
            # The content of function.json, which functions of the v2 programming model do not have as a file.
            "config": {
                "name": name,
                "entryPoint": name,
                "scriptFile": script,
                "language": "python",
                "functionDirectory": function.metadata.directory or str(self._facts.root),
                "bindings": [dict(binding.properties) for binding in function.metadata.bindings],
            },
            "files": None,
            "test_data": "",
            "isDisabled": function.disabled,
            "isDirect": False,
            "isProxy": False,
        }
