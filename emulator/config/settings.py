"""App settings: local.settings.json merged with the process environment, as `func start` does it.

Source: core-tools, Common/AppSettingsFile.cs, Common/SecretsManager.cs, Helpers/HostHelpers.cs;
docs/protocol/functions-host.md 1.4 and 2.1.
"""

from __future__ import annotations

import os
import re
from collections.abc import ItemsView, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from emulator import bound_json as json
from emulator.config.jsonc import NotText, read_json
from emulator.errors import ConfigurationError
from emulator.regular_files import read_regular_text

FILE_NAME = "local.settings.json"


class SettingUnresolved(ConfigurationError):
    """`%NAME%` whose setting has no value, or a `%` without a closing `%`."""


class Settings:
    """All app settings by name. Names ignore case; `a:b` and `a__b` are the same name.

    `exported`: the settings that are not in the process environment yet, with the spelling of their names in the file.
    `root`: app folder; relative paths in settings are relative to it.
    """

    __slots__ = ("_by_key", "_values", "exported", "root")

    def __init__(
        self, values: Mapping[str, str], *, exported: Mapping[str, str] | None = None, root: Path = Path()
    ) -> None:
        self.root = root
        # Lookups ignore case, but user code finds the original spelling in os.environ.
        self._values = dict(values)
        self._by_key = {_key(name): value for name, value in self._values.items()}
        self.exported: Mapping[str, str] = MappingProxyType(dict(exported or {}))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and _key(name) in self._by_key

    def __getitem__(self, name: str) -> str:
        return self._by_key[_key(name)]

    def get(self, name: str) -> str | None:
        """Return the value of a setting, or None."""
        return self._by_key.get(_key(name))

    def items(self) -> ItemsView[str, str]:
        """Return all settings, with the spelling of their names in the file or the environment."""
        return self._values.items()

    def flag(self, name: str) -> bool:
        """Return whether a setting is `1` or `true` (in any case). A missing setting is False."""
        return (self.get(name) or "").strip().lower() in ("1", "true")

    def children(self, name: str) -> Mapping[str, str]:
        """Return the settings `name__child` by the lower-case name of the child."""
        prefix = _key(name) + ":"
        return {key.removeprefix(prefix): value for key, value in self._by_key.items() if key.startswith(prefix)}

    def expand(self, text: str) -> str:
        """Replace every `%NAME%` by the value of its setting.

        Raises SettingUnresolved with the message of the Functions host (webjobs-sdk: NameResolverExtensions).
        """
        # Split at `%`: the parts with an odd index are names.
        parts = text.split("%")
        if len(parts) % 2 == 0:
            raise SettingUnresolved(f"The '%' at position {text.rindex('%')} does not have a closing '%'")
        for index in range(1, len(parts), 2):
            value = self.get(parts[index])
            # An empty value counts as missing, as in the Functions host.
            if not value:
                raise SettingUnresolved(f"'%{parts[index]}%' does not resolve to a value.")
            parts[index] = value
        return "".join(parts)

    def expand_known(self, text: str) -> str:
        """Replace every `%NAME%` whose setting has a value. Leave the others as they are."""
        start = 0
        while (opening := text.find("%", start)) >= 0 and (closing := text.find("%", opening + 1)) >= 0:
            value = self.get(text[opening + 1 : closing])
            if value:
                text = text[:opening] + value + text[closing + 1 :]
                # Behind the value: a `%` in it does not begin a name.
                start = opening + len(value)
            else:
                # This `%` may begin the next name: `%a%Queue%` has the name `Queue`.
                start = closing
        return text

    def with_values(self, values: Mapping[str, str]) -> Settings:
        """Return a copy in which `values` are added or replaced. They are exported, too."""
        keys = {_key(name) for name in values}
        others = {name: value for name, value in self._values.items() if _key(name) not in keys}
        exported = {name: value for name, value in self.exported.items() if _key(name) not in keys}
        return Settings({**others, **values}, exported={**exported, **values}, root=self.root)


def _key(name: str) -> str:
    # Environment variables cannot contain a colon on all systems, so .NET accepts two underscores for it.
    return name.replace("__", ":").lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSection:
    """Section `Host` of local.settings.json: defaults for the command line. None: not given."""

    port: int | None = None
    address: str | None = None
    cors: str | None = None
    cors_credentials: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedSettings:
    """App settings, section `Host`, and warnings for the user in their order."""

    settings: Settings
    host: HostSection = HostSection()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """Content of local.settings.json before it is merged with the environment. A value of None is a JSON null."""

    values: Mapping[str, str | None] = field(default_factory=dict)
    host: HostSection = HostSection()
    warnings: tuple[str, ...] = ()


class _WrongShape(Exception):
    """JSON in which a member has another type than Core Tools expects. `member`: its name."""

    def __init__(self, message: str, member: str = "") -> None:
        super().__init__(message)
        self.member = member


def find_project_root(start: Path) -> Path:
    """Return the nearest folder, from `start` upwards, that contains a function app. Raises ConfigurationError."""
    start = start.absolute()
    try:
        return _find_project_root(start)
    except PermissionError as error:
        raise ConfigurationError(
            f"The app folder '{start}' cannot be searched: {error.strerror} ('{error.filename}'). Allow this user to "
            "read and to enter the folder."
        ) from error


def _find_project_root(start: Path) -> Path:
    if not start.is_dir():
        problem = "is not a folder" if start.exists() else "does not exist"
        raise ConfigurationError(f"The app folder '{start}' {problem}. Pass the folder that contains host.json.")
    for folder in (start, *start.parents):
        # Not for the folders above: the user may have no rights there, and the app need not be in them.
        if folder != start and not os.access(folder, os.X_OK):
            continue
        if (folder / "host.json").is_file() or (folder / FILE_NAME).is_file():
            return folder
    # Core Tools would fail here. But the Functions host creates a missing host.json itself, so an app is enough.
    if has_app(start):
        return start
    raise ConfigurationError(
        # The first two sentences are those of Core Tools.
        "Unable to find project root. Expecting to find one of host.json in project root. "
        f"Searched '{start}' and the folders above it. Pass the folder of the app with --app DIR.{apps_below(start)}"
    )


def has_app(folder: Path) -> bool:
    """Whether a folder contains a function app: one of its files, or a folder with a function.json."""
    names = ("host.json", FILE_NAME, "function_app.py")
    return any((folder / name).is_file() for name in names) or any(folder.glob("*/function.json"))


def apps_below(start: Path) -> str:
    """Return a sentence about the apps in folders below `start`, such as those of a repository with several."""
    found = [
        path.parent.relative_to(start).as_posix()
        # Apps are rarely deeper, and a search of everything would take long in a home folder.
        for pattern in ("*/host.json", "*/*/host.json")
        for path in sorted(start.glob(pattern))
    ]
    apps = [app for app in found if not any(part == "node_modules" or part[0] == "." for part in app.split("/"))]
    more = f" and {len(apps) - 5} more" if len(apps) > 5 else ""
    return f" Below it are apps in: {', '.join(apps[:5])}{more}." if apps else ""


def load_settings(root: Path, environ: Mapping[str, str], *, overrides: Mapping[str, str]) -> LoadedSettings:
    """Merge the settings: `overrides` win over the environment, and the environment over local.settings.json.

    Raises ConfigurationError for a file that cannot be read or is encrypted.
    """
    file = _read_file(root / FILE_NAME)
    warnings = list(file.warnings)
    # A name that the environment has in any spelling must not be exported a second time.
    taken = {_key(name) for name in (*environ, *overrides)}
    exported: dict[str, str] = {}
    for name, value in file.values.items():
        if not name.strip():
            warnings.append("Skipping local setting with empty key.")
        elif value is None:
            warnings.append(f"Skipping '{name}' because value is null")
        elif (
            "=" in name or "\0" in name + value or any("\ud800" <= character <= "\udfff" for character in name + value)
        ):
            # os.environ would raise an error that does not name the setting.
            warnings.append(
                f"Skipping {json.dumps(name)}: an environment variable cannot have this name or value, because it "
                'contains "=", a NUL character or an incomplete Unicode character.'
            )
        elif _key(name) not in taken:
            exported[name] = value
        # A variable with the same value makes no difference, and an override by the user is intended.
        elif overrides.get(name) is None and environ.get(name) != value:
            warnings.append(
                f"Skipping '{name}' from local settings as it's already defined in current environment variables."
            )
    settings = Settings({**exported, **environ}, exported=exported, root=root).with_values(overrides)
    return LoadedSettings(settings=settings, host=file.host, warnings=tuple(warnings))


def _read_file(path: Path) -> _File:
    try:
        file = read_json(path)
        members = _Members(file.value)
        warnings = list(file.warnings)
        encrypted = members.get("IsEncrypted")
        if encrypted is True or str(encrypted).lower() == "true":
            raise ConfigurationError(
                # The first two sentences are those of Core Tools.
                "Failed to decrypt settings. Encrypted settings only be edited through 'func settings add'. "
                f"'{path}' has \"IsEncrypted\": true, so only the Windows account that wrote it can read it. Run "
                f"'func settings decrypt' there, or write plain values and \"IsEncrypted\": false."
            )
        if "IsEncrypted" not in members and members.object("Values"):
            # Core Tools takes a missing IsEncrypted for true and fails, although the values are plain text.
            warnings.append(
                f"'{path}' has no \"IsEncrypted\": false. Its values are read as plain text; add it, because Core "
                "Tools cannot read the file without it."
            )
        values = {name: _text(f"Values.{name}", value) for name, value in members.object("Values").items()}
        for name, value in members.object("ConnectionStrings").items():
            inner = _Members(value).get("ConnectionString") if isinstance(value, dict) else value
            values[f"ConnectionStrings:{name}"] = _text(f"ConnectionStrings.{name}", inner)
        host = _read_host_section(path, members)
    except FileNotFoundError:
        return _File()
    except OSError as error:
        raise _unreadable(path, f"{error.strerror}.") from None
    except json.JSONDecodeError as error:
        raise _unreadable(path, f"Line {error.lineno}, column {error.colno}: {error.msg}.") from None
    except _WrongShape as error:
        raise _unreadable(path, f"{_line_of(path, error.member)}{error}") from None
    except NotText as error:
        raise _unreadable(path, str(error)) from None
    warnings += [
        f"The setting '{name}' is a Key Vault reference, which azemu does not resolve: the app gets the text of the "
        f"reference. For local runs, put the value itself into {FILE_NAME}."
        for name, value in values.items()
        if value is not None and value.startswith("@Microsoft.KeyVault(")
    ]
    if "CONTAINER_NAME" in values:
        warnings.append(
            "CONTAINER_NAME is a reserved environment variable of Linux Consumption. Using it in local.settings.json "
            "may cause your function app to behave differently from Azure."
        )
    return _File(values=values, host=host, warnings=tuple(warnings))


def _unreadable(path: Path, why: str) -> ConfigurationError:
    # The first two sentences are those of Core Tools, which then continues without the settings. The app would fail for
    # reasons that do not name this file.
    return ConfigurationError(
        f"Failed to read app settings file at '{path}'. Ensure it is a valid JSON file. {why} Correct the file, or "
        "rename it to start without it."
    )


def _line_of(path: Path, member: str) -> str:
    """Return "Line N: " for the first line with a member of that name; empty if there is none."""
    lines = read_regular_text(path, errors="replace").splitlines() if member else []
    numbers = (number for number, line in enumerate(lines, 1) if f'"{member}"'.lower() in line.lower())
    return next((f"Line {number}: " for number in numbers), "")


class _Members:
    """Members of a JSON object by name. Names ignore case, as in Newtonsoft.Json."""

    def __init__(self, content: Any) -> None:
        if not isinstance(content, dict):
            raise _WrongShape(f"It contains {_kind(content)}, not an object.")
        self._members = {name.lower(): value for name, value in content.items()}

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._members

    def get(self, name: str) -> Any:
        return self._members.get(name.lower())

    def object(self, name: str) -> Mapping[str, Any]:
        value = self.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise _WrongShape(f'"{name}" is {_kind(value)}; allowed: an object.', name)
        return value


def _text(name: str, value: Any) -> str | None:
    """Convert a value to text as .NET configuration does."""
    if isinstance(value, (dict, list)):
        raise _WrongShape(f'"{name}" is {_kind(value)}; allowed: a string.', re.split("[.:]", name, maxsplit=1)[-1])
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value)  # .NET writes booleans as True and False, like Python.
    return json.dumps(value)


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")


def _read_host_section(path: Path, members: _Members) -> HostSection:
    host = _Members(members.object("Host"))
    port, credentials = host.get("LocalHttpPort"), host.get("CORSCredentials")
    # Newtonsoft.Json converts strings to the type of the property.
    if isinstance(port, str) and port.strip().isdecimal():
        port = int(port)
    if isinstance(credentials, str) and credentials.strip().lower() in ("true", "false"):
        credentials = credentials.strip().lower() == "true"
    # bool is a subclass of int in Python.
    if port is not None and not (isinstance(port, int) and not isinstance(port, bool) and 0 <= port <= 65535):
        raise ConfigurationError(f"{path}: Host.LocalHttpPort is {json.dumps(port)}; allowed: 0 to 65535.")
    if credentials is not None and not isinstance(credentials, bool):
        raise ConfigurationError(f"{path}: Host.CORSCredentials is {json.dumps(credentials)}; allowed: true or false.")
    return HostSection(
        port=port,
        address=_text("Host.LocalHttpAddress", host.get("LocalHttpAddress")),
        cors=_text("Host.CORS", host.get("CORS")),
        cors_credentials=credentials,
    )
