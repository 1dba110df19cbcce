"""App settings: local.settings.json and the process environment, as `func start` puts them together.

Source: core-tools, Common/AppSettingsFile.cs, Common/SecretsManager.cs, Helpers/HostHelpers.cs;
docs/protocol/functions-host.md 1.4 and 2.1.
"""

from __future__ import annotations

import json
from collections.abc import ItemsView, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from emulator.config.jsonc import NotText, read_json
from emulator.errors import ConfigurationError

FILE_NAME = "local.settings.json"


class SettingUnresolved(ConfigurationError):
    """A `%NAME%` names a setting without a value, or a `%` stands alone."""


class Settings:
    """All app settings by name. Names ignore case; `a:b` and `a__b` are the same name.

    `exported`: those that the process environment does not have yet, under the names they were written with.
    `root`: the app folder, to which relative paths in settings belong.
    """

    __slots__ = ("_by_key", "_values", "exported", "root")

    def __init__(
        self, values: Mapping[str, str], *, exported: Mapping[str, str] | None = None, root: Path = Path()
    ) -> None:
        self.root = root
        self._values = dict(values)
        self._by_key = {_key(name): value for name, value in self._values.items()}
        self.exported: Mapping[str, str] = MappingProxyType(dict(exported or {}))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and _key(name) in self._by_key

    def __getitem__(self, name: str) -> str:
        return self._by_key[_key(name)]

    def get(self, name: str) -> str | None:
        return self._by_key.get(_key(name))

    def items(self) -> ItemsView[str, str]:
        """All settings under the names they were written with."""
        return self._values.items()

    def flag(self, name: str) -> bool:
        """A switch: `1` and `true` (any case) are on, everything else and absence are off."""
        return (self.get(name) or "").strip().lower() in ("1", "true")

    def children(self, name: str) -> Mapping[str, str]:
        """The settings below `name` (`name__child`), by the lower-case rest of their names."""
        prefix = _key(name) + ":"
        return {key.removeprefix(prefix): value for key, value in self._by_key.items() if key.startswith(prefix)}

    def expand(self, text: str) -> str:
        """Replace every `%NAME%` by its setting.

        Raises SettingUnresolved in the words of the Functions host (webjobs-sdk: NameResolverExtensions).
        """
        parts = text.split("%")
        if len(parts) % 2 == 0:
            raise SettingUnresolved(f"The '%' at position {text.rindex('%')} does not have a closing '%'")
        return "".join(self._resolve(part) if index % 2 else part for index, part in enumerate(parts))

    def expand_known(self, text: str) -> str:
        """Replace every `%NAME%` that has a setting and leave the others as they are."""
        start = 0
        while (opening := text.find("%", start)) >= 0 and (closing := text.find("%", opening + 1)) >= 0:
            value = self.get(text[opening + 1 : closing])
            if value:
                text = text[:opening] + value + text[closing + 1 :]
                start = opening + len(value)
            else:
                start = closing
        return text

    def with_values(self, values: Mapping[str, str]) -> Settings:
        """The same settings with some added or replaced; these are exported too."""
        keys = {_key(name) for name in values}
        kept = {name: value for name, value in self._values.items() if _key(name) not in keys}
        exported = {name: value for name, value in self.exported.items() if _key(name) not in keys}
        return Settings({**kept, **values}, exported={**exported, **values}, root=self.root)

    def _resolve(self, name: str) -> str:
        value = self.get(name)
        if not value:
            raise SettingUnresolved(f"'%{name}%' does not resolve to a value.")
        return value


def _key(name: str) -> str:
    return name.replace("__", ":").lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSection:
    """`Host` of local.settings.json: defaults for the command line. None: not given."""

    port: int | None = None
    address: str | None = None
    cors: str | None = None
    cors_credentials: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedSettings:
    settings: Settings
    host: HostSection = HostSection()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """local.settings.json, read but not yet weighed against the environment. A value of None is a JSON null."""

    values: Mapping[str, str | None] = field(default_factory=dict)
    host: HostSection = HostSection()
    warnings: tuple[str, ...] = ()


class _Malformed(Exception):
    """The file is JSON, but not of the shape that its reader expects."""


def find_project_root(start: Path) -> Path:
    """The nearest folder, from `start` upwards, that is a function app. Raises ConfigurationError."""
    start = start.absolute()
    if not start.is_dir():
        what = "is not a folder" if start.exists() else "does not exist"
        raise ConfigurationError(f"The app folder '{start}' {what}. Name the folder that has host.json.")
    for folder in (start, *start.parents):
        if (folder / "host.json").is_file() or (folder / FILE_NAME).is_file():
            return folder
    # The Functions host makes the missing host.json itself; an app that is plainly here need not fail before that.
    if (start / "function_app.py").is_file():
        return start
    raise ConfigurationError(
        "Unable to find project root. Expecting to find one of host.json in project root. "
        f"Looked in '{start}' and the folders above it; name the app's folder with --app DIR."
    )


def load_settings(root: Path, environ: Mapping[str, str], *, overrides: Mapping[str, str]) -> LoadedSettings:
    """Merge the settings: `overrides` win over the environment, the environment over local.settings.json.

    Raises ConfigurationError for an encrypted file. A file that cannot be read is a warning, as in the original.
    """
    file = _read(root / FILE_NAME)
    warnings = list(file.warnings)
    taken = {_key(name) for name in (*environ, *overrides)}
    exported: dict[str, str] = {}
    for name, value in file.values.items():
        if not name.strip():
            warnings.append("Skipping local setting with empty key.")
        elif value is None:
            warnings.append(f"Skipping '{name}' because value is null")
        elif not _can_be_exported(name, value):
            warnings.append(
                f"Skipping {json.dumps(name)}: no environment variable can have this name or value "
                '(it holds "=", a NUL character or half a character).'
            )
        elif _key(name) not in taken:
            exported[name] = value
        elif overrides.get(name) is None and environ.get(name) != value:
            warnings.append(
                f"Skipping '{name}' from local settings as it's already defined in current environment variables."
            )
    settings = Settings({**exported, **environ}, exported=exported, root=root).with_values(overrides)
    return LoadedSettings(settings=settings, host=file.host, warnings=tuple(warnings))


def _can_be_exported(name: str, value: str) -> bool:
    text = name + value
    return "=" not in name and "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _read(path: Path) -> _File:
    try:
        file = read_json(path)
        members = _Members(file.value)
        warnings = [*file.warnings, *_check_encryption(path, members)]
        values = {**_values(members), **_connection_strings(members)}
        return _File(values=values, host=_host(path, members), warnings=(*warnings, *_notable(values)))
    except FileNotFoundError:
        return _File()
    except (OSError, NotText, json.JSONDecodeError, _Malformed) as error:
        return _File(warnings=(_unreadable(path, error),))


class _Members:
    """The members of a JSON object by name, whatever their case."""

    def __init__(self, content: Any) -> None:
        if not isinstance(content, dict):
            raise _Malformed(f"It holds {_kind(content)}, not an object.")
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
            raise _Malformed(f'"{name}" holds {_kind(value)}, not an object.')
        return value


def _check_encryption(path: Path, members: _Members) -> tuple[str, ...]:
    encrypted = members.get("IsEncrypted")
    if encrypted is True or str(encrypted).lower() == "true":
        raise ConfigurationError(
            "Failed to decrypt settings. Encrypted settings only be edited through 'func settings add'. "
            f"'{path}' has \"IsEncrypted\": true, which only the Windows account that wrote it can read: run "
            f"'func settings decrypt' there, or write plain values and \"IsEncrypted\": false."
        )
    if "IsEncrypted" in members or not members.object("Values"):
        return ()
    # func takes a missing IsEncrypted for true and fails; plain values are what people mean.
    return (f"'{path}' does not say \"IsEncrypted\": false; its values are taken as plain text.",)


def _values(members: _Members) -> dict[str, str | None]:
    return {name: _text(f"Values.{name}", value) for name, value in members.object("Values").items()}


def _connection_strings(members: _Members) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name, value in members.object("ConnectionStrings").items():
        inner = _Members(value).get("ConnectionString") if isinstance(value, dict) else value
        found[f"ConnectionStrings:{name}"] = _text(f"ConnectionStrings.{name}", inner)
    return found


def _text(where: str, value: Any) -> str | None:
    if isinstance(value, (dict, list)):
        raise _Malformed(f'"{where}" holds {_kind(value)}; allowed: a text.')
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value)  # As .NET writes it: True, False.
    return json.dumps(value)


def _host(path: Path, members: _Members) -> HostSection:
    host = _Members(members.object("Host"))
    port, credentials = host.get("LocalHttpPort"), host.get("CORSCredentials")
    if isinstance(port, str) and port.strip().isdecimal():
        port = int(port)
    if isinstance(credentials, str) and credentials.strip().lower() in ("true", "false"):
        credentials = credentials.strip().lower() == "true"
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


def _notable(values: Mapping[str, str | None]) -> list[str]:
    """Values that do not mean here what they mean in Azure."""
    warnings = [
        f"'{name}' is a Key Vault reference, which is not resolved on this machine; its text is used as it is."
        for name, value in values.items()
        if value is not None and value.startswith("@Microsoft.KeyVault(")
    ]
    if "CONTAINER_NAME" in values:
        warnings.append(
            "CONTAINER_NAME is a reserved environment variable of Linux Consumption. Using it in local.settings.json "
            "may cause your function app to behave differently from Azure."
        )
    return warnings


def _unreadable(path: Path, error: Exception) -> str:
    return f"Failed to read app settings file at '{path}'. Ensure it is a valid JSON file. {error}"


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "an array", str: "a text", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
