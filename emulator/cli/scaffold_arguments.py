"""Arguments of `azemu init`, `azemu new` and `azemu shim`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from emulator.cli.parsing import Parser
from emulator.scaffolding.catalogue import Template, app_templates, function_templates, list_of_templates
from emulator.scaffolding.new_function import AUTH_LEVELS

_INIT_EXAMPLES: Final = """\
examples:
  azemu init                                   an HTTP function in the current folder
  azemu init order-app --template order        the app of the quickstart in a new folder
  azemu init services/mail --workspace .       with the launch files in the current folder, where VS Code is opened

The folder gets function_app.py, host.json, local.settings.json, requirements.txt, .funcignore, .gitignore and tests.
The workspace gets .vscode/launch.json, tasks.json and extensions.json. If they exist already, the command prints what
to add to them.
"""
_NEW_EXAMPLES: Final = """\
examples:
  azemu new http greet                                          a function in function_app.py, and its test
  azemu new queue receive --file blueprints/queues.py           in another file; a new one becomes a blueprint
  azemu new --template "HTTP trigger" --name greet --authlevel anonymous

In an app of folders with a function.json, the function becomes such a folder.
"""
_SHIM_EXAMPLES: Final = """\
examples:
  azemu shim                     func start, func host start and func new run azemu in this environment
  azemu shim --remove
"""
_SHIM_DESCRIPTION: Final = """\
Write a command `func` into the virtual environment that runs azemu, for editors and scripts that call `func start`.
A command `func` that azemu has not written is never replaced.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Init:
    """Options of `azemu init`. `workspace` None: the Git repository of the folder, or the folder. `lists`: --list."""

    folder: Path
    template: str
    workspace: Path | None
    force: bool
    lists: bool
    as_json: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class New:
    """Options of `azemu new`. `file` None: the app's script. `auth_level` None: that of the template."""

    template: str
    name: str
    app: Path
    file: Path | None
    auth_level: str | None
    with_test: bool
    lists: bool
    as_json: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallShim:
    """Options of `azemu shim`."""

    remove: bool
    as_json: bool


def parse_init(words: Sequence[str]) -> Init:
    """Parse the arguments after `azemu init`. Raises SystemExit after --help and for wrong arguments."""
    parser = Parser(
        "azemu init", description="Create an app.", epilog=f"{_templates(app_templates())}\n{_INIT_EXAMPLES}"
    )
    add = parser.add_argument
    add("folder", nargs="?", type=Path, default=Path(), metavar="FOLDER", help="folder (default: the current one)")
    add("-t", "--template", default="http", metavar="T", help="template (default: http)")
    parser.suggest("--template", (template.name for template in app_templates()))
    add("--workspace", type=Path, metavar="DIR", help="folder that is opened in VS Code (default: the Git repository)")
    add("--force", action="store_true", help="overwrite existing files of the app")
    _add_common(parser)
    # Options of `func init`. Apps are always in Python, with decorators.
    add("--worker-runtime", "-l", "--language", help=argparse.SUPPRESS)
    add("-m", "--model", help=argparse.SUPPRESS)
    for flag in ("--python", "--source-control", "--no-source-control", "--no-docs"):
        add(flag, action="store_true", help=argparse.SUPPRESS)
    options = parser.parse(words)
    _refuse_other_languages(parser, options.worker_runtime)
    # A new app in folders would begin with the model that Microsoft no longer recommends.
    if options.model is not None and options.model.lower() != "v2":
        parser.error(
            f"--model: azemu creates apps of the model V2 only, not '{options.model}'. `azemu new` adds to both."
        )
    return Init(
        folder=options.folder,
        template=options.template,
        workspace=options.workspace,
        force=options.force,
        lists=options.list,
        as_json=options.json,
    )


def parse_new(words: Sequence[str]) -> New:
    """Parse the arguments after `azemu new`. Raises SystemExit after --help and for wrong arguments."""
    parser = Parser(
        "azemu new",
        description="Add a function to an app.",
        epilog=f"{_templates(function_templates())}\n{_NEW_EXAMPLES}",
    )
    add = parser.add_argument
    add("words", nargs="*", metavar="TEMPLATE NAME", help="template, and name of the new function")
    # The spellings of `func new`.
    add("-t", "--template", metavar="T", help='template, also by its name in Core Tools, such as "HTTP trigger"')
    for argument in ("words", "--template"):
        parser.suggest(argument, (template.name for template in function_templates()))
    add("-n", "--name", metavar="NAME", help="name of the new function")
    add("-a", "--authlevel", metavar="LEVEL", help=f"HTTP triggers: {', '.join(AUTH_LEVELS)} (default: function)")
    parser.suggest("--authlevel", AUTH_LEVELS)
    add("--file", type=Path, metavar="FILE", help="Python file, from the folder of the app (default: function_app.py)")
    add("--no-test", dest="with_test", action="store_false", help="write no test")
    parser.add_app_option("--script-root", "--prefix")
    _add_common(parser)
    add("-l", "--language", help=argparse.SUPPRESS)
    options = parser.parse(words)
    _refuse_other_languages(parser, options.language)
    rest = list(options.words)
    # What an option of `func new` gives is not expected as a word.
    template = options.template if options.template is not None else (rest.pop(0) if rest else None)
    name = options.name if options.name is not None else (rest.pop(0) if rest else None)
    if rest:
        parser.error(f"unknown argument '{rest[0]}'. Write TEMPLATE and NAME; names with spaces in quotation marks.")
    if not options.list and (template is None or name is None):
        missing = (
            "the template and the name of the new function are"
            if template is None
            else "the name of the new function is"
        )
        parser.error(f"{missing} missing. Write them as in `azemu new http greet`.")
    if options.authlevel is not None and options.authlevel.lower() not in AUTH_LEVELS:
        parser.error(f"--authlevel: '{options.authlevel}' is not a level. Use one of: {', '.join(AUTH_LEVELS)}.")
    return New(
        template=template or "",
        name=name or "",
        app=options.app,
        file=options.file,
        auth_level=options.authlevel.lower() if options.authlevel is not None else None,
        with_test=options.with_test,
        lists=options.list,
        as_json=options.json,
    )


def parse_shim(words: Sequence[str]) -> InstallShim:
    """Parse the arguments after `azemu shim`. Raises SystemExit after --help and for wrong arguments."""
    parser = Parser("azemu shim", description=_SHIM_DESCRIPTION, epilog=_SHIM_EXAMPLES)
    parser.add_argument("--remove", action="store_true", help="remove the command again")
    parser.add_json_option()
    options = parser.parse(words)
    return InstallShim(remove=options.remove, as_json=options.json)


def _templates(templates: list[Template]) -> str:
    return f"templates:\n{list_of_templates(templates)}\n"


def _add_common(parser: Parser) -> None:
    parser.add_argument("--list", action="store_true", help="print the templates")
    parser.add_json_option()


def _refuse_other_languages(parser: Parser, language: str | None) -> None:
    if language is not None and language.lower() != "python":
        parser.error(f"azemu runs apps in Python only, not in '{language}'.")
