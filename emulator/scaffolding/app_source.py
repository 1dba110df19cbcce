"""Python source files of the user, which `azemu new` changes: read, analyse, add imports and functions.

Everything that the user has written stays as it is: the files are not formatted again.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Final

from emulator.errors import ConfigurationError

FUNCTIONS: Final = "azure.functions"
DURABLE: Final = "azure.durable_functions"
# Classes whose objects have the decorators of triggers. The first two are also bases of those for ASGI and WSGI.
_APPS: Final = (
    f"{FUNCTIONS}.FunctionApp",
    f"{DURABLE}.DFApp",
    f"{FUNCTIONS}.AsgiFunctionApp",
    f"{FUNCTIONS}.WsgiFunctionApp",
)
_BLUEPRINTS: Final = (f"{FUNCTIONS}.Blueprint", f"{DURABLE}.Blueprint")
_DURABLE_NAMES: Final = ("orchestration_trigger", "activity_trigger", "entity_trigger", "durable_client_input")
_DURABLE_FORM: Final = {f"{FUNCTIONS}.FunctionApp": "DFApp", f"{FUNCTIONS}.Blueprint": "Blueprint"}


@dataclass(frozen=True, slots=True)
class Import:
    """An import of one name. `target`: what the name stands for, such as "datetime.timedelta". `line`: the statement.

    `module`: "datetime". `is_from`: written as `from … import …`. `is_own`: of a file of the app that is still to be
    written.
    """

    name: str
    target: str
    line: str
    module: str
    is_from: bool
    is_own: bool = False


@dataclass(frozen=True, slots=True)
class AppObject:
    """The object whose decorators make functions. `variable`: its name.

    `class_name`: such as "azure.functions.FunctionApp"; None if the file does not say. `call`: the call that makes it.
    """

    variable: str
    class_name: str | None
    call: ast.Call | None

    @property
    def is_blueprint(self) -> bool:
        return self.class_name in _BLUEPRINTS


@dataclass(frozen=True, slots=True)
class Source:
    """A Python file. `text`: its lines end with "\\n", whatever is in the file. `encoding`: for `open`."""

    path: Path
    text: str
    encoding: str = "utf-8"
    newline: str = "\n"

    @property
    def tree(self) -> ast.Module:
        return _parsed(self.text)

    def content(self) -> bytes:
        """Return what to write into the file."""
        return self.text.replace("\n", self.newline).encode(self.encoding)


@lru_cache(maxsize=8)
def _parsed(text: str) -> ast.Module:
    return ast.parse(text)


def read_source(path: Path) -> Source:
    """Read a Python file. Raises ConfigurationError for one that Python could not load."""
    try:
        content = path.read_bytes()
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
        text = content.decode(encoding)
        plain = text.replace("\r\n", "\n")
        newline = "\r\n" if "\r\n" in text else "\n"
        # Writing the file would change lines that the command has nothing to do with.
        if plain.replace("\n", newline) != text or "\r" in plain:
            raise ConfigurationError(
                f"'{path}' has line ends of different kinds. Convert them, then repeat the command."
            )
        source = Source(path, plain, encoding=encoding, newline=newline)
        # Parsed here, so that a syntax error is reported before anything is written.
        _ = source.tree
    except OSError as error:
        raise ConfigurationError(f"'{path}' cannot be read: {error.strerror}.") from None
    except SyntaxError as error:
        place = f", line {error.lineno}" if error.lineno else ""
        raise ConfigurationError(f"'{path}'{place}: {error.msg}. Correct the file, then repeat the command.") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise ConfigurationError(f"'{path}' is not a Python file that can be read: {error}.") from None
    return source


def imports_of(tree: ast.Module) -> list[Import]:
    """Return the imports of a module that run whenever it is loaded."""
    found = []
    for node in tree.body:
        # `try: import …` is the way of optional packages.
        for statement in node.body if isinstance(node, ast.Try) else [node]:
            found += list(_imports_in(statement))
    return found


def _imports_in(node: ast.stmt) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            given = f" as {alias.asname}" if alias.asname else ""
            # `import a.b` makes the name `a`.
            name, target = (alias.asname, alias.name) if alias.asname else (alias.name.partition(".")[0],) * 2
            yield Import(name, target, f"import {alias.name}{given}", alias.name, is_from=False)
    elif isinstance(node, ast.ImportFrom):
        module = "." * node.level + (node.module or "")
        for alias in node.names:
            given = f" as {alias.asname}" if alias.asname else ""
            line = f"from {module} import {alias.name}{given}"
            yield Import(alias.asname or alias.name, f"{module}.{alias.name}", line, module, is_from=True)


def names_in(tree: ast.Module) -> set[str]:
    """Return the names that a module defines at its top level, also below `if` and `try`."""
    names: set[str] = set()
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {found.name for found in _imports_in(node)}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        # Names inside of functions and lambdas do not hide those of the module.
        elif not isinstance(node, ast.Lambda):
            waiting += ast.iter_child_nodes(node)
    return names


def function_names_in(tree: ast.Module) -> set[str]:
    """Return the names of the app's functions in a module, as the Functions host knows them."""
    names = set()
    for node in ast.walk(tree):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        calls = {call.func.attr: call for call in _decorator_calls(node) if isinstance(call.func, ast.Attribute)}
        if not any(_makes_function(name) for name in calls):
            continue
        name = node.name
        if "function_name" in calls:
            arguments = [*calls["function_name"].args, *(keyword.value for keyword in calls["function_name"].keywords)]
            name = next((str(value.value) for value in arguments if isinstance(value, ast.Constant)), name)
        names.add(name)
    return names


def _decorator_calls(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.Call]:
    return [decorator for decorator in node.decorator_list if isinstance(decorator, ast.Call)]


def _makes_function(decorator: str) -> bool:
    """Whether a method of an app with this name is the decorator of a trigger."""
    return decorator in ("route", "schedule") or decorator.endswith("_trigger")


def app_object_in(tree: ast.Module) -> AppObject | None:
    """Return the app of a module, else its blueprint, else the object whose decorators it uses; None without any."""
    targets = {found.name: found.target for found in imports_of(tree)}
    objects = []
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=variable)], value=ast.Call() as call):
                pass
            case ast.AnnAssign(target=ast.Name(id=variable), value=ast.Call() as call):
                pass
            case _:
                continue
        class_name = _dotted(call.func, targets)
        if class_name in (*_APPS, *_BLUEPRINTS):
            objects.append(AppObject(variable, class_name, call))
    # A script may contain its app and the blueprints that it registers.
    objects.sort(key=lambda found: found.class_name not in _APPS)
    if objects:
        return objects[0]
    # The object comes from a function or another module. What the decorators of functions belong to must be it.
    for node in tree.body:
        for call in _decorator_calls(node) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) else []:
            match call.func:
                case ast.Attribute(value=ast.Name(id=variable), attr=name) if _makes_function(name):
                    return AppObject(variable, None, None)
    return None


def has_durable_decorators(tree: ast.Module, app: AppObject) -> bool:
    """Whether the object certainly has the decorators of durable functions: by its class, or because they are used."""
    if app.class_name is not None and app.class_name.startswith(f"{DURABLE}."):
        return True
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr in _DURABLE_NAMES]
    return any(isinstance(node.value, ast.Name) and node.value.id == app.variable for node in attributes)


def _dotted(node: ast.expr, targets: dict[str, str]) -> str:
    """Return the full name of a class in a call, such as "azure.functions.FunctionApp"; empty if it has none."""
    if isinstance(node, ast.Name):
        return targets.get(node.id, "")
    if isinstance(node, ast.Attribute) and (owner := _dotted(node.value, targets)):
        return f"{owner}.{node.attr}"
    return ""


def with_durable_app(source: Source, app: AppObject) -> Source | None:
    """Make a FunctionApp a DFApp, or a blueprint a durable one. Return None if that is not certain to be safe."""
    new_name = _DURABLE_FORM.get(app.class_name or "")
    variables = [node for node in ast.walk(source.tree) if isinstance(node, ast.Name) and node.id == app.variable]
    # A variable that is assigned twice may be another object where the decorators use it.
    if new_name is None or app.call is None or sum(isinstance(node.ctx, ast.Store) for node in variables) != 1:
        return None
    # A durable app has this argument only.
    if app.call.args[1:] or {keyword.arg for keyword in app.call.keywords} - {"http_auth_level"}:
        return None
    called = app.call.func
    # The name of the class is replaced within one line.
    if called.lineno != called.end_lineno or called.end_col_offset is None:
        return None
    alias = next((found.name for found in imports_of(source.tree) if found.target == DURABLE), "df")
    lines = source.text.split("\n")
    # Columns of the tree count bytes of UTF-8.
    line = lines[called.lineno - 1].encode()
    changed = line[: called.col_offset] + f"{alias}.{new_name}".encode() + line[called.end_col_offset :]
    lines[called.lineno - 1] = changed.decode()
    return replace(source, text="\n".join(lines))


def with_imports(source: Source, wanted: list[Import]) -> Source:
    """Add the imports that the file lacks. Raises ConfigurationError if it uses one of their names otherwise."""
    for new in wanted:
        tree = source.tree
        if any((found.name, found.target) == (new.name, new.target) for found in imports_of(tree)):
            continue
        if new.name in names_in(tree):
            raise ConfigurationError(
                f"'{source.path}' uses the name '{new.name}' for something else than `{new.line}`, which the new "
                "function needs. Put the function into a file of its own with --file NAME.py."
            )
        source = _with_import(source, tree, new)
    return source


def _with_import(source: Source, tree: ast.Module, new: Import) -> Source:
    root = source.path.parent
    body = tree.body[1:] if tree.body and ast.get_docstring(tree, clean=False) is not None else tree.body
    block = []
    for node in body:
        # Only the first block: imports behind other statements may depend on these.
        if not isinstance(node, (ast.Import, ast.ImportFrom)):
            break
        # A statement has the place of its first name.
        block += [(node, found) for found in _imports_in(node)][:1]
    before = [entry for entry in block if _order(entry[1], root) <= _order(new, root)]
    after = [entry for entry in block if _order(entry[1], root) > _order(new, root)]
    lines = source.text.split("\n")
    section = _order(new, root)[0]
    if before and (_order(before[-1][1], root)[0] == section or not after):
        is_new_section = _order(before[-1][1], root)[0] != section
        place, inserted = before[-1][0].end_lineno or 0, [""] * is_new_section + [new.line]
    elif after:
        place = after[0][0].lineno - 1
        inserted = [new.line] + [""] * (_order(after[0][1], root)[0] != section)
    # No imports, but a docstring.
    elif len(body) < len(tree.body):
        place, inserted = tree.body[0].end_lineno or 0, ["", new.line]
    else:
        # Decorators stand on lines before that of their function.
        first = tree.body[0] if tree.body else None
        decorated = first.decorator_list if isinstance(first, (ast.FunctionDef, ast.ClassDef)) else []
        place = (decorated[0].lineno if decorated else first.lineno) - 1 if first is not None else len(lines) - 1
        inserted = [new.line, "", ""]
    return replace(source, text="\n".join([*lines[:place], *inserted, *lines[place:]]))


def _order(entry: Import, root: Path) -> tuple[int, bool, str]:
    """Return the place of an import in the usual order: standard library, packages, files of the app."""
    top = entry.module.partition(".")[0]
    if entry.module == "__future__":
        section = 0
    elif top in sys.stdlib_module_names:
        section = 1
    # A relative import has no top-level name.
    elif entry.is_own or not top or (root / top).is_dir() or (root / f"{top}.py").is_file():
        section = 3
    else:
        section = 2
    return (section, entry.is_from, entry.module.lower())


def with_function(source: Source, text: str) -> Source:
    """Append a function, after two empty lines."""
    before = source.text.rstrip("\n")
    return replace(source, text=f"{before}\n\n\n{text}" if before else text)


def with_statement(source: Source, line: str) -> Source:
    """Append a statement of one line, after an empty line, or two if a function is before it."""
    last = source.tree.body[-1] if source.tree.body else None
    is_function = isinstance(last, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
    empty_lines = "\n\n" if is_function else "\n"
    before = source.text.rstrip("\n")
    return replace(source, text=f"{before}\n{empty_lines}{line}\n")
