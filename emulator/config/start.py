"""Configuration of one host: command line, host.json, local.settings.json and environment, merged once.

    configuration = configure(StartOptions(app=Path("."), port=0), os.environ)

The command line, the host process and the tests all use `configure`, so the same setting wins in all of them.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from emulator import __version__
from emulator.config import host_names
from emulator.config.connections import DEVELOPMENT_ACCOUNT, parse_connection
from emulator.config.host_names import parse_host_names
from emulator.config.hostjson import HostOptions, LogLevel, read_host_json
from emulator.config.settings import HostSection, Settings, load_settings
from emulator.errors import ConfigurationError
from emulator.listening import LOCALHOST, is_loopback
from emulator.telemetry.otlp_options import OtlpTarget, otlp_target

DEFAULT_PORT = 7071
DEFAULT_ADDRESS = LOCALHOST
DASHBOARD_PATH = "azemu"

DEVELOPMENT_STORAGE = "UseDevelopmentStorage=true"

# The file of the built-in store for `--storage builtin`, relative to the app folder.
BUILTIN_PATH = Path(".azemu") / "storage.db"


@dataclass(frozen=True, slots=True, kw_only=True)
class StartOptions:
    """Options of the command line or of a test. None: local.settings.json applies, then the default.

    `app`: app folder. `port`: 0 means any free port. `listeners`: listening sockets to serve on, instead of binding
    `address` and `port`; the caller closes them. `functions`: run only these. `storage`: replaces AzureWebJobsStorage
    and every development connection; "azurite", "builtin", "builtin:PATH", "builtin:memory" or a connection string.
    `settings`: app settings that win over environment and local.settings.json. `create_host_json`: create a missing
    host.json, as the Functions host does. `host_names`: see `config.host_names`; separated by commas.
    `dashboard_path`: the path of the dashboard, one segment, or "none". `dashboard_writes`: the dashboard may change
    accounts in Azure. `otlp`: URL of an OpenTelemetry collector; empty: the one that the settings name.
    """

    app: Path
    port: int | None = None
    address: str | None = None
    listeners: Sequence[socket.socket] = ()
    functions: Sequence[str] = ()
    enable_auth: bool = False
    cors: str | None = None
    cors_credentials: bool | None = None
    host_names: str | None = None
    storage: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    verbose: bool = False
    user_log_level: LogLevel | None = None
    create_host_json: bool = True
    dashboard_path: str | None = None
    dashboard_writes: bool = False
    otlp: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cors:
    """CORS rules. `origins`: allowed origins, or ("*",) for all."""

    origins: Sequence[str]
    credentials: bool = False

    @classmethod
    def of(cls, options: StartOptions, host: HostSection) -> Cors | None:
        """Return the rules of command line and local.settings.json; None: no CORS. Raises ConfigurationError."""
        text = options.cors if options.cors is not None else host.cors
        # Browsers send the origin without a slash at the end.
        origins = tuple(origin.strip().rstrip("/") for origin in (text or "").split(",") if origin.strip())
        if not origins:
            return None
        credentials = options.cors_credentials if options.cors_credentials is not None else host.cors_credentials
        # Browsers refuse such responses (Fetch standard), so the setting would seem to have no effect.
        if credentials and "*" in origins:
            raise ConfigurationError(
                "CORS: credentials cannot be allowed for every origin ('*'). List the origins in --cors or in "
                "Host.CORS of local.settings.json, or do not allow credentials."
            )
        return cls(origins=origins, credentials=bool(credentials))

    def allows(self, origin: str) -> bool:
        """Return whether the value of an Origin header is allowed."""
        return "*" in self.origins or origin.lower().rstrip("/") in (allowed.lower() for allowed in self.origins)


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """All settings of one host.

    `root`: app folder, absolute. `address`: an IP address, or "localhost" for both loopback addresses. `port`: 0 means
    any free port. `cors`: None disables CORS. `host_names`: names of this host that the user has given.
    `wants_azurite`: the user asked for Azurite with --storage, so the built-in store must not replace it. `warnings`:
    for the user, in order. `first_start`: False if the supervisor has restarted the host. `dashboard_path`: None: no
    dashboard. `otlp`: where spans are sent; None: nowhere.
    """

    root: Path
    address: str
    port: int
    settings: Settings
    host: HostOptions
    cors: Cors | None = None
    host_names: frozenset[str] = frozenset()
    enable_auth: bool = False
    listeners: Sequence[socket.socket] = ()
    wants_azurite: bool = False
    warnings: Sequence[str] = ()
    first_start: bool = True
    dashboard_path: str | None = DASHBOARD_PATH
    dashboard_writes: bool = False
    otlp: OtlpTarget | None = None

    def environment(self, port: int) -> Mapping[str, str]:
        """Return the variables that os.environ must contain before user code is imported. `port`: the bound port.

        They are the settings of local.settings.json and what `func start` adds (core-tools: StartHostAction).
        """
        # These win over settings of the same names, as in Core Tools.
        added = {
            "AzureWebJobsScriptRoot": str(self.root),
            "WEBSITE_HOSTNAME": f"localhost:{port}",
            "AZURE_FUNCTIONS_ENVIRONMENT": "Development",
            "FUNCTIONS_CORETOOLS_ENVIRONMENT": "true",
        }
        # These are set only if the app or the environment does not set them.
        defaults = {
            "FUNCTIONS_WORKER_RUNTIME": "python",
            "FUNCTIONS_WORKER_RUNTIME_VERSION": f"{sys.version_info.major}.{sys.version_info.minor}",
            "PYTHON_ENABLE_DEBUG_LOGGING": "1",
        }
        missing = {name: value for name, value in defaults.items() if name not in self.settings}
        return {**missing, **self.settings.exported, **added}


def configure(options: StartOptions, environ: Mapping[str, str]) -> Configuration:
    """Read and merge all settings of a host. Raises ConfigurationError."""
    root = options.app.resolve()
    loaded = load_settings(root, environ, overrides=options.settings)
    settings = loaded.settings
    if options.storage is not None:
        # Explicit settings win: the supervisor passes the ports of the Azurite that it has started.
        names = {"AzureWebJobsStorage", *development_connections(settings)} - set(options.settings)
        settings = settings.with_values(dict.fromkeys(sorted(names), storage_value(options.storage, root)))
    host, host_warnings = read_host_json(root, settings, create=options.create_host_json)
    if options.functions:
        host = replace(host, functions=tuple(options.functions))
    address = options.address or loaded.host.address or DEFAULT_ADDRESS
    try:
        # Only addresses are allowed, as in Core Tools; `localhost` is the exception.
        address = LOCALHOST if address.lower() == LOCALHOST else str(ipaddress.ip_address(address))
    except ValueError:
        raise ConfigurationError(
            # The sentences of core-tools, StartHostAction.
            f"Invalid --address value '{address}'. Expected an IP address, for example 127.0.0.1 or 0.0.0.0."
        ) from None
    port = next(port for port in (options.port, loaded.host.port, DEFAULT_PORT) if port is not None)
    warnings = list(loaded.warnings)
    if not is_loopback(address):
        warnings.append(
            f"azemu listens on {address}, so other machines can reach it. "
            + (
                "Requests need a key (--enable-auth), but are not encrypted."
                if options.enable_auth
                else "Every client can call all functions, read and purge all orchestrations, and read the keys. "
                "Require keys with --enable-auth, or leave out --address."
            )
        )
    environment = settings.get("AZURE_FUNCTIONS_ENVIRONMENT")
    if environment is not None and environment.lower() != "development":
        # The sentence of Core Tools.
        warnings.append(
            f"AZURE_FUNCTIONS_ENVIRONMENT already exists with value '{environment}', overriding to 'Development'."
        )
    runtime = settings.get("FUNCTIONS_WORKER_RUNTIME")
    if runtime and runtime.lower() != "python":
        warnings.append(f"FUNCTIONS_WORKER_RUNTIME is '{runtime}', but azemu runs Python apps: set it to 'python'.")
    if (root / "proxies.json").is_file():
        warnings.append(
            f"'{root / 'proxies.json'}' is ignored: Azure Functions proxies are not supported in version 4 of the "
            "Functions host, and azemu does not run them. Requests to their routes are answered with 404."
        )
    return Configuration(
        root=root,
        address=address,
        port=port,
        settings=settings,
        host=host,
        cors=Cors.of(options, loaded.host),
        host_names=parse_host_names(options.host_names or "", source="--host-names")
        | parse_host_names(settings.get(host_names.SETTING) or "", source=f"the setting {host_names.SETTING}"),
        enable_auth=options.enable_auth,
        listeners=options.listeners,
        wants_azurite=options.storage is not None and options.storage.lower() == "azurite",
        warnings=(*warnings, *host_warnings),
        dashboard_path=_dashboard_path(options.dashboard_path or DASHBOARD_PATH),
        dashboard_writes=options.dashboard_writes,
        otlp=otlp_target(
            options.otlp,
            settings.get,
            is_open_telemetry=host.telemetry_mode.lower() == "opentelemetry",
            service=root.name,
            version=__version__,
        ),
    )


def _dashboard_path(text: str) -> str | None:
    """Return the first segment of the dashboard's paths; None for "none". Raises ConfigurationError."""
    name = text.strip("/")
    if name.lower() == "none":
        return None
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name) or name.lower() in ("admin", "runtime"):
        raise ConfigurationError(
            f"--dashboard-path '{text}' is not a path for the dashboard. Use one segment of letters, digits, '-' and "
            "'_', such as /azemu, other than /admin and /runtime; or none, for no dashboard."
        )
    return name


def storage_value(storage: str, root: Path) -> str:
    """Return the connection value of an argument of --storage. `root`: app folder, for relative paths.

    Raises ConfigurationError for an unknown word and for a connection that cannot be used.
    """
    kind, colon, path = storage.partition(":")
    if storage.lower() == "azurite":
        return DEVELOPMENT_STORAGE
    # A connection string has a `=`, and a SAS URL a `://`. Their errors are reported where they are parsed.
    if kind.lower() != "builtin" and storage and "=" not in storage and "://" not in storage:
        raise ConfigurationError(
            f"--storage {storage}: unknown storage. Use azurite, builtin, builtin:PATH, builtin:memory or a connection "
            "string."
        )
    # Here, because later the value is that of a setting, and its error would name the setting.
    if kind.lower() != "builtin" or colon:
        parse_connection(storage, setting="--storage")
    if kind.lower() != "builtin" or path.lower() == "memory":
        return storage
    return f"builtin:{root / (path or BUILTIN_PATH)}"


def development_connections(settings: Settings) -> list[str]:
    """Return the names of the settings whose value means the local Azurite at its default ports."""
    names = []
    development = parse_connection(DEVELOPMENT_STORAGE, setting="")
    for name, value in sorted(settings.items()):
        # Most settings are not connections, so only values with one of these words are parsed. Both ways to write the
        # connection are recognised: UseDevelopmentStorage=true, and the same account written out in full.
        if "usedevelopmentstorage" in value.lower() or DEVELOPMENT_ACCOUNT in value:
            with suppress(ConfigurationError):
                if parse_connection(value, setting="") == development:
                    names.append(name)
    return names
