"""Origin of an exception as one line of text: its type, its message and the lines of the app that led to it.

The stack that the official worker sends does not always contain the line that matters: the durable SDK raises an
exception of its own for a failed orchestrator, and keeps only the message of a failed entity operation. So the log has
this line besides.
"""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FrameType

from emulator import own_modules

# The last one is where deployments of Azure Functions put packages.
_PACKAGE_FOLDERS = frozenset((*own_modules.LIBRARY_FOLDERS, ".python_packages"))
_STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib"))

_SDK_STATE = "$OutOfProcData$"

# Messages may contain whole documents, such as the details of a failed activity, and recursion makes stacks long.
_MAX_MESSAGE = 300
_MAX_CALLERS = 3


def origin_of(error: BaseException, function_source: str | None = None) -> str:
    """Return for example "KeyError: 'order' (function_app.py, line 8, in flow)".

    Functions of the app that called the failing one follow. `function_source`: `file:line` of the user's function,
    shown if no line of the app raised the error, as for a result that is not serialisable.
    """
    for cause in _chain(error):
        frames = [frame for frame in traceback.extract_tb(cause.__traceback__) if _is_app_code(frame.filename)]
        if frames:
            innermost, *callers = reversed(frames)
            place = _place(innermost)
            if callers:
                place += ", called by " + ", called by ".join(map(_place, callers[:_MAX_CALLERS]))
            return f"{_summary(cause)} ({place})"
    # The durable SDK puts its whole state into the message of the exception that it raises from the real one.
    summary = _summary(next((cause for cause in _chain(error) if _SDK_STATE not in message_of(cause)), error))
    if function_source is None:
        return summary
    file, _, line = function_source.rpartition(":")
    return f"{summary} (not raised by a line of the app; the function is at {_shown(file)}, line {line})"


def place_in_app(frame: FrameType | None) -> str | None:
    """Return where the app's code is in a stack, such as "function_app.py, line 8, in flow: while True:".

    `frame`: the innermost frame. None: the stack has no line of the app.
    """
    # `walk_stack` begins at the innermost frame.
    return place_in_stack(
        traceback.StackSummary.extract(traceback.walk_stack(frame), lookup_lines=False) if frame else ()
    )


def place_in_stack(stack: Iterable[traceback.FrameSummary]) -> str | None:
    """Return the same as `place_in_app`. `stack`: its frames, the innermost first."""
    summary = next((summary for summary in stack if _is_app_code(summary.filename)), None)
    if summary is None:
        return None
    return _place(summary) + (f": {summary.line}" if summary.line else "")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The exception, then what it was explicitly raised from."""
    seen: set[int] = set()
    cause: BaseException | None = error
    # User code may build a cycle of causes.
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__


def _is_app_code(file: str) -> bool:
    # `<string>` and `<frozen …>` name code without a file.
    if file.startswith("<") or not _PACKAGE_FOLDERS.isdisjoint(Path(file).parts):
        return False
    return not file.startswith(own_modules.PREFIX) and not Path(file).is_relative_to(_STANDARD_LIBRARY)


def _place(frame: traceback.FrameSummary) -> str:
    return f"{_shown(frame.filename)}, line {frame.lineno}, in {frame.name}"


def _shown(file: str) -> str:
    """The path relative to the current folder, which is the app's, if the file is below it."""
    try:
        return str(Path(file).relative_to(Path.cwd()))
    except (OSError, ValueError):  # OSError: the current folder has been deleted.
        return file


def message_of(error: BaseException) -> str:
    """Return `str(error)`, or the official worker's text if that raises."""
    try:
        return str(error)
    except Exception:
        # `__str__` is user code.
        return "Unhandled exception in function. Could not serialize original exception message."


def _summary(error: BaseException) -> str:
    message = message_of(error).strip().partition("\n")[0].rstrip()
    if len(message) > _MAX_MESSAGE:
        message = f"{message[:_MAX_MESSAGE]}…"
    name = type(error).__name__
    return f"{name}: {message}" if message else name
