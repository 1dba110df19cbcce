"""/admin/functions: what functions there are, what is wrong with them, and running one by hand.

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
from emulator.host.bindings import HTTP_TRIGGER
from emulator.host.console.categories import function_category
from emulator.host.http.auth import AdminApi, Anonymous
from emulator.host.http.requests import BodyBroken, BodyTooLarge, read_body
from emulator.host.http.routes import HttpCall, Route
from emulator.host.http_options import HttpOptions
from emulator.host.port import Function, InvokeByHand, TriggerEvent
from emulator.worker.port import Datum

logger = logging.getLogger(__name__)

Spawn = Callable[[Coroutine[Any, Any, None]], object]
"""Starts background work that somebody waits for at the end."""

_MAX_INPUT_BYTES = 100 * 1024 * 1024
_WARMUP = "warmuptrigger"


class FunctionsApi:
    """`by_hand`: how a text becomes the event of a trigger, by type in lower case; a plain text is the default."""

    def __init__(
        self,
        host: RunningHost,
        facts: HostFacts,
        clock: Clock,
        *,
        by_hand: Mapping[str, InvokeByHand],
        spawn: Spawn,
    ) -> None:
        self._host = host
        self._facts = facts
        self._clock = clock
        self._by_hand = by_hand
        self._spawn = spawn
        self._warmed_up = False

    def routes(self) -> list[Route]:
        admin = AdminApi()
        return [
            admin_route("GET POST", "admin/warmup", Anonymous(), self._warm_up),
            admin_route("GET", "admin/functions", admin, self._list),
            admin_route("GET", "admin/functions/{name}", admin, self._get),
            admin_route("POST", "admin/functions/{name}", admin, self._run),
            admin_route("GET", "admin/functions/{name}/status", admin, self._status),
        ]

    async def _list(self, call: HttpCall) -> web.Response:
        # The list says https whatever the request came by, as the original does.
        base = f"https://localhost:{_port(call.request)}"
        return json_response([self._described(function, base) for function in self._host.catalog.functions])

    async def _get(self, call: HttpCall) -> web.Response:
        function = self._host.catalog.find(call.values["name"])
        if function is None:
            return web.Response(status=404)
        base = f"{call.request.scheme}://{call.request.host}"
        return json_response(self._described(function, base))

    async def _status(self, call: HttpCall) -> web.Response:
        name = call.values["name"]
        errors = list(self._host.catalog.errors_of(name))
        if not errors and self._host.catalog.find(name) is None:
            return web.Response(status=404)
        return json_response({"errors": errors} if errors else {})

    async def _run(self, call: HttpCall) -> web.Response:
        try:
            text = _input(await read_body(call.request, self._clock, limit=_MAX_INPUT_BYTES))
        except (BodyBroken, BodyTooLarge, _NoInput):
            return web.Response(status=400)
        function = self._host.catalog.find(call.values["name"])
        if function is None:
            return web.Response(status=404)
        if not self._host.status.can_invoke:
            return web.Response(status=503)
        self._spawn(self._run_by_hand(function, text))
        return web.Response(status=202)

    async def _run_by_hand(self, function: Function, text: str | None) -> None:
        try:
            await self._invoke(function, await self._event(function, text))
        except EmulatorError as error:
            function_category(function.name).error("The function cannot be run by hand: %s", error)
        except Exception:
            # One call by hand must not take the host down.
            logger.exception("Running function '%s' by hand failed.", function.name)

    async def _invoke(self, function: Function, event: TriggerEvent) -> None:
        try:
            await self._host.invoke(function.name, event)
        except EmulatorError:
            # The invoker has said it; nobody waits for the outcome.
            logger.debug("Function '%s' failed when it was run by hand.", function.name)

    async def _event(self, function: Function, text: str | None) -> TriggerEvent:
        by_hand = self._by_hand.get(function.trigger.type.lower())
        if by_hand is not None:
            return await by_hand(function, function.trigger, text)
        return TriggerEvent(value=None if text is None else Datum("string", text))

    async def _warm_up(self, call: HttpCall) -> web.Response:
        warmup = (one for one in self._host.catalog.functions if one.trigger.type.lower() == _WARMUP)
        function = next(warmup, None)
        if function is not None and not self._warmed_up and self._host.status.can_invoke:
            self._warmed_up = True
            await self._invoke(function, TriggerEvent(value=Datum("string", "")))
        return web.Response()

    def _described(self, function: Function, base: str) -> dict[str, Any]:
        name, script = function.name, function.metadata.script_file
        files = f"{base}/admin/vfs"
        return {
            "name": name,
            "script_root_path_href": f"{files}/{quote(name)}/",
            "script_href": f"{files}/{quote(Path(script).name)}",
            "config_href": f"{files}/{quote(name)}/function.json",
            "test_data_href": f"{files}/data/Functions/sampledata/{quote(name)}.dat",
            "href": f"{base}/admin/functions/{quote(name)}",
            **self._invoke_url(function, base),
            "language": "python",
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

    def _invoke_url(self, function: Function, base: str) -> dict[str, str]:
        if function.trigger.type.lower() != HTTP_TRIGGER:
            return {}
        route = str(function.trigger.properties.get("route") or function.name).strip("/")
        prefix = self._facts.options.section(HttpOptions).route_prefix.strip("/")
        return {"invoke_url_template": f"{base}/{prefix}/{route}".lower() if prefix else f"{base}/{route}".lower()}


def _port(request: web.Request) -> int:
    name = request.transport.get_extra_info("sockname") if request.transport else None
    return name[1] if name else 80


class _NoInput(Exception):
    """The body of a call by hand is not an object with a text `input`, or without any."""


def _input(body: bytes) -> str | None:
    """`{"input": "text"}` → the text. Raises _NoInput."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        raise _NoInput from None
    value = content.get("input") if isinstance(content, dict) else content
    if not isinstance(content, dict) or isinstance(value, dict | list):
        raise _NoInput
    return value if isinstance(value, str | None) else json.dumps(value)
