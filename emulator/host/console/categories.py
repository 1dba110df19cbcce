"""Python loggers for the log categories of the Functions host, the names in `logging.logLevel` of host.json.

Source: docs/protocol/functions-host.md 10.4.
"""

from __future__ import annotations

import logging

from emulator.logs import get_logger

# All categories are loggers below one name. So one handler on the logger `emulator` receives them all, and a category
# such as `Host.General` cannot collide with a logger of user code.
PREFIX = "emulator.categories."
"""Beginning of the names of the loggers of categories."""

# Categories of extensions by the package of their modules, as their triggers name them (host/port.py, log_category).
ASSIGNED: dict[str, str] = {}

STARTUP = "Host.Startup"
GENERAL = "Host.General"
CONSOLE = "Host.Function.Console"
WORKER = "Worker.python"
HTTP_TRACE = "Microsoft.Azure.WebJobs.Script.WebHost.Middleware.SystemTraceMiddleware"


def category(name: str) -> logging.Logger:
    """Return the logger of a category, for example `Function.F`."""
    return get_logger(PREFIX + name)


def function_category(function: str) -> logging.Logger:
    """Return the logger for what the host reports about a function: executing, executed, failed."""
    return category(f"Function.{function}")


def user_category(function: str) -> logging.Logger:
    """Return the logger for what a function itself logs."""
    return category(f"Function.{function}.User")


def category_of(logger_name: str) -> str | None:
    """Return the category of a logger; None if it is an ordinary module logger."""
    return logger_name.removeprefix(PREFIX) if logger_name.startswith(PREFIX) else None


def assign_category(module: str, category: str) -> None:
    """Let the extension that a module belongs to log under a category: `emulator.extensions.timers.…`."""
    ASSIGNED[".".join(module.split(".")[:3])] = category
