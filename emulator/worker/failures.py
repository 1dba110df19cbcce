"""How exceptions of user code are shown: the official worker's texts, with the user's frames.

The official worker prints the frames of its own dispatcher first; ours show nobody anything and are left out.
Source: docs/protocol/python-worker.md chapter 8.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from types import TracebackType

import emulator
from emulator.errors import AppLoadError
from emulator.worker.port import FunctionFailed

_OUR_FILES = str(Path(emulator.__file__).parent)
_IMPORT_MACHINERY = ("<frozen importlib", str(Path("importlib") / "__init__.py"))

_MODULE_NOT_FOUND = (
    ". Cannot find module. Please check the requirements.txt file for the missing module. For more info, please refer "
    "the troubleshooting guide: https://aka.ms/functions-modulenotfound. Current sys.path: "
)


def function_failed(error: BaseException) -> FunctionFailed:
    """The port's error for what a function raised."""
    return FunctionFailed(
        type_name=type(error).__name__, text=message_of(error), stack=stack_of(error.__traceback__), cause=error
    )


def app_load_error(error: BaseException, search_path: list[str]) -> AppLoadError:
    """The text of `Worker failed to index functions`. `search_path`: what an import error lists as sys.path."""
    text = f"{type(error).__name__}: {message_of(error)}"
    if isinstance(error, ImportError) and "partially initialized module" not in text:
        text += f"{_MODULE_NOT_FOUND}{search_path}"
    stack = stack_of(error.__traceback__) + _syntax(error)
    failed = AppLoadError("\n".join([f"Result: Failure\nException: {text}\nStack: {stack.rstrip()}", *_remarks(error)]))
    failed.__cause__ = error
    return failed


def _syntax(error: BaseException) -> str:
    """File, line and text of a syntax error, which has no frame there."""
    if not isinstance(error, SyntaxError):
        return ""
    lines = traceback.TracebackException.from_exception(error).format_exception_only()
    return "".join(line for line in lines if line.startswith("  "))


def _remarks(error: BaseException) -> list[str]:
    """What the official text leaves open: which function it is about, where a module has to be installed."""
    remarks = list(getattr(error, "__notes__", ()))
    if isinstance(error, ModuleNotFoundError):
        python = sys.executable
        remarks.append(f"The app runs on {python}. If it can be installed: {python} -m pip install -r requirements.txt")
    return remarks


def message_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "Unhandled exception in function. Could not serialize original exception message."


def stack_of(trace: TracebackType | None) -> str:
    """The frames, outermost first, without header and exception line; no causes, as in the official worker."""
    try:
        frames = [frame for frame in traceback.extract_tb(trace) if not _is_machinery(frame.filename)]
        return "".join(traceback.format_list(frames))
    except Exception:
        # Formatting reads the user's source files, which may be anything.
        return ""


def _is_machinery(filename: str) -> bool:
    return filename.startswith((_OUR_FILES, _IMPORT_MACHINERY[0])) or filename.endswith(_IMPORT_MACHINERY[1])
