"""Who may call what: levels, and the decision by the presented key. The keys themselves are kept in `keys.py`.

    grant = granted(presented_key(headers, query), host_secrets, function_keys)
    refusal = decide(FunctionLevel("Greet"), grant)     # None: go on; 401 or 403: the answer

Every route carries one `Access`; there is no default, so a route that nobody thought about cannot be built.
Source: host, AuthenticationLevelHandler.cs, Authorization/*; docs/protocol/functions-host.md 5.2.
"""

from __future__ import annotations

import enum
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from emulator.host.http.keys.key_store import KeyRing
from emulator.host.http.keys.secret_format import HostSecrets, Key

KEY_HEADER = "x-functions-key"
KEY_QUERY = "code"


class Level(enum.Enum):
    """What a key is good for."""

    FUNCTION = "function"
    SYSTEM = "system"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Grant:
    """What the presented key gives. `key_name`: for the log, and to tell one system key from another."""

    level: Level
    key_name: str


@dataclass(frozen=True, slots=True)
class Anonymous:
    """Open to everyone."""


@dataclass(frozen=True, slots=True)
class FunctionLevel:
    """A key of this function, a function key of the host, or the master key."""

    function: str


@dataclass(frozen=True, slots=True)
class AdminFunction:
    """A function whose level is `admin`: the master key. Unlike the admin API, it answers 401 to weaker keys."""

    function: str


@dataclass(frozen=True, slots=True)
class AdminApi:
    """The master key; 403 for a valid but weaker key."""


@dataclass(frozen=True, slots=True)
class SystemLevel:
    """The system key of this name, or the master key."""

    key_name: str


Access = Anonymous | FunctionLevel | AdminFunction | AdminApi | SystemLevel

_MASTER = Grant(Level.ADMIN, "master")


def function_access(auth_level: str | None, function: str) -> Access:
    """The access to an HTTP function by its binding's `authLevel`; an absent one means `function`."""
    match (auth_level or "function").lower():
        case "anonymous":
            return Anonymous()
        case "admin":
            return AdminFunction(function)
        # `user` wants an identity of App Service authentication, which Python functions cannot ask for; it is
        # no weaker than `function` here.
        case _:
            return FunctionLevel(function)


def presented_key(headers: Mapping[str, str], query: Mapping[str, str]) -> str | None:
    """The header wins over the query, even if it is wrong. `headers` must ignore case."""
    if KEY_HEADER in headers:
        return headers[KEY_HEADER]
    return query.get(KEY_QUERY)


def granted(key: str | None, host: HostSecrets, function_keys: Sequence[Key]) -> Grant | None:
    """What a key opens; the strongest meaning first. `function_keys`: those of the addressed function.

    All keys are compared, each in constant time: how long it takes tells nothing about any of them.
    """
    if not key:
        return None
    candidates = [
        (host.master.value, _MASTER),
        *((one.value, Grant(Level.SYSTEM, one.name)) for one in host.system_keys),
        *((one.value, Grant(Level.FUNCTION, one.name)) for one in (*host.function_keys, *function_keys)),
    ]
    presented = key.encode("utf-8", "surrogatepass")
    found = [grant for value, grant in candidates if hmac.compare_digest(value.encode(), presented)]
    return found[0] if found else None


def decide(access: Access, grant: Grant | None) -> int | None:
    """None if the grant is enough; else the status of the refusal, 401 or 403."""
    if isinstance(access, Anonymous) or (grant is not None and grant.level is Level.ADMIN):
        return None
    match access:
        case FunctionLevel():
            return None if grant is not None and grant.level is Level.FUNCTION else 401
        case SystemLevel(key_name):
            return None if grant == Grant(Level.SYSTEM, key_name) else 401
        case AdminFunction():
            return 401
        case AdminApi():
            return 401 if grant is None else 403
        case _:
            assert_never(access)


class Authorizer:
    """Decides with the keys of the app; without a key ring everything is open, as under plain `func start`."""

    def __init__(self, keys: KeyRing | None) -> None:
        self._keys = keys

    async def refusal(self, access: Access, headers: Mapping[str, str], query: Mapping[str, str]) -> int | None:
        """None: go on; else the status to answer."""
        if self._keys is None or isinstance(access, Anonymous):
            return None
        key = presented_key(headers, query)
        grant = await self._grant(self._keys, access, key)
        if grant is None and key and self._keys.forget():
            # Another process may have written new keys since we read them.
            grant = await self._grant(self._keys, access, key)
        return decide(access, grant)

    async def _grant(self, keys: KeyRing, access: Access, key: str | None) -> Grant | None:
        functions = await keys.function_keys(access.function) if isinstance(access, FunctionLevel) else ()
        return granted(key, await keys.host_secrets(), functions)
