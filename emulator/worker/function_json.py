"""Functions of the v1 programming model: folders with a function.json, as the Functions host reads them.

    for folder in function_folders(root):
        declaration = read_function(folder)

Only the files are read here; `worker.app_loading` imports the scripts.
Source: host, HostFunctionMetadataProvider.cs, BindingMetadata.cs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from emulator import bound_json as json
from emulator.config.hostjson import RetryOptions
from emulator.config.jsonc import NotText, read_json
from emulator.config.schema import Section, read_section
from emulator.errors import ConfigurationError
from emulator.worker.port import Binding, RetryPolicy, member_of
from emulator.worker.retry_policies import policy_of_options

FILE_NAME = "function.json"

_DIRECTIONS = ("in", "out", "inout")
_DATA_TYPES = ("undefined", "string", "binary", "stream")
# In this order; the host knows the first two. Public apps have `main.py`, too, beside a helper module.
_SCRIPT_NAMES = ("run.py", "__init__.py", "main.py")


class FunctionConfigurationError(ConfigurationError):
    """A function.json is invalid, or the script that it belongs to is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionDeclaration:
    """What a function.json says. `path`: of the file itself. `script`: absolute, symbolic links not resolved.

    `entry_point`: the name of the Python function. `config`: the whole content. `disabled`: a bool, or the name of an
    app setting. `warnings`: about what works here and not on Azure.
    """

    name: str
    path: Path
    script: Path
    entry_point: str
    bindings: Sequence[Binding]
    retry: RetryPolicy | None
    disabled: bool | str
    config: Mapping[str, Any]
    warnings: Sequence[str]


def function_folders(root: Path) -> list[Path]:
    """Return the folders directly below the app's folder that have a function.json, sorted by name."""
    try:
        return sorted(folder for folder in root.iterdir() if (folder / FILE_NAME).is_file())
    except OSError:
        return []


def read_function(folder: Path) -> FunctionDeclaration:
    """Read the function.json of a folder and find the function's script.

    Raises FunctionConfigurationError, in the words of the Functions host where it has them.
    """
    path = folder / FILE_NAME
    config, warnings = _read(path)
    bindings = member_of(config, "bindings") or []
    if not isinstance(bindings, list) or not all(isinstance(binding, dict) for binding in bindings):
        raise _wrong(path, "bindings", bindings, "an array of objects")
    if not bindings:
        raise FunctionConfigurationError(f"At least one binding must be declared. Add it to 'bindings' in '{path}'.")
    disabled = member_of(config, "disabled")
    if not isinstance(disabled, bool | str | None):
        raise _wrong(path, "disabled", disabled, "true, false, or the name of an app setting")
    script, script_warnings = _find_script(path, _text(path, config, "scriptFile"))
    return FunctionDeclaration(
        name=folder.name,
        path=path,
        script=script,
        entry_point=_text(path, config, "entryPoint") or "main",
        bindings=[_read_binding(path, binding) for binding in bindings],
        retry=_read_retry(path, config),
        # The host writes the name of a setting without, users also write it with percent signs.
        disabled=disabled.strip("%") if isinstance(disabled, str) else bool(disabled),
        config=config,
        warnings=[*warnings, *script_warnings],
    )


def _read(path: Path) -> tuple[Mapping[str, Any], Sequence[str]]:
    try:
        file = read_json(path)
    except json.JSONDecodeError as error:
        raise FunctionConfigurationError(
            f"'{path}' is not valid JSON: {error.msg} (line {error.lineno}, column {error.colno})."
        ) from None
    except (OSError, NotText) as error:
        raise FunctionConfigurationError(f"'{path}' cannot be read: {error}") from None
    if not isinstance(file.value, dict):
        raise FunctionConfigurationError(f"'{path}' must contain a JSON object with the member 'bindings'.")
    return file.value, file.warnings


def _read_binding(path: Path, members: Mapping[str, Any]) -> Binding:
    direction = _text(path, members, "direction") or "in"
    if direction.lower() not in _DIRECTIONS:
        raise FunctionConfigurationError(
            f"'{direction}' is not a valid binding direction. Allowed in '{path}': {', '.join(_DIRECTIONS)}."
        )
    binding_type = _text(path, members, "type")
    if not binding_type:
        raise FunctionConfigurationError(f"A binding in '{path}' has no 'type': {json.dumps(members)}")
    # The official worker gets a number from the host, which for an absent member is that of "undefined".
    data_type = _text(path, members, "dataType") or "undefined"
    if data_type.lower() not in _DATA_TYPES:
        raise _wrong(path, "dataType", data_type, ", ".join(_DATA_TYPES))
    binding = Binding(
        type=binding_type,
        name=_text(path, members, "name") or "",
        direction=cast(Literal["in", "out", "inout"], direction.lower()),
        data_type=data_type.upper(),
        properties=members,
    )
    if binding.is_trigger and binding.direction == "out":
        # The Functions host says only that the function has no trigger.
        raise _wrong(path, "direction", direction, f"in, because '{binding_type}' is a trigger")
    return binding


def _read_retry(path: Path, config: Mapping[str, Any]) -> RetryPolicy | None:
    if member_of(config, "retry") is None:
        return None
    try:
        section = Section(config, (), lambda _: str(path)).section("retry")
        options = read_section(RetryOptions, section)
        options.check(section)
    except ConfigurationError as error:
        raise FunctionConfigurationError(str(error)) from None
    return policy_of_options(options)


def _find_script(path: Path, configured: str | None) -> tuple[Path, Sequence[str]]:
    """Return the script of the function.json at `path`, and warnings. `configured`: its member scriptFile."""
    folder = path.parent
    if configured:
        # Without resolving symbolic links, as in .NET: the module's name is made of the path as it is written.
        script = Path(os.path.normpath(folder / configured))
        if script.is_file():
            return script, ()
        # A path that was written on Windows works neither here nor on Azure if the host runs on Linux.
        advice = " Write '/' between folders, which works on all systems." if "\\" in configured else ""
        raise FunctionConfigurationError(
            "Invalid script file name configuration. The 'scriptFile' property is set to a file that does not exist. "
            f"'{path}' names '{configured}', which would be '{script}'.{advice}"
        )
    files = [entry for entry in folder.iterdir() if entry.is_file() and entry.name.lower() != FILE_NAME]
    scripts = [file for file in files if file.suffix.lower() == ".py"]
    by_name = {script.name.lower(): script for script in scripts}
    named = [by_name[name] for name in _SCRIPT_NAMES if name in by_name]
    if not named and len(scripts) != 1:
        raise FunctionConfigurationError(
            # The first two sentences are the host's, with the missing blanks. The name `run` does for Python, too.
            "Unable to determine the primary function script. Make sure atleast one script file is present. "
            f"Add 'scriptFile' to '{path}', or name the script __init__.py."
        )
    script = named[0] if named else scripts[0]
    if script.name.lower() in _SCRIPT_NAMES[:2] or len(files) == 1:
        return script, ()
    return script, [
        f"'{path}' has no 'scriptFile', and '{script.name}' is used. On Azure the function would be in error, because "
        f'there are other files in its folder: add "scriptFile": "{script.name}".'
    ]


def _text(path: Path, members: Mapping[str, Any], name: str) -> str | None:
    value = member_of(members, name)
    if isinstance(value, str | None):
        return value
    raise _wrong(path, name, value, "a text")


def _wrong(path: Path, name: str, value: object, allowed: str) -> FunctionConfigurationError:
    return FunctionConfigurationError(f"'{path}': '{name}' is {json.dumps(value)}; allowed: {allowed}.")
