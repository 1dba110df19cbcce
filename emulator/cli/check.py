"""Command `azemu check`: print the findings of a check. Output to the standard output, nothing else goes there."""

from __future__ import annotations

import asyncio
import os
import sys
import threading

from emulator import bound_json as json
from emulator import exit_codes
from emulator.check.checking import CheckOptions, check_app
from emulator.check.findings import RULES, Level
from emulator.check.reports import json_report, rule_lines, sarif_report, text_report
from emulator.cli.check_arguments import Check
from emulator.cli.printing import json_text
from emulator.clock import SystemClock
from emulator.config.settings import find_project_root
from emulator.errors import ConfigurationError
from emulator.host.console.output import use_colour
from emulator.process.main_thread import exit_after

# Time for threads that the app has started when it was imported. None of them is needed any more.
_THREADS_END_SECONDS = 0.5


def run_check(command: Check) -> int:
    """Check an app and print the report. Return 1 if there are errors, with --strict also for warnings."""
    if command.rules:
        document = [{"code": rule.code, "level": rule.level.value, "title": rule.title} for rule in RULES.values()]
        sys.stdout.write(
            json.dumps({"version": 1, "rules": document}, indent=2) + "\n" if command.json else rule_lines()
        )
        return exit_codes.OK
    root = find_project_root(command.app)
    threads = set(threading.enumerate())
    today = SystemClock().now().date()
    report = asyncio.run(check_app(CheckOptions(app=root, load=command.load), os.environ, today))
    if command.json:
        sys.stdout.write(json_text(json_report(report), indent=2) + "\n")
    else:
        sys.stdout.write(text_report(report, colour=use_colour(sys.stdout, os.environ)))
    if command.sarif is not None:
        text = json.dumps(sarif_report(report), indent=2, ensure_ascii=False) + "\n"
        try:
            command.sarif.write_text(text, encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(
                f"--sarif {command.sarif}: the file cannot be written: {error.strerror}."
            ) from error
    failed = report.count(Level.ERROR) or (command.strict and report.count(Level.WARNING))
    code = exit_codes.FAILED if failed else exit_codes.OK
    # Python would wait at its end for threads that the app has started when it was imported.
    if any(not thread.daemon for thread in set(threading.enumerate()) - threads):
        sys.stdout.flush()
        exit_after(_THREADS_END_SECONDS, code)
    return code
