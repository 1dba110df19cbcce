"""Rules about host.json, local.settings.json, and the settings that the app needs."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from emulator import bound_json as json
from emulator.check.azure_offers import BUNDLE_ID, OLDEST_SUPPORTED_BUNDLE, RECOMMENDED_BUNDLE
from emulator.check.findings import Finding
from emulator.check.json_lines import line_of_member
from emulator.config import hostjson, settings
from emulator.config.hostjson import HostOptions, read_host_json
from emulator.config.jsonc import NotText, read_json
from emulator.config.missing_settings import missing_settings
from emulator.config.settings import LoadedSettings, Settings, load_settings
from emulator.errors import ConfigurationError, EmulatorError

# Binding types that the host has itself, in lower case, and the decorators that make them. All others come from the
# extension bundle.
_WITHOUT_BUNDLE: Final = frozenset(
    (
        *("httptrigger", "http", "timertrigger", "warmuptrigger", "manualtrigger"),
        *("route", "timer_trigger", "schedule", "warm_up_trigger"),
    )
)
# Keys of local.settings.json by the path to their object. Names in "Values" are the app's own.
_SETTINGS_KEYS: Final[Mapping[tuple[str, ...], Sequence[str]]] = {
    (): ("IsEncrypted", "Values", "Host", "ConnectionStrings"),
    ("Host",): ("LocalHttpPort", "LocalHttpAddress", "CORS", "CORSCredentials"),
}
_LIKENESS: Final = 0.8
_LINE: Final = re.compile(r"[Ll]ine (\d+)(?:, column (\d+))?")


def settings_findings(root: Path, environ: Mapping[str, str]) -> tuple[Settings, list[Finding]]:
    """Read local.settings.json. Return the settings, merged with the environment, and findings about the file."""
    try:
        loaded = load_settings(root, environ, overrides={})
    except ConfigurationError as error:
        return Settings(dict(environ), root=root), [_located("AZ504", settings.FILE_NAME, str(error), root)]
    return loaded.settings, [*_odd_settings(loaded, root), *misspelt_settings(root)]


def _odd_settings(loaded: LoadedSettings, root: Path) -> Iterator[Finding]:
    for warning in loaded.warnings:
        # What the environment of this machine has already says nothing about the app.
        if "already defined in current environment" not in warning:
            yield _located("AZ505", settings.FILE_NAME, warning, root)
    runtime = loaded.settings.get("FUNCTIONS_WORKER_RUNTIME")
    if runtime is not None and runtime.lower() != "python":
        text = f"FUNCTIONS_WORKER_RUNTIME is '{runtime}', so the host finds no functions. It must be 'python'."
        line = line_of_member(root / settings.FILE_NAME, ("Values", "FUNCTIONS_WORKER_RUNTIME"))
        yield Finding("AZ506", settings.FILE_NAME, line, 0, text)
    elif runtime is None and loaded.settings.exported:
        text = 'FUNCTIONS_WORKER_RUNTIME is not set. Add "FUNCTIONS_WORKER_RUNTIME": "python" to "Values".'
        yield Finding("AZ505", settings.FILE_NAME, 1, 0, text)


def misspelt_settings(root: Path) -> Iterator[Finding]:
    """Yield findings about keys of local.settings.json that resemble known ones, without which they have no effect."""
    try:
        content = read_json(root / settings.FILE_NAME).value
    except (OSError, NotText, json.JSONDecodeError):
        return
    for path, known in _SETTINGS_KEYS.items():
        members = content if not path else _member(content, path[0])
        if not isinstance(members, dict):
            return
        present = {key.lower() for key in members}
        for key in members:
            near = difflib.get_close_matches(key.lower(), [name.lower() for name in known], n=1, cutoff=_LIKENESS)
            # A key beside the one that it resembles is meant as it is written.
            if near and near[0] not in present:
                name = next(name for name in known if name.lower() == near[0])
                text = f'"{key}" is not a known key and has no effect. Did you mean "{name}"?'
                yield Finding(
                    "AZ502", settings.FILE_NAME, line_of_member(root / settings.FILE_NAME, (*path, key)), 0, text
                )


def host_json_findings(root: Path, values: Settings) -> tuple[HostOptions | None, list[Finding]]:
    """Read host.json. Return its options, None if it is wrong, and findings about the file."""
    name = hostjson.FILE_NAME
    found = []
    if not (root / name).is_file():
        text = 'host.json is missing. Core Tools and Azure need it: write one with "version": "2.0".'
        found.append(Finding("AZ503", name, 1, 0, text))
    try:
        options, warnings = read_host_json(root, values, create=False)
    except ConfigurationError as error:
        return None, [*found, _located("AZ501", name, str(error), root)]
    return options, [*found, *(_located("AZ502", name, warning, root) for warning in warnings)]


def host_json_error(root: Path, error: EmulatorError) -> Finding:
    """Return the finding about an error that an extension has raised for its section of host.json."""
    return _located("AZ501", hostjson.FILE_NAME, str(error), root)


def extension_findings(code: str, root: Path, warnings: Sequence[str]) -> list[Finding]:
    """Return findings for warnings about the sections of extensions in host.json."""
    return [_located(code, hostjson.FILE_NAME, warning, root) for warning in warnings]


def bundle_findings(root: Path, binding_types: Collection[str]) -> Iterator[Finding]:
    """Yield findings about the extension bundle. `binding_types`: those that the app uses."""
    name = hostjson.FILE_NAME
    needed = sorted(kind for kind in binding_types if kind.lower() not in _WITHOUT_BUNDLE)
    # An app may install its extensions itself instead.
    if not needed or not (root / name).is_file() or (root / "extensions.csproj").is_file():
        return
    try:
        content = read_json(root / name).value
    except (OSError, NotText, json.JSONDecodeError):
        return
    bundle = _member(content, "extensionBundle") if isinstance(content, dict) else None
    if not isinstance(bundle, dict):
        advice = f'"extensionBundle": {{"id": "{BUNDLE_ID}", "version": "{RECOMMENDED_BUNDLE}"}}'
        text = f"The app uses {', '.join(needed)}, which need an extension bundle. Add to host.json: {advice}."
        yield Finding("AZ507", name, 1, 0, text)
        return
    version = _member(bundle, "version")
    match = re.match(r"\s*[\[(]?\s*(\d+)(.*)", version) if isinstance(version, str) else None
    if match is None:
        return
    # A range includes each major version below its upper end.
    upper = re.search(r",\s*(\d+)", match.group(2))
    highest = int(upper.group(1)) - 1 if upper else int(match.group(1))
    if max(int(match.group(1)), highest) < OLDEST_SUPPORTED_BUNDLE:
        text = f'The extension bundle {version} is no longer supported. Use "version": "{RECOMMENDED_BUNDLE}".'
        yield Finding("AZ508", name, line_of_member(root / name, ("extensionBundle", "version")), 0, text)


def missing_setting_findings(root: Path, values: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Yield findings about settings without a value; none if there is no local.settings.json to compare with."""
    # In a checkout the file is usually missing, because Git ignores it. Then nothing is known about the settings.
    if not (root / settings.FILE_NAME).is_file():
        return
    for use in missing_settings(root, values, environ):
        text = (
            f"The setting '{use.name}' ({use.kind}) has no value. Add it to \"Values\" in {settings.FILE_NAME}, and to "
            "the settings of the app on Azure."
        )
        yield Finding("AZ509", use.file, use.line, 0, text)


def _member(members: Mapping[str, Any], name: str) -> Any:
    return next((value for key, value in members.items() if key.lower() == name.lower()), None)


def _located(code: str, file: str, message: str, root: Path) -> Finding:
    """Return a finding at the line that the message names, else at the member that it names."""
    # The place is not repeated in the message.
    text = message.replace(f"{root / file}: ", "").replace(str(root / file), file)
    match = _LINE.search(message)
    if match is not None:
        return Finding(code, file, int(match.group(1)), int(match.group(2) or 0), text)
    members = [*re.findall(r'"([^"]+)"', text), *re.findall(r"[\w.]+(?= (?:is|in) )", text)]
    lines = (line_of_member(root / file, member.split(".")) for member in members)
    return Finding(code, file, next((line for line in lines if line > 1), 1), 0, text)
