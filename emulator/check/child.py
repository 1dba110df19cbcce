"""The check of an app in a process of its own: importing an app may end the process, crash it, or never return.

report = check_in_child(CheckOptions(app=Path("/apps/shop")), os.environ, today, seconds=60)
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import subprocess
import sys
import traceback
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NoReturn

from emulator import bound_json as json
from emulator import exit_codes
from emulator.check.checking import CheckOptions, Report, check_app
from emulator.check.findings import Finding, sorted_findings
from emulator.check.load_findings import place_in_app
from emulator.subprocesses import describe_exit_code, python_command
from emulator.worker.loader import DEFAULT_SCRIPT
from emulator.worker.stack_files import stacks_in

# Files in a folder of their own: what the process found, the stacks when it hung or crashed, who called os._exit().
_REPORT: Final = "report.json"
_STACKS: Final = "stacks"
_EXIT: Final = "exit"
# The process ends itself in time. More than that it needs only if it cannot even do that.
_GRACE_SECONDS: Final = 5.0


def check_in_child(options: CheckOptions, environ: Mapping[str, str], today: date, *, seconds: int) -> Report:
    """Check an app as `check_app` does. If the process ends without a report, that is the finding AZ101.

    `seconds`: how long it may take. What the app prints goes to the standard error.
    """
    if not options.load:
        return asyncio.run(check_app(options, environ, today))
    with TemporaryDirectory(prefix="azemu-check-", ignore_cleanup_errors=True) as folder:
        files = Path(folder)
        words = (str(options.app), folder, today.isoformat(), str(seconds), options.plan or "")
        # Ctrl-C reaches only this process, which kills the other one; that would print where it was.
        options_of_start: dict[str, Any] = {"start_new_session": True}
        if sys.platform == "win32":
            options_of_start = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
        command = python_command(__name__, *words)
        with subprocess.Popen(
            command, env=dict(environ), stdin=subprocess.DEVNULL, stdout=2, **options_of_start
        ) as process:
            try:
                how = f"ended its process ({describe_exit_code(process.wait(seconds + _GRACE_SECONDS))})"
            except subprocess.TimeoutExpired:
                how = f"has not ended after {seconds} seconds"
            finally:
                process.kill()
                process.wait()
        try:
            content = json.loads((files / _REPORT).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            failure = _failure(options.app, files, how, seconds)
        else:
            findings = [Finding(*finding) for finding in content["findings"]]
            return Report(root=options.app, findings=findings, functions=content["functions"])
    # What the files show is worth knowing all the same.
    report = asyncio.run(check_app(replace(options, load=False), environ, today))
    return replace(report, findings=sorted_findings([*report.findings, failure]))


def _failure(root: Path, files: Path, how: str, seconds: int) -> Finding:
    """Return the finding about a process that has ended without a report. `how`: what is known about its end."""
    places = [place for stack in stacks_in(files / _STACKS) if (place := place_in_app(stack, root)) is not None]
    hint = ""
    try:
        text = (files / _STACKS).read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    if (files / _EXIT).exists():
        places = [place for stack in stacks_in(files / _EXIT) if (place := place_in_app(stack, root)) is not None]
        how = "called os._exit(), which ends the worker of Azure as well"
    elif text.startswith("Timeout"):
        how = f"has not ended after {seconds} seconds"
        hint = " Do not wait, listen or poll in a module. If it only needs longer, add --timeout SECONDS."
    # The main thread, which imports the app, is the last one.
    file, line = places[-1] if places else (DEFAULT_SCRIPT, 1)
    text = f"The app cannot be loaded. Importing it {how}.{hint} Only the app's files were checked."
    return Finding("AZ101", file, line, 0, text)


# The process itself ----------------------------------------------------------------------------------------------


def main(root: str, folder: str, today: str, seconds: str, plan: str) -> NoReturn:
    """Check the app, write the report, and end the process, whatever threads the app has started."""
    files, exit_process = Path(folder), os._exit
    # As in the host: apps open files by paths from their folder.
    os.chdir(root)

    def record_exit(code: int) -> NoReturn:
        frames = reversed(traceback.extract_stack()[:-1])
        # In the format of faulthandler, which the parent reads.
        lines = [f'  File "{frame.filename}", line {frame.lineno} in {frame.name}\n' for frame in frames]
        (files / _EXIT).write_text("".join(lines), encoding="utf-8")
        exit_process(code)

    with (files / _STACKS).open("w", encoding="utf-8") as stacks:
        faulthandler.enable(file=stacks, all_threads=False)
        # It is a thread without Python, so it also ends an import that keeps the interpreter's lock.
        faulthandler.dump_traceback_later(int(seconds), exit=True, file=stacks)
        os._exit = record_exit  # type: ignore[assignment]
        report = asyncio.run(
            check_app(CheckOptions(app=Path(root), plan=plan or None), os.environ, date.fromisoformat(today))
        )
        faulthandler.cancel_dump_traceback_later()
        findings = [(each.code, each.file, each.line, each.column, each.message) for each in report.findings]
        content = json.dumps({"functions": report.functions, "findings": findings})
        unfinished = files / "unfinished"
        unfinished.write_text(content, encoding="utf-8")
        unfinished.replace(files / _REPORT)
        sys.stdout.flush()
        sys.stderr.flush()
        # Python would wait at its end for threads that the app has started when it was imported.
        exit_process(exit_codes.OK)
