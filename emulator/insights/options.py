"""Whether telemetry goes to Application Insights, and where: settings of the app, host.json, installed packages."""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from emulator import __version__
from emulator.config.hostjson import HostOptions, LogLevel, SamplingOptions
from emulator.config.settings import Settings
from emulator.errors import ConfigurationError
from emulator.worker.open_telemetry import sends_user_lines

SWITCH: Final = "AZEMU_APPLICATION_INSIGHTS"
PACKAGE: Final = "azure-monitor-opentelemetry-exporter"
# The first release that takes the log records of OpenTelemetry 1.39, whose class the older ones do not know.
LOWEST_VERSION: Final = "1.0.0b46"

_CONNECTION_STRING: Final = "APPLICATIONINSIGHTS_CONNECTION_STRING"
_KEY: Final = "APPINSIGHTS_INSTRUMENTATIONKEY"
_ON: Final = ("1", "true", "on", "yes")
_OFF: Final = ("0", "false", "off", "no")


@dataclass(frozen=True, slots=True, kw_only=True)
class InsightsTarget:
    """A resource of Application Insights. `setting`: names it. `resource`: OpenTelemetry's attributes of this process.

    `user_lines`: send what functions log. `log_level`: `logging.logLevel` of host.json.
    """

    setting: str
    connection_string: str
    resource: Mapping[str, str]
    sampling: SamplingOptions
    log_level: Mapping[str, LogLevel]
    user_lines: bool


@dataclass(frozen=True, slots=True)
class Insights:
    """What becomes of the settings. `target` None: nothing is sent. `note`: tells the user; None: nothing to tell."""

    target: InsightsTarget | None = None
    note: str | None = None


def read_insights(settings: Settings, host: HostOptions, *, service: str) -> Insights:
    """Return what becomes of telemetry. `service`: the app's name if no setting has one. Raises ConfigurationError."""
    # The connection string wins, as in the Functions host.
    setting = next((name for name in (_CONNECTION_STRING, _KEY) if (settings.get(name) or "").strip()), None)
    if not is_on(settings) or setting is None:
        return Insights()
    # Imported late, as it takes longer than most modules, and every host loads this one.
    from importlib import metadata

    # From the metadata: an import would load the package into the process of user code, which may have another use of
    # the same packages.
    problem = None
    try:
        if _parts(version := metadata.version(PACKAGE)) < _parts(LOWEST_VERSION):
            problem = f"{PACKAGE} {version} is too old"
    except metadata.PackageNotFoundError:
        problem = f"the package {PACKAGE} is not installed"
    if problem is not None:
        return Insights(
            note=f"Application Insights: the setting {setting} is not used, because {problem}. To send telemetry "
            f'there, run: {sys.executable} -m pip install -U "{PACKAGE}>={LOWEST_VERSION}". To hide this line, set '
            f"{SWITCH}=off."
        )
    value = (settings.get(setting) or "").strip()
    target = InsightsTarget(
        setting=setting,
        connection_string=value if setting == _CONNECTION_STRING else f"InstrumentationKey={value}",
        resource={
            "service.name": settings.get("OTEL_SERVICE_NAME") or settings.get("WEBSITE_SITE_NAME") or service,
            # The name of this machine tells local telemetry from that of Azure.
            "service.instance.id": socket.gethostname(),
            "service.version": __version__,
        },
        sampling=host.logging.application_insights.sampling_settings,
        log_level=host.logging.log_level,
        user_lines=not sends_user_lines(settings.get),
    )
    return Insights(
        target,
        f"Application Insights: telemetry of this host goes to the resource in {setting}. To switch it off, set "
        f"{SWITCH}=off.",
    )


def is_on(settings: Settings) -> bool:
    """Return whether settings of Application Insights count. Raises ConfigurationError."""
    value = (settings.get(SWITCH) or "on").strip().lower()
    if value not in (*_ON, *_OFF):
        raise ConfigurationError(f"The setting {SWITCH} is '{value}'. Use on (the default) or off.")
    return value in _ON


def _parts(version: str) -> tuple[float, ...]:
    match = re.match(r"(\d+)\.(\d+)\.(\d+)(?:b(\d+))?", version)
    # A version of another form is newer than this code.
    if match is None:
        return (float("inf"),)
    *release, beta = match.groups()
    return (*map(float, release), float("inf") if beta is None else float(beta))
