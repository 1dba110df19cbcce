"""Message about all settings that an app needs and that have no value, with the places that need them.

Settings are needed by bindings (in decorators and function.json), by host.json, and by the app's own code.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from emulator import bound_json as json
from emulator.config import hostjson
from emulator.config.connections import DEFAULT_CONNECTION, ConnectionNotConfigured, resolve_connection
from emulator.config.jsonc import NotText, read_json
from emulator.config.settings import FILE_NAME, Settings
from emulator.config.source_scan import SETTING_REFERENCE, Use, scan_sources, setting_use
from emulator.errors import ConfigurationError
from emulator.regular_files import read_regular_text

_SCRIPT_SETTING: Final = "PYTHON_SCRIPT_FILE_NAME"
# Names under which repositories publish examples of settings, since the file itself is not committed.
_EXAMPLE: Final = re.compile(
    r".*settings.*(example|sample|template|dist).*|(example|sample|template).*settings.*", re.I
)
_DOTENV: Final = ".env"
_MAX_PLACES: Final = 3


def missing_settings(root: Path, settings: Settings, environ: Mapping[str, str]) -> list[Use]:
    """Return the places in the app in `root` that need a setting which has no value.

    `environ`: the variables that the app's code will find besides `settings`.
    """
    scripts = [root / (settings.get(_SCRIPT_SETTING) or "function_app.py")]
    functions = [path for path in sorted(root.glob("*/function.json")) if not path.parent.name.startswith(".")]
    for path in functions:
        scripts += _scripts(path)
    sources = scan_sources(root, scripts)
    # The app's code finds the default storage even if it is not set.
    present = {DEFAULT_CONNECTION, *environ, *(name for name, _ in settings.items())}
    # On Windows os.environ ignores letter case, elsewhere not, although settings do.
    known = {_as_variable(name) for name in present}
    uses = [use for use in sources.variables if _as_variable(use.name) not in known]
    if sources.loads_dotenv and (root / _DOTENV).is_file():
        uses = []
    bindings = [use for path in functions for use in _uses_in_json(path, root, path.parent.name)]
    host_json = [use for use in _uses_in_json(root / hostjson.FILE_NAME, root, "host.json") if use.kind.startswith("%")]
    references = [use for use in (*sources.references, *bindings, *host_json) if use.kind.startswith("%")]
    uses += [use for use in references if not settings.get(use.name)]
    connections = [use for use in (*sources.connections, *bindings) if not use.kind.startswith("%")]
    # An Event Grid topic may be empty: it is local then.
    local_topics = [use for use in connections if use.kind.lower().startswith("topic") and use.name in settings]
    uses += [use for use in connections if use not in local_topics and not is_connected(settings, use.name)]
    return list(dict.fromkeys(uses))


def missing_settings_message(root: Path, settings: Settings, environ: Mapping[str, str]) -> str | None:
    """Return a message with all settings of `missing_settings` and the places that need them; None without any."""
    uses = missing_settings(root, settings, environ)
    if not uses:
        return None
    by_name: dict[str, list[Use]] = {}
    for use in uses:
        by_name.setdefault(use.name, []).append(use)
    present = {DEFAULT_CONNECTION, *environ, *(name for name, _ in settings.items())}
    width = max(map(len, by_name))
    lines = [f"  {name:{width}}  {_places(group)}{_other_case(name, present)}" for name, group in by_name.items()]
    count = "1 setting that the app uses has" if len(lines) == 1 else f"{len(lines)} settings that the app uses have"
    if (root / FILE_NAME).is_file():
        advice = f'Add them to "Values" in {FILE_NAME}.'
    else:
        advice = f'Create {FILE_NAME} in {root} with them: {{"IsEncrypted": false, "Values": {{…}}}}.'
    return "\n".join([f"{count} no value:", *lines, f"{advice}{example_hint(root)}"])


def example_files(root: Path) -> list[str]:
    """Return the names of files in the app's folder that show which settings it needs. They are not read."""
    try:
        names = sorted(path.name for path in root.iterdir() if path.is_file())
    except OSError:
        return []
    examples = [name for name in names if _EXAMPLE.fullmatch(name) and name != FILE_NAME]
    return examples or [name for name in names if name == _DOTENV or name.startswith(f"{_DOTENV}.")]


def example_hint(root: Path) -> str:
    """Return a sentence about `example_files`, with a blank in front, for the end of a message; "" without any."""
    match example_files(root):
        case []:
            return ""
        case [name]:
            return f" {name} in the app's folder shows settings of this app."
        case names:
            return f" {' and '.join(names)} in the app's folder show settings of this app."


def _places(uses: list[Use]) -> str:
    """Return the places of uses of one setting, at most `_MAX_PLACES`: a connection can be used by every function."""
    shown = [f"{use.file}:{use.line} ({use.kind})" for use in uses[:_MAX_PLACES]]
    more = len(uses) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _as_variable(name: str) -> str:
    return name.upper() if sys.platform == "win32" else name


def _other_case(name: str, present: set[str]) -> str:
    other = next((other for other in present if other.lower() == name.lower() and other != name), None)
    return f'; the setting "{other}" is written differently' if other is not None else ""


def is_connected(settings: Settings, name: str) -> bool:
    """Whether a connection of a binding has a value. The default storage has one in any case."""
    # The default storage is local storage if it is not set.
    if name in ("", "Storage", DEFAULT_CONNECTION) or "%" in name:
        return True
    try:
        resolve_connection(settings, name)
    except ConnectionNotConfigured:
        return False
    except ConfigurationError:
        pass  # It has a value, which need not be a connection to Azure Storage.
    return True


def _scripts(function_json: Path) -> list[Path]:
    """Return the files that may be the script of a function of the first programming model."""
    script = _content(function_json).get("scriptFile")
    # Which file it is without scriptFile depends on all files of the folder. What its script imports is often there.
    return [function_json.parent / script] if isinstance(script, str) else sorted(function_json.parent.glob("*.py"))


def _uses_in_json(path: Path, root: Path, function: str) -> Iterator[Use]:
    """Uses of settings in the strings of host.json or a function.json."""
    file = path.relative_to(root).as_posix()
    text = ""
    with suppress(OSError, UnicodeDecodeError):
        text = read_regular_text(path)

    def line_of(value: str) -> int:
        position = text.find(json.dumps(value, ensure_ascii=False))
        return text.count("\n", 0, position) + 1 if position >= 0 else 1

    for key, value in _strings(_content(path)):
        names = SETTING_REFERENCE.findall(value)
        for name in names:
            yield Use(name, file, line_of(value), f"%{name}%")
        if not names and (kind := setting_use(key)):
            yield Use(value, file, line_of(value), f'{kind} of "{function}"')


def _content(path: Path) -> Mapping[str, Any]:
    # A file that cannot be read is reported when it is used.
    with suppress(OSError, NotText, json.JSONDecodeError):
        content = read_json(path).value
        return content if isinstance(content, dict) else {}
    return {}


def _strings(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """All strings in a JSON value, each with the key of the member that contains it."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, member in value.items():
            yield from _strings(member, name)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item, key)
