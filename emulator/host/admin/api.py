"""The admin API of the host: /admin/host/*, /admin/warmup, and where its other parts are put together.

A table of routes, each with its access written beside it. JSON is camelCase, what is null is left out.
Source: host, WebHost/Controllers/HostController.cs and others; docs/protocol/functions-host.md 6.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from aiohttp import web

from emulator import __version__
from emulator.clock import Clock
from emulator.config.hostjson import HostOptions
from emulator.host.catalog import Catalog
from emulator.host.console.banner import RUNTIME_VERSION
from emulator.host.http.keys.authorization import Access, AdminApi, Anonymous
from emulator.host.http.routing.routes import Handler, HttpCall, Route
from emulator.host.http.routing.templates import parse_template
from emulator.host.http.server.pipeline import APP_OFFLINE
from emulator.host.http.server.requests import read_body
from emulator.host.port import TriggerEvent
from emulator.host.status import HostState, HostStatus
from emulator.worker.port import Returned

_MAX_BODY_BYTES = 10 * 1024 * 1024
_OFFLINE_PAGE = "<!DOCTYPE html><html><head><title>Host Offline</title></head><body>Host is offline</body></html>\n"


class RunningHost(Protocol):
    """What the admin API asks of the host."""

    @property
    def status(self) -> HostStatus: ...

    @property
    def catalog(self) -> Catalog: ...

    @property
    def running_invocations(self) -> int: ...

    async def invoke(self, name: str, event: TriggerEvent) -> Returned:
        """Run a function by name; raises LookupError for an unknown one, EmulatorError if it fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """What does not change while the process lives."""

    root: Path
    host_id: str
    instance_id: str
    started_at: datetime
    options: HostOptions = field(default_factory=HostOptions)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCommands:
    """What can be done to the running host from outside. None: whoever runs it cannot do that; there is no such route.

    `restart` returns at once, the restart follows. `drain` stops the listeners without cancelling what runs.
    """

    restart: Callable[[], None] | None = None
    drain: Callable[[], None] | None = None


def admin_route(methods: str, template: str, access: Access, handler: Handler) -> Route:
    """`methods`: separated by blanks."""
    return Route(
        name=f"{methods} /{template}",
        template=parse_template(template),
        methods=methods.split(),
        access=access,
        handler=handler,
    )


class HostApi:
    """/admin/host and what belongs to no function."""

    def __init__(self, host: RunningHost, facts: HostFacts, commands: HostCommands, clock: Clock) -> None:
        self._host = host
        self._facts = facts
        self._commands = commands
        self._clock = clock
        self._draining = False
        self._before_offline: HostState | None = None

    def routes(self) -> list[Route]:
        admin, everyone = AdminApi(), Anonymous()
        table = [
            admin_route("GET POST", "admin/host/ping", everyone, self._ping),
            admin_route("GET", "admin/instance/http-health", everyone, self._health),
            admin_route("GET", "admin/host/status", admin, self._status),
            admin_route("GET", "admin/host/config", admin, self._config),
            admin_route("GET", "admin/host/processes", admin, self._processes),
            admin_route("PUT", "admin/host/state", admin, self._set_state),
            admin_route("POST", "admin/host/synctriggers", admin, self._sync_triggers),
            admin_route("POST", "admin/host/log", admin, self._nothing),
            admin_route("POST", "admin/host/debug", admin, self._nothing),
            admin_route("POST", "admin/host/scale/status", admin, self._scale_status),
            admin_route("GET", "admin/host/drain/status", admin, self._drain_status),
        ]
        if self._commands.drain is not None:
            table.append(admin_route("POST", "admin/host/drain", admin, self._drain))
        if self._commands.restart is not None:
            table.append(admin_route("POST", "admin/host/restart", admin, self._restart))
            table.append(admin_route("POST", "admin/host/resume", admin, self._resume))
        return table

    async def _ping(self, call: HttpCall) -> web.Response:
        return web.Response(headers={"Cache-Control": "no-store,no-cache", "Pragma": "no-cache"})

    async def _health(self, call: HttpCall) -> web.Response:
        return web.Response()

    async def _nothing(self, call: HttpCall) -> web.Response:
        await read_body(call.request, self._clock, limit=_MAX_BODY_BYTES)
        return web.Response()

    async def _status(self, call: HttpCall) -> web.Response:
        status, facts = self._host.status, self._facts
        bundle = facts.options.extension_bundle
        return json_response(
            _without_nulls(
                {
                    "id": facts.host_id,
                    "state": status.state.value,
                    "version": RUNTIME_VERSION,
                    "versionDetails": f"{RUNTIME_VERSION} (azemu {__version__}, Python {platform.python_version()})",
                    "platformVersion": "",
                    "instanceId": facts.instance_id,
                    "computerName": platform.node(),
                    "processUptime": (self._clock.now() - facts.started_at) // timedelta(milliseconds=1),
                    "functionAppContentEditingState": "Unknown",
                    "extensionBundle": {"id": bundle.id, "version": bundle.version} if bundle and bundle.id else None,
                    "errors": list(status.errors) or None,
                }
            )
        )

    async def _config(self, call: HttpCall) -> web.Response:
        return web.Response(text=self._facts.options.text or "{}", content_type="application/json")

    async def _processes(self, call: HttpCall) -> web.Response:
        facts = {"processId": os.getpid(), "processName": Path(sys.executable).name}
        return json_response([{**facts, "debugEngine": "", "isEligibleForOpenInBrowser": False}])

    async def _sync_triggers(self, call: HttpCall) -> web.Response:
        return json_response({"status": "success"})

    async def _scale_status(self, call: HttpCall) -> web.Response:
        return web.Response(status=400, text="Runtime scale monitoring is not enabled.")

    async def _drain(self, call: HttpCall) -> web.Response:
        assert self._commands.drain is not None
        self._commands.drain()
        self._draining = True
        return web.Response(status=202)

    async def _drain_status(self, call: HttpCall) -> web.Response:
        running = self._host.running_invocations
        state = "Disabled" if not self._draining else "InProgress" if running else "Completed"
        return json_response({"state": state, "outstandingInvocations": running, "outstandingRetries": 0})

    async def _resume(self, call: HttpCall) -> web.Response:
        assert self._commands.restart is not None
        if self._host.status.state is not HostState.RUNNING:
            return web.Response(status=409)
        if self._draining:
            self._commands.restart()
        return json_response({"state": HostState.RUNNING.value})

    async def _restart(self, call: HttpCall) -> web.Response:
        assert self._commands.restart is not None
        self._commands.restart()
        return json_response({"isSelfHost": True, "scriptPath": str(self._facts.root), "hasParentScope": True})

    async def _set_state(self, call: HttpCall) -> web.Response:
        wanted = _json(await read_body(call.request, self._clock, limit=_MAX_BODY_BYTES))
        if not isinstance(wanted, str) or wanted.lower() not in ("offline", "running"):
            return web.Response(status=400)
        changed = self._go_offline() if wanted.lower() == "offline" else self._go_online()
        return web.Response(status=202 if changed else 200)

    def _go_offline(self) -> bool:
        status = self._host.status
        if status.state is HostState.OFFLINE:
            return False
        (self._facts.root / APP_OFFLINE).write_text(_OFFLINE_PAGE, encoding="utf-8")
        self._before_offline = status.state
        status.change(HostState.OFFLINE)
        return True

    def _go_online(self) -> bool:
        status = self._host.status
        if status.state is not HostState.OFFLINE:
            return False
        (self._facts.root / APP_OFFLINE).unlink(missing_ok=True)
        status.change(self._before_offline or HostState.RUNNING)
        return True


def json_response(value: Mapping[str, Any] | Sequence[Any], *, status: int = 200) -> web.Response:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return web.Response(status=status, text=text, content_type="application/json", charset="utf-8")


def _without_nulls(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
