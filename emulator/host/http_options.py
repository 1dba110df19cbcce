"""Options of HTTP in host.json (extensions.http), used by the web server, the admin API and the http extension.

Source: docs/protocol/functions-host.md 1.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import ClassVar

from emulator.config.schema import option


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
