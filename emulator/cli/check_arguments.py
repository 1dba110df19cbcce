"""Arguments of `azemu check`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from emulator.check.azure_offers import PLANS
from emulator.cli.parsing import Parser

DEFAULT_SECONDS: Final = 60
"""How long the import of an app may take: as long as a host on Azure waits for its worker."""
# Longer than any import takes, and short enough for the timers of all systems.
_LONGEST_SECONDS: Final = 86_400

_EXAMPLES: Final = """\
examples:
  azemu check                         load the app, read its files, and print what would fail on Azure
  azemu check --no-import             only read the files: for a machine without the app's packages
  azemu check --plan flex             also what the plan Flex Consumption does not run
  azemu check --strict                also fail for warnings
  azemu check --json                  the report as one JSON document
  azemu check --sarif check.sarif     also write the report for code scanning
  azemu check --rules                 list all rules

A comment `# azemu: ignore[AZ201]` at the end of a line suppresses the findings of this rule there. The exit code is 1
if there are errors, with --strict also for warnings. docs/check.md explains each rule.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Options of `azemu check`. `load`: import the app. `sarif`: the file to write, None: none.

    `rules`: list the rules instead of checking. `timeout`: seconds in which the app must be imported.
    `plan`: the hosting plan on Azure.
    """

    app: Path
    load: bool = True
    plan: str | None = None
    timeout: int = DEFAULT_SECONDS
    strict: bool = False
    json: bool = False
    sarif: Path | None = None
    rules: bool = False


def parse_check(words: Sequence[str]) -> Check:
    """Parse the arguments after `azemu check`. Ends the process (SystemExit) after --help and for wrong arguments."""
    parser = Parser(
        "azemu check",
        description="Find out whether the app will run on Azure: wrong orchestrators, names, settings and packages.",
        epilog=_EXAMPLES,
    )
    add = parser.add_argument
    parser.add_app_option()
    add("--no-import", dest="load", action="store_false", help="read the app's files only, without importing them")
    add("--plan", metavar="PLAN", help=f"also check for this hosting plan: {', '.join(PLANS)}")
    parser.suggest("--plan", PLANS)
    add(
        "--timeout",
        metavar="SECONDS",
        default=str(DEFAULT_SECONDS),
        help=f"how long the import of the app may take (default: {DEFAULT_SECONDS})",
    )
    add("--strict", action="store_true", help="exit code 1 also for warnings")
    add("--json", action="store_true", help="print the report as JSON")
    add("--sarif", type=Path, metavar="FILE", help="also write the report in the format SARIF 2.1.0")
    add("--rules", action="store_true", help="list the rules with their codes and levels")
    options = parser.parse(words)
    if options.plan is not None and options.plan not in PLANS:
        parser.error(f"--plan: '{options.plan}' is not a hosting plan. Use one of: {', '.join(PLANS)}.")
    return Check(
        app=options.app,
        load=options.load,
        plan=options.plan,
        timeout=parser.number_of("--timeout", options.timeout, lowest=1, highest=_LONGEST_SECONDS),
        strict=options.strict,
        json=options.json,
        sarif=options.sarif,
        rules=options.rules,
    )
