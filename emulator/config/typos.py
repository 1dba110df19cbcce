"""Warnings about keys of host.json that are probably misspelled or in the wrong place.

The Functions host ignores unknown keys, so a misspelled option silently keeps its default. An unknown key is reported
only if it resembles a known one of the same section: others may be options of newer versions or of extensions that
azemu does not have.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final, get_args

from emulator.config.schema import NO_RULE, Section, camel_case, type_hints
from emulator.config.unused_options import UNUSED_OPTIONS

# Sections and options of the Functions host that no dataclass and no row of UNUSED_OPTIONS names.
# Source: docs/protocol/functions-host.md 1.3.
_OTHER_KEYS: Final[Mapping[tuple[str, ...], tuple[str, ...]]] = {
    (): (
        *("$schema", "version", "id", "extensions", "managedDependency", "managedDependencies", "customHandler"),
        *("httpWorker", "isDefaultHostConfig", "configurationProfile"),
    ),
    ("logging",): ("console", "fileLoggingMode"),
    ("logging", "applicationInsights"): (
        *("enableDependencyTracking", "enableLiveMetrics", "enableLiveMetricsFilters", "dependencyTrackingOptions"),
        *("enablePerformanceCountersCollection", "enablePerformanceCounters", "httpAutoCollectionOptions"),
        *("snapshotConfiguration", "liveMetricsInitializationDelay", "enableAutocollectedMetricsExtractor"),
    ),
    ("extensions",): (
        *("http", "durableTask", "queues", "blobs", "tables", "serviceBus", "eventHubs", "eventGrid", "cosmosDB"),
        *("signalR", "sendGrid", "twilio", "kafka", "rabbitMQ", "sql", "mysql", "redis", "mcp", "openai", "dapr"),
        *("kusto", "azureDataExplorer", "timers", "warmup", "mongoDB", "webPubSub", "storage"),
    ),
    # Options of the first version of the extension, which resemble present ones.
    ("extensions", "durableTask"): ("azureStorageConnectionStringName", "logReplayEvents", "traceInputsAndOutputs"),
}
# Sections that were at the top of the first version of host.json, and are below `extensions` in this one.
_MOVED: Final = ("durableTask", "http", "queues", "blobs", "serviceBus", "eventHubs", "cosmosDB", "sendGrid", "signalR")
# Two of three letters wrong is not a typing mistake: `delay` is not `display`.
_LIKENESS: Final = 0.84


def host_typos(cls: type, document: Section) -> list[str]:
    """Return warnings about the top of host.json and its sections without a dataclass. `cls`: of the top."""
    moved = {name.lower(): name for name in _MOVED}
    warnings = [
        f'{document.origin((key,))}: the section "{key}" has no effect here. Move it into "extensions".'
        for key in document.members
        if key.lower() in moved
    ]
    # Extensions that read their own section check it with their own dataclass.
    checked = option_typos(cls, document)
    for path in sorted({tuple(row.path.split(".")[:-1]) for row in UNUSED_OPTIONS} | {("extensions",)}):
        section = document
        for key in path:
            section = section.section(key)
        if path[:2] not in (("extensions", "durableTask"), ("extensions", "http")) and path:
            checked += _typos(section, _known_keys(path))
    return [*warnings, *dict.fromkeys(checked)]


def option_typos(cls: type, section: Section) -> list[str]:
    """Return warnings about the section that the dataclass `cls` describes, and about the sections in it."""
    relevant = getattr(cls, "relevant", None)
    # Of the section of another storage provider nothing is known.
    if relevant is not None and relevant(section) is not section:
        return []
    known = [*_known_keys(section.path)]
    nested = []
    for member in dataclasses.fields(cls):
        rule = member.metadata.get("rule", NO_RULE)
        if rule.key != "":
            key = rule.key or camel_case(member.name)
            known += [name for name in (key, rule.formerly) if name]
            kind = type_hints(cls)[member.name]
            kinds = [
                part for part in (kind, *get_args(kind)) if isinstance(part, type) and dataclasses.is_dataclass(part)
            ]
            nested += [(part, section.section(key)) for part in kinds if isinstance(section.get(key), Mapping)]
    return [*_typos(section, known), *(typo for part, below in nested for typo in option_typos(part, below))]


def _typos(section: Section, known: Iterable[str]) -> Iterator[str]:
    names: dict[str, Any] = {name.lower(): name for name in known}
    present = {key.lower() for key in section.members}
    for key in section.members:
        if key.lower() not in names:
            near = difflib.get_close_matches(key.lower(), names.keys() - present, n=1, cutoff=_LIKENESS)
            if near:
                path = (*section.path, key)
                yield (
                    f'{section.origin(path)}: "{".".join(path)}" is not a known option and has no effect. '
                    f'Did you mean "{names[near[0]]}"?'
                )


@cache
def _known_keys(path: tuple[str, ...]) -> Sequence[str]:
    below = (row.path.split(".") for row in UNUSED_OPTIONS)
    return [*_OTHER_KEYS.get(path, ()), *(keys[len(path)] for keys in below if tuple(keys[: len(path)]) == path)]
