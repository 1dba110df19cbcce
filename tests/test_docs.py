"""What the documentation shows is what the tests run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, get_type_hints

import pytest

from emulator.config.hostjson import HostOptions
from emulator.config.unused_options import UNUSED_OPTIONS
from emulator.durable.options import DurableTaskOptions
from emulator.host.http_options import HttpOptions

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "emulator"
PAGES = [
    ROOT / "README.md",
    ROOT / "ARCHITECTURE.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "tests").rglob("README.md")),
    *sorted(ROOT.glob("samples/*/README.md")),
]


def test_every_example_of_the_testing_guide_is_part_of_a_test() -> None:
    tested = "\n".join(path.read_text() for path in sorted((ROOT / "tests").rglob("test_*.py")))
    examples = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "testing.md").read_text(), re.DOTALL)
    assert len(examples) >= 6
    assert [example for example in examples if example.rstrip("\n") not in tested] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    # Code spans may contain brackets, for example regular expressions.
    text = re.sub(r"`[^`\n]*`", "", page.read_text(encoding="utf-8"))
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (page.parent / link).exists()] == []


def test_every_sample_is_in_the_readme_and_has_a_page() -> None:
    samples = sorted(folder.name for folder in (ROOT / "samples").iterdir() if (folder / "function_app.py").is_file())
    readme = (ROOT / "README.md").read_text()
    assert [name for name in samples if f"(samples/{name})" not in readme] == []
    assert [name for name in samples if not (ROOT / "samples" / name / "README.md").is_file()] == []


def test_everything_that_the_architecture_names_exists() -> None:
    """Paths, and dotted names that begin with a folder or module of the package: `engine.loop.work`."""
    named = re.findall(r"`([^`\n]+)`", (ROOT / "ARCHITECTURE.md").read_text())
    paths = [name for name in named if re.fullmatch(r"(emulator|tests|docs)/[\w./]+", name)]
    dotted = [name for name in named if _is_ours(name)]
    assert len(paths) > 10
    assert len(dotted) > 150
    assert [name for name in paths if not (ROOT / name).exists()] == []
    assert [name for name in dotted if not any(_exists(place, name.split(".")) for place in _places(name))] == []


def test_every_setting_of_our_own_is_documented() -> None:
    code = "\n".join(path.read_text() for path in sorted(PACKAGE.rglob("*.py")))
    page = (ROOT / "docs" / "compatibility.md").read_text()
    assert {name for name in re.findall(r"AZEMU_[A-Z_]+", code) if f"| `{name}` |" not in page} == set()


def test_every_option_of_host_json_has_an_effect() -> None:
    code = "\n".join(path.read_text() for path in sorted(PACKAGE.rglob("*.py")))
    sections = (HostOptions, HttpOptions, DurableTaskOptions)
    assert [
        name for section in sections for name in _options(section) if f".{name.rpartition('.')[2]}" not in code
    ] == []


def test_every_option_of_host_json_without_effect_is_documented() -> None:
    page = (ROOT / "docs" / "compatibility.md").read_text()
    documented = {word for span in re.findall(r"`([\w.]+)`", page) for word in span.split(".")}
    assert [row.path for row in UNUSED_OPTIONS if not documented & set(row.path.split("."))] == []


def _options(section: type[DataclassInstance]) -> Iterator[str]:
    for member in fields(section):
        kind = get_type_hints(section)[member.name]
        if isinstance(kind, type) and is_dataclass(kind):
            yield from _options(kind)
        else:
            yield f"{section.__name__}.{member.name}"


def _is_ours(name: str) -> bool:
    # `host.json` is a file of the app, `clock.busy()` a call.
    return bool(re.fullmatch(r"\w+(\.\w+)+", name)) and not name.endswith((".json", ".py")) and any(_places(name))


def _places(name: str) -> Iterator[Path]:
    """The folders that hold the first part of a dotted name."""
    first = name.partition(".")[0]
    return (folder for folder in _packages() if (folder / first).is_dir() or (folder / f"{first}.py").is_file())


@cache
def _packages() -> list[Path]:
    return [PACKAGE, *(folder for folder in sorted(PACKAGE.rglob("*")) if (folder / "__init__.py").is_file())]


def _exists(folder: Path, parts: list[str]) -> bool:
    first, *rest = parts
    if (folder / first).is_dir():
        return not rest or _exists(folder / first, rest) or _defines(folder / first / "__init__.py", rest)
    return (folder / f"{first}.py").is_file() and (not rest or _defines(folder / f"{first}.py", rest))


def _defines(module: Path, names: list[str]) -> bool:
    """Whether a definition, and the definition in it, and so on, has these names."""
    body: list[ast.stmt] = _parsed(module).body
    for name in names:
        found = next((statement for statement in body if name in _names(statement)), None)
        if found is None:
            return False
        body = found.body if isinstance(found, ast.ClassDef) else []
    return True


def _names(statement: ast.stmt) -> list[str]:
    match statement:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Assign() | ast.AnnAssign():
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            return [target.id for target in targets if isinstance(target, ast.Name)]
        case ast.ImportFrom():
            return [each.asname or each.name for each in statement.names]
    return []


@cache
def _parsed(module: Path) -> ast.Module:
    return ast.parse(module.read_text())
