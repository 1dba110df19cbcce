"""Admin API of access keys: /admin/host/{functionkeys,systemkeys,keys} and /admin/functions/{name}/keys.

Source: host, WebHost/Controllers/KeysController.cs; docs/protocol/functions-host.md 6.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from emulator import bound_json as json
from emulator.clock import Clock
from emulator.host.admin.api import RunningHost, admin_route, json_response
from emulator.host.http.keys.authorization import AdminApi
from emulator.host.http.keys.key_store import (
    HOST_FUNCTION_KEYS,
    HOST_SYSTEM_KEYS,
    MASTER,
    KeyScope,
    KeyStore,
    SecretsNotSaved,
)
from emulator.host.http.keys.secret_format import Key, KeyKind
from emulator.host.http.routing.routes import HttpCall, Route
from emulator.host.http.server.requests import BodyBroken, BodyTooLarge, read_body
from emulator.logs import get_logger

_MAX_BODY_BYTES = 64 * 1024

_log = get_logger(__name__)

KeyHandler = Callable[[HttpCall, KeyScope], Awaitable[web.Response]]


class KeysApi:
    """Request handlers for the keys of the host and of single functions."""

    def __init__(self, host: RunningHost, keys: KeyStore, clock: Clock) -> None:
        self._host = host
        self._keys = keys
        self._clock = clock

    def routes(self) -> list[Route]:
        """Return the routes; all of them require the master key."""
        scopes: dict[str, Callable[[HttpCall], KeyScope | None]] = {
            # Both paths list the function keys of the host.
            "admin/host/keys": lambda call: HOST_FUNCTION_KEYS,
            "admin/host/functionkeys": lambda call: HOST_FUNCTION_KEYS,
            "admin/host/systemkeys": lambda call: HOST_SYSTEM_KEYS,
            "admin/functions/{name}/keys": self._function_scope,
        }
        routes = []
        for path, scope in scopes.items():
            for method, template, handler in (
                ("GET", path, self.list_keys),
                ("GET", f"{path}/{{key}}", self.get_key),
                ("POST", f"{path}/{{key}}", self.generate_key),
                ("PUT", f"{path}/{{key}}", self.set_key),
                ("DELETE", f"{path}/{{key}}", self.delete_key),
            ):
                routes.append(admin_route(method, template, AdminApi(), _with_scope(scope, handler)))
        return routes

    def _function_scope(self, call: HttpCall) -> KeyScope | None:
        # Without this check the store would generate keys for functions that do not exist.
        function = self._host.catalog.find(call.values["name"])
        return None if function is None else KeyScope(KeyKind.FUNCTION, function.name)

    async def list_keys(self, call: HttpCall, scope: KeyScope) -> web.Response:
        keys = [{"name": key.name, "value": key.value} for key in await self._keys.keys(scope)]
        return json_response({"keys": keys, "links": [{"rel": "self", "href": _url(call)}]})

    async def get_key(self, call: HttpCall, scope: KeyScope) -> web.Response:
        name = call.values["key"]
        if scope == HOST_SYSTEM_KEYS and name == MASTER:
            # The master key is not in the list of system keys, but can be read by its name.
            return _key_response(call, Key(MASTER, (await self._keys.host_secrets()).master.value))
        keys = await self._keys.keys(scope)
        key = next((key for key in keys if key.name.lower() == name.lower()), None)
        return web.Response(status=404) if key is None else _key_response(call, key)

    async def generate_key(self, call: HttpCall, scope: KeyScope) -> web.Response:
        key, is_new = await self._keys.put(scope, call.values["key"])
        return _key_response(call, key, status=201 if is_new else 200)

    async def set_key(self, call: HttpCall, scope: KeyScope) -> web.Response:
        try:
            body = await read_body(call.request, self._clock, limit=_MAX_BODY_BYTES)
        except (BodyBroken, BodyTooLarge):
            return web.Response(status=400)
        try:
            content = json.loads(body)
        except (ValueError, RecursionError):
            content = None
        value = content.get("value") if isinstance(content, dict) else None
        # JSON can escape half of a surrogate pair. No file can store it, and no client can send it as a key.
        if not isinstance(value, str) or not value or any("\ud800" <= letter <= "\udfff" for letter in value):
            return web.Response(status=400, text="Invalid key value")
        key, is_new = await self._keys.put(scope, call.values["key"], value)
        return _key_response(call, key, status=201 if is_new else 200)

    async def delete_key(self, call: HttpCall, scope: KeyScope) -> web.Response:
        name = call.values["key"]
        # The master key can be renewed, but there must always be one.
        if scope == HOST_SYSTEM_KEYS and name == MASTER:
            return web.Response(status=400, text="Cannot delete System Key.")
        return web.Response(status=204 if await self._keys.delete(scope, name) else 404)


def _with_scope(
    scope_of: Callable[[HttpCall], KeyScope | None], handler: KeyHandler
) -> Callable[[HttpCall], Awaitable[web.Response]]:
    """Return a route handler that passes the scope to a key handler, or responds with 404 if there is none.

    A change that cannot be saved is 500 with the reason.
    """

    async def handle(call: HttpCall) -> web.Response:
        scope = scope_of(call)
        if scope is None:
            return web.Response(status=404)
        try:
            return await handler(call, scope)
        except SecretsNotSaved as error:
            _log.error("%s %s: %s", call.request.method, call.request.path, error)
            return web.Response(status=500, text=str(error))

    return handle


def _key_response(call: HttpCall, key: Key, *, status: int = 200) -> web.Response:
    return json_response(
        {"name": key.name, "value": key.value, "links": [{"rel": "self", "href": _url(call)}]}, status=status
    )


def _url(call: HttpCall) -> str:
    return f"{call.request.scheme}://{call.request.host}{call.request.rel_url.raw_path}"
