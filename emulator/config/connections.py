"""Connections of bindings to storage accounts: from the name of a connection to endpoints and credentials.

Sources: net-sdk, sdk/extensions/Microsoft.Azure.WebJobs.Extensions.Clients (which settings are looked up); the
documentation of Azure Storage (the format of connection strings); docs/protocol/functions-host.md 1.7.
"""

from __future__ import annotations

import base64
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

# The account of Azurite and the Windows storage emulator; the key is public and documented.
DEVELOPMENT_ACCOUNT: Final = "devstoreaccount1"
DEVELOPMENT_KEY: Final = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
DEVELOPMENT_PORTS: Final[Mapping[Service, int]] = {"blob": 10000, "queue": 10001, "table": 10002}

# Bindings may leave out this prefix of the name of a setting, and the default connection is called just "Storage".
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
    """Connection of a binding that no setting defines."""

    def __init__(self, name: str) -> None:
        default = name.removeprefix(_PREFIX) == "Storage"
        setting = f"{_PREFIX}Storage" if default else name
        super().__init__(
            # The first two sentences are those of webjobs-sdk, StorageAccountProvider, which shows the prefixed name.
            f"Storage account connection string '{_PREFIX}{name.removeprefix(_PREFIX)}' does not exist. "
            f'Make sure that it is a defined App Setting. Add "{setting}" to "Values" in local.settings.json, for '
            f'example with the value "UseDevelopmentStorage=true" for Azurite'
            f"{', or start with --storage builtin, which needs no Azurite' if default else ''}."
        )
        self.name = name


@dataclass(frozen=True, slots=True)
class SharedKey:
    """Account key. `key`: base64 text, as in the connection string."""

    key: str


@dataclass(frozen=True, slots=True)
class SasToken:
    """Shared access signature. `token`: the query string, without a question mark."""

    token: str


@dataclass(frozen=True, slots=True)
class Identity:
    """Sign-in with Microsoft Entra ID. `settings`: the section's members by lower-case name (`credential` …)."""

    settings: Mapping[str, str]


Credential = SharedKey | SasToken | Identity


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageConnection:
    """Storage account that is reached over the network. `setting`: name of the setting that defines it.

    Endpoints are URLs without a trailing slash. An endpoint is None if the connection does not include that service,
    such as a SAS URL of one service.
    """

    setting: str
    account: str
    credential: Credential
    blob: str | None = None
    queue: str | None = None
    table: str | None = None

    def endpoint(self, service: Service) -> str | None:
        """Return the URL of a service, or None."""
        return {"blob": self.blob, "queue": self.queue, "table": self.table}[service]

    @property
    def is_development(self) -> bool:
        """Whether this is the account of Azurite."""
        return self.account == DEVELOPMENT_ACCOUNT


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltinConnection:
    """Built-in store in a file (`builtin:PATH`) or in memory (`builtin:memory`: `path` is None)."""

    setting: str
    path: Path | None


Connection = StorageConnection | BuiltinConnection


def resolve_connection(settings: Settings, name: str) -> Connection:
    """Find and parse the connection that a binding calls `name`. The empty name means AzureWebJobsStorage.

    `%SETTING%` in the name is expanded. Raises ConnectionNotConfigured, SettingUnresolved, and ConfigurationError for a
    value that cannot be parsed.
    """
    name = settings.expand(name) or "Storage"
    # The first setting that exists wins: prefixed before plain, each as connection string before app setting.
    for setting in (
        f"ConnectionStrings:AzureWebJobs{name}",
        f"AzureWebJobs{name}",
        f"ConnectionStrings:{name}",
        name,
    ):
        if value := settings.get(setting):
            return parse_connection(value, setting=setting, root=settings.root)
        # A section (`NAME__accountName` …) means that an identity is used instead of a secret.
        if section := settings.children(setting):
            return _identity_connection(setting, section)
    raise ConnectionNotConfigured(name)


def parse_connection(value: str, *, setting: str, root: Path = Path()) -> Connection:
    """Parse a connection value: `builtin:…`, a connection string or a SAS URL.

    `setting`: for error messages. `root`: folder that a relative path of the built-in store belongs to. Raises
    ConfigurationError.
    """
    value = value.strip()
    kind, _, path = value.partition(":")
    if value.startswith(('"', "'")):
        raise _unusable(setting, "it begins with a quotation mark. Remove the quotation marks")
    if kind.lower() == "builtin":
        if not path.strip():
            raise _unusable(setting, "the built-in store needs a file (builtin:PATH) or memory (builtin:memory)")
        in_memory = path.strip().lower() == "memory"
        return BuiltinConnection(setting=setting, path=None if in_memory else root / path.strip())
    if value.lower().startswith(("http://", "https://")):
        return _sas_url_connection(value, setting)
    parts: dict[str, str] = {}
    for part in value.split(";"):
        if part.strip():
            # Only the first `=` separates: account keys and SAS tokens contain more of them.
            key, separator, text = (piece.strip() for piece in part.partition("="))
            if not separator or not key:
                raise _unusable(setting, "it is not a list of Name=value; pairs")
            # Azure ignores unknown names. A misspelt one would cause an error about something else, so it is reported
            # here; a name that resembles no known one may be new and is ignored.
            known = {name.lower(): name for name in _NAMES}
            near = difflib.get_close_matches(key.lower(), known, n=1, cutoff=0.8)
            if near and near[0] != key.lower():
                raise _unusable(setting, f'"{key}" is not part of a connection string. Did you mean {known[near[0]]}?')
            parts[key.lower()] = text
    development = parts.get("usedevelopmentstorage")
    if development is None:
        return _account_connection(parts, setting)
    if development.lower() != "true":
        raise _unusable(setting, f"UseDevelopmentStorage is {development!r}; allowed: true")
    proxy_uri = parts.get("developmentstorageproxyuri", "http://127.0.0.1")
    if not _is_url(proxy_uri):
        raise _unusable(setting, "DevelopmentStorageProxyUri is not a URL like http://host")
    proxy = urlsplit(proxy_uri)
    host = proxy.hostname or ""
    # urlsplit removes the brackets of an IPv6 address.
    base = f"{proxy.scheme}://[{host}]" if ":" in host else f"{proxy.scheme}://{host}"
    blob, queue, table = (f"{base}:{DEVELOPMENT_PORTS[service]}/{DEVELOPMENT_ACCOUNT}" for service in SERVICES)
    return StorageConnection(
        setting=setting,
        account=DEVELOPMENT_ACCOUNT,
        credential=SharedKey(DEVELOPMENT_KEY),
        blob=blob,
        queue=queue,
        table=table,
    )


def development_connection_string(ports: Mapping[Service, int]) -> str:
    """Return the connection string of an Azurite that listens on these ports."""
    endpoints = "".join(
        f"{service.capitalize()}Endpoint=http://127.0.0.1:{ports[service]}/{DEVELOPMENT_ACCOUNT};"
        for service in SERVICES
    )
    return f"DefaultEndpointsProtocol=http;AccountName={DEVELOPMENT_ACCOUNT};AccountKey={DEVELOPMENT_KEY};{endpoints}"


def _account_connection(parts: Mapping[str, str], setting: str) -> StorageConnection:
    """Build the connection of a connection string. `parts`: its values by lower-case name."""
    account = parts.get("accountname", "")
    # An explicit endpoint wins over the one that follows from the account name. Azurite's endpoints are explicit, and
    # so are those of accounts with a domain of their own.
    explicit = {service: parts.get(f"{service}endpoint", "").rstrip("/") for service in SERVICES}
    for service, endpoint in explicit.items():
        if endpoint and not _is_url(endpoint):
            raise _unusable(setting, f"{service.capitalize()}Endpoint is not an http or https URL")
    if not account and not any(explicit.values()):
        raise _unusable(setting, "it has neither AccountName nor an endpoint (BlobEndpoint, QueueEndpoint, …)")
    protocol = parts.get("defaultendpointsprotocol", "https").lower()
    if protocol not in ("http", "https"):
        raise _unusable(setting, "DefaultEndpointsProtocol is neither http nor https")
    credential: Credential
    # Before the key: a connection string with a SAS may name the account, too, but has no key.
    if sas := parts.get("sharedaccesssignature"):
        credential = SasToken(sas.removeprefix("?"))
    elif not parts.get("accountkey"):
        raise _unusable(setting, "it has neither AccountKey nor SharedAccessSignature")
    elif not account:
        raise _unusable(setting, "it has an AccountKey, but no AccountName")
    else:
        credential = SharedKey(parts["accountkey"])
        try:
            base64.b64decode(credential.key, validate=True)
        except ValueError:
            raise _unusable(setting, "its AccountKey is not base64 text. Was it copied completely?") from None
    # Sovereign clouds have other suffixes, such as core.chinacloudapi.cn.
    suffix = parts.get("endpointsuffix", "core.windows.net")
    derived = {service: f"{protocol}://{account}.{service}.{suffix}" if account else None for service in SERVICES}
    return StorageConnection(
        setting=setting,
        account=account or _account_in(next(filter(None, explicit.values()))),
        credential=credential,
        blob=explicit["blob"] or derived["blob"],
        queue=explicit["queue"] or derived["queue"],
        table=explicit["table"] or derived["table"],
    )


def _sas_url_connection(value: str, setting: str) -> StorageConnection:
    """Parse the URL of a service with a SAS, as the portal shows it: https://account.blob.core.windows.net/?sv=…"""
    url = urlsplit(value if _is_url(value) else "")
    # Only the host name shows which service a SAS URL belongs to.
    service = next((service for service in SERVICES if f".{service}." in (url.hostname or "")), None)
    if service is None or not url.query:
        raise _unusable(setting, "a URL must be that of a blob, queue or table service and contain a SAS token")
    endpoint = f"{url.scheme}://{url.netloc}{url.path}".rstrip("/")
    return StorageConnection(
        setting=setting,
        account=_account_in(endpoint),
        credential=SasToken(url.query),
        blob=endpoint if service == "blob" else None,
        queue=endpoint if service == "queue" else None,
        table=endpoint if service == "table" else None,
    )


def _identity_connection(setting: str, section: Mapping[str, str]) -> StorageConnection:
    # Reported here and not at the first request, which would fail in the background.
    if importlib.util.find_spec("azure.identity") is None:
        raise ConfigurationError(
            f"The connection in the settings '{setting}__…' uses an identity, which needs the package azure-identity: "
            f"run pip install azure-identity, or set '{setting}' to a connection string."
        )
    account = section.get("accountname", "")
    endpoints: dict[Service, str | None] = {}
    for service in SERVICES:
        uri = section.get(f"{service}serviceuri") or section.get("serviceuri") or section.get("endpoint")
        # As in the extensions, accountName wins over the URIs.
        derived = f"https://{account}.{service}.core.windows.net" if account else None
        endpoints[service] = derived or (uri.rstrip("/") if uri else None)
    first = next(filter(None, endpoints.values()), None)
    if first is None:
        raise _unusable(
            setting, "its section has neither accountName nor a URI (blobServiceUri, queueServiceUri, tableServiceUri)"
        )
    return StorageConnection(
        setting=setting,
        account=account or _account_in(first),
        credential=Identity(section),
        blob=endpoints["blob"],
        queue=endpoints["queue"],
        table=endpoints["table"],
    )


def _is_url(text: str) -> bool:
    """Whether `text` is an http or https URL with a host and, if any, a possible port."""
    try:
        url = urlsplit(text)
        # Reading `port` raises ValueError if it is not a number up to 65535.
        return url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0 and " " not in text
    except ValueError:
        return False


def _account_in(endpoint: str) -> str:
    """Return the account name in a URL: the first path segment (emulators), or the first label of the host name."""
    url = urlsplit(endpoint)
    return url.path.strip("/").split("/")[0] or (url.hostname or "").split(".")[0]


def _unusable(setting: str, why: str) -> ConfigurationError:
    # The value is not shown: it may contain a key.
    end = "" if why.endswith("?") else "."
    # Values of the command line come with the name of their option.
    place = f"of {setting}" if setting.startswith("-") else f"in setting '{setting}'"
    return ConfigurationError(
        f"The storage connection {place} cannot be used: {why}{end} "
        "For a local Azurite, use UseDevelopmentStorage=true."
    )
