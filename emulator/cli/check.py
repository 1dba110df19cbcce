"""Command `azemu check`: print the findings of a check. Output to the standard output, nothing else goes there."""

from __future__ import annotations

import os
import sys

from emulator import bound_json as json
from emulator import exit_codes
from emulator.check.checking import CheckOptions
from emulator.check.child import check_in_child
from emulator.check.findings import RULES, Level
from emulator.check.reports import json_report, rule_lines, sarif_report, text_report
from emulator.cli.check_arguments import Check
from emulator.cli.printing import print_json, waiting
from emulator.clock import SystemClock
from emulator.config.settings import find_project_root
from emulator.errors import ConfigurationError
from emulator.host.console.output import use_colour


def run_check(command: Check) -> int:
    """Check an app and print the report. Return 1 if there are errors, with --strict also for warnings."""
    if command.rules:
        if command.json:
            rules = [{"code": rule.code, "level": rule.level.value, "title": rule.title} for rule in RULES.values()]
            print_json({"rules": rules})
        else:
            sys.stdout.write(rule_lines())
        return exit_codes.OK
    root = find_project_root(command.app)
    options = CheckOptions(app=root.resolve(), load=command.load, plan=command.plan)
    with waiting("Checking the app"):
        report = check_in_child(options, os.environ, SystemClock().now().date(), seconds=command.timeout)
    if command.json:
        print_json(json_report(report))
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
    return exit_codes.FAILED if failed else exit_codes.OK
