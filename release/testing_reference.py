"""Write docs/reference/testing-api.md from the docstrings of emulator.testing. A test checks that the file is current.

python -m release.testing_reference
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType
from typing import Any, Final

from emulator import testing

FILE: Final = Path(__file__).parents[1] / "docs" / "reference" / "testing-api.md"

_BEGIN: Final = """\
# Testing API

What `emulator.testing` contains. [Testing](../testing.md) shows how to use it; `SyncAppUnderTest` has the methods of
`AppUnderTest` without `await`. This page is written from the docstrings by `python -m release.testing_reference`.

With pytest:

| | |
|---|---|
| fixture `azemu` | the running app: `AppUnderTest` in async tests, `SyncAppUnderTest` in others |
| marker `azemu(folder, **options)` | selects the app and the options of `start` |
| option `azemu_app` of the configuration | the app of tests without a marker |
| `pytest --azemu-hold` | keep the app of a failed test open and print the address of its dashboard |
| `pytest --azemu-chaos N`, `pytest --azemu-chaos-seed SEED` | run tests under faults ([chaos](../chaos.md)) |
"""

# In the order of the page. The methods of SyncAppUnderTest are those of AppUnderTest.
_CHAPTERS: Final = (
    ("Start", ("start", "start_sync")),
    ("The app", ("AppUnderTest",)),
    ("Values", ("Answer", "Invoked", "CapturedOutput", "LogLine", "RealWait")),
    ("Replay of histories", ("replay", "HistoryDiverged")),
    ("Chaos", ("Chaos", "Intensities", "ChaosReport", "RulesBroken")),
    (
        "Errors",
        (
            "NothingLeft",
            "TookTooLong",
            "NotSettled",
            "NotDeterministic",
            "UnknownActivity",
            "NotInvoked",
            "InvocationFailed",
            "NotStorable",
            "AppBroken",
            "FunctionsInError",
        ),
    ),
)


def reference() -> str:
    """Return the text of the page."""
    parts = [_BEGIN]
    for heading, names in _CHAPTERS:
        parts.append(f"## {heading}\n")
        parts += [_section(name, getattr(testing, name)) for name in names]
    return "\n".join(parts)


def missing() -> set[str]:
    """Return the names of emulator.testing that the page leaves out."""
    shown = {name for _, names in _CHAPTERS for name in names}
    return {alias for alias in _exported() if alias not in shown} - {"SyncAppUnderTest", "events"}


def _exported() -> Iterator[str]:
    for statement in ast.parse(Path(testing.__file__).read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in statement.names)


def _section(name: str, item: Any) -> str:
    if not inspect.isclass(item):
        return f"### {name}\n\n{_signature(name, item)}\n{_text(item)}\n"
    if issubclass(item, (Exception, Warning)):
        return f"### {name}\n\n{_text(item)}\n"
    members = [f"#### {title}\n\n{_signature(title, member)}\n{_text(member)}\n" for title, member in _members(item)]
    return "\n".join([f"### {name}\n\n{_text(item)}\n", *members])


def _members(item: type) -> Iterator[tuple[str, Any]]:
    """Yield public methods and properties with docstrings, in the order of the source."""
    for name, member in vars(item).items():
        function = member.fget if isinstance(member, property) else member
        if (
            not name.startswith("_")
            and name != "json_members"
            and isinstance(function, FunctionType)
            and function.__doc__
        ):
            yield name, member


def _signature(name: str, item: Any) -> str:
    function: Any = item.fget if isinstance(item, property) else inspect.unwrap(item)
    # From the source, because what `inspect` shows differs between versions of Python.
    [node] = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    returned = ast.unparse(node.returns) if node.returns else "None"
    if isinstance(item, property):
        return f"```text\n{name}: {returned}\n```\n"
    # Context managers are declared as generators, which is not what a test gets.
    if found := re.fullmatch(r"(?:Async)?Iterator\[(.*)\]", returned):
        returned = f"context manager of {found[1]}"
        word = ""
    else:
        word = "await " if isinstance(node, ast.AsyncFunctionDef) else ""
    parameters = _parameters(node.args)
    separator, end = (",\n    ", ",\n") if len(parameters) > 2 else (", ", "")
    begin = "\n    " if end else ""
    return f"```text\n{word}{name}({begin}{separator.join(parameters)}{end}) -> {returned}\n```\n"


def _parameters(arguments: ast.arguments) -> list[str]:
    positional = [*arguments.posonlyargs, *arguments.args]
    first_default = len(positional) - len(arguments.defaults)
    shown = [
        _parameter(argument, arguments.defaults[index - first_default] if index >= first_default else None)
        for index, argument in enumerate(positional)
        if argument.arg != "self"
    ]
    if arguments.kwonlyargs:
        shown.append("*")
    shown += [_parameter(*pair) for pair in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    return shown + ([f"**{_parameter(arguments.kwarg, None)}"] if arguments.kwarg else [])


def _parameter(argument: ast.arg, default: ast.expr | None) -> str:
    annotation = f": {ast.unparse(argument.annotation)}" if argument.annotation else ""
    return f"{argument.arg}{annotation}" + (f" = {ast.unparse(default)}" if default is not None else "")


def _text(item: Any) -> str:
    # Code in a docstring is indented, as in Markdown.
    return inspect.getdoc(item.fget if isinstance(item, property) else item) or ""


if __name__ == "__main__":
    FILE.write_text(reference(), encoding="utf-8", newline="\n")
