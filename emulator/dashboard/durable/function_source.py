"""Source text of a function of the app, and what its docstring gives as an example."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from emulator import bound_json as json
from emulator.app_paths import shown_path

_MAX_LINES: Final = 400
# The search for an example begins again at each brace, so its text is limited.
_MAX_DOCSTRING: Final = 4000

_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class FunctionSource:
    """The lines of a function with its decorators. `first_line`: number of the first one in the file, from 1."""

    file: str
    first_line: int
    lines: list[str]


def function_source(place: str, root: Path, *, with_lines: Sequence[int] = ()) -> FunctionSource | None:
    """Return the source of the function at `file:line`; None if the file cannot be read or has changed too much.

    `with_lines`: other lines of the file, whose functions are shown, too, with what is between. The file may have
    changed since it was loaded, if the host does not restart at changes. Long functions are cut.
    """
    read = _read(place, root)
    if read is None:
        return None
    file, text, functions = read
    found = _outermost(functions, int(place.rpartition(":")[2]))
    if found is None:
        return None
    shown = [found]
    for line in with_lines:
        other = _outermost(functions, line)
        if other is not None and abs(_first(other) - _first(found)) < _MAX_LINES:
            shown.append(other)
    first = min(_first(function) for function in shown)
    last = max(function.end_lineno or _first(function) for function in shown)
    lines = text.splitlines()[first - 1 : min(last, first + 2 * _MAX_LINES - 1)]
    return FunctionSource(shown_path(file, root), first, lines)


def documented_example(place: str, root: Path) -> Mapping[str, Any] | None:
    """Return the first JSON object in the docstring of the function at `file:line`; None if there is none."""
    read = _read(place, root)
    if read is None:
        return None
    function = _outermost(read[2], int(place.rpartition(":")[2]))
    text = (ast.get_docstring(function) or "")[:_MAX_DOCSTRING] if function is not None else ""
    for start, character in enumerate(text):
        if character == "{" and (example := _object_at(text, start)):
            return example
    return None


def _object_at(text: str, start: int) -> Mapping[str, Any] | None:
    depth = 0
    for end in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        if depth == 0:
            try:
                value = json.loads(text[start : end + 1])
            except ValueError:
                return None
            return value if isinstance(value, dict) else None
    return None


def _read(place: str, root: Path) -> tuple[Path, str, list[_Function]] | None:
    """Return the file of `file:line`, its text and its functions; None if it cannot be read."""
    name, _, number = place.rpartition(":")
    file = root / name
    if not number.isdecimal() or file.suffix != ".py":
        return None
    try:
        text = file.read_text(encoding="utf-8")
        tree = ast.parse(text)
    except (OSError, ValueError, SyntaxError):
        return None
    return file, text, [node for node in ast.walk(tree) if isinstance(node, _Function)]


def _outermost(functions: Sequence[_Function], line: int) -> _Function | None:
    """Return the outermost function around a line: functions that are nested in it belong to the orchestrator."""
    around = [function for function in functions if _first(function) <= line <= (function.end_lineno or 0)]
    return min(around, key=_first, default=None)


def _first(function: _Function) -> int:
    return min([function.lineno, *(decorator.lineno for decorator in function.decorator_list)])
