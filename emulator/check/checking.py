"""The check of one app: all rules, in the order in which they need each other's results.

report = await check_app(CheckOptions(app=Path(".")), os.environ)
"""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from emulator.check.async_code import async_findings
from emulator.check.configuration import (
    bundle_findings,
    extension_findings,
    host_json_error,
    host_json_findings,
    missing_setting_findings,
    settings_findings,
)
from emulator.check.declarations import (
    binding_findings,
    declaration_findings,
    name_uses,
    unknown_names,
    unnamed_functions,
)
from emulator.check.deployment import deployment_findings
from emulator.check.determinism import determinism_findings
from emulator.check.findings import Finding, Level, sorted_findings, without_suppressed
from emulator.check.functions import (
    Declared,
    Kind,
    binding_types,
    called_name,
    declared_functions,
    registers_dynamically,
    v1_script_files,
)
from emulator.check.loading import Loaded, open_loader
from emulator.check.requirements import python_findings, requirement_findings
from emulator.check.sources import AppSources, read_sources
from emulator.check.tasks import task_findings
from emulator.config.settings import Settings
from emulator.config.start import StartOptions, configure
from emulator.errors import ConfigurationError
from emulator.worker.function_json import function_folders
from emulator.worker.loader import InvalidFileNameError, script_name
from emulator.worker.port import Binding, FunctionMetadata

_KINDS: Final[Mapping[str, Kind]] = {
    "orchestrationtrigger": "orchestrator",
    "activitytrigger": "activity",
    "entitytrigger": "entity",
}
# Beginnings of lines of the worker that a report does not need.
_SAID_BY_THE_PLACE: Final = ("The function is ", "On Azure, the app has no functions", "The app runs on ")
# Findings that say better why a function cannot be loaded than the message of the worker.
_EXPLAIN_LOAD_ERRORS: Final = frozenset(("AZ401", "AZ402"))


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions:
    """`app`: the app's folder. `load`: import the app, too; otherwise only its files are read."""

    app: Path
    load: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The findings about an app, sorted by file and line. `functions`: how many were found."""

    root: Path
    findings: Sequence[Finding]
    functions: int

    def count(self, level: Level) -> int:
        """Return the number of findings of a level."""
        return sum(finding.level is level for finding in self.findings)


async def check_app(options: CheckOptions, environ: Mapping[str, str], today: date) -> Report:
    """Check an app. What is wrong with it is a finding; raises nothing that the user can cause."""
    root = options.app.resolve()
    values, findings = settings_findings(root, environ)
    host, about_host = host_json_findings(root, values)
    findings += about_host
    loaded = None
    if host is not None and not any(finding.code == "AZ504" for finding in findings):
        loaded, more = await _loaded(options, environ, root)
        findings += more
    sources = read_sources(root, _scripts(root, values), () if loaded is None else loaded.files)
    declared = declared_functions(sources)
    findings += sources.broken
    findings += _source_findings(declared, sources, loaded)
    findings += python_findings(sys.version_info[:2], today)
    findings += requirement_findings(sources)
    findings += deployment_findings(sources)
    findings += missing_setting_findings(root, values, environ)
    findings += bundle_findings(root, _binding_types(declared, loaded, root))
    if loaded is not None:
        findings += _load_findings(loaded, declared, findings, root)
    count = len(loaded.functions) if loaded is not None and loaded.error is None else len(declared)
    kept = without_suppressed(_first_of_each_place(sorted_findings(findings)), root)
    return Report(root=root, findings=kept, functions=count)


async def _loaded(options: CheckOptions, environ: Mapping[str, str], root: Path) -> tuple[Loaded | None, list[Finding]]:
    """Open the extensions, and load the app if the options want it."""
    try:
        configuration = configure(StartOptions(app=root, port=0, create_host_json=False), environ)
        async with open_loader(configuration) as loader:
            found = extension_findings("AZ502", root, loader.typos) + extension_findings("AZ109", root, loader.notes)
            return (loader.load() if options.load else None), found
    except ConfigurationError as error:
        return None, [host_json_error(root, error)]


def _scripts(root: Path, values: Settings) -> list[Path]:
    try:
        script = root / script_name(dict(values.items()))
    except InvalidFileNameError:
        script = root / "function_app.py"
    return [script, *v1_script_files(root)]


def _source_findings(declared: Sequence[Declared], sources: AppSources, loaded: Loaded | None) -> Iterator[Finding]:
    nodes = {id(each.node): each for each in declared}
    for each in declared:
        yield from binding_findings(each)
        yield from declaration_findings(each, nodes)
        if each.kind == "orchestrator":
            yield from determinism_findings(each)
            yield from task_findings(each)
        else:
            yield from async_findings(each)
    shown: dict[str, str] = {}
    known: dict[str, Kind] = {}
    for each in declared:
        if each.name is not None:
            known[each.name.lower()], shown[each.name.lower()] = each.kind, each.name
    is_complete = all(each.name is not None for each in declared) and not registers_dynamically(sources)
    if loaded is not None and loaded.error is None:
        is_complete = True
        for function in loaded.functions:
            trigger = _trigger(function)
            name = called_name(trigger, function.name)
            kind = _KINDS.get("" if trigger is None else trigger.type.lower())
            # A function that cannot be loaded has no bindings; what its file says about it stays.
            if kind is not None or name.lower() not in known:
                known[name.lower()], shown[name.lower()] = kind or "other", name
    uses = name_uses(sources)
    if is_complete and not sources.broken:
        yield from unknown_names(uses, known, shown)
        yield from unnamed_functions(declared, uses, sources)


def _trigger(function: FunctionMetadata) -> Binding | None:
    return next((binding for binding in function.bindings if binding.is_trigger), None)


def _binding_types(declared: Sequence[Declared], loaded: Loaded | None, root: Path) -> set[str]:
    if loaded is not None and loaded.error is None:
        return {binding.type for function in loaded.functions for binding in function.bindings}
    return binding_types(declared, root)


def _load_findings(
    loaded: Loaded, declared: Sequence[Declared], others: Iterable[Finding], root: Path
) -> Iterator[Finding]:
    """Yield what loading the app has shown, unless a finding about its files says it already."""
    explained = {(finding.file, finding.line) for finding in others if finding.code in _EXPLAIN_LOAD_ERRORS}
    if loaded.error is not None:
        yield _load_error(loaded.error, root)
        return
    by_name = {(each.function_name or "").lower(): each for each in declared}
    for function in loaded.functions:
        each = by_name.get(function.name.lower())
        first = None if each is None else min(node.lineno for node in (each.node, *each.node.decorator_list))
        is_explained = each is not None and any(
            file == each.source.file and first is not None and first <= line <= each.node.lineno
            for file, line in explained
        )
        messages = [problem.message for problem in loaded.catalog.problems if problem.function == function.name]
        messages += [function.load_error] if function.load_error else []
        for message in () if is_explained else messages:
            file, line = _place(function, root)
            text = f"The function '{function.name}' cannot be loaded. {_worker_text(message, root)}"
            yield Finding("AZ102", file, line, 0, text)
    for manual in loaded.manual:
        file, line = _place(manual.function, root)
        kind = "trigger" if manual.binding.is_trigger else manual.binding.direction + "put"
        text = (
            f"azemu does not run the {manual.binding.type} {kind} of '{manual.function.name}': it works on Azure, and "
            "here with data of your choice."
        )
        yield Finding("AZ108", file, line, 0, text)
    for message in loaded.blueprints:
        match = re.search(r" in (.+?\.py) is not registered", message)
        place = Path(match.group(1)) if match else root / "function_app.py"
        file = place.relative_to(root).as_posix() if place.is_relative_to(root) else place.as_posix()
        yield Finding("AZ106", file, 1, 0, message.replace(str(place), file))
    folders = function_folders(root)
    of_script = [
        function for function in loaded.functions if function.config is None and function.directory == str(root)
    ]
    if folders and of_script:
        names = ", ".join(folder.name for folder in folders)
        text = (
            f"The functions in folders ({names}) do not run on Azure, because {of_script[0].script_file} has functions."
        )
        yield Finding("AZ105", f"{folders[0].name}/function.json", 1, 0, text)
    if not loaded.functions:
        text = "The app declares no functions. Declare them in function_app.py, or set PYTHON_SCRIPT_FILE_NAME."
        yield Finding("AZ104", "function_app.py", 1, 0, text)


def _place(function: FunctionMetadata, root: Path) -> tuple[str, int]:
    """Return the file, from the app's folder, and the line of a function."""
    source = function.source or str(root / function.script_file)
    path, _, line = source.rpartition(":")
    if not line.isdecimal():
        path, line = source, "1"
    file = Path(path)
    return (file.relative_to(root).as_posix() if file.is_relative_to(root) else file.as_posix()), int(line)


def _load_error(error: Exception, root: Path) -> Finding:
    """Return the finding about an app that cannot be loaded, at the line of the app that failed."""
    cause: BaseException = error.__cause__ or error
    file, line = "function_app.py", 1
    if isinstance(cause, SyntaxError) and cause.filename and Path(cause.filename).is_relative_to(root):
        file, line = Path(cause.filename).relative_to(root).as_posix(), cause.lineno or 1
    else:
        for frame in traceback.extract_tb(cause.__traceback__):
            if Path(frame.filename).is_relative_to(root) and "site-packages" not in frame.filename:
                file, line = Path(frame.filename).relative_to(root).as_posix(), frame.lineno or 1
    text = _worker_text("\n".join([str(error).partition("\nStack:")[0], *getattr(cause, "__notes__", ())]), root)
    return Finding("AZ101", file, line, 0, f"The app cannot be loaded. {text}")


def _worker_text(text: str, root: Path) -> str:
    """Return a message of the worker without stack, search path, and what the finding's place says already."""
    before, _, stack = text.removeprefix("Result: Failure\nException: ").partition("\nStack:")
    # Behind the indented lines of the stack are hints.
    hints = [line for line in stack.splitlines()[1:] if line and not line.startswith(" ")]
    lines = [*before.partition(" Current sys.path: ")[0].splitlines(), *hints]
    kept = [line for line in lines if not line.startswith(_SAID_BY_THE_PLACE)]
    return re.sub(r" at 0x[0-9a-f]+", "", " ".join(kept).replace(f"{root}{os.sep}", ""))


def _first_of_each_place(findings: Iterable[Finding]) -> list[Finding]:
    """Leave out all but the first finding of a rule at a place: a helper may be used by several orchestrators."""
    first: dict[object, Finding] = {}
    for finding in findings:
        # Without a column it is the message that tells two findings apart.
        key = (finding.code, finding.file, finding.line, finding.column or finding.message)
        first.setdefault(key, finding)
    return list(first.values())
