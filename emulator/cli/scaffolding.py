"""Run `azemu init`, `azemu new` and `azemu shim`: write the files, and print what was done and what is left to do."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from emulator import bound_json as json
from emulator import exit_codes
from emulator.cli.printing import print_json
from emulator.cli.scaffold_arguments import Init, InstallShim, New
from emulator.config.settings import find_project_root
from emulator.scaffolding.catalogue import (
    Template,
    app_templates,
    find_template,
    function_templates,
    list_of_templates,
)
from emulator.scaffolding.launch_files import workspace_of
from emulator.scaffolding.new_app import NewApp, create_app
from emulator.scaffolding.new_files import Written
from emulator.scaffolding.new_function import NewFunction, add_function
from emulator.scaffolding.shim import install_shim, remove_shim


def run_init(options: Init) -> int:
    """Run `azemu init` and return the exit code. Raises ConfigurationError."""
    if options.lists:
        return _print_templates(app_templates(), as_json=options.as_json)
    template = find_template(options.template, app_templates())
    folder = options.folder.absolute().resolve()
    workspace = options.workspace.absolute().resolve() if options.workspace is not None else workspace_of(folder)
    written = create_app(NewApp(folder=folder, template=template, workspace=workspace, force=options.force))
    # Double quotes, because the shells of all systems have them.
    quote = '"' if " " in str(options.folder) else ""
    steps = [] if folder == Path.cwd() else [f"cd {quote}{options.folder}{quote}"]
    if template.is_durable and not _is_installed("azure.durable_functions"):
        steps.append("python -m pip install -r requirements.txt")
    notes = {
        "azemu start": "runs the app, and shows it at http://localhost:7071/azemu/",
        "python -m pytest": "runs its tests",
    }
    steps.append("azemu start")
    steps += [] if _is_installed("pytest") else ["python -m pip install pytest"]
    steps.append("python -m pytest")
    if options.as_json:
        print_json(_as_json(written) | {"folder": str(folder), "template": template.name, "nextSteps": steps})
        return exit_codes.OK
    _say(f"Created an app in '{folder}' (template {template.name}).")
    _print_written(written, folder)
    _say("Next:")
    width = max(map(len, steps))
    for step in steps:
        _say(f"  {step:{width}}   # {notes[step]}" if step in notes else f"  {step}")
    return exit_codes.OK


def run_new(options: New) -> int:
    """Run `azemu new` and return the exit code. Raises ConfigurationError."""
    if options.lists:
        return _print_templates(function_templates(), as_json=options.as_json)
    template = find_template(options.template, function_templates())
    root = find_project_root(options.app)
    written = add_function(
        NewFunction(
            root=root,
            template=template,
            name=options.name,
            file=options.file,
            auth_level=options.auth_level,
            with_test=options.with_test,
        )
    )
    if options.as_json:
        print_json(_as_json(written) | {"folder": str(root), "template": template.name})
        return exit_codes.OK
    # The sentence of `func new`.
    _say(f'The function "{options.name}" was created successfully from the "{options.template}" template.')
    if len(written.functions) > 1:
        _say(f"The functions are: {', '.join(written.functions)}.")
    _print_written(written, root)
    return exit_codes.OK


def run_shim(options: InstallShim) -> int:
    """Run `azemu shim` and return the exit code. Raises ConfigurationError."""
    if options.remove:
        removed = remove_shim()
        if options.as_json:
            print_json({"removed": str(removed) if removed else None})
        else:
            _say(f"Removed '{removed}'." if removed else "There is no command `func` of azemu in this environment.")
        return exit_codes.OK
    shim = install_shim()
    if options.as_json:
        first = str(shim.first_on_path) if shim.first_on_path else None
        print_json({"installed": str(shim.path), "firstOnPath": first})
        return exit_codes.OK
    _say(f"Wrote '{shim.path}'. It runs azemu: `func start`, `func new`, `func init`. Undo: azemu shim --remove")
    if shim.first_on_path is None:
        _say("Activate the environment, so that the shell finds it.")
    elif shim.first_on_path.resolve() != shim.path.resolve():
        _say(f"The shell still runs '{shim.first_on_path}' as func. Activate the environment to put it first.")
    return exit_codes.OK


def _print_templates(templates: Sequence[Template], *, as_json: bool) -> int:
    if as_json:
        print_json({"templates": [{"name": template.name, "summary": template.summary} for template in templates]})
    else:
        _say(list_of_templates(list(templates)))
    return exit_codes.OK


def _print_written(written: Written, folder: Path) -> None:
    for kind, paths in (("new", written.created), ("changed", written.changed)):
        for path in paths:
            _say(f"  {kind:8} {os.path.relpath(path, folder)}")
    for path, snippet in written.snippets.items():
        _say(f"'{path}' exists already. Add to it:\n{snippet.rstrip()}")
    for note in written.notes:
        _say(note)


def _as_json(written: Written) -> dict[str, Any]:
    return {
        "created": [str(path) for path in written.created],
        "changed": [str(path) for path in written.changed],
        "functions": list(written.functions),
        "snippets": {str(path): json.loads(snippet) for path, snippet in written.snippets.items()},
        "notes": list(written.notes),
    }


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
