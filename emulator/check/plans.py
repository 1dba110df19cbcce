"""Rules about the hosting plan that the user names with --plan. The facts are in azure_offers.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Final

from emulator.check.azure_offers import AS_OF, PLANS
from emulator.check.findings import Finding
from emulator.check.functions import Declared, declarations_of
from emulator.check.json_lines import line_of_member
from emulator.check.resolving import constant_text
from emulator.check.sources import REQUIREMENTS, AppSources
from emulator.config import hostjson, settings
from emulator.config.hostjson import HostOptions
from emulator.config.settings import Settings
from emulator.worker.port import member_of

_TIMEOUT: Final = "functionTimeout"
_TIME_ZONE: Final = "WEBSITE_TIME_ZONE"
_EVENT_GRID: Final = "eventgrid"


def plan_findings(
    name: str,
    sources: AppSources,
    declared: Sequence[Declared],
    host: HostOptions | None,
    values: Settings,
    version: tuple[int, int],
) -> Iterator[Finding]:
    """Yield what of an app does not work on a hosting plan. `host`: host.json, None if it is wrong."""
    plan, root = PLANS[name], sources.root
    host_file = root / hostjson.FILE_NAME
    # Without the key each plan has a default of its own.
    is_set = host is not None and f'"{_TIMEOUT}"'.lower() in host.text.lower()
    timeout = host.function_timeout if host is not None else None
    if plan.longest is not None and is_set and (timeout is None or timeout > timedelta(minutes=plan.longest)):
        text = (
            f"On the plan {plan.title} a function may run for {plan.longest} minutes at most; with this {_TIMEOUT} the "
            f"app does not start there. Write 00:{plan.longest}:00 or less, or choose another plan."
        )
        yield Finding("AZ510", hostjson.FILE_NAME, line_of_member(host_file, (_TIMEOUT,)), 0, text)
    if not plan.polls_blobs:
        text = (
            f"On the plan {plan.title} a blob trigger works only with Event Grid. Add the source EventGrid to it, and "
            "an event subscription in Azure."
        )
        for file, line, column in _polling_blob_triggers(sources, declared):
            yield Finding("AZ511", file, line, column, text)
    if not plan.has_time_zones and values.get(_TIME_ZONE):
        text = f"{_TIME_ZONE} has no effect on the plan {plan.title}, where timers run in UTC. Write schedules in UTC."
        line = line_of_member(root / settings.FILE_NAME, ("Values", _TIME_ZONE))
        yield Finding("AZ512", settings.FILE_NAME, line, 0, text)
    if plan.newest_python is not None and version > plan.newest_python:
        newest, shown = (".".join(map(str, each)) for each in (plan.newest_python, version))
        text = f"The plan {plan.title} has no Python {shown}, and gets no later one than {newest} (as of {AS_OF})."
        yield Finding("AZ606", REQUIREMENTS, 1, 0, text)
    if plan.retires_on is not None:
        text = f"Azure ends the plan {plan.title} on {plan.retires_on}. For new apps it has Flex Consumption."
        yield Finding("AZ513", hostjson.FILE_NAME, 1, 0, text)


def _polling_blob_triggers(sources: AppSources, declared: Sequence[Declared]) -> Iterator[tuple[str, int, int]]:
    """Yield file, line and column of the blob triggers whose source is not Event Grid."""
    for each in declared:
        for decorator in each.decorators:
            if decorator.name != "blob_trigger" or decorator.has_more:
                continue
            value = decorator.arguments.get("source")
            # What is not text in the file, such as func.BlobSource.EVENT_GRID, may be Event Grid.
            text = "" if value is None else constant_text(value, each.source, each.scope.sources)
            if text is not None and text.lower() != _EVENT_GRID:
                finding = each.source.finding("AZ511", decorator.node, "")
                yield finding.file, finding.line, finding.column
    for declaration in declarations_of(sources.root):
        for binding in declaration.bindings:
            source = str(member_of(binding.properties, "source") or "")
            if binding.type.lower() == "blobtrigger" and source.lower() != _EVENT_GRID:
                yield f"{declaration.name}/function.json", 1, 0
