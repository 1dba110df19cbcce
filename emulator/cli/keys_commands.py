"""Commands `azemu keys …`: access keys of the running host, or in the files of an app whose host does not run."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from typing import Any, Final, Protocol

from emulator import bound_json as json
from emulator import exit_codes
from emulator.cli.answers import FUNCTION, Shape
from emulator.cli.data_arguments import read_argument
from emulator.cli.finding_hosts import find_host_if_running
from emulator.cli.host_client import HostClient, HostNotRunning, InvocationFailed, url_segment
from emulator.cli.keys_arguments import KeysDelete, KeysList, KeysOf, KeysSet, KeysShow
from emulator.cli.printing import Table, print_json
from emulator.clock import SystemClock
from emulator.config.settings import find_project_root
from emulator.config.start import StartOptions, configure
from emulator.errors import ConfigurationError, EmulatorError
from emulator.host.http.keys.key_store import HOST_FUNCTION_KEYS, HOST_SYSTEM_KEYS, MASTER, KeyScope, KeyStore
from emulator.host.http.keys.secret_format import Key, KeyKind
from emulator.host.site import open_keys, secrets_folder

_KEY: Final = {"name": str, "value": str}


class KeyNotFound(EmulatorError):
    """There is no key of this name."""


class _Keys(Protocol):
    """The keys of an app. The methods raise KeyNotFound for a function that does not exist."""

    def functions(self) -> Sequence[str]:
        """Return the functions that have keys."""

    def keys(self, scope: KeyScope) -> Sequence[Key]:
        """Return the keys of a scope; those of the host's system keys include the master key."""

    def put(self, scope: KeyScope, name: str, value: str | None) -> Key:
        """Add or replace a key. None generates a value."""

    def delete(self, scope: KeyScope, name: str) -> bool:
        """Delete a key. Return False if it does not exist."""


def run_keys_list(command: KeysList) -> int:
    """Run `azemu keys list` and return the exit code. All functions here raise EmulatorError."""
    keys = _open(command.where)
    scopes = [
        HOST_SYSTEM_KEYS,
        HOST_FUNCTION_KEYS,
        *(KeyScope(KeyKind.FUNCTION, function) for function in keys.functions()),
    ]
    listed = [(scope, key) for scope in scopes for key in keys.keys(scope)]
    if command.json:
        print_json(
            {
                "keys": [
                    _members(scope, key) if command.show else {**_members(scope, key), "value": None}
                    for scope, key in listed
                ]
            }
        )
        return exit_codes.OK
    table = Table("SCOPE", "NAME", "VALUE")
    table.print(
        [
            # Enough to recognise a generated key, and too little to use it. One that the user has chosen may be short.
            (
                _scope_name(scope, key),
                key.name,
                key.value if command.show else f"{key.value[: min(4, len(key.value) // 8)]}…",
            )
            for scope, key in listed
        ]
    )
    return exit_codes.OK


def run_keys_show(command: KeysShow) -> int:
    """Run `azemu keys show`."""
    scope = _scope_of(command.scope, command.name)
    keys = _open(command.where).keys(scope)
    found = next((key for key in keys if key.name.lower() == command.name.lower()), None)
    if found is None:
        names = ", ".join(key.name for key in keys) or "none"
        raise KeyNotFound(f"There is no {_kind(scope)} '{command.name}'. Known names: {names}.")
    _print(scope, found, as_json=command.json)
    return exit_codes.OK


def run_keys_set(command: KeysSet) -> int:
    """Run `azemu keys set`."""
    value = None
    if command.value is not None:
        try:
            value = read_argument(command.value).decode().strip()
        except UnicodeDecodeError:
            # Reported like an empty value: neither can be sent in a header.
            value = ""
        if not value:
            raise ConfigurationError("The value of the key is empty or no text in UTF-8.")
    scope = _scope_of(command.scope, command.name)
    _print(scope, _open(command.where).put(scope, command.name, value), as_json=command.json)
    return exit_codes.OK


def run_keys_delete(command: KeysDelete) -> int:
    """Run `azemu keys delete`."""
    if _scope_of(command.scope, command.name) == HOST_SYSTEM_KEYS and command.name.lower() == MASTER:
        raise ConfigurationError("The master key cannot be deleted. `azemu keys set _master` replaces it.")
    if not _open(command.where).delete(command.scope, command.name):
        raise KeyNotFound(f"There is no {_kind(command.scope)} '{command.name}'.")
    if command.json:
        print_json({"operation": "delete", "name": command.name})
    else:
        sys.stderr.write(f"Deleted the {_kind(command.scope)} '{command.name}'.\n")
    return exit_codes.OK


def _scope_of(scope: KeyScope, name: str) -> KeyScope:
    # The master key is one of the system keys, but users need not know that.
    return HOST_SYSTEM_KEYS if scope == HOST_FUNCTION_KEYS and name.lower() == MASTER else scope


def _kind(scope: KeyScope) -> str:
    if scope.function is not None:
        return f"key of function '{scope.function}'"
    return "system key" if scope == HOST_SYSTEM_KEYS else "host key"


def _scope_name(scope: KeyScope, key: Key) -> str:
    if scope.function is not None:
        return f"function {scope.function}"
    if scope == HOST_SYSTEM_KEYS:
        return "master" if key.name == MASTER else "system"
    return "host"


def _members(scope: KeyScope, key: Key) -> dict[str, str | None]:
    kind = "function" if scope.function is not None else _scope_name(scope, key)
    return {"scope": kind, "function": scope.function, "name": key.name, "value": key.value}


def _print(scope: KeyScope, key: Key, *, as_json: bool) -> None:
    if as_json:
        print_json({"key": _members(scope, key)})
    else:
        sys.stdout.write(f"{key.value}\n")


def _open(where: KeysOf) -> _Keys:
    # The files are there also for a host that could not load the app. A key that was given is for a host.
    is_for_host = where.key is not None
    host = find_host_if_running(where.app, port=where.port, key=where.key, also_without_app=not is_for_host)
    if host is None and is_for_host:
        raise HostNotRunning("--key is for a running host, and none of this app runs. Leave it out to use the files.")
    return _FileKeys(where) if host is None else _HostKeys(host)


class _HostKeys:
    """The keys of a running host, through its admin API."""

    def __init__(self, host: HostClient) -> None:
        self._host = host

    def functions(self) -> Sequence[str]:
        functions = self._host.get("/admin/functions").content([FUNCTION])
        # Only HTTP functions have keys.
        return [function["name"] for function in functions if function.get("invoke_url_template")]

    def keys(self, scope: KeyScope) -> Sequence[Key]:
        keys = [Key(key["name"], key["value"]) for key in self._request("GET", scope, shape={"keys": [_KEY]})["keys"]]
        if scope == HOST_SYSTEM_KEYS:
            # The list of the API does not contain the master key.
            keys.insert(0, Key(MASTER, self._request("GET", scope, MASTER)["value"]))
        return keys

    def put(self, scope: KeyScope, name: str, value: str | None) -> Key:
        # The host generates a value for POST only.
        content = self._request("POST" if value is None else "PUT", scope, name, value)
        return Key(content["name"], content["value"])

    def delete(self, scope: KeyScope, name: str) -> bool:
        response = self._host.send("DELETE", self._path(scope, name))
        if response.status not in (204, 404):
            raise InvocationFailed(response.refusal())
        return response.status == 204

    def _request(
        self, method: str, scope: KeyScope, name: str | None = None, value: str | None = None, shape: Shape = _KEY
    ) -> Any:
        body = None if value is None else json.dumps({"name": name, "value": value}).encode()
        response = self._host.send(method, self._path(scope, name), body, {"Content-Type": "application/json"})
        if response.status == 404 and scope.function is not None:
            raise KeyNotFound(f"The app has no function '{scope.function}'.")
        if response.status >= 300:
            raise InvocationFailed(response.refusal())
        return response.content(shape)

    def _path(self, scope: KeyScope, name: str | None) -> str:
        if scope.function is not None:
            path = f"/admin/functions/{url_segment(scope.function)}/keys"
        else:
            path = "/admin/host/systemkeys" if scope == HOST_SYSTEM_KEYS else "/admin/host/functionkeys"
        return path if name is None else f"{path}/{url_segment(name)}"


class _FileKeys:
    """The keys in the files of an app."""

    def __init__(self, where: KeysOf) -> None:
        options = StartOptions(app=find_project_root(where.app), create_host_json=False)
        configuration = configure(options, os.environ)
        self._folder = secrets_folder(configuration)
        self._store: KeyStore = open_keys(configuration, SystemClock())

    def functions(self) -> Sequence[str]:
        return sorted(path.stem for path in self._folder.glob("*.json") if path.stem != "host")

    def keys(self, scope: KeyScope) -> Sequence[Key]:
        self._check(scope)
        keys = list(asyncio.run(self._store.keys(scope)))
        if scope == HOST_SYSTEM_KEYS:
            keys.insert(0, Key(MASTER, asyncio.run(self._store.host_secrets()).master.value))
        return keys

    def put(self, scope: KeyScope, name: str, value: str | None) -> Key:
        self._check(scope)
        return asyncio.run(self._store.put(scope, name, value))[0]

    def delete(self, scope: KeyScope, name: str) -> bool:
        self._check(scope)
        return asyncio.run(self._store.delete(scope, name))

    def _check(self, scope: KeyScope) -> None:
        # Without its host it is not known which functions the app has, and the store would make keys for any name.
        if scope.function is not None and scope.function.lower() not in self.functions():
            raise KeyNotFound(
                f"No keys of function '{scope.function}' are stored. Start the host, which knows the functions."
            )
