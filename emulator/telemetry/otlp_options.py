"""Where spans are sent: the option --otlp and the environment variables of OpenTelemetry.

Source: OpenTelemetry specification, "OpenTelemetry Protocol Exporter" and "Environment Variable Specification".
"""

from __future__ import annotations

import os
import re
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
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_NOT_IN_URL: Final = re.compile(r"[\s\x00-\x1f\x7f\ud800-\udfff]")
_RESOURCE: Final = "OTEL_RESOURCE_ATTRIBUTES"
_SERVICE: Final = "OTEL_SERVICE_NAME"


@dataclass(frozen=True, slots=True, kw_only=True)
class OtlpTarget:
    """A collector. `url`: of the requests with spans. `resource`: attributes of this process.

    `shown_url`: for messages, without parts that may be secrets.
    """

    url: str
    shown_url: str
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
        pairs = _pairs(get(name) or "", name)
        # A request could never be sent with such a header. Its value may be a secret, so it is not shown.
        for header, value in pairs.items():
            if _HEADER_NAME.fullmatch(header) is None or _CONTROL.search(value):
                raise ConfigurationError(
                    f"{name}: {header!a} cannot be sent as an HTTP header. Its name must consist of letters, digits "
                    "and hyphens, and its value must not have control characters such as line ends."
                )
        headers |= pairs
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
    traces_url = _traces_url(url, source)
    return OtlpTarget(url=traces_url, shown_url=shown_url(traces_url), headers=headers, resource=resource)


def shown_url(url: str) -> str:
    """Return a URL without user name, password, query and fragment, in which keys of services may be."""
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        parts = None
    if parts is None or not parts.scheme or not parts.netloc:
        # Behind the last @ there is no password in any reading of the text.
        return url.strip().rpartition("@")[2].partition("?")[0]
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _traces_url(url: str, source: str) -> str:
    try:
        parts = urlsplit(url.strip())
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
        # Also what no request can be sent to, such as a host name with blanks or with a label of 64 letters.
        valid = valid and not _NOT_IN_URL.search(url.strip()) and bool((parts.hostname or "").encode("idna"))
    except ValueError:
        valid = False
    if not valid:
        raise ConfigurationError(
            f"{source}: '{shown_url(url)}' is not the URL of a collector. Use one such as {DEFAULT_ENDPOINT}."
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
