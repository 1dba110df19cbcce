"""Keys over HTTP: /admin/host/{functionkeys,systemkeys,keys} and /admin/functions/{name}/keys.

Source: host, WebHost/Controllers/KeysController.cs; docs/protocol/functions-host.md 6.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

from aiohttp import web

from emulator.clock import Clock
from emulator.host.admin.api import RunningHost, admin_route, json_response
from emulator.host.http.keys.authorization import AdminApi
from emulator.host.http.keys.key_store import HOST_FUNCTION_KEYS, HOST_SYSTEM_KEYS, MASTER, KeyScope, KeyStore
from emulator.host.http.keys.secret_format import Key, KeyKind
from emulator.host.http.routing.routes import HttpCall, Route
from emulator.host.http.server.requests import BodyBroken, BodyTooLarge, read_body

_MAX_BODY_BYTES = 64 * 1024

KeyAnswer = Callable[[HttpCall, KeyScope], Awaitable[web.Response]]


class KeysApi:
    def __init__(self, host: RunningHost, keys: KeyStore, clock: Clock) -> None:
        self._host = host
        self._keys = keys
        self._clock = clock

    def routes(self) -> list[Route]:
        folders: dict[str, Callable[[HttpCall], KeyScope | None]] = {
            "admin/host/keys": lambda call: HOST_FUNCTION_KEYS,
            "admin/host/functionkeys": lambda call: HOST_FUNCTION_KEYS,
            "admin/host/systemkeys": lambda call: HOST_SYSTEM_KEYS,
            "admin/functions/{name}/keys": self._function_scope,
        }
        table = []
        for folder, scope in folders.items():
            for methods, template, answer in (
                ("GET", folder, self._list),
                ("GET", f"{folder}/{{key}}", self._get),
                ("POST", f"{folder}/{{key}}", self._generate),
                ("PUT", f"{folder}/{{key}}", self._set),
                ("DELETE", f"{folder}/{{key}}", self._delete),
            ):
                table.append(admin_route(methods, template, AdminApi(), _in_scope(scope, answer)))
        return table

    def _function_scope(self, call: HttpCall) -> KeyScope | None:
        function = self._host.catalog.find(call.values["name"])
        return None if function is None else KeyScope(KeyKind.FUNCTION, function.name)

    async def _list(self, call: HttpCall, scope: KeyScope) -> web.Response:
        keys = [{"name": key.name, "value": key.value} for key in await self._keys.keys(scope)]
        return json_response({"keys": keys, "links": [{"rel": "self", "href": _url(call)}]})

    async def _get(self, call: HttpCall, scope: KeyScope) -> web.Response:
        key = await self._find(scope, call.values["key"])
        return web.Response(status=404) if key is None else _described(call, key)

    async def _generate(self, call: HttpCall, scope: KeyScope) -> web.Response:
        key, is_new = await self._keys.put(scope, call.values["key"])
        return _described(call, key, status=201 if is_new else 200)

    async def _set(self, call: HttpCall, scope: KeyScope) -> web.Response:
        try:
            value = _value(await read_body(call.request, self._clock, limit=_MAX_BODY_BYTES))
        except (BodyBroken, BodyTooLarge):
            return web.Response(status=400)
        if value is None:
            return web.Response(status=400, text="Invalid key value")
        key, is_new = await self._keys.put(scope, call.values["key"], value)
        return _described(call, key, status=201 if is_new else 200)

    async def _delete(self, call: HttpCall, scope: KeyScope) -> web.Response:
        name = call.values["key"]
        if scope == HOST_SYSTEM_KEYS and name == MASTER:
            return web.Response(status=400, text="Cannot delete System Key.")
        return web.Response(status=204 if await self._keys.delete(scope, name) else 404)

    async def _find(self, scope: KeyScope, name: str) -> Key | None:
        if scope == HOST_SYSTEM_KEYS and name == MASTER:
            return Key(MASTER, (await self._keys.host_secrets()).master.value)
        return next((key for key in await self._keys.keys(scope) if key.name.lower() == name.lower()), None)


def _in_scope(
    scope: Callable[[HttpCall], KeyScope | None], answer: KeyAnswer
) -> Callable[[HttpCall], Awaitable[web.Response]]:
    async def answered(call: HttpCall) -> web.Response:
        found = scope(call)
        return web.Response(status=404) if found is None else await answer(call, found)

    return answered


def _value(body: bytes) -> str | None:
    """The value of `{"name": "n", "value": "v"}`; None if the body is anything else."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return None
    value = content.get("value") if isinstance(content, dict) else None
    return value if isinstance(value, str) and value and _can_be_stored(value) else None


def _can_be_stored(value: str) -> bool:
    """JSON can name half a character, which no file can hold and no client can send."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _described(call: HttpCall, key: Key, *, status: int = 200) -> web.Response:
    return json_response(
        {"name": key.name, "value": key.value, "links": [{"rel": "self", "href": _url(call)}]}, status=status
    )


def _url(call: HttpCall) -> str:
    return f"{call.request.scheme}://{call.request.host}{call.request.rel_url.raw_path}"
