"""azemu's own part of the admin API for `azemu send`: put messages and blobs into the storage of the running app.

The Functions host has nothing of the kind. The host does it, and not the command, because a store in memory exists only
here, and because the triggers of this process notice at once what this process writes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from emulator.clock import Clock
from emulator.config.connections import DEFAULT_CONNECTION
from emulator.config.hostjson import HostOptions
from emulator.errors import EmulatorError
from emulator.host.admin.api import admin_route, json_response
from emulator.host.http.keys.authorization import AdminApi
from emulator.host.http.routing.routes import HttpCall, Route
from emulator.host.http.server.requests import BodyBroken, BodyTooLarge, read_body
from emulator.host.sending import message_encoding, put_message, upload
from emulator.storage.accounts import StorageAccounts
from emulator.storage.port import StorageAccount

_MAX_BODY_BYTES = 1024 * 1024 * 1024


class AzureNotAllowed(EmulatorError):
    """A connection leads to an account in Azure, and the caller has not said that this is wanted."""

    def __init__(self, connection: str, account: StorageAccount) -> None:
        super().__init__(
            f"The connection '{connection}' leads to {account.description}, which is not on this machine. To send to "
            "it, add --yes."
        )


def sending_account(accounts: StorageAccounts, connection: str, *, allow_azure: bool) -> StorageAccount:
    """Return the account of a connection. Raises AzureNotAllowed, and what `accounts` raises."""
    account = accounts(connection)
    if not allow_azure and not accounts.is_emulated(connection):
        raise AzureNotAllowed(connection, account)
    return account


class StorageApi:
    """Request handlers of /admin/azemu/queues/… and /admin/azemu/blobs/…. Errors are JSON objects with `error`.

    `created` of the response: the queue or container did not exist, so its name may be misspelled.

    The query may have `connection`, the name of a connection setting, and `azure=true`, to allow an account in Azure.
    """

    def __init__(self, accounts: StorageAccounts, options: HostOptions, clock: Clock) -> None:
        self._accounts = accounts
        self._encoding = message_encoding(options)
        self._clock = clock

    def routes(self) -> list[Route]:
        """Return the routes. Like the rest of the admin API they require the master key if keys are checked."""
        admin = AdminApi()
        return [
            admin_route("POST", "admin/azemu/queues/{name}/messages", admin, self.put_message),
            admin_route("PUT", "admin/azemu/blobs/{*path}", admin, self.upload),
        ]

    async def put_message(self, call: HttpCall) -> web.Response:
        async def put(account: StorageAccount, content: bytes) -> bool:
            return await put_message(account, call.values["name"], content, encoding=self._encoding)

        return await self._send(call, put)

    async def upload(self, call: HttpCall) -> web.Response:
        async def put(account: StorageAccount, content: bytes) -> bool:
            content_type = call.request.headers.get("Content-Type", "application/octet-stream")
            return await upload(account, call.values["path"], content, content_type=content_type)

        return await self._send(call, put)

    async def _send(self, call: HttpCall, put: Callable[[StorageAccount, bytes], Awaitable[bool]]) -> web.Response:
        query = call.request.query
        try:
            content = await read_body(call.request, self._clock, limit=_MAX_BODY_BYTES)
            account = sending_account(
                self._accounts,
                query.get("connection", DEFAULT_CONNECTION),
                allow_azure=query.get("azure") == "true",
            )
            created = await put(account, content)
        except BodyTooLarge:
            return json_response({"error": f"The body has more than {_MAX_BODY_BYTES} bytes."}, status=413)
        except BodyBroken:
            return json_response({"error": "The body is incomplete."}, status=400)
        except EmulatorError as error:
            return json_response({"error": str(error)}, status=400)
        return json_response({"storage": account.description, "created": created}, status=201)
