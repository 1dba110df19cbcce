"""Connection names of bindings → where the storage services are and how to be let in.

Sources: net-sdk, sdk/extensions/Microsoft.Azure.WebJobs.Extensions.Clients (lookup); the connection string grammar
of the Azure Storage documentation; docs/protocol/functions-host.md 1.7.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from emulator.config.settings import Settings
from emulator.errors import ConfigurationError

Service = Literal["blob", "queue", "table"]
SERVICES: Final[tuple[Service, ...]] = ("blob", "queue", "table")

# The account that Azurite and the Windows storage emulator know; the key is public and documented.
DEVELOPMENT_ACCOUNT: Final = "devstoreaccount1"
DEVELOPMENT_KEY: Final = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
DEVELOPMENT_PORTS: Final[Mapping[Service, int]] = {"blob": 10000, "queue": 10001, "table": 10002}

_PREFIX: Final = "AzureWebJobs"
# The connection of the functions host itself, and of bindings that name none.
DEFAULT_CONNECTION: Final = f"{_PREFIX}Storage"
# All names that a connection string may have.
_NAMES: Final = (
    "UseDevelopmentStorage",
    "DevelopmentStorageProxyUri",
    "DefaultEndpointsProtocol",
    "AccountName",
    "AccountKey",
    "SharedAccessSignature",
    "EndpointSuffix",
    *(f"{service.capitalize()}Endpoint" for service in (*SERVICES, "file")),
    *(f"{service.capitalize()}SecondaryEndpoint" for service in (*SERVICES, "file")),
)


class ConnectionNotConfigured(ConfigurationError):
    """A binding names a connection that no setting defines."""

    def __init__(self, name: str) -> None:
        default = name.removeprefix(_PREFIX) == "Storage"
        setting = f"{_PREFIX}Storage" if default else name
        super().__init__(
            # webjobs-sdk: StorageAccountProvider; the message shows the prefixed name.
            f"Storage account connection string '{_PREFIX}{name.removeprefix(_PREFIX)}' does not exist. "
            f'Make sure that it is a defined App Setting. Locally: give "{setting}" a value in "Values" of '
            f'local.settings.json, "UseDevelopmentStorage=true" for Azurite'
            f"{', or start with --storage builtin, which needs nothing' if default else ''}."
        )
        self.name = name


@dataclass(frozen=True, slots=True)
class SharedKey:
    """`key`: base64, as in the connection string."""

    key: str


@dataclass(frozen=True, slots=True)
class SasToken:
    """`token`: the query string, without a question mark."""

    token: str


@dataclass(frozen=True, slots=True)
class Identity:
    """A token of Microsoft Entra ID. `settings`: the section's members by lower-case name (`credential` …)."""

    settings: Mapping[str, str]


Credential = SharedKey | SasToken | Identity


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageConnection:
    """An account reached over the network. `setting`: where it is defined. Endpoints have no trailing slash.

    An endpoint is None when the connection does not say it (a SAS for one service, an identity for one service).
    """

    setting: str
    account: str
    credential: Credential
    blob: str | None = None
    queue: str | None = None
    table: str | None = None

    def endpoint(self, service: Service) -> str | None:
        return {"blob": self.blob, "queue": self.queue, "table": self.table}[service]

    @property
    def is_development(self) -> bool:
        return self.account == DEVELOPMENT_ACCOUNT


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltinConnection:
    """The built-in store: `builtin:PATH`, or `builtin:memory` (then `path` is None)."""

    setting: str
    path: Path | None


Connection = StorageConnection | BuiltinConnection


def resolve_connection(settings: Settings, name: str) -> Connection:
    """The connection that a binding calls `name`; the empty name means AzureWebJobsStorage.

    `%SETTING%` in the name is expanded. Raises ConnectionNotConfigured, SettingUnresolved, ConfigurationError (the
    value cannot be understood).
    """
    name = settings.expand(name) or "Storage"
    # The first setting that exists wins: prefixed before plain, each as connection string and as app setting.
    for setting in (
        f"ConnectionStrings:AzureWebJobs{name}",
        f"AzureWebJobs{name}",
        f"ConnectionStrings:{name}",
        name,
    ):
        if value := settings.get(setting):
            return parse_connection(value, setting=setting, root=settings.root)
        if section := settings.children(setting):
            return _identity(setting, section)
    raise ConnectionNotConfigured(name)


def parse_connection(value: str, *, setting: str, root: Path = Path()) -> Connection:
    """A connection value: `builtin:…`, a connection string or a SAS URL. Relative paths belong to `root`.

    Raises ConfigurationError naming `setting`.
    """
    value = value.strip()
    if value.startswith(('"', "'")):
        raise _unreadable(setting, "it begins with a quotation mark, which is not part of it")
    if value.lower() == "builtin" or value.lower().startswith("builtin:"):
        return _builtin(value, setting, root)
    if value.lower().startswith(("http://", "https://")):
        return _sas_url(value, setting)
    parts = _parts(value, setting)
    development = parts.get("usedevelopmentstorage")
    if development is not None and development.lower() != "true":
        raise _unreadable(setting, f"UseDevelopmentStorage is {development!r}; allowed: true")
    if development is not None:
        return _development(parts, setting)
    return _account(parts, setting)


def development_connection_string(ports: Mapping[Service, int]) -> str:
    """What UseDevelopmentStorage=true stands for when Azurite listens on other ports."""
    endpoints = "".join(
        f"{service.capitalize()}Endpoint=http://127.0.0.1:{ports[service]}/{DEVELOPMENT_ACCOUNT};"
        for service in SERVICES
    )
    return f"DefaultEndpointsProtocol=http;AccountName={DEVELOPMENT_ACCOUNT};AccountKey={DEVELOPMENT_KEY};{endpoints}"


def _parts(value: str, setting: str) -> dict[str, str]:
    """`Name=value;…` by lower-case name. A value may hold `=`: account keys and SAS tokens do."""
    parts: dict[str, str] = {}
    for part in value.split(";"):
        if not part.strip():
            continue
        name, separator, text = part.partition("=")
        if not separator or not name.strip():
            raise _unreadable(setting, "it is not a list of Name=value; pairs")
        parts[name.strip().lower()] = text.strip()
        _check_name(name.strip(), setting)
    return parts


def _check_name(name: str, setting: str) -> None:
    """A misspelt name would be ignored, and something else be blamed for it. Unknown ones may be of the future."""
    known = {one.lower(): one for one in _NAMES}
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.8)
    if near and near[0] != name.lower():
        raise _unreadable(setting, f'"{name}" is no part of a connection string; did you mean {known[near[0]]}?')


def _builtin(value: str, setting: str, root: Path) -> BuiltinConnection:
    path = value.partition(":")[2].strip()
    if not path:
        raise _unreadable(setting, "the built-in store needs a file, as in builtin:PATH, or builtin:memory")
    return BuiltinConnection(setting=setting, path=None if path.lower() == "memory" else root / path)


def _development(parts: Mapping[str, str], setting: str) -> StorageConnection:
    uri = parts.get("developmentstorageproxyuri", "http://127.0.0.1")
    if not _is_url(uri):
        raise _unreadable(setting, "DevelopmentStorageProxyUri is not a URL like http://host")
    proxy = urlsplit(uri)
    name = proxy.hostname or ""
    host = f"[{name}]" if ":" in name else name
    base = f"{proxy.scheme}://{host}"
    blob, queue, table = (f"{base}:{DEVELOPMENT_PORTS[service]}/{DEVELOPMENT_ACCOUNT}" for service in SERVICES)
    return StorageConnection(
        setting=setting,
        account=DEVELOPMENT_ACCOUNT,
        credential=SharedKey(DEVELOPMENT_KEY),
        blob=blob,
        queue=queue,
        table=table,
    )


def _account(parts: Mapping[str, str], setting: str) -> StorageConnection:
    account = parts.get("accountname", "")
    explicit = {service: parts.get(f"{service}endpoint", "").rstrip("/") for service in SERVICES}
    for service, endpoint in explicit.items():
        if endpoint and not _is_url(endpoint):
            raise _unreadable(setting, f"{service.capitalize()}Endpoint is not an http or https URL")
    if not account and not any(explicit.values()):
        raise _unreadable(setting, "it has neither AccountName nor an endpoint (BlobEndpoint, QueueEndpoint, …)")
    protocol = parts.get("defaultendpointsprotocol", "https").lower()
    if protocol not in ("http", "https"):
        raise _unreadable(setting, "DefaultEndpointsProtocol is neither http nor https")
    suffix = parts.get("endpointsuffix", "core.windows.net")
    derived = {service: f"{protocol}://{account}.{service}.{suffix}" if account else None for service in SERVICES}
    return StorageConnection(
        setting=setting,
        account=account or _account_of(next(filter(None, explicit.values()))),
        credential=_credential(parts, setting),
        blob=explicit["blob"] or derived["blob"],
        queue=explicit["queue"] or derived["queue"],
        table=explicit["table"] or derived["table"],
    )


def _is_url(text: str) -> bool:
    """http or https, with a host and a possible port."""
    try:
        url = urlsplit(text)
        return url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0 and " " not in text
    except ValueError:
        return False


def _credential(parts: Mapping[str, str], setting: str) -> Credential:
    if sas := parts.get("sharedaccesssignature"):
        return SasToken(sas.removeprefix("?"))
    key = parts.get("accountkey", "")
    if not key:
        raise _unreadable(setting, "it has neither AccountKey nor SharedAccessSignature")
    if not parts.get("accountname"):
        raise _unreadable(setting, "an AccountKey needs its AccountName")
    try:
        base64.b64decode(key, validate=True)
    except binascii.Error:
        raise _unreadable(setting, "its AccountKey is not base64 text; was it copied completely?") from None
    return SharedKey(key)


def _sas_url(value: str, setting: str) -> StorageConnection:
    """A service URL with a SAS, as the portal shows it: https://account.blob.core.windows.net/?sv=…"""
    url = urlsplit(value if _is_url(value) else "")
    service = next((service for service in SERVICES if f".{service}." in (url.hostname or "")), None)
    if service is None or not url.query:
        raise _unreadable(setting, "a URL must be that of a blob, queue or table service with its SAS token")
    endpoint = f"{url.scheme}://{url.netloc}{url.path}".rstrip("/")
    return StorageConnection(
        setting=setting,
        account=_account_of(endpoint),
        credential=SasToken(url.query),
        blob=endpoint if service == "blob" else None,
        queue=endpoint if service == "queue" else None,
        table=endpoint if service == "table" else None,
    )


def _identity(setting: str, section: Mapping[str, str]) -> StorageConnection:
    if importlib.util.find_spec("azure.identity") is None:
        raise ConfigurationError(
            f"The connection in '{setting}__…' signs in with an identity, for which the package 'azure-identity' is "
            f"needed: pip install azure-identity. Or set '{setting}' to a connection string."
        )
    account = section.get("accountname", "")
    endpoints = {service: _identity_endpoint(section, account, service) for service in SERVICES}
    known = next(filter(None, endpoints.values()), None)
    if known is None:
        raise _unreadable(
            setting, "its section has neither accountName nor a URI (blobServiceUri, queueServiceUri, tableServiceUri)"
        )
    return StorageConnection(
        setting=setting,
        account=account or _account_of(known),
        credential=Identity(section),
        blob=endpoints["blob"],
        queue=endpoints["queue"],
        table=endpoints["table"],
    )


def _identity_endpoint(section: Mapping[str, str], account: str, service: Service) -> str | None:
    # Extensions prefer accountName over the URIs.
    if account:
        return f"https://{account}.{service}.core.windows.net"
    uri = section.get(f"{service}serviceuri") or section.get("serviceuri") or section.get("endpoint")
    return uri.rstrip("/") if uri else None


def _account_of(endpoint: str) -> str:
    """The account in a URL: the first label of a host name, or the first path segment behind an address and port."""
    url = urlsplit(endpoint)
    return url.path.strip("/").split("/")[0] or (url.hostname or "").split(".")[0]


def _unreadable(setting: str, why: str) -> ConfigurationError:
    """Never shows the value: it may hold a key."""
    end = "" if why.endswith("?") else "."
    return ConfigurationError(
        f"The storage connection in setting '{setting}' cannot be used: {why}{end} "
        "The one of a local Azurite is UseDevelopmentStorage=true."
    )
