"""The list of extensions that every host has. A new one is a module beside this one and a line here."""

from __future__ import annotations

from collections.abc import Sequence

from emulator.clock import Clock
from emulator.config.start import Configuration
from emulator.errors import ConfigurationError
from emulator.extensions.http.extension import MAX_BODY_BYTES, http_extension
from emulator.extensions.warmup import warmup_extension
from emulator.host.http.routing.routes import FunctionRoutes
from emulator.host.port import Extension

BODY_LIMIT_SETTING = "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT"


def builtin_extensions(configuration: Configuration, *, routes: FunctionRoutes, clock: Clock) -> Sequence[Extension]:
    """`routes`: the table of the web server, which the http extension fills. Raises ConfigurationError."""
    return [
        http_extension(
            routes,
            clock,
            prefix=configuration.host.http.route_prefix,
            max_body_bytes=_body_limit(configuration.settings.get(BODY_LIMIT_SETTING)),
        ),
        warmup_extension(),
    ]


def _body_limit(text: str | None) -> int:
    if not text:
        return MAX_BODY_BYTES
    if not text.strip().isdecimal():
        raise ConfigurationError(f"App setting {BODY_LIMIT_SETTING} is '{text}'; allowed: a number of bytes.")
    return int(text)
