"""The keys of this app: made at first use, kept over restarts, changed through the admin API.

    keys = KeyRing(FileSecrets(root / ".azemu" / "secrets"), clock, origin={...})
    await keys.system_key("durabletask_extension")

Source: host, Security/KeyManagement/SecretManager.cs; docs/protocol/functions-host.md 5.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol, TypeVar

from emulator.clock import Clock
from emulator.host.http.keys.secret_format import (
    HostSecrets,
    Key,
    KeyKind,
    SecretsUnreadable,
    function_keys_text,
    generate_key,
    host_secrets_text,
    new_function_keys,
    new_host_secrets,
    read_function_keys,
    read_host_secrets,
)

logger = logging.getLogger(__name__)

T = TypeVar("T")

# How often a wrong key may make us look whether another process has written new ones.
_RELOAD_EVERY = timedelta(minutes=1)
_HOST = "host"
MASTER = "_master"
"""The name under which the master key appears among the system keys."""


class SecretsRepository(Protocol):
    """Where secrets lie: texts by name, `host` or a function's name in lower case."""

    async def read(self, name: str) -> str | None:
        """None: there is none. Raises SecretsUnreadable."""

    async def write(self, name: str, text: str) -> None: ...

    async def keep_aside(self, name: str) -> None:
        """Move a text that cannot be read out of the way, so that nobody loses it."""


class FileSecrets:
    """A folder of JSON files that only the current user can read.

    Where no file can be written the secrets last as long as this object, and the log says so.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._unsaved: dict[str, str] = {}

    async def read(self, name: str) -> str | None:
        if name in self._unsaved:
            return self._unsaved[name]
        try:
            return self._path(name).read_text(encoding="utf-8-sig")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise SecretsUnreadable(str(error.strerror)) from None
        except UnicodeDecodeError:
            raise SecretsUnreadable("it is not UTF-8 text") from None

    async def write(self, name: str, text: str) -> None:
        try:
            self._replace(self._path(name), text)
        except OSError as error:
            if not self._unsaved:
                logger.warning(
                    "Keys cannot be saved in %s (%s): they are made anew with every start.",
                    self._folder,
                    error.strerror,
                )
            self._unsaved[name] = text
        else:
            self._unsaved.pop(name, None)

    async def keep_aside(self, name: str) -> None:
        with suppress(OSError):
            self._path(name).replace(self._path(name).with_suffix(".unreadable"))

    def _replace(self, path: Path, text: str) -> None:
        if not self._folder.exists():
            self._folder.mkdir(parents=True)
            # Keys must not end up in the repository of an app whose author has never heard of this folder.
            (self._folder / ".gitignore").write_text("*\n", encoding="utf-8")
        draft = path.with_suffix(".new")
        # Never readable for others, not even for a moment; and never half a file under the real name.
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        draft.replace(path)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"


@dataclass(frozen=True, slots=True)
class KeyScope:
    """A set of keys. `kind`: FUNCTION or SYSTEM; `function` None: keys of the host."""

    kind: KeyKind
    function: str | None = None


HOST_FUNCTION_KEYS = KeyScope(KeyKind.FUNCTION)
HOST_SYSTEM_KEYS = KeyScope(KeyKind.SYSTEM)


class KeyRing:
    """All keys, read when they are first needed. `origin`: `hostName` and `instanceId`, for the files."""

    def __init__(self, repository: SecretsRepository, clock: Clock, origin: Mapping[str, str]) -> None:
        self._repository = repository
        self._clock = clock
        self._origin = origin
        self._host: HostSecrets | None = None
        self._functions: dict[str, Sequence[Key]] = {}
        self._changing = asyncio.Lock()
        self._reloaded_at: datetime | None = None

    async def host_secrets(self) -> HostSecrets:
        """Master, host and system keys; made and saved if there are none."""
        async with self._changing:
            return await self._loaded_host()

    async def function_keys(self, function: str) -> Sequence[Key]:
        """The keys of a function; made and saved if there are none. The name must be that of a known function."""
        async with self._changing:
            return await self._loaded_function(function.lower())

    async def keys(self, scope: KeyScope) -> Sequence[Key]:
        if scope.function is not None:
            return await self.function_keys(scope.function)
        return _of_host(await self.host_secrets(), scope.kind)

    async def system_key(self, name: str) -> str:
        """The value of a system key, which is made if there is none."""
        known = next((key for key in await self.keys(HOST_SYSTEM_KEYS) if key.name == name), None)
        return known.value if known else (await self.put(HOST_SYSTEM_KEYS, name))[0].value

    async def put(self, scope: KeyScope, name: str, value: str | None = None) -> tuple[Key, bool]:
        """Add or replace a key; without a value a new one is generated. The bool: whether the name is new."""
        async with self._changing:
            if scope == HOST_SYSTEM_KEYS and name == MASTER:
                master = Key("master", value or generate_key(KeyKind.MASTER))
                await self._save_host(replace(await self._loaded_host(), master=master))
                return Key(MASTER, master.value), False
            key = Key(name, value or generate_key(scope.kind))
            before = await self._loaded(scope)
            await self._save(scope, [*(one for one in before if not _same(one, name)), key])
            return key, not any(_same(one, name) for one in before)

    async def delete(self, scope: KeyScope, name: str) -> bool:
        """False: there is no such key."""
        async with self._changing:
            before = await self._loaded(scope)
            rest = [one for one in before if not _same(one, name)]
            if len(rest) < len(before):
                await self._save(scope, rest)
            return len(rest) < len(before)

    def forget(self) -> bool:
        """Read everything anew at its next use, but at most once a minute: False if it is too early for that."""
        now = self._clock.now()
        if self._reloaded_at is not None and now - self._reloaded_at < _RELOAD_EVERY:
            return False
        self._reloaded_at = now
        self._host = None
        self._functions.clear()
        return True

    async def _loaded(self, scope: KeyScope) -> Sequence[Key]:
        if scope.function is not None:
            return await self._loaded_function(scope.function.lower())
        return _of_host(await self._loaded_host(), scope.kind)

    async def _loaded_host(self) -> HostSecrets:
        if self._host is None:
            self._host = await self._read(_HOST, read_host_secrets)
        if self._host is None:
            await self._save_host(new_host_secrets())
        assert self._host is not None
        return self._host

    async def _loaded_function(self, name: str) -> Sequence[Key]:
        if name not in self._functions:
            keys = await self._read(name, read_function_keys)
            if keys is None:
                await self._save(KeyScope(KeyKind.FUNCTION, name), new_function_keys())
            else:
                self._functions[name] = keys
        return self._functions[name]

    async def _read(self, name: str, parse: Callable[[str], T]) -> T | None:
        try:
            text = await self._repository.read(name)
            return None if text is None else parse(text)
        except SecretsUnreadable as error:
            logger.warning("The keys of '%s' cannot be read: %s. They are set aside and made anew.", name, error)
            await self._repository.keep_aside(name)
            return None

    async def _save(self, scope: KeyScope, keys: Sequence[Key]) -> None:
        if scope.function is not None:
            name = scope.function.lower()
            await self._repository.write(name, function_keys_text(keys, self._origin))
            self._functions[name] = keys
        elif scope.kind is KeyKind.SYSTEM:
            await self._save_host(replace(await self._loaded_host(), system_keys=keys))
        else:
            await self._save_host(replace(await self._loaded_host(), function_keys=keys))

    async def _save_host(self, host: HostSecrets) -> None:
        await self._repository.write(_HOST, host_secrets_text(host, self._origin))
        self._host = host


def _of_host(host: HostSecrets, kind: KeyKind) -> Sequence[Key]:
    return host.system_keys if kind is KeyKind.SYSTEM else host.function_keys


def _same(key: Key, name: str) -> bool:
    return key.name.lower() == name.lower()
