"""Import of the app's script, and search for the app object in it.

    with AppModules(root):
        app = import_app(root, script_name(settings))

Source of rules and texts: docs/protocol/python-worker.md 2.1.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from pathlib import Path

import azure.functions as func

from emulator.worker.boundary.app_modules import explain_hidden_module

DEFAULT_SCRIPT = "function_app.py"


# azure-functions 1.11 has a first form of the v2 model: without blueprints, and without a base class of its apps.
_APP_TYPE: type[func.FunctionRegister] = getattr(func, "FunctionRegister", func.FunctionApp)

_SCRIPT_NAME = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_\-]*\.py")


class InvalidFileNameError(Exception):
    """PYTHON_SCRIPT_FILE_NAME is not the name of a Python file. The class name is part of the official text."""


def script_name(settings: Mapping[str, str]) -> str:
    """Return the file name of the app's script. Raises InvalidFileNameError."""
    name = settings.get("PYTHON_SCRIPT_FILE_NAME") or DEFAULT_SCRIPT
    if _SCRIPT_NAME.fullmatch(name) is None:
        raise InvalidFileNameError(f"Invalid file name: {name}")
    return name


def import_app(root: Path, script: str) -> func.FunctionRegister | None:
    """Import the script and return its app object; None if there is no such script. Enter AppModules(root) before.

    Raises what the user's module raises; ValueError if the module has no app object or more than one.
    """
    if not (root / script).is_file():
        return None
    try:
        module = importlib.import_module(Path(script).stem)
    except SyntaxError as error:
        if error.filename is None:
            # For example "source code string cannot contain null bytes", which does not name the file.
            error.add_note(f"The error occurred while importing {root / script}.")
        raise
    except ImportError as error:
        explain_hidden_module(root, error)
        raise
    apps = {name: value for name, value in vars(module).items() if isinstance(value, _APP_TYPE)}
    if not apps:
        raise ValueError("Could not find top level function app instances in function_app.py.")
    [(_, first), *others] = apps.items()
    if others:
        # Two names of the same object count as two, as in the official worker.
        kind = type(first).__name__
        ambiguous = ValueError(f"More than one {kind} or other top level function app instances are defined.")
        ambiguous.add_note(f"The names are {', '.join(apps)} in {module.__file__}.")
        raise ambiguous
    return first
