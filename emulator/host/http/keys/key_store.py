"""Store of an app's access keys: generated at first use, saved in files, changed through the admin API.

    keys = KeyStore(FileSecrets(root / ".azemu" / "secrets"), clock, origin={...})
    await keys.system_key("durabletask_extension")

Source: host, Security/KeyManagement/SecretManager.cs; docs/protocol/functions-host.md 5.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol, TypeVar

from emulator.clock import Clock
from emulator.errors import EmulatorError
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
from emulator.logs import get_logger
from emulator.private_files import make_private_folder, owner_only
from emulator.regular_files import read_regular_text

logger = get_logger(__name__)

T = TypeVar("T")

# Requests with wrong keys cause the files to be read again at most this often, so that guessing keys costs no disk I/O.
_RELOAD_EVERY = timedelta(minutes=1)
_HOST = "host"
MASTER = "_master"
"""The name under which the master key appears among the system keys."""


class SecretsNotSaved(EmulatorError):
    """A key that a request sets or deletes cannot be saved."""


class SecretsRepository(Protocol):
    """Storage of secrets files by name: `host`, or a function's name in lower case."""

    async def read(self, name: str) -> str | None:
        """Return the text; None if there is none. Raises SecretsUnreadable."""

    async def write(self, name: str, text: str, *, or_keep: bool) -> None:
        """Save a text. `or_keep`: keep it until the process ends if it cannot be saved, else raise SecretsNotSaved."""

    async def back_up_unreadable(self, name: str) -> None:
        """Move an unreadable text to another name before new keys are written, so that its keys are not lost."""


class FileSecrets:
    """Secrets files in a folder, readable for the current user only.

    If the folder is not writable, generated secrets are kept in memory only, and a warning is logged.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._unsaved: dict[str, str] = {}

    async def read(self, name: str) -> str | None:
        # What could not be written is newer than the file.
        if name in self._unsaved:
            return self._unsaved[name]
        try:
            return read_regular_text(self._path(name))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise SecretsUnreadable(str(error.strerror)) from None
        except UnicodeDecodeError:
            raise SecretsUnreadable("it is not UTF-8 text") from None

    async def write(self, name: str, text: str, *, or_keep: bool) -> None:
        try:
            self._replace(self._path(name), text)
        except OSError as error:
            if not or_keep:
                raise SecretsNotSaved(
                    f"The keys cannot be saved in {self._path(name)} ({error.strerror}), and are not changed. Free "
                    "some space, or make the folder writable."
                ) from error
            # One warning is enough, however many functions get keys.
            if not self._unsaved:
                logger.warning(
                    "Access keys cannot be saved in %s (%s). New keys are generated at every start.",
                    self._folder,
                    error.strerror,
                )
            self._unsaved[name] = text
        else:
            self._unsaved.pop(name, None)

    async def back_up_unreadable(self, name: str) -> None:
        with suppress(OSError):
            self._path(name).replace(self._path(name).with_suffix(".unreadable"))

    def _replace(self, path: Path, text: str) -> None:
        if not self._folder.exists():
            make_private_folder(self._folder)
            # Without it, users could commit the keys without noticing.
            with open(self._folder / ".gitignore", "w", encoding="utf-8", opener=owner_only) as file:
                file.write("*\n")
        draft = path.with_suffix(".new")
        # The mode is set at creation, so the keys are never readable for others. The complete draft is renamed, so that
        # neither a crash nor a concurrent reader meets half a file.
        with open(draft, "w", encoding="utf-8", opener=owner_only) as file:
            file.write(text)
        draft.replace(path)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"


@dataclass(frozen=True, slots=True)
class KeyScope:
    """A set of keys. `kind`: FUNCTION or SYSTEM. `function`: None means the keys of the host."""

    kind: KeyKind
    function: str | None = None


HOST_FUNCTION_KEYS = KeyScope(KeyKind.FUNCTION)
HOST_SYSTEM_KEYS = KeyScope(KeyKind.SYSTEM)


class KeyStore:
    """All keys of an app, cached in memory.

    `origin`: the members `hostName` and `instanceId` of the files that are written.
    """

    def __init__(self, repository: SecretsRepository, clock: Clock, origin: Mapping[str, str]) -> None:
        self._repository = repository
        self._clock = clock
        self._origin = origin
        self._host: HostSecrets | None = None
        self._functions: dict[str, Sequence[Key]] = {}
        # The keys before the cache was dropped. They stay valid if their file is gone.
        self._last_host: HostSecrets | None = None
        self._last_functions: dict[str, Sequence[Key]] = {}
        # Held while keys are read too: reading may generate and save them, and two requests must not do that at once.
        self._lock = asyncio.Lock()
        self._cache_dropped_at: datetime | None = None

    async def host_secrets(self) -> HostSecrets:
        """Return master, function and system keys of the host; generate and save them if there are none."""
        async with self._lock:
            return await self._load_host()

    async def function_keys(self, function: str) -> Sequence[Key]:
        """Return the keys of an existing function; generate and save a default key if there are none."""
        async with self._lock:
            return await self._load(KeyScope(KeyKind.FUNCTION, function))

    async def keys(self, scope: KeyScope) -> Sequence[Key]:
        """Return the keys of a scope, without the master key."""
        async with self._lock:
            return await self._load(scope)

    async def system_key(self, name: str) -> str:
        """Return the value of a system key; generate and save it if it does not exist."""
        async with self._lock:
            keys = await self._load(HOST_SYSTEM_KEYS)
            known = next((key for key in keys if key.name == name), None)
            if known is None:
                known = Key(name, generate_key(KeyKind.SYSTEM))
                await self._save(HOST_SYSTEM_KEYS, [*keys, known], generated=True)
            return known.value

    async def put(self, scope: KeyScope, name: str, value: str | None = None) -> tuple[Key, bool]:
        """Add or replace a key and return it, and whether the name is new. Without a value generate one.

        Raises SecretsNotSaved.
        """
        async with self._lock:
            if scope == HOST_SYSTEM_KEYS and name == MASTER:
                # The admin API lists the master key as `_master`; in the file its name is `master`.
                master = Key("master", value or generate_key(KeyKind.MASTER))
                await self._save_host(replace(await self._load_host(), master=master))
                return Key(MASTER, master.value), False
            new = Key(name, value or generate_key(scope.kind))
            # Names of keys ignore case, as in the Functions host.
            before = await self._load(scope)
            others = [key for key in before if not _has_name(key, name)]
            await self._save(scope, [*others, new])
            return new, len(others) == len(before)

    async def delete(self, scope: KeyScope, name: str) -> bool:
        """Delete a key. Return False if it does not exist. Raises SecretsNotSaved."""
        async with self._lock:
            before = await self._load(scope)
            others = [key for key in before if not _has_name(key, name)]
            if len(others) < len(before):
                await self._save(scope, others)
            return len(others) < len(before)

    def drop_cache(self) -> bool:
        """Read the files again at the next use. Does nothing and returns False within a minute after the last time."""
        now = self._clock.now()
        if self._cache_dropped_at is not None and now - self._cache_dropped_at < _RELOAD_EVERY:
            return False
        self._cache_dropped_at = now
        if self._host is not None:
            self._last_host, self._host = self._host, None
        self._last_functions.update(self._functions)
        self._functions.clear()
        return True

    async def _load(self, scope: KeyScope) -> Sequence[Key]:
        if scope.function is None:
            host = await self._load_host()
            return host.system_keys if scope.kind is KeyKind.SYSTEM else host.function_keys
        name = scope.function.lower()
        if name not in self._functions:
            keys = await self._read(name, read_function_keys)
            if keys is None:
                await self._save(scope, self._last_functions.get(name) or new_function_keys(), generated=True)
            else:
                self._functions[name] = keys
        return self._functions[name]

    async def _load_host(self) -> HostSecrets:
        if self._host is None:
            self._host = await self._read(_HOST, read_host_secrets)
        if self._host is None:
            await self._save_host(self._last_host or new_host_secrets(), generated=True)
        assert self._host is not None
        return self._host

    async def _read(self, name: str, parse: Callable[[str], T]) -> T | None:
        try:
            text = await self._repository.read(name)
            return None if text is None else parse(text)
        except SecretsUnreadable as error:
            # Like SecretManager, which replaces secrets that it cannot decrypt: a damaged file must not lock the user
            # out of the admin API.
            is_known = self._last_host is not None if name == _HOST else name in self._last_functions
            logger.warning(
                "The access keys of '%s' cannot be read: %s. Their file is renamed, and %s.",
                name,
                error,
                "the keys in use are saved again" if is_known else "new keys are generated",
            )
            await self._repository.back_up_unreadable(name)
            return None

    async def _save(self, scope: KeyScope, keys: Sequence[Key], *, generated: bool = False) -> None:
        if scope.function is not None:
            name = scope.function.lower()
            await self._repository.write(name, function_keys_text(keys, self._origin), or_keep=generated)
            self._functions[name] = keys
        elif scope.kind is KeyKind.SYSTEM:
            await self._save_host(replace(await self._load_host(), system_keys=keys), generated=generated)
        else:
            await self._save_host(replace(await self._load_host(), function_keys=keys), generated=generated)

    async def _save_host(self, host: HostSecrets, *, generated: bool = False) -> None:
        # A host must be able to start without a writable folder. What a user sets must not be lost silently.
        await self._repository.write(_HOST, host_secrets_text(host, self._origin), or_keep=generated)
        # After the write: if it fails, the cache must not contain keys that the next start does not have.
        self._host = host


def _has_name(key: Key, name: str) -> bool:
    return key.name.lower() == name.lower()
