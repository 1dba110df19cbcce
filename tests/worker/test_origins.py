"""The line of the log that names a user's exception and the app's line that raised it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from emulator.worker.origins import origin_of

APP = """
import json


def reads():
    return json.loads("{")


def outer():
    return middle()


def middle():
    return inner()


def inner():
    raise LookupError("no such step\\nand more")


def deep(depth):
    return deep(depth - 1) if depth else inner()


def translated():
    try:
        inner()
    except LookupError as error:
        raise ValueError("translated") from error


def silent():
    raise ValueError


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("no text")


def unprintable():
    raise Unprintable
"""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    file = tmp_path / "function_app.py"
    file.write_text(APP)
    module = ModuleType("function_app")
    exec(compile(APP, str(file), "exec"), vars(module))
    monkeypatch.chdir(tmp_path)
    return module


def raised_by(call: Callable[..., Any], *arguments: Any) -> Exception:
    """The exception of a call, without the frame of this test."""
    with pytest.raises(Exception) as raised:  # noqa: PT011 - the test looks at it
        call(*arguments)
    return raised.value.with_traceback(raised.tb.tb_next)


@pytest.mark.parametrize(
    ("function", "origin"),
    [
        # The last line of the app, not that of the library.
        ("reads", "(function_app.py, line 6, in reads)"),
        (
            "outer",
            "LookupError: no such step (function_app.py, line 18, in inner, called by function_app.py, line 14, in "
            "middle, called by function_app.py, line 10, in outer)",
        ),
        ("translated", "ValueError: translated (function_app.py, line 29, in translated)"),
        ("silent", "ValueError (function_app.py, line 33, in silent)"),
        ("unprintable", "Could not serialize original exception message. (function_app.py, line 42, in unprintable)"),
    ],
)
def test_origin_is_the_innermost_line_of_the_app(app: ModuleType, function: str, origin: str) -> None:
    assert origin_of(raised_by(getattr(app, function))).endswith(origin)


def test_at_most_three_callers_are_named(app: ModuleType) -> None:
    assert origin_of(raised_by(app.deep, 50)).count("called by") == 3


def test_cause_is_named_if_the_exception_itself_has_no_line_of_the_app(app: ModuleType) -> None:
    wrapper = Exception("Message of a library")
    wrapper.__cause__ = raised_by(app.inner)
    assert origin_of(wrapper) == "LookupError: no such step (function_app.py, line 18, in inner)"


def test_function_is_named_if_no_line_of_the_app_raised_the_error(app: ModuleType, tmp_path: Path) -> None:
    assert origin_of(raised_by(json.dumps, {1}), f"{tmp_path / 'function_app.py'}:5") == (
        "TypeError: Object of type set is not JSON serializable (not raised by a line of the app; the function is at "
        "function_app.py, line 5)"
    )


def test_file_outside_of_the_current_folder_has_its_whole_path(
    app: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert f"({tmp_path / 'function_app.py'}, line 33, in silent)" in origin_of(raised_by(app.silent))


def test_cycle_of_causes_ends() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert origin_of(first) == "ValueError: first"
