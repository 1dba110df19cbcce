"""Settings that an app's own Python files need, found without running them.

The first missing setting raises KeyError and ends the import of the app, so running it would show one at a time. Only
files that the app's scripts import are read, directly or not: tests and tools beside the app read other variables. What
the app reads in another way, such as with pydantic, is not found.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from emulator.app_paths import shown_path

# Names of settings between percent signs. Shorter ones, and ones with other characters, are formats of dates or text.
SETTING_REFERENCE: Final = re.compile(r"%([A-Za-z_][A-Za-z0-9_:]+)%")
# Ends of the names of binding properties whose value is the name of a setting, in lower case without underscores:
# `connection`, `leaseConnection`, `connectionStringSetting`, `account_sid_setting`, …
_SETTING_PROPERTIES: Final = ("connection", "setting")
# Other such properties. Source: attributes with [AppSetting] of the extensions SendGrid and Event Grid.
_OTHER_SETTING_PROPERTIES: Final = ("apikey", "topicendpointuri")
_CATCH_KEY_ERROR: Final = ("KeyError", "LookupError", "Exception", "BaseException")
# More files than a function app has. The scan must not delay the start of a host noticeably.
_MAX_FILES = 300


@dataclass(frozen=True, slots=True)
class Use:
    """One place that needs a setting. `file`: relative to the app folder. `kind`: how it is used, for messages."""

    name: str
    file: str
    line: int
    kind: str


@dataclass(slots=True)
class SourceUses:
    """What the files of an app need: variables that it reads, connections, and `%X%` in bindings.

    `loads_dotenv`: the app reads a file `.env` into its environment.
    """

    variables: list[Use] = field(default_factory=list)
    connections: list[Use] = field(default_factory=list)
    references: list[Use] = field(default_factory=list)
    loads_dotenv: bool = False


def setting_use(property_name: str) -> str | None:
    """Return how a property of a binding uses the setting that it names, for messages; None if it names none.

    `property_name`: as in function.json, or as an argument of a decorator.
    """
    name = property_name.replace("_", "").lower()
    if name.endswith(_SETTING_PROPERTIES) or name in _OTHER_SETTING_PROPERTIES:
        return "connection of a binding" if "connection" in name else f"{property_name} of a binding"
    return None


def scan_sources(root: Path, scripts: Sequence[Path]) -> SourceUses:
    """Find the uses of settings in the scripts of an app and in what they import from the app's folder."""
    uses = SourceUses()
    waiting = [script.absolute() for script in scripts]
    seen: set[Path] = set()
    while waiting and len(seen) < _MAX_FILES:
        path = waiting.pop(0)
        if path in seen:
            continue
        seen.add(path)
        try:
            if not path.is_file():
                continue
            # Bytes, so that Python finds the encoding. A file that cannot be parsed is reported when it is imported.
            tree = ast.parse(path.read_bytes())
        # OSError also for a module name that is too long for a file. Python 3.11 raises MemoryError when brackets are
        # nested too deep.
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        _File(tree, shown_path(path, root), uses).scan()
        waiting += imported_files(tree, path, root)
    return uses


class _File:
    """Scan of one parsed file into `uses`."""

    def __init__(self, tree: ast.Module, file: str, uses: SourceUses) -> None:
        self._tree = tree
        self._file = file
        self._uses = uses
        nodes = list(ast.walk(tree))
        imports = [node for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom))]
        # Names of the module `os` and of `os.environ` in this file.
        self._os = {alias.asname or alias.name for node in imports for alias in node.names if alias.name == "os"}
        self._environ = {
            alias.asname or alias.name
            for node in imports
            if isinstance(node, ast.ImportFrom) and node.module == "os"
            for alias in node.names
            if alias.name == "environ"
        }
        self._constants = {
            target.id: node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        # Variables that the file also sets, or reads in a way that does not fail: its author knows that they may be
        # absent.
        self._optional = {name for node in nodes if (name := self._optional_name(node)) is not None}

    def scan(self) -> None:
        self._scan_statements(self._tree, guarded=False)

    def _scan_statements(self, node: ast.AST, *, guarded: bool) -> None:
        """Scan below a node. `guarded`: a KeyError there is caught."""
        for child in ast.iter_child_nodes(node):
            inside = guarded
            if isinstance(node, ast.Try) and child in node.body:
                inside = guarded or any(_catches_key_error(handler) for handler in node.handlers)
            if isinstance(child, ast.If) and "__name__" in ast.dump(child.test):
                continue  # Runs only if the file is started as a script.
            if not inside and (name := self._required_name(child)) is not None and name not in self._optional:
                assert isinstance(child, ast.Subscript)
                self._uses.variables.append(Use(name, self._file, child.lineno, "os.environ"))
            if isinstance(child, ast.Call) and _last_name(child.func) == "load_dotenv":
                self._uses.loads_dotenv = True
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                for decorator in child.decorator_list:
                    if isinstance(decorator, ast.Call):
                        self._scan_decorator(decorator)
            self._scan_statements(child, guarded=inside)

    def _scan_decorator(self, decorator: ast.Call) -> None:
        for keyword in decorator.keywords:
            value = self._text(keyword.value)
            if value is None:
                continue
            line = keyword.value.lineno
            names = SETTING_REFERENCE.findall(value)
            self._uses.references += [Use(name, self._file, line, f"%{name}%") for name in names]
            if not names and (kind := setting_use(keyword.arg or "")):
                self._uses.connections.append(Use(value, self._file, line, kind))

    def _required_name(self, node: ast.AST) -> str | None:
        """Return X for `os.environ["X"]` that is read."""
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load) and self._is_environ(node.value):
            return self._text(node.slice)
        return None

    def _optional_name(self, node: ast.AST) -> str | None:
        """Return X for what sets `os.environ["X"]`, or looks whether there is an X."""
        if isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load) and self._is_environ(node.value):
            return self._text(node.slice)
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], (ast.In, ast.NotIn)):
            return self._text(node.left) if self._is_environ(node.comparators[0]) else None
        if isinstance(node, ast.Call) and node.args and _last_name(node.func) in ("get", "getenv", "setdefault", "pop"):
            return self._text(node.args[0])
        return None

    def _is_environ(self, node: ast.AST) -> bool:
        if isinstance(node, ast.Attribute):
            return node.attr == "environ" and isinstance(node.value, ast.Name) and node.value.id in self._os
        return isinstance(node, ast.Name) and node.id in self._environ

    def _text(self, node: ast.AST) -> str | None:
        """Return the value of a string, or of a name that the file sets to a string."""
        value = self._constants.get(node.id) if isinstance(node, ast.Name) else getattr(node, "value", None)
        return value if isinstance(value, str) else None


def _catches_key_error(handler: ast.ExceptHandler) -> bool:
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(kind is None or _last_name(kind) in _CATCH_KEY_ERROR for kind in caught)


def _last_name(node: ast.AST) -> str | None:
    """Return `c` for `c` and for `a.b.c`."""
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", None)


def imported_files(tree: ast.Module, path: Path, root: Path) -> Iterator[Path]:
    """Files of the app that a file may import: packages, and their modules."""
    for node in ast.walk(tree):
        names: Mapping[str, Path] = {}
        if isinstance(node, ast.Import):
            names = {alias.name: root for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            # One dot is the folder of the file, each further one is the folder above.
            base = path.parents[min(node.level - 1, len(path.parents) - 1)] if node.level else root
            module = f"{node.module}." if node.module else ""
            names = {f"{module}{alias.name}": base for alias in node.names}
        elif isinstance(node, ast.Call) and _last_name(node.func) == "import_module" and node.args:
            name = getattr(node.args[0], "value", None)
            names = {name: root} if isinstance(name, str) else {}
        for name, base in names.items():
            parts = [part for part in name.split(".") if part]
            # In the first programming model the app's folder can be imported as `__app__`.
            folder, parts = (root, parts[1:]) if parts[:1] == ["__app__"] else (base, parts)
            for part in parts:
                folder /= part
                yield folder / "__init__.py"
                yield folder.with_name(f"{part}.py")
