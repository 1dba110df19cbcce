"""Authorization of HTTP requests by access key: the access that a route requires, and the check of the presented key.

    grant = grant_of(presented_key(headers, query), host_secrets, function_keys)
    status = rejection_status(FunctionLevel("Greet"), grant)     # None: authorized; else 401 or 403

Each route states its `Access`. There is no default, so a new route cannot be open by mistake.
Source: host, AuthenticationLevelHandler.cs, Authorization/*; docs/protocol/functions-host.md 5.2.
"""

from __future__ import annotations

import enum
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from emulator.host.http.keys.key_store import KeyStore
from emulator.host.http.keys.secret_format import HostSecrets, Key

KEY_HEADER = "x-functions-key"
KEY_QUERY = "code"


class Level(enum.Enum):
    """Authorization level of a key."""

    FUNCTION = "function"
    SYSTEM = "system"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Grant:
    """Authorization level of a presented key. `key_name`: distinguishes the system keys of extensions."""

    level: Level
    key_name: str


@dataclass(frozen=True, slots=True)
class Anonymous:
    """Requires no key."""


@dataclass(frozen=True, slots=True)
class FunctionLevel:
    """Requires a key of this function, a function key of the host, or the master key."""

    function: str


@dataclass(frozen=True, slots=True)
class AdminFunction:
    """Requires the master key, for a function of level `admin`; 401 for a weaker key, unlike the admin API."""

    function: str


@dataclass(frozen=True, slots=True)
class AdminApi:
    """Requires the master key; 403 for a valid but weaker key."""


@dataclass(frozen=True, slots=True)
class SystemLevel:
    """Requires the system key of this name, or the master key."""

    key_name: str


Access = Anonymous | FunctionLevel | AdminFunction | AdminApi | SystemLevel

_MASTER = Grant(Level.ADMIN, "master")


def function_access(auth_level: str | None, function: str) -> Access:
    """Return the access that an HTTP function requires. `auth_level`: `authLevel` of its binding; None: `function`."""
    match (auth_level or "function").lower():
        case "anonymous":
            return Anonymous()
        case "admin":
            return AdminFunction(function)
        # The level `user` demands an identity of App Service authentication. The Python library has no such level, and
        # an unknown text must not open a function.
        case _:
            return FunctionLevel(function)


def presented_key(headers: Mapping[str, str], query: Mapping[str, str]) -> str | None:
    """Return the key that a request presents. `headers` must ignore case."""
    # As in the Functions host the header takes precedence even if its key is wrong and the one in the query is valid.
    if KEY_HEADER in headers:
        return headers[KEY_HEADER]
    return query.get(KEY_QUERY)


def grant_of(presented: str | None, host: HostSecrets, function_keys: Sequence[Key]) -> Grant | None:
    """Return the highest level that a key has; None for no key or an unknown one.

    `function_keys`: those of the requested function.
    """
    if not presented:
        return None
    candidates = [
        (host.master.value, _MASTER),
        *((key.value, Grant(Level.SYSTEM, key.name)) for key in host.system_keys),
        *((key.value, Grant(Level.FUNCTION, key.name)) for key in (*host.function_keys, *function_keys)),
    ]
    presented_bytes = presented.encode("utf-8", "surrogatepass")
    # All keys are compared, each in constant time, so that the response time says nothing about any of them.
    grants = [grant for value, grant in candidates if hmac.compare_digest(value.encode(), presented_bytes)]
    return grants[0] if grants else None


def rejection_status(access: Access, grant: Grant | None) -> int | None:
    """Return None if the grant suffices, else the HTTP status of the rejection: 401 or 403."""
    if isinstance(access, Anonymous) or (grant is not None and grant.level is Level.ADMIN):
        return None
    match access:
        case FunctionLevel():
            return None if grant is not None and grant.level is Level.FUNCTION else 401
        # The system key of one extension does not open the webhook of another.
        case SystemLevel(key_name):
            return None if grant == Grant(Level.SYSTEM, key_name) else 401
        # AuthorizationLevel of a function: any other key counts as no key.
        case AdminFunction():
            return 401
        # The policy of the admin controllers: a valid key authenticates, and 403 says that its level is too low.
        case AdminApi():
            return 401 if grant is None else 403
        case _:
            assert_never(access)


class Authorizer:
    """Authorization with the app's keys. Without a key store all requests are authorized, as under `func start`."""

    def __init__(self, keys: KeyStore | None) -> None:
        self._keys = keys

    async def rejection_status(
        self, access: Access, headers: Mapping[str, str], query: Mapping[str, str]
    ) -> int | None:
        """Return None if the request is authorized, else the HTTP status of the rejection: 401 or 403."""
        keys = self._keys
        if keys is None or isinstance(access, Anonymous):
            return None
        key = presented_key(headers, query)
        # Keys of single functions count only where their function is called. They are not even loaded for others,
        # because loading generates keys for a name that has none.
        function = access.function if isinstance(access, FunctionLevel) else None

        async def grant() -> Grant | None:
            function_keys = await keys.function_keys(function) if function is not None else ()
            return grant_of(key, await keys.host_secrets(), function_keys)

        granted = await grant()
        # An unknown key may be a new one that another process, for example a second host, has written to the files.
        if granted is None and key and keys.drop_cache():
            granted = await grant()
        return rejection_status(access, granted)
