"""Options of HTTP in host.json (extensions.http), used by the web server, the admin API and the http extension.

Source: docs/protocol/functions-host.md 1.3.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import ClassVar, Final

from emulator.config.schema import Section, option

HEADER_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
BAD_IN_HEADER_VALUE: Final = re.compile(r"[^\t\x20-\x7e]")
"""What a value of a response header must not have: Kestrel sends ASCII only, and no control characters but tabs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HstsOptions:
    """extensions.http.hsts. The header is sent over HTTPS only."""

    is_enabled: bool = False
    max_age: timedelta = timedelta(days=30)
    include_sub_domains: bool = False
    preload: bool = False
    excluded_hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpOptions:
    """extensions.http. `max_outstanding_requests`, `max_concurrent_requests` -1: unlimited, the default outside of
    the Consumption plan.
    """

    section_name: ClassVar[str] = "http"

    # Empty removes the prefix; several segments are allowed.
    route_prefix: str = "api"
    max_outstanding_requests: int = option(-1, at_least=-1)
    max_concurrent_requests: int = option(-1, at_least=-1)
    # Names and values of headers that the server adds to responses.
    custom_headers: Mapping[str, str] = field(default_factory=dict)
    hsts: HstsOptions = HstsOptions()

    @classmethod
    def relevant(cls, section: Section) -> Section:
        """Return the section. Raises ConfigurationError for a custom header that no response can have."""
        headers = section.section("customHeaders")
        for name, value in headers.members.items():
            if not HEADER_NAME.fullmatch(name):
                raise headers.error(name, value, "a header whose name has letters, digits and hyphens only")
            if BAD_IN_HEADER_VALUE.search(str(value)):
                raise headers.error(name, value, "a text of printable ASCII characters")
        return section
