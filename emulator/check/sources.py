"""The Python files of an app, parsed: its scripts, and the files of the app's folder that they import."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from tokenize import detect_encoding
from warnings import catch_warnings, simplefilter

from emulator.check.findings import Finding, unreadable_file
from emulator.check.syntax import statements_of_module
from emulator.config.source_scan import imported_files
from emulator.regular_files import read_regular_text

# More files than a function app has.
REQUIREMENTS = "requirements.txt"
_MAX_FILES = 1000


@dataclass(frozen=True)
class SourceFile:
    """One parsed file. `file`: its path from the app's folder, with slashes. `module`: its dotted name from there."""

    path: Path
    file: str
    module: str
    tree: ast.Module
    lines: Sequence[str]

    def finding(self, code: str, node: ast.AST, message: str) -> Finding:
        """Return a finding at a node of this file."""
        line, offset = getattr(node, "lineno", 1), getattr(node, "col_offset", 0)
        # Python counts bytes of UTF-8, editors and SARIF count characters.
        before = self.lines[line - 1].encode()[:offset].decode(errors="replace") if line <= len(self.lines) else ""
        return Finding(code, self.file, line, len(before) + 1, message)

    @cached_property
    def imports(self) -> Mapping[str, str]:
        """What the names that this file imports stand for: `now` → `datetime.datetime.now`."""
        found: dict[str, str] = {}
        for node in ast.walk(self.tree):
            # Also inside functions: a name that stands for different things in one file is rare.
            if isinstance(node, ast.Import):
                for alias in node.names:
                    top = alias.name.partition(".")[0]
                    found[alias.asname or top] = alias.name if alias.asname else top
            elif isinstance(node, ast.ImportFrom):
                base = self._base(node)
                for alias in node.names:
                    found[alias.asname or alias.name] = f"{base}.{alias.name}".strip(".")
        return found

    @cached_property
    def definitions(self) -> Mapping[str, ast.stmt]:
        """Functions, classes and assignments at the top of this file by name; of several, the last one."""
        found: dict[str, ast.stmt] = {}
        for node in statements_of_module(self.tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                found[node.name] = node
            elif isinstance(node, (ast.Assign, ast.AnnAssign)):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                found.update((target.id, node) for target in targets if isinstance(target, ast.Name))
        return found

    @cached_property
    def variables(self) -> Counter[str]:
        """How often each name is set anywhere in this file, as a variable or parameter."""
        nodes = list(ast.walk(self.tree))
        stored = [node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
        return Counter([*stored, *(node.arg for node in nodes if isinstance(node, ast.arg))])

    def _base(self, node: ast.ImportFrom) -> str:
        """Return the dotted name of what a `from … import` imports from."""
        module = (node.module or "").removeprefix("__app__.")
        if not node.level:
            return module
        parts = self.module.split(".") if self.module else []
        # The file of a package stands for the package itself, so one dot is the package.
        up = node.level - 1 if self.path.name == "__init__.py" else node.level
        return ".".join([*parts[: max(len(parts) - up, 0)], *([module] if module else [])])


@dataclass(frozen=True)
class AppSources:
    """The parsed files of an app. `broken`: findings about files that cannot be parsed."""

    root: Path
    files: Sequence[SourceFile]
    broken: Sequence[Finding]

    @cached_property
    def requirement_lines(self) -> Sequence[str]:
        """The lines of requirements.txt. Raises OSError."""
        return read_regular_text(self.root / REQUIREMENTS, errors="replace").split("\n")

    @cached_property
    def modules(self) -> Mapping[str, SourceFile]:
        """The files by the dotted names of their modules, from each folder above them that may be on sys.path."""
        found: dict[str, SourceFile] = {}
        for source in self.files:
            found.setdefault(source.module, source)
        for source in self.files:
            # A folder such as `src` may be on sys.path.
            below = source.module.partition(".")[2]
            if below and not (self.root / source.module.partition(".")[0] / "__init__.py").is_file():
                found.setdefault(below, source)
        return found

    def definition(self, name: str, depth: int = 5) -> tuple[SourceFile, ast.stmt] | None:
        """Return the file and the definition that a dotted name stands for, through re-exports; None if outside."""
        parts = name.split(".")
        for length in range(len(parts) - 1, 0, -1):
            source = self.modules.get(".".join(parts[:length]))
            if source is None:
                continue
            first, *rest = parts[length:]
            node = source.definitions.get(first)
            if node is None and first in source.imports and depth:
                return self.definition(".".join([source.imports[first], *rest]), depth - 1)
            if isinstance(node, ast.ClassDef) and rest:
                node = next((each for each in node.body if getattr(each, "name", None) == rest[0]), None)
                rest = rest[1:]
            return None if node is None or rest else (source, node)
        return None


def read_sources(root: Path, scripts: Iterable[Path], loaded: Iterable[Path] = ()) -> AppSources:
    """Parse the scripts of an app and what they import from its folder. `loaded`: further files that it imported."""
    waiting = [path.absolute() for path in (*scripts, *loaded)]
    seen: set[Path] = set()
    files, broken = [], []
    while waiting and len(seen) < _MAX_FILES:
        path = waiting.pop(0)
        if path in seen or not path.is_relative_to(root):
            continue
        # Libraries in the app's folder, such as `.venv` and `.python_packages`, are not the app.
        if any(part == "site-packages" or part.startswith(".") for part in path.relative_to(root).parts):
            continue
        seen.add(path)
        file = path.relative_to(root).as_posix()
        try:
            if not path.is_file():
                continue
            content = path.read_bytes()
            # Warnings about the syntax, such as "\d" in a plain string, are not findings, and may be errors (-W error).
            with catch_warnings():
                simplefilter("ignore")
                tree = ast.parse(content)
            # Columns are counted in characters, so the text is needed beside the tree.
            encoding, _ = detect_encoding(BytesIO(content).readline)
            lines = content.decode(encoding, errors="replace").replace("\r\n", "\n").replace("\r", "\n").split("\n")
        except SyntaxError as error:
            text = f"{error.msg}. Python cannot load this file."
            broken.append(Finding("AZ103", file, error.lineno or 1, error.offset or 0, text))
            continue
        except (OSError, ValueError, RecursionError, MemoryError) as error:
            broken.append(unreadable_file(file, error))
            continue
        parts = list(path.relative_to(root).with_suffix("").parts)
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        files.append(SourceFile(path, file, module, tree, lines))
        waiting += imported_files(tree, path, root)
    return AppSources(root, files, broken)
