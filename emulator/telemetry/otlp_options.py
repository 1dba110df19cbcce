"""Where spans are sent: the option --otlp and the environment variables of OpenTelemetry.

Source: OpenTelemetry specification, "OpenTelemetry Protocol Exporter" and "Environment Variable Specification".
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

from emulator.errors import ConfigurationError
from emulator.telemetry.spans import Attribute

DEFAULT_ENDPOINT: Final = "http://localhost:4318"
_PATH: Final = "/v1/traces"
_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
_TRACES_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
_HEADERS: Final = ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS")
_RESOURCE: Final = "OTEL_RESOURCE_ATTRIBUTES"
_SERVICE: Final = "OTEL_SERVICE_NAME"


@dataclass(frozen=True, slots=True, kw_only=True)
class OtlpTarget:
    """A collector. `url`: of the requests with spans. `resource`: attributes of this process."""

    url: str
    headers: Mapping[str, str]
    resource: Mapping[str, Attribute]


def otlp_target(
    option: str | None, get: Callable[[str], str | None], *, is_open_telemetry: bool, service: str, version: str
) -> OtlpTarget | None:
    """Return where spans are sent; None: nowhere. Raises ConfigurationError.

    `option`: the URL of --otlp, empty if the option has none, None if it is missing. `get`: returns a setting.
    `is_open_telemetry`: host.json has telemetryMode OpenTelemetry; the host then exports if a setting names an
    endpoint, as on Azure. `service`: the name of this service if no setting has one.
    """
    # A URL on the command line is meant for this run, so it counts in spite of the variable.
    if (get("OTEL_SDK_DISABLED") or "").strip().lower() == "true" and not option:
        return None
    source, url = "--otlp", option
    if not url and (option is not None or is_open_telemetry):
        source = _TRACES_ENDPOINT if get(_TRACES_ENDPOINT) else _ENDPOINT
        url = get(source)
    if not url and option is not None:
        source, url = "--otlp", DEFAULT_ENDPOINT
    if not url:
        return None
    headers: dict[str, str] = {}
    # The variable for traces is the last one, so its headers win.
    for name in _HEADERS:
        headers |= _pairs(get(name) or "", name)
    resource: dict[str, Attribute] = {
        "service.name": get("WEBSITE_SITE_NAME") or service,
        "service.version": version,
        "telemetry.sdk.name": "azemu",
        "telemetry.sdk.language": "python",
        "process.pid": os.getpid(),
        # Behind azemu's own, because the user's attributes win. OTEL_SERVICE_NAME wins over both, as specified.
        **_pairs(get(_RESOURCE) or "", _RESOURCE),
    }
    if configured := get(_SERVICE):
        resource["service.name"] = configured
    return OtlpTarget(url=_traces_url(url, source), headers=headers, resource=resource)


def _traces_url(url: str, source: str) -> str:
    try:
        parts = urlsplit(url.strip())
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if not valid:
        raise ConfigurationError(
            f"{source}: '{url}' is not the URL of a collector. Use one such as {DEFAULT_ENDPOINT}."
        )
    # As the specification says: this variable has the whole URL, the other one its beginning.
    if source == _TRACES_ENDPOINT or parts.path.endswith(_PATH):
        return url.strip()
    return parts._replace(path=parts.path.rstrip("/") + _PATH).geturl()


def _pairs(text: str, source: str) -> dict[str, str]:
    """Read a list such as `a=1,b=2` with percent escapes. Raises ConfigurationError."""
    pairs = {}
    for item in filter(None, (item.strip() for item in text.split(","))):
        name, equals, value = item.partition("=")
        if not equals or not name.strip():
            # The value of a header may be a secret, so it is not shown.
            raise ConfigurationError(f"{source}: each item must have the form name=value, separated by commas.")
        pairs[unquote(name.strip())] = unquote(value.strip())
    return pairs
