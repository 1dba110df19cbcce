"""OpenTelemetry in the process of the app, as the official worker sets it up if a setting asks for it.

The worker then sends telemetry itself, and the host leaves out what functions log, which would arrive twice.
Source: docs/protocol/python-worker.md 9.5; azure-functions-python-worker, dispatcher.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from emulator.logs import get_logger
from emulator.worker.port import Invocation
from emulator.worker.switches import is_on

_PACKAGE: Final = "azure-monitor-opentelemetry"
_SWITCHES: Final = ("PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY", "PYTHON_ENABLE_OPENTELEMETRY")

_log = get_logger(__name__)


def switch_of(get: Callable[[str], str | None]) -> str | None:
    """Return the setting that asks for OpenTelemetry in the app's process; None: none does. `get`: reads a setting."""
    return next((name for name in _SWITCHES if is_on(get(name))), None)


def sends_user_lines(get: Callable[[str], str | None]) -> bool:
    """Return whether the app's process itself sends what functions log. `get`: returns a setting."""
    if switch_of(get) is None:
        return False
    # Imported late, as it takes longer than most modules, and few apps have the setting.
    from importlib import metadata

    # Without the package the host sends them, rather than no one.
    return any(True for _ in metadata.Distribution.discover(name=_PACKAGE))


def set_up(get: Callable[[str], str | None], *, may_send: bool) -> Callable[[Invocation], None] | None:
    """Set up what a setting asks for. Return a function that makes the span of an invocation the current one.

    None: no setting asks for it, or the packages are missing, which is logged. `get`: returns a setting. `may_send`:
    configure the export to Application Insights. To be called before the app is imported.
    """
    switch = switch_of(get)
    if switch is None:
        return None
    try:
        from opentelemetry import context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        if may_send:
            # As in the worker. Detectors of other services ask for addresses that do not respond on this machine.
            os.environ.setdefault("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS", "azure_functions")
            from azure.monitor.opentelemetry import configure_azure_monitor

            configure_azure_monitor(logger_name=get("PYTHON_AZURE_MONITOR_LOGGER_NAME") or "")
    except ImportError as error:
        _log.warning(
            "%s is on, but %s cannot be imported (%s). Install it in the environment of the app (pip install %s), or "
            "remove the setting.",
            *(switch, _PACKAGE, error, _PACKAGE),
        )
        return None
    # Whatever the package raises for a wrong connection string, for example. The app runs without it.
    except Exception as error:
        _log.warning("%s is on, but %s cannot be configured: %s", switch, _PACKAGE, error)
        return None
    propagator = TraceContextTextMapPropagator()

    def attach(invocation: Invocation) -> None:
        carrier = {"traceparent": invocation.trace_parent, "tracestate": invocation.trace_state}
        context.attach(propagator.extract(carrier))

    return attach
