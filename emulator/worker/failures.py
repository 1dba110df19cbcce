"""Texts of user exceptions: message and stack as the official Python worker sends them, without azemu's own frames.

Source: docs/protocol/python-worker.md chapter 8.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from types import TracebackType

from emulator import own_modules
from emulator.errors import AppLoadError
from emulator.worker.hints import advice_for
from emulator.worker.origins import message_of, origin_of
from emulator.worker.port import FunctionFailed

_FROZEN_IMPORTLIB = "<frozen importlib"
_IMPORTLIB_FILE = str(Path("importlib") / "__init__.py")

_MODULE_NOT_FOUND = (
    ". Cannot find module. Please check the requirements.txt file for the missing module. For more info, please refer "
    "the troubleshooting guide: https://aka.ms/functions-modulenotfound. Current sys.path: "
)


def function_failed(error: BaseException, source: str | None = None) -> FunctionFailed:
    """Return the port's error for an exception that a function raised. `source`: `file:line` of the function."""
    origin = origin_of(error, source)
    if advice := advice_for(origin):
        origin = f"{origin}\n{advice}"
    return FunctionFailed(
        type_name=type(error).__name__,
        text=message_of(error),
        stack=stack_of(error.__traceback__),
        origin=origin,
        cause=error,
    )


def app_load_error(error: BaseException, search_path: list[str]) -> AppLoadError:
    """Return the error for an app that cannot be imported or indexed, with the official worker's text.

    `search_path` is what the text of an import error lists as sys.path. Hints that the official text does not have
    follow at the end.
    """
    failed = AppLoadError("\n".join([str(load_failed(error, search_path)), *hints_of(error)]))
    failed.__cause__ = error
    return failed


def load_failed(error: BaseException, search_path: list[str]) -> FunctionFailed:
    """Return the port's error for a script that cannot be imported or a function whose signature is wrong.

    `search_path`: see `app_load_error`. The text is the official worker's, without hints.
    """
    text, stack = message_of(error), stack_of(error.__traceback__)
    # A circular import is an ImportError too, but nothing is missing; the official worker leaves the advice out there.
    if isinstance(error, ImportError) and "partially initialized module" not in text:
        text += f"{_MODULE_NOT_FOUND}{search_path}"
    if isinstance(error, SyntaxError):
        # The file with the syntax error never ran, so the stack has no frame of it. The exception contains the line.
        lines = traceback.TracebackException.from_exception(error).format_exception_only()
        stack += "".join(line for line in lines if line.startswith("  "))
    return FunctionFailed(type_name=type(error).__name__, text=text, stack=stack.rstrip(), cause=error)


def hints_of(error: BaseException) -> list[str]:
    """Return what the user can do about an error of loading, beyond the official text."""
    # Notes are added where the error is raised, for example the name of the function that cannot be loaded.
    hints = list(getattr(error, "__notes__", ()))
    if advice := advice_for(message_of(error)):
        hints.append(advice)
    if isinstance(error, ModuleNotFoundError):
        python = sys.executable
        hints.append(
            f"The app runs on {python}. To install its requirements: {python} -m pip install -r requirements.txt"
        )
    return hints


def stack_of(trace: TracebackType | None) -> str:
    """Return the frames of user code, outermost first, without header, exception line and chained causes."""
    try:
        frames = [
            frame
            for frame in traceback.extract_tb(trace)
            # The official worker's stack begins with its own dispatcher. azemu's dispatcher and the import system would
            # only hide the user's line.
            if not frame.filename.startswith((own_modules.PREFIX, _FROZEN_IMPORTLIB))
            and not frame.filename.endswith(_IMPORTLIB_FILE)
        ]
        return "".join(traceback.format_list(frames))
    except Exception:
        # Formatting reads the user's source files, which may have any content. An empty stack is what the official
        # worker sends in this case.
        return ""
