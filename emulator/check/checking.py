"""The check of one app: all rules, in the order in which they need each other's results.

report = await check_app(CheckOptions(app=Path(".")), os.environ)
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

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
    KINDS,
    Declared,
    Kind,
    binding_types,
    called_name,
    declarations_of,
    declared_functions,
    registers_dynamically,
)
from emulator.check.load_findings import load_findings
from emulator.check.loading import Loaded, open_loader
from emulator.check.plans import plan_findings
from emulator.check.requirements import needs_durable_2, python_findings, requirement_findings
from emulator.check.sources import AppSources, read_sources
from emulator.check.tasks import task_findings
from emulator.config.start import StartOptions, configure
from emulator.errors import EmulatorError
from emulator.worker.loader import DEFAULT_SCRIPT


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions:
    """`app`: the app's folder. `load`: import the app, too; otherwise only its files are read.

    `plan`: the hosting plan on Azure, one of `azure_offers.PLANS`; None: not known.
    """

    app: Path
    load: bool = True
    plan: str | None = None


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
    # A host would not start with wrong files, so there is nothing more to learn from loading the app.
    if host is not None and not any(finding.code == "AZ504" for finding in findings):
        loaded, more = await _loaded(options, environ, root)
        findings += more
    # A name that is not a script's is reported when the app is loaded.
    script = values.get("PYTHON_SCRIPT_FILE_NAME") or DEFAULT_SCRIPT
    scripts = [root / script, *(declaration.script for declaration in declarations_of(root))]
    sources = read_sources(root, scripts, () if loaded is None else loaded.files)
    declared = declared_functions(sources)
    findings += sources.broken
    findings += _source_findings(declared, sources, loaded)
    # The app runs here with the Python of this process, which is probably the one chosen for Azure.
    findings += python_findings(sys.version_info[:2], today)
    findings += requirement_findings(sources)
    if options.plan is not None:
        findings += plan_findings(options.plan, sources, declared, host, values, sys.version_info[:2])
    findings += deployment_findings(sources)
    findings += missing_setting_findings(root, values, environ)
    # What the app has declared when it is loaded is certain; its files show most of it.
    types = binding_types(declared, root)
    if loaded is not None and loaded.error is None:
        types = {binding.type for function in loaded.functions for binding in function.bindings}
    findings += bundle_findings(root, types)
    if loaded is not None:
        findings += load_findings(loaded, declared, findings, root)
    count = len(loaded.functions) if loaded is not None and loaded.error is None else len(declared)
    return Report(root=root, findings=without_suppressed(sorted_findings(findings), root), functions=count)


async def _loaded(options: CheckOptions, environ: Mapping[str, str], root: Path) -> tuple[Loaded | None, list[Finding]]:
    """Open the extensions, and load the app if the options want it."""
    try:
        configuration = configure(StartOptions(app=root, port=0, create_host_json=False), environ)
        async with open_loader(configuration) as loader:
            found = extension_findings("AZ502", root, loader.typos) + extension_findings("AZ109", root, loader.notes)
            return (loader.load() if options.load else None), found
    # Also what a package says that is too old. Where it comes from is in the message.
    except EmulatorError as error:
        return None, [host_json_error(root, error)]


def _source_findings(declared: Sequence[Declared], sources: AppSources, loaded: Loaded | None) -> Iterator[Finding]:
    nodes = {id(each.node): each for each in declared}
    durable_2 = needs_durable_2(sources)
    for each in declared:
        if each.kind == "orchestrator":
            yield from determinism_findings(each)
        # These are rules of azure-functions-durable 1.
        if durable_2 and (each.kind != "other" or each.clients):
            continue
        yield from binding_findings(each)
        yield from declaration_findings(each, nodes)
        yield from task_findings(each) if each.kind == "orchestrator" else async_findings(each)
    shown: dict[str, str] = {}
    known: dict[str, Kind] = {}
    for each in declared:
        if each.name is not None:
            known[each.name.lower()], shown[each.name.lower()] = each.kind, each.name
    # Without certainty about all names, none is called unknown.
    is_complete = all(each.name is not None for each in declared) and not registers_dynamically(sources)
    if loaded is not None and loaded.error is None:
        is_complete = True
        for function in loaded.functions:
            trigger = next((binding for binding in function.bindings if binding.is_trigger), None)
            name = called_name(trigger, function.name)
            kind = KINDS.get("" if trigger is None else trigger.type.lower())
            # A function that cannot be loaded has no bindings; what its file says about it stays.
            if kind is not None or name.lower() not in known:
                known[name.lower()], shown[name.lower()] = kind or "other", name
    uses = name_uses(sources)
    if is_complete and not sources.broken:
        # A client with a task hub of its own starts orchestrators of another app.
        clients = [
            decorator for each in declared for decorator in each.decorators if "client_name" in decorator.arguments
        ]
        is_own = not any({"task_hub", "connection_name"} & client.arguments.keys() for client in clients)
        yield from unknown_names([use for use in uses if is_own or not use.is_start], known, shown)
        yield from unnamed_functions(declared, uses, sources)
