"""Endpoints of the page Settings: effective options of host.json and app settings, each with its origin.

Values that may be secrets are masked; `settings/value` returns one of them.
"""

from __future__ import annotations

import dataclasses
import enum
import os
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Final

from aiohttp import web

from emulator import bound_json as json
from emulator.config.queue_options import QueuesOptions
from emulator.config.schema import NO_RULE, Section, camel_case
from emulator.config.settings import FILE_NAME, load_settings
from emulator.dashboard.parts import DashboardParts
from emulator.dashboard.routing import ApiError, check_writable, endpoint
from emulator.dotnet.timespan import format_timespan
from emulator.durable.options import DurableTaskOptions
from emulator.errors import ConfigurationError
from emulator.extensions.blobs.options import BlobsOptions
from emulator.host.admin.api import json_response
from emulator.host.http.routing.routes import HttpCall, Route
from emulator.host.http_options import HttpOptions

_SECTIONS: Final = (HttpOptions, DurableTaskOptions, QueuesOptions, BlobsOptions)
# Beginnings of the names of environment variables that concern the host. An environment has many others.
_PREFIXES: Final = (
    *("azurewebjobs", "azurefunctions", "azure_functions", "functions_", "website_", "azemu_", "python_", "scm_"),
    *("languageworkers", "durable", "connectionstrings"),
)
_SECRET_NAME: Final = re.compile(
    r"key|secret|pass|pwd|token|credential|connection|sas|storage|auth|cert|private|webhook|dsn|jwt|signing|salt",
    re.IGNORECASE,
)
_SECRET_VALUE: Final = re.compile(
    # The last ones begin private keys, JSON web tokens, and tokens of GitHub and of AI services.
    r"AccountKey=|SharedAccess|Password=|Pwd=|[?&](sig|code|key|token)=|://[^/@\s]+:[^/@\s]+@"
    r"|-----BEGIN|\beyJ[\w-]{8}|\bgh[a-z]_\w{8}|\bgithub_pat_|\bsk-[\w-]{8}",
    re.IGNORECASE,
)
_PLAIN_VALUE: Final = re.compile(r"UseDevelopmentStorage=true|builtin(:.*)?|true|false|\d{1,4}|", re.IGNORECASE)


def settings_routes(parts: DashboardParts) -> list[Route]:
    """Return the endpoints `settings` and `settings/value`."""

    async def settings(call: HttpCall) -> web.Response:
        configuration, options = parts.configuration, parts.configuration.host
        # The sections of the host itself are kept as the text of the file only; origin knows what replaced them.
        document = Section(json.loads(options.text or "{}"), (), options.extensions.origin)
        host_json = list(_options(options, document))
        for section in _SECTIONS:
            host_json += _options(options.section(section), options.extensions.section(section.section_name))
        start = {
            "app": str(configuration.root),
            "address": configuration.address,
            "port": parts.port,
            "enableAuth": configuration.enable_auth,
            "cors": list(configuration.cors.origins) if configuration.cors else None,
            "hostNames": sorted(configuration.host_names),
            "dashboardPath": configuration.dashboard_path,
            "dashboardWrites": configuration.dashboard_writes,
            "processId": os.getpid(),
        }
        return json_response(
            {
                "hostJson": host_json,
                "settings": list(_app_settings(parts)),
                "start": start,
                "mayReveal": parts.may_write(),
            }
        )

    async def value(call: HttpCall) -> web.Response:
        # As for changes: a key of a real account is worth more than one of this machine.
        check_writable(parts)
        name = call.request.query.get("name", "")
        known = {setting["name"] for setting in _app_settings(parts)}
        # The environment of the process also has secrets of other programs.
        if name not in known:
            raise ApiError(404, f"The page shows no setting '{name}'.")
        return json_response({"name": name, "value": parts.configuration.settings.get(name)})

    return [endpoint("GET", "settings", settings), endpoint("GET", "settings/value", value)]


# host.json -------------------------------------------------------------------------------------------------------


def _options(options: Any, section: Section) -> Iterator[Mapping[str, Any]]:
    """Yield the options of a section with `path`, `value` and `origin`: "default", "host.json" or "setting NAME"."""
    for member in dataclasses.fields(options):
        rule = member.metadata.get("rule", NO_RULE)
        if rule.key == "":
            continue
        key, value = rule.key or camel_case(member.name), getattr(options, member.name)
        if dataclasses.is_dataclass(value):
            yield from _options(value, section.section(key))
            continue
        origin = section.origin((*section.path, key))
        used = next((name for name in (key, rule.formerly) if name and section.get(name) is not None), None)
        if origin.startswith("App setting "):
            source = f"setting {origin.removeprefix('App setting ')}"
        else:
            source = "default" if used is None else "host.json"
        yield {"path": ".".join((*section.path, key)), "value": _option_text(value, rule.unit), "origin": source}


def _option_text(value: Any, unit: timedelta | None) -> Any:
    match value:
        case timedelta():
            return value / unit if unit is not None else format_timespan(value)
        case enum.Enum():
            return value.value
        case Mapping():
            return {str(name): _option_text(item, None) for name, item in value.items()}
        case tuple() | list() | set() | frozenset():
            return [_option_text(item, None) for item in value]
        case bool() | int() | float() | str() | None:
            return value
        case _:
            return str(value)


# App settings ----------------------------------------------------------------------------------------------------


def _app_settings(parts: DashboardParts) -> Iterator[Mapping[str, Any]]:
    """Yield the settings that concern the app, by name. A masked one has `value` None."""
    settings, root = parts.configuration.settings, parts.configuration.root
    try:
        file = {name.lower(): value for name, value in load_settings(root, {}, overrides={}).settings.items()}
    except ConfigurationError:
        file = {}  # It was changed since the host has read it, and the host runs with what it was.
    referenced = {name.lower() for name in _referenced(parts)}
    for name, value in sorted(settings.items(), key=lambda item: item[0].lower()):
        lower = name.lower()
        # An environment has many variables that have nothing to do with the app.
        if not (lower in file or lower in referenced or lower.startswith(_PREFIXES) or name in settings.exported):
            continue
        if file.get(lower) == value and name in settings.exported:
            origin = FILE_NAME
        elif name in settings.exported:
            origin = "command line"
        else:
            origin = "environment"
        is_masked = is_secret(name, value)
        yield {
            "name": name,
            "value": None if is_masked else value,
            "isMasked": is_masked,
            "origin": origin,
            "hides": FILE_NAME if lower in file and file[lower] != value else None,
            "isUsed": lower in referenced,
        }


def is_secret(name: str, value: str) -> bool:
    """Return whether the value of a setting should not be shown."""
    # Such values are harmless, whatever the name suggests.
    if _PLAIN_VALUE.fullmatch(value):
        return False
    return bool(_SECRET_NAME.search(name) or _SECRET_VALUE.search(value))


def _referenced(parts: DashboardParts) -> Iterator[str]:
    """Yield the names of the settings that bindings name: connections and `%NAME%`."""
    for function in parts.host.catalog.functions:
        for binding in function.metadata.bindings:
            for name, value in binding.properties.items():
                if not isinstance(value, str):
                    continue
                if name.lower().endswith("connection"):
                    yield value
                yield from re.findall(r"%([^%]+)%", value)
