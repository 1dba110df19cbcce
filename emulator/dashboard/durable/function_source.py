"""Source text of a function of the app."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_MAX_LINES: Final = 400


@dataclass(frozen=True, slots=True)
class FunctionSource:
    """The lines of a function with its decorators. `first_line`: number of the first one in the file, from 1."""

    file: str
    first_line: int
    lines: list[str]


def function_source(place: str, root: Path) -> FunctionSource | None:
    """Return the source of the function at `file:line`; None if the file cannot be read or has changed too much.

    The file may have changed since it was loaded, if the host does not restart at changes. Long functions are cut.
    """
    name, _, number = place.rpartition(":")
    file = root / name
    if not number.isdecimal() or file.suffix != ".py":
        return None
    try:
        text = file.read_text(encoding="utf-8")
        tree = ast.parse(text)
    except (OSError, ValueError, SyntaxError):
        return None
    line = int(number)
    functions = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _first(node) <= line <= (node.end_lineno or 0)
    ]
    if not functions:
        return None
    # The outermost one: functions that are nested in it belong to the orchestrator.
    function = min(functions, key=_first)
    first = _first(function)
    lines = text.splitlines()[first - 1 : min(function.end_lineno or first, first + _MAX_LINES - 1)]
    shown = file.relative_to(root).as_posix() if file.is_relative_to(root) else str(file)
    return FunctionSource(shown, first, lines)


def _first(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return min([function.lineno, *(decorator.lineno for decorator in function.decorator_list)])
