"""Admin API of the host: /admin/host/… and /admin/instance/…, and code shared with the rest of the admin API.

Source: host, WebHost/Controllers/HostController.cs, InstanceController.cs; docs/protocol/functions-host.md 6.
"""

from __future__ import annotations

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
from emulator import bound_json as json
from emulator.clock import Clock
from emulator.config.hostjson import HostOptions
from emulator.host.console.banner import RUNTIME_VERSION
from emulator.host.http.keys.authorization import Access, AdminApi, Anonymous
from emulator.host.http.routing.routes import Handler, HttpCall, Route
from emulator.host.http.routing.templates import parse_template
from emulator.host.http.server.pipeline import APP_OFFLINE
from emulator.host.http.server.requests import read_body
from emulator.host.manual_invocation import InvocableHost
from emulator.host.status import HostState, HostStatus

_MAX_BODY_BYTES = 10 * 1024 * 1024
_OFFLINE_PAGE = "<!DOCTYPE html><html><head><title>Host Offline</title></head><body>Host is offline</body></html>\n"


class RunningHost(InvocableHost, Protocol):
    """The functions host as the admin API uses it."""

    @property
    def status(self) -> HostStatus:
        """State of the host, which the admin API may change."""

    @property
    def running_invocations(self) -> int:
        """Number of invocations in progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """Facts about the host that are constant while its process lives."""

    root: Path
    host_id: str
    instance_id: str
    started_at: datetime
    options: HostOptions = field(default_factory=HostOptions)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCommands:
    """Commands of the process that runs the host. None: not supported, so the admin API has no route for it.

    `restart` requests a restart and returns at once. `drain` stops the listeners without cancelling invocations.
    """

    restart: Callable[[], None] | None = None
    drain: Callable[[], None] | None = None


def admin_route(methods: str, template: str, access: Access, handler: Handler) -> Route:
    """Return a route of the admin API. `methods`: separated by blanks."""
    return Route(
        name=f"{methods} /{template}",
        template=parse_template(template),
        methods=methods.split(),
        access=access,
        handler=handler,
    )


class HostApi:
    """Request handlers of /admin/host/… and /admin/instance/…."""

    def __init__(self, host: RunningHost, facts: HostFacts, commands: HostCommands, clock: Clock) -> None:
        self._host = host
        self._facts = facts
        self._commands = commands
        self._clock = clock
        self._draining = False
        self._before_offline: HostState | None = None

    def routes(self) -> list[Route]:
        """Return the routes, each with the access that the Functions host requires."""
        admin, everyone = AdminApi(), Anonymous()
        routes = [
            admin_route("GET POST", "admin/host/ping", everyone, self.ping),
            admin_route("GET", "admin/instance/http-health", everyone, self.health),
            admin_route("GET", "admin/host/status", admin, self.status),
            admin_route("GET", "admin/host/config", admin, self.config),
            admin_route("GET", "admin/host/processes", admin, self.processes),
            admin_route("PUT", "admin/host/state", admin, self.set_state),
            admin_route("POST", "admin/host/synctriggers", admin, self.sync_triggers),
            admin_route("POST", "admin/host/log", admin, self.accept),
            admin_route("POST", "admin/host/debug", admin, self.accept),
            admin_route("POST", "admin/host/scale/status", admin, self.scale_status),
            admin_route("GET", "admin/host/drain/status", admin, self.drain_status),
        ]
        # A host in a test has no process that could restart or drain it.
        if self._commands.drain is not None:
            routes.append(admin_route("POST", "admin/host/drain", admin, self.drain))
        if self._commands.restart is not None:
            routes.append(admin_route("POST", "admin/host/restart", admin, self.restart))
            routes.append(admin_route("POST", "admin/host/resume", admin, self.resume))
        return routes

    async def ping(self, call: HttpCall) -> web.Response:
        # Availability checks use it. A cached response would say nothing about the host.
        return web.Response(headers={"Cache-Control": "no-store,no-cache", "Pragma": "no-cache"})

    async def health(self, call: HttpCall) -> web.Response:
        return web.Response()

    async def accept(self, call: HttpCall) -> web.Response:
        # Log and debug requests of the Azure portal. The body is read to keep the connection usable.
        await read_body(call.request, self._clock, limit=_MAX_BODY_BYTES)
        return web.Response()

    async def status(self, call: HttpCall) -> web.Response:
        status, facts = self._host.status, self._facts
        bundle = facts.options.extension_bundle
        members = {
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
        # HostStatus is serialised with NullValueHandling.Ignore.
        return json_response({name: value for name, value in members.items() if value is not None})

    async def config(self, call: HttpCall) -> web.Response:
        # The text of host.json as it is, not what the host has made of it.
        return web.Response(text=self._facts.options.text or "{}", content_type="application/json")

    async def processes(self, call: HttpCall) -> web.Response:
        # The worker runs inside the host, so there is one process.
        process = {"processId": os.getpid(), "processName": Path(sys.executable).name}
        return json_response([{**process, "debugEngine": "", "isEligibleForOpenInBrowser": False}])

    async def sync_triggers(self, call: HttpCall) -> web.Response:
        # In Azure this reports the triggers to the scale controller. There is none locally.
        return json_response({"status": "success"})

    async def scale_status(self, call: HttpCall) -> web.Response:
        # What the Functions host responds without the scale monitoring of a Premium plan.
        return web.Response(status=400, text="Runtime scale monitoring is not enabled.")

    async def drain(self, call: HttpCall) -> web.Response:
        assert self._commands.drain is not None
        self._commands.drain()
        # Draining cannot be undone; only a restart starts the listeners again.
        self._draining = True
        return web.Response(status=202)

    async def drain_status(self, call: HttpCall) -> web.Response:
        # Retries wait inside their invocation here, so they count as invocations and not separately.
        running = self._host.running_invocations
        state = "Disabled" if not self._draining else "InProgress" if running else "Completed"
        return json_response({"state": state, "outstandingInvocations": running, "outstandingRetries": 0})

    async def resume(self, call: HttpCall) -> web.Response:
        assert self._commands.restart is not None
        if self._host.status.state is not HostState.RUNNING:
            return web.Response(status=409)
        # Stopped listeners cannot be started again without a restart. A host that is not draining needs nothing.
        if self._draining:
            self._commands.restart()
        return json_response({"state": HostState.RUNNING.value})

    async def restart(self, call: HttpCall) -> web.Response:
        assert self._commands.restart is not None
        self._commands.restart()
        return json_response({"isSelfHost": True, "scriptPath": str(self._facts.root), "hasParentScope": True})

    async def set_state(self, call: HttpCall) -> web.Response:
        body = await read_body(call.request, self._clock, limit=_MAX_BODY_BYTES)
        try:
            new_state = json.loads(body)
        except (ValueError, RecursionError):
            return web.Response(status=400)
        # The body is a JSON string, for example "offline" with its quotes.
        if not isinstance(new_state, str) or new_state.lower() not in ("offline", "running"):
            return web.Response(status=400)
        status, page = self._host.status, self._facts.root / APP_OFFLINE
        goes_offline = new_state.lower() == "offline"
        if goes_offline == (status.state is HostState.OFFLINE):
            return web.Response(status=200)
        if goes_offline:
            # The file is the state: the middleware serves it, and deleting it by hand brings the host back as well.
            page.write_text(_OFFLINE_PAGE, encoding="utf-8")
            self._before_offline = status.state
            status.change(HostState.OFFLINE)
        else:
            page.unlink(missing_ok=True)
            # A host that was in error before is in error again: going offline repairs nothing.
            status.change(self._before_offline or HostState.RUNNING)
        return web.Response(status=202)


def json_response(value: Mapping[str, Any] | Sequence[Any], *, status: int = 200) -> web.Response:
    """Return a response with compact JSON, as Newtonsoft.Json writes it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    # JSON and texts of apps may contain half of a surrogate pair, which UTF-8 cannot. .NET sends a replacement, too.
    body = text.encode("utf-8", "replace")
    return web.Response(status=status, body=body, content_type="application/json", charset="utf-8")
