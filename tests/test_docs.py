"""What the documentation shows is what the tests run."""

from __future__ import annotations

import ast
import json
import re
import textwrap
import tomllib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, get_type_hints

import pytest

from emulator.cli.commands import GROUPS, find_command
from emulator.cli.parsing import parser_of
from emulator.config.hostjson import HostOptions
from emulator.config.unused_options import UNUSED_OPTIONS
from emulator.durable.options import DurableTaskOptions
from emulator.host.http_options import HttpOptions
from release import host_json_reference, testing_reference
from tests.doc_sessions import blocks_of

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
# For users. The pages about protocols show the code of other programs, too.
GUIDES = [
    page for page in PAGES if page.is_relative_to(ROOT / "docs") and "protocol" not in page.relative_to(ROOT).parts
]

# Where blocks of a language are checked, and by which test.
CHECKED = {
    "sh": "test_doc_sessions.py",
    "console": "test_doc_sessions.py",
    "python": "test_every_python_example_is_part_of_code_that_is_tested",
    "json": "test_every_json_example_is_json",
    "yaml": "test_doc_files.py",
    "dockerfile": "test_doc_files.py",
}
# Pages with blocks `text`, and what checks these.
TEXTS = {
    "ARCHITECTURE.md": "drawings; test_the_layers_of_the_architecture_are_those_that_are_checked",
    "CONTRIBUTING.md": "the message of a commit",
    "docs/boundary.md": "a drawing",
    "docs/quickstart.md": "output of `azemu start`; test_quickstart.py",
    "docs/reference/cli.md": "generated; tests/cli/test_reference.py",
    "docs/reference/testing-api.md": "generated; test_reference_of_the_testing_api_is_current",
    "docs/testing.md": "messages; tests/testing/test_guide.py",
}

_COMMAND = re.compile(r"(?:^|[;&|(]|\$\{?)\s*(?:python -m |\S*bin/)?azemu(?=\s|$)(.*)")


def _short(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", GUIDES, ids=_short)
def test_every_python_example_is_part_of_code_that_is_tested(page: Path) -> None:
    examples = [content for language, content in blocks_of(page) if language == "python"]
    assert [example for example in examples if textwrap.dedent(example).strip() not in _tested_code()] == []


def test_the_testing_guide_has_examples() -> None:
    assert len([language for language, _ in blocks_of(ROOT / "docs" / "testing.md") if language == "python"]) >= 6


@pytest.mark.parametrize("page", [page for page in PAGES if "protocol" not in page.relative_to(ROOT).parts], ids=_short)
def test_every_block_is_run_or_checked(page: Path) -> None:
    """Each block has a language: that of a session, of code, of data, or `text`, which needs a reason."""
    languages = [language for language, _ in blocks_of(page)]
    assert [language for language in languages if language not in (*CHECKED, "text")] == []
    assert ("text" in languages) == (_short(page) in TEXTS)


@pytest.mark.parametrize("page", GUIDES, ids=_short)
def test_every_json_example_is_json(page: Path) -> None:
    for language, content in blocks_of(page):
        if language == "json":
            json.loads(content)


@pytest.mark.parametrize("page", [page for page in PAGES if "protocol" not in page.relative_to(ROOT).parts], ids=_short)
def test_every_command_and_option_exists(page: Path) -> None:
    assert [f"{line}: {wrong}" for line in _command_lines(page) for wrong in _unknown_in(line)] == []


@pytest.mark.parametrize("line", ["azemu strt", "azemu durable lst", "azemu check --jsn", "azemu durable list|hide ID"])
def test_what_does_not_exist_is_found(line: str) -> None:
    assert len(list(_unknown_in(line))) == 1


def test_every_page_is_in_the_navigation_of_the_site() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    pages = [page.relative_to(ROOT / "docs").as_posix() for page in GUIDES]
    assert [page for page in pages if not re.search(rf"[:-] {re.escape(page)}$", navigation, re.MULTILINE)] == []


def test_pictures_are_shown_and_small() -> None:
    pictures = sorted((ROOT / "docs" / "pictures").iterdir())
    text = "\n".join(page.read_text(encoding="utf-8") for page in GUIDES)
    assert [picture.name for picture in pictures if f"pictures/{picture.name})" not in text] == []
    assert sum(picture.stat().st_size for picture in pictures) < 1_500_000


@pytest.mark.parametrize("page", PAGES, ids=_short)
def test_every_target_of_make_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    text = page.read_text(encoding="utf-8")
    assert set(re.findall(r"(?:`|^ *(?:\$ )?)make ([a-z]+)", text, re.MULTILINE)) - targets == set()


@pytest.mark.parametrize("page", PAGES, ids=_short)
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


def test_the_layers_of_the_architecture_are_those_that_are_checked() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    layers = [set(re.findall(r"\w+", layer)) for layer in contracts["contracts"][0]["layers"]]
    known = set().union(*layers)
    chapter = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").partition("## Packages")[2]
    lines = [line.replace(",", " ").split() for line in chapter.split("```")[1].splitlines()[1:]]
    # What follows the packages of a line says what they are for.
    named = [name for words in lines for name in takewhile(lambda word: word in known, words)]
    # A layer may take several lines, and the order within a layer is free.
    position = {name: number for number, layer in enumerate(layers) for name in layer}
    assert sorted(named) == sorted(known)
    assert [position[name] for name in named] == sorted(position.values())


def test_every_setting_of_our_own_is_documented() -> None:
    code = "\n".join(path.read_text() for path in sorted(PACKAGE.rglob("*.py")))
    page = (ROOT / "docs" / "compatibility.md").read_text()
    assert {name for name in re.findall(r"AZEMU_[A-Z_]+", code) if f"| `{name}` |" not in page} == set()


def test_every_setting_is_in_the_reference() -> None:
    # Names that Azure defines, as whole texts in the code.
    pattern = r"\"((?:FUNCTIONS|WEBSITE|PYTHON|DURABLE)_[A-Z_]+|AzureWebJobs[A-Z]\w+|languageWorkers:[\w:]+|NO_COLOR)\""
    code = "\n".join(
        path.read_text() for path in sorted(PACKAGE.rglob("*.py")) if PACKAGE / "check" not in path.parents
    )
    page = (ROOT / "docs" / "reference" / "settings.md").read_text()
    # The last one is metadata of blobs, the others are variables of the interpreter.
    found = set(re.findall(pattern, code)) - {
        "PYTHON_FROZEN_MODULES",
        "PYTHON_GIL",
        "PYTHON_JIT",
        "AzureWebJobsParentId",
    }
    assert len(found) > 12
    assert {name for name in found if f"`{name}`" not in page} == set()


def test_reference_of_host_json_is_current() -> None:
    current = host_json_reference.FILE.read_text(encoding="utf-8") == host_json_reference.reference()
    assert current, "write it again: python -m release.host_json_reference"


def test_reference_of_the_testing_api_is_current() -> None:
    assert testing_reference.missing() == set()
    current = testing_reference.FILE.read_text(encoding="utf-8") == testing_reference.reference()
    assert current, "write it again: python -m release.testing_reference"


def test_every_route_of_the_admin_api_and_the_dashboard_is_in_the_reference() -> None:
    page = (ROOT / "docs" / "reference" / "http-api.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"`([A-Z]+) /?([a-z][^`]*)`", page))
    dashboard = set(_routes("dashboard", r'endpoint\(\s*"([A-Z ]+)",\s*(f?"[^"]+"|path)'))
    admin = set(_routes("host/admin", r'admin_route\(\s*"([A-Z ]+)",\s*(f?"[^"]+")'))
    assert (len(dashboard), len(admin)) > (30, 20)
    assert (dashboard | admin) - documented == set()


def test_frequent_messages_are_those_of_the_code() -> None:
    page = (ROOT / "docs" / "reference" / "errors.md").read_text(encoding="utf-8")
    chapter = page.partition("## Frequent messages")[2].partition("\n## ")[0]
    messages = re.findall(r"^\| `([^`]+)` \|", chapter, re.MULTILINE)
    code = "\n".join(path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py")))
    assert len(messages) >= 6
    assert [message for message in messages if message not in code] == []


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


def _routes(folder: str, pattern: str) -> Iterator[tuple[str, str]]:
    """Yield method and template of each route that modules of a folder declare."""
    for module in sorted((PACKAGE / folder).rglob("*.py")):
        text = module.read_text(encoding="utf-8")
        constants = dict(re.findall(r'(\w+) = (?:\w+\(\), )?"([^"]+)"$', text, re.MULTILINE))
        for methods, template in re.findall(pattern, text):
            path = constants[template] if template.isidentifier() else template.removeprefix("f").strip('"')
            for name, value in constants.items():
                path = path.replace(f"{{{name}}}", value) if template.startswith("f") else path
            yield from ((method, path.replace("{{", "{").replace("}}", "}")) for method in methods.split())


@cache
def _tested_code() -> str:
    """Return the code of tests, samples and templates, as it is and with less indentation."""
    files = [
        *sorted((ROOT / "tests").rglob("*.py")),
        *sorted((ROOT / "samples").rglob("*.py")),
        *sorted((PACKAGE / "scaffolding" / "templates").rglob("*.py")),
    ]
    texts = [path.read_text(encoding="utf-8") for path in files]
    # An example from within a function is shown with or without its indentation.
    return "\n".join(
        shown for text in texts for shown in (text, *(re.sub(f"(?m)^{' ' * n}", "", text) for n in (4, 8)))
    )


def _command_lines(page: Path) -> Iterator[str]:
    """Yield each command line of azemu, in blocks of code and in code within the text."""
    text = page.read_text(encoding="utf-8")
    in_blocks = [
        line.removeprefix("$ ")
        for language, content in blocks_of(page)
        if language != "python"
        for line in content.splitlines()
    ]
    in_text = re.findall(r"`([^`\n]+)`", re.sub(r"(?ms)^ *```.*?^ *```", "", text))
    for line in [*in_blocks, *in_text]:
        if (found := _COMMAND.match(line)) is not None:
            yield f"azemu{found[1]}"


def _unknown_in(line: str) -> Iterator[str]:
    """Yield what of a command line azemu does not know: the command, or options."""
    # A comment, another command, and the backslash before "|" in tables do not belong to it.
    unquoted = re.sub(r"""'[^']*'|"[^"]*\"""", "QUOTED", line.replace("\\|", "|"))
    words = re.split(r"\s#|\s(?:\||&&|;)\s|`", unquoted)[0].split()[1:]
    if not words or words[0].startswith(("-", "…", "COMMAND", "[")):
        return
    for command_words in _alternatives(words):
        command = find_command(command_words)
        if command is None:
            if command_words[0] not in GROUPS or len(command_words) > 1:
                yield f"no command {' '.join(command_words)}"
            continue
        known = parser_of(command.parse_options)._option_string_actions
        options = [re.split(r"[=|\]]", word.strip("[]"))[0] for word in command_words[len(command.words) :]]
        yield from (name for name in options if re.fullmatch(r"--?[a-z][\w-]*", name) and name not in known)


def _alternatives(words: list[str]) -> list[list[str]]:
    """Return the command lines that `durable list|show ID` stands for."""
    for index, word in enumerate(words[:2]):
        if "|" in word:
            return [[*words[:index], choice, *words[index + 1 :]] for choice in word.split("|") if choice != "…"]
    return [words]


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
