"""Findings about the loading of an app: what the worker and the host say, at the line of the app that it is about."""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from emulator.app_paths import shown_path
from emulator.check.findings import Finding
from emulator.check.functions import Declared
from emulator.check.loading import Loaded
from emulator.worker.durable_version import DurableVersionUnsupported
from emulator.worker.function_json import function_folders
from emulator.worker.loader import DEFAULT_SCRIPT
from emulator.worker.port import FunctionMetadata

# Beginnings of lines of the worker that a report does not need.
_SAID_BY_THE_PLACE: Final = ("The function is ", "On Azure, the app has no functions", "The app runs on ")
# Findings that say better why a function cannot be loaded than the message of the worker.
_EXPLAIN_LOAD_ERRORS: Final = frozenset(("AZ401", "AZ402"))


def load_findings(
    loaded: Loaded, declared: Sequence[Declared], others: Iterable[Finding], root: Path
) -> Iterator[Finding]:
    """Yield what loading the app has shown, unless one of the `others` says it already."""
    if isinstance(loaded.error.__cause__ if loaded.error is not None else None, DurableVersionUnsupported):
        text = f"{worker_text(str(loaded.error), root)} Only the app's files were checked."
        yield Finding("AZ107", DEFAULT_SCRIPT, 1, 0, text)
        return
    if loaded.error is not None:
        file, line = place_of_error(loaded.error.__cause__ or loaded.error, root)
        yield Finding("AZ101", file, line, 0, f"The app cannot be loaded. {worker_text(str(loaded.error), root)}")
        return
    explained = {(finding.file, finding.line) for finding in others if finding.code in _EXPLAIN_LOAD_ERRORS}
    by_name = {(each.function_name or "").lower(): each for each in declared}
    for function in loaded.functions:
        file, line = place_of(function, root)
        each = by_name.get(function.name.lower())
        # From the first decorator to the line of `def`.
        lines = [] if each is None else [node.lineno for node in (*each.node.decorator_list, each.node)]
        if each is not None and any((each.source.file, number) in explained for number in lines):
            continue
        # From the host (its bindings) and from the worker (its Python code).
        messages = [problem.message for problem in loaded.catalog.problems if problem.function == function.name]
        messages += [function.load_error] if function.load_error else []
        for message in messages:
            text = f"The function '{function.name}' cannot be loaded. {worker_text(message, root)}"
            yield Finding("AZ102", file, line, 0, text)
    for manual in loaded.manual:
        file, line = place_of(manual.function, root)
        kind = "trigger" if manual.binding.is_trigger else f"{manual.binding.direction}put"
        text = (
            f"azemu does not run the {manual.binding.type} {kind} of '{manual.function.name}': it works on Azure, and "
            "here with data of your choice."
        )
        yield Finding("AZ108", file, line, 0, text)
    for message in loaded.blueprints:
        # The message names the file, but no line.
        match = re.search(r" in (.+?\.py) is not registered", message)
        file = shown_path(Path(match.group(1)) if match else root / DEFAULT_SCRIPT, root)
        yield Finding("AZ106", file, 1, 0, message.replace(f"{root}{os.sep}", ""))
    folders = function_folders(root)
    of_script = [each for each in loaded.functions if each.config is None and each.directory == str(root)]
    if folders and of_script:
        names = ", ".join(folder.name for folder in folders)
        text = f"The functions in folders ({names}) do not run on Azure, as {of_script[0].script_file} has functions."
        yield Finding("AZ105", f"{folders[0].name}/function.json", 1, 0, text)
    if not loaded.functions:
        text = f"The app declares no functions. Declare them in {DEFAULT_SCRIPT}, or set PYTHON_SCRIPT_FILE_NAME."
        yield Finding("AZ104", DEFAULT_SCRIPT, 1, 0, text)


def place_of(function: FunctionMetadata, root: Path) -> tuple[str, int]:
    """Return the file, from the app's folder, and the line of a function."""
    source = function.source or str(root / function.script_file)
    path, _, line = source.rpartition(":")
    # The source of a function in a folder may be its function.json, without a line.
    return (shown_path(Path(path), root), int(line)) if line.isdecimal() else (shown_path(Path(source), root), 1)


def place_of_error(error: BaseException, root: Path) -> tuple[str, int]:
    """Return the last line of the app that an error comes from; the first line of the script if there is none."""
    frames = list(reversed(traceback.extract_tb(error.__traceback__)))
    if isinstance(error, SyntaxError) and error.filename:
        # A file with a syntax error never ran.
        frames.insert(0, traceback.FrameSummary(error.filename, error.lineno, "", lookup_line=False))
    return place_in_app(frames, root) or (DEFAULT_SCRIPT, 1)


def place_in_app(stack: Iterable[traceback.FrameSummary], root: Path) -> tuple[str, int] | None:
    """Return file and line of the app's code in a stack, whose innermost frame is the first; None if it has none."""
    for frame in stack:
        path = Path(frame.filename)
        # A virtual environment may be in the app's folder. Only below it: the folder itself may have any path.
        if path.is_relative_to(root) and "site-packages" not in path.relative_to(root).parts:
            return path.relative_to(root).as_posix(), frame.lineno or 1
    return None


def worker_text(text: str, root: Path) -> str:
    """Return a message of the worker without stack, search path, and what the finding's place says already."""
    before, _, stack = text.removeprefix("Result: Failure\nException: ").partition("\nStack:")
    # Behind the indented lines of the stack are hints.
    hints = [line for line in stack.splitlines()[1:] if line and not line.startswith(" ")]
    lines = [*before.partition(" Current sys.path: ")[0].splitlines(), *hints]
    kept = [line for line in lines if not line.startswith(_SAID_BY_THE_PLACE)]
    return re.sub(r" at 0x[0-9a-f]+", "", " ".join(kept).replace(f"{root}{os.sep}", ""))
