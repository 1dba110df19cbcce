"""Functions that `azemu new` adds to an app, in the v2 programming model (decorators) or the v1 model (folders)."""

from __future__ import annotations

import ast
import builtins
import importlib.util
import keyword
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from emulator.app_paths import shown_path
from emulator.config.settings import FILE_NAME as SETTINGS_FILE
from emulator.config.settings import load_settings
from emulator.errors import ConfigurationError
from emulator.scaffolding.app_source import (
    DURABLE,
    app_object_in,
    function_names_in,
    has_durable_decorators,
    imports_of,
    names_in,
    read_source,
    with_durable_app,
    with_function,
    with_imports,
    with_statement,
)
from emulator.scaffolding.catalogue import APP_FILE, Template
from emulator.scaffolding.new_files import Written, read_text, with_requirements, write_all

AUTH_LEVELS: Final = ("anonymous", "function", "admin")
DURABLE_REQUIREMENT: Final = "azure-functions-durable>=1.7.0,<2"
# What the host accepts as the name of a function (host, Utility.IsValidFunctionName), without the dash, which no Python
# name may contain.
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,126}")
# As what apps import azure.functions and azure.durable_functions.
_IMPORTED: Final = ("azure", "func", "df")
# More files than an app has: the search for names must not read a whole disk.
_MAX_FILES: Final = 500
_OTHER_FOLDERS: Final = ("node_modules", "__pycache__", "venv", "env", "tests")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFunction:
    """A function to add. `root`: folder of the app. `file`: the Python file, relative to it; None: the app's script.

    `auth_level`: of HTTP triggers, one of AUTH_LEVELS; None: "function". `with_test`: also write its test.
    """

    root: Path
    template: Template
    name: str
    file: Path | None = None
    auth_level: str | None = None
    with_test: bool = True


def add_function(new: NewFunction) -> Written:
    """Add a function to an app. Raises ConfigurationError; then no file has changed."""
    if not _NAME.fullmatch(new.name) or keyword.iskeyword(new.name):
        # Core Tools accepts dashes, so such names are common.
        near = re.sub(r"\W", "_", new.name, flags=re.ASCII).lstrip("_0123456789")
        advice = f", such as '{near}'" if _NAME.fullmatch(near) and not keyword.iskeyword(near) else ""
        raise ConfigurationError(
            f"'{new.name}' cannot be the name of a function. Use a Python identifier of letters (a-z), digits and "
            f"underscores that begins with a letter{advice}."
        )
    # In the rest of the file `print(…)` would call the function, and `logging.info` fail.
    is_module = new.name in sys.stdlib_module_names or new.name in _IMPORTED
    if is_module or hasattr(builtins, new.name):
        hidden = f"the module {new.name}" if is_module else f"Python's own {new.name}"
        raise ConfigurationError(
            f"'{new.name}' cannot be the name of a function: it would hide {hidden} in the file. Choose another name, "
            f"such as 'handle_{new.name}'."
        )
    if new.auth_level is not None and "auth_level" not in new.template.app_text():
        raise ConfigurationError(
            f"--authlevel is for templates with an HTTP trigger, and '{new.template.name}' has none. Leave it out."
        )
    settings = load_settings(new.root, os.environ, overrides={}).settings
    script = new.root / (settings.get("PYTHON_SCRIPT_FILE_NAME") or APP_FILE)
    # As on Azure, folders with a function.json count only without a script.
    if not script.exists() and any(new.root.glob("*/function.json")):
        if new.file is not None:
            raise ConfigurationError(
                f"'{new.root}' is an app of folders with a function.json, and Azure would ignore them beside functions "
                "with decorators. Leave out --file: the function becomes a folder."
            )
        functions, contents, notes = _in_folders(new)
    else:
        functions, contents, notes = _in_script(new, script)
    if new.with_test:
        test = new.root / "tests" / f"test_{new.name}.py"
        if test.exists():
            notes.append(f"{shown_path(test, new.root)} exists already and was left as it is.")
        else:
            contents[test] = new.template.renamed(new.template.test_text(), new.name).encode()
    if new.template.is_durable:
        requirements = new.root / "requirements.txt"
        contents[requirements] = with_requirements(read_text(requirements), [DURABLE_REQUIREMENT]).encode()
        notes += notes_about_durable_package()
    missing = [name for name in new.template.settings if settings.get(name) is None]
    if missing:
        names = ", ".join(missing)
        notes.append(f'Add the connection to the "Values" of {SETTINGS_FILE}, and to the app in Azure: {names}.')
    created, changed = write_all(contents)
    return Written(created=created, changed=changed, functions=tuple(functions), notes=tuple(notes), snippets={})


def notes_about_durable_package() -> list[str]:
    """Return what the user has to install for durable functions, if anything."""
    try:
        is_installed = importlib.util.find_spec(DURABLE) is not None
    except ImportError:
        # `find_spec` imports the package `azure` for the question, which may be missing itself.
        is_installed = False
    return [] if is_installed else [f'Install the durable library: pip install "{DURABLE_REQUIREMENT}"']


def _in_script(new: NewFunction, script: Path) -> tuple[list[str], dict[Path, bytes], list[str]]:
    """Return the new functions, the files with their new content, and notes, for the v2 programming model."""
    path = script if new.file is None else new.root / new.file
    if path.suffix != ".py":
        raise ConfigurationError(f"--file: '{new.file}' is not a Python file. Its name must end with .py.")
    if not path.resolve().is_relative_to(new.root.resolve()):
        raise ConfigurationError(f"--file: '{new.file}' is not in the folder of the app, '{new.root}'.")
    text = new.template.renamed(new.template.app_text(), new.name)
    if new.auth_level is not None:
        text = text.replace("AuthLevel.FUNCTION", f"AuthLevel.{new.auth_level.upper()}")
    tree = ast.parse(text)
    functions = [node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    _refuse_names_of_app(new.root, functions)
    if not path.exists():
        if path == script:
            return functions, {path: text.encode()}, []
        return functions, *_with_blueprint(new, script, path, text)
    source = read_source(path)
    app = app_object_in(source.tree)
    if app is None:
        raise ConfigurationError(
            f"'{path}' has no app object that azemu finds, such as `app = func.FunctionApp()`. Add the function to "
            "another file with --file: the one with the app object, or a new one, which becomes a blueprint."
        )
    if new.template.is_durable and not has_durable_decorators(source.tree, app):
        durable = with_durable_app(source, app)
        if durable is None:
            # A durable blueprint can be registered in any app.
            blueprint = path.with_name(f"{new.name}_functions.py")
            if blueprint.exists() or app.is_blueprint:
                raise ConfigurationError(
                    f"The functions need a durable app or blueprint, and azemu cannot change '{app.variable}' in "
                    f"'{path}' to one without risk. Choose a new file with --file NAME.py for a durable blueprint."
                )
            return functions, *_with_blueprint(new, path, blueprint, text)
        source = durable
    if taken := names_in(source.tree) & set(functions):
        raise ConfigurationError(
            f"'{path}' already uses the name {', '.join(sorted(taken))}. Choose another name, or another file with "
            "--file."
        )
    source = with_imports(source, imports_of(tree))
    # What is left of a template without its imports and its app object, whose name occurs in decorators only.
    end = next(node.end_lineno for node in tree.body if isinstance(node, ast.Assign))
    body = "\n".join(text.split("\n")[end:]).lstrip("\n")
    source = with_function(source, re.sub(r"^@app\.", f"@{app.variable}.", body, flags=re.MULTILINE))
    return functions, {path: source.content()}, []


def _with_blueprint(new: NewFunction, script: Path, path: Path, text: str) -> tuple[dict[Path, bytes], list[str]]:
    """Return the content of a new blueprint file, and of the app's script that registers it."""
    relative = path.relative_to(new.root).with_suffix("")
    if not all(part.isidentifier() and not keyword.iskeyword(part) for part in relative.parts):
        raise ConfigurationError(
            f"--file: '{relative}.py' cannot be imported. Use names of letters, digits and underscores."
        )
    library = "df" if new.template.is_durable else "func"
    assigned = re.compile(r"^app = .*$", re.MULTILINE)
    blueprint = re.sub(r"^@app\.", "@bp.", assigned.sub(f"bp = {library}.Blueprint()", text), flags=re.MULTILINE)
    contents = {path: blueprint.encode()}
    module = ".".join(relative.parts)
    line = f"from {module.rpartition('.')[0]} import {relative.name}" if "." in module else f"import {module}"
    if not script.exists():
        start = f"import azure.functions as func\n\n{line}\n\napp = func.FunctionApp()\n\n"
        return contents | {script: f"{start}app.register_functions({relative.name}.bp)\n".encode()}, []
    source = read_source(script)
    app = app_object_in(source.tree)
    if app is None:
        return contents, [f"Register the blueprint in the app: app.register_functions({relative.name}.bp)."]
    [imported] = imports_of(ast.parse(line))
    source = with_imports(source, [replace(imported, is_own=True)])
    source = with_statement(source, f"{app.variable}.register_functions({relative.name}.bp)")
    return contents | {script: source.content()}, []


def _refuse_names_of_app(root: Path, functions: Sequence[str]) -> None:
    """Raise ConfigurationError if the app has a function of one of the names. The host ignores their case."""
    present = {path.parent.name.lower(): (path.parent.name, path) for path in root.glob("*/function.json")}
    for path in _python_files(root):
        try:
            tree = ast.parse(path.read_bytes())
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
            continue  # Python reports it when it loads the app.
        present |= {name.lower(): (name, path) for name in function_names_in(tree)}
    for function in functions:
        if function.lower() in present:
            name, path = present[function.lower()]
            raise ConfigurationError(
                f"The app already has a function '{name}', in '{shown_path(path, root)}'. Choose another name."
            )


def _python_files(root: Path) -> Iterator[Path]:
    """Yield the app's own Python files, the script first."""
    count = 0
    for folder, folders, files in os.walk(root):
        # os.walk enters the folders that are left in this list.
        folders[:] = sorted(
            name
            for name in folders
            if name[0] != "." and name not in _OTHER_FOLDERS and not (Path(folder) / name / "pyvenv.cfg").exists()
        )
        for name in sorted(files):
            if name.endswith(".py"):
                count += 1
                if count > _MAX_FILES:
                    return
                yield Path(folder) / name


def _in_folders(new: NewFunction) -> tuple[list[str], dict[Path, bytes], list[str]]:
    """Return the new functions, the files, and notes, for the v1 programming model."""
    contents = {}
    for path, text in new.template.v1_files().items():
        changed = new.template.renamed(text, new.name)
        if new.auth_level is not None:
            changed = changed.replace('"authLevel": "function"', f'"authLevel": "{new.auth_level}"')
        contents[new.root / new.template.renamed(path, new.name)] = changed.encode()
    functions = sorted({path.parent.name for path in contents})
    _refuse_names_of_app(new.root, functions)
    for name in functions:
        if (new.root / name).exists():
            raise ConfigurationError(f"'{new.root / name}' exists already. Choose another name.")
    return functions, contents, []
