"""What a host is started with: the command line's wishes, and everything read and decided from them.

    configuration = configure(StartOptions(app=Path("."), port=0), os.environ)

The command line, the supervisor's child and the tests all come this way, so they cannot disagree about precedence.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from emulator.config.connections import DEVELOPMENT_ACCOUNT, parse_connection
from emulator.config.hostjson import HostOptions, LogLevel, read_host_json
from emulator.config.settings import HostSection, Settings, load_settings
from emulator.errors import ConfigurationError

DEFAULT_PORT = 7071
DEFAULT_ADDRESS = "127.0.0.1"

DEVELOPMENT_STORAGE = "UseDevelopmentStorage=true"

# The file of the built-in store when `--storage builtin` names none.
BUILTIN_PATH = Path(".azemu") / "storage.db"


@dataclass(frozen=True, slots=True, kw_only=True)
class StartOptions:
    """The wishes of the command line or of a test. None: local.settings.json decides, then the default.

    `app`: the project root. `port` 0: any free one. `listener`: a bound, listening socket to serve on instead of
    binding `address` and `port` (it stays the caller's to close). `functions`: run only these. `storage`: for
    AzureWebJobsStorage and every connection that means development storage, "azurite", "builtin", "builtin:PATH",
    "builtin:memory" or a connection string. `settings`: app settings that win over environment and local.settings.json.
    `create_host_json`: when there is none, as the Functions host does.
    """

    app: Path
    port: int | None = None
    address: str | None = None
    listener: socket.socket | None = None
    functions: Sequence[str] = ()
    enable_auth: bool = False
    cors: str | None = None
    cors_credentials: bool | None = None
    storage: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    verbose: bool = False
    user_log_level: LogLevel | None = None
    create_host_json: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Cors:
    """`origins`: allowed origins, or ("*",)."""

    origins: Sequence[str]
    credentials: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """All settings of one host, read once.

    `root`: absolute. `port` 0: any free one. `cors` None: no CORS at all. `wants_azurite`: the user asked for it by
    name, so nothing else will do. `warnings`: for the user, in order.
    """

    root: Path
    address: str
    port: int
    settings: Settings
    host: HostOptions
    cors: Cors | None = None
    enable_auth: bool = False
    listener: socket.socket | None = None
    wants_azurite: bool = False
    warnings: Sequence[str] = ()

    def environment(self, port: int) -> Mapping[str, str]:
        """What the app's process must find in `os.environ` before user code is imported. `port`: the one served on.

        The settings of local.settings.json and what `func start` adds (core-tools: StartHostAction).
        """
        added = {
            "AzureWebJobsScriptRoot": str(self.root),
            "WEBSITE_HOSTNAME": f"localhost:{port}",
            "AZURE_FUNCTIONS_ENVIRONMENT": "Development",
            "FUNCTIONS_CORETOOLS_ENVIRONMENT": "true",
        }
        defaults = {
            "FUNCTIONS_WORKER_RUNTIME": "python",
            "FUNCTIONS_WORKER_RUNTIME_VERSION": f"{sys.version_info.major}.{sys.version_info.minor}",
            "PYTHON_ENABLE_DEBUG_LOGGING": "1",
        }
        missing = {name: value for name, value in defaults.items() if name not in self.settings}
        return {**missing, **self.settings.exported, **added}


def configure(options: StartOptions, environ: Mapping[str, str]) -> Configuration:
    """Read everything a host needs to know before it starts.

    Raises ConfigurationError.
    """
    root = options.app.resolve()
    loaded = load_settings(root, environ, overrides=options.settings)
    settings = loaded.settings
    if options.storage is not None:
        names = {"AzureWebJobsStorage", *development_connections(settings)} - set(options.settings)
        settings = settings.with_values(dict.fromkeys(sorted(names), storage_value(options.storage, root)))
    host, host_warnings = read_host_json(root, settings, create=options.create_host_json)
    if options.functions:
        host = replace(host, functions=tuple(options.functions))
    return Configuration(
        root=root,
        address=_address(options.address or loaded.host.address or DEFAULT_ADDRESS),
        port=_first_given(options.port, loaded.host.port, DEFAULT_PORT),
        settings=settings,
        host=host,
        cors=_cors(options, loaded.host),
        enable_auth=options.enable_auth,
        listener=options.listener,
        wants_azurite=options.storage is not None and options.storage.lower() == "azurite",
        warnings=(*loaded.warnings, *_environment_warnings(settings), *host_warnings),
    )


def storage_value(storage: str, root: Path) -> str:
    """The connection value that `--storage` means. A relative path belongs to the app folder.

    Raises ConfigurationError for a word that is none.
    """
    kind, _, path = storage.partition(":")
    if storage.lower() == "azurite":
        return DEVELOPMENT_STORAGE
    if kind.lower() != "builtin" and storage and "=" not in storage and "://" not in storage:
        raise ConfigurationError(
            f"--storage {storage} is not known. Allowed: azurite, builtin, builtin:PATH, builtin:memory or a "
            "connection string."
        )
    if kind.lower() != "builtin" or path.lower() == "memory":
        return storage
    return f"builtin:{root / (path or BUILTIN_PATH)}"


def development_connections(settings: Settings) -> list[str]:
    """The names of the settings whose value means the local Azurite at its usual ports."""
    return sorted(name for name, value in settings.items() if _is_development_storage(value))


def _is_development_storage(value: str) -> bool:
    """UseDevelopmentStorage=true, or the same account written out in full."""
    if value == DEVELOPMENT_STORAGE:
        return True
    if "usedevelopmentstorage" not in value.lower() and DEVELOPMENT_ACCOUNT not in value:
        return False
    try:
        return parse_connection(value, setting="") == parse_connection(DEVELOPMENT_STORAGE, setting="")
    except ConfigurationError:
        return False


def _first_given(*values: int | None) -> int:
    return next(value for value in values if value is not None)


def _address(text: str) -> str:
    if text.lower() == "localhost":
        return DEFAULT_ADDRESS
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        # core-tools: StartHostAction, the same sentence.
        raise ConfigurationError(
            f"Invalid --address value '{text}'. Expected an IP address, for example 127.0.0.1 or 0.0.0.0."
        ) from None


def _cors(options: StartOptions, host: HostSection) -> Cors | None:
    text = options.cors if options.cors is not None else host.cors
    origins = tuple(origin.strip().rstrip("/") for origin in (text or "").split(",") if origin.strip())
    if not origins:
        return None
    wish = options.cors_credentials if options.cors_credentials is not None else host.cors_credentials
    if wish and "*" in origins:
        raise ConfigurationError(
            "CORS: credentials cannot be allowed for every origin ('*'). Name the origins in --cors or in "
            "Host.CORS of local.settings.json, or leave the credentials off."
        )
    return Cors(origins=origins, credentials=bool(wish))


def _environment_warnings(settings: Settings) -> list[str]:
    found = settings.get("AZURE_FUNCTIONS_ENVIRONMENT")
    warnings = []
    if found is not None and found.lower() != "development":
        warnings.append(
            f"AZURE_FUNCTIONS_ENVIRONMENT already exists with value '{found}', overriding to 'Development'."
        )
    runtime = settings.get("FUNCTIONS_WORKER_RUNTIME")
    if runtime and runtime.lower() != "python":
        warnings.append(f"FUNCTIONS_WORKER_RUNTIME is '{runtime}', but azemu runs Python apps: set it to 'python'.")
    return warnings
