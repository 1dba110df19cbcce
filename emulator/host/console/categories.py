"""Log categories of the Functions host: the names that host.json's `logging.logLevel` speaks of.

Ordinary Python loggers below one common name, so that whoever shows or collects logs needs one handler, and so that
they can never be taken for the loggers of the user's code. Facts: docs/protocol/functions-host.md 10.4.
"""

from __future__ import annotations

import logging

_PREFIX = "emulator.categories."

# Categories of extensions by the package of their modules, as their triggers name them (host/port.py, log_category).
ASSIGNED: dict[str, str] = {}

STARTUP = "Host.Startup"
GENERAL = "Host.General"
CONSOLE = "Host.Function.Console"
WORKER = "Worker.python"


def category(name: str) -> logging.Logger:
    """The logger of a category, for example `Function.F`. Records carry `invocation_id` where there is one."""
    return logging.getLogger(_PREFIX + name)


def function_category(function: str) -> logging.Logger:
    """What the host says about one function: executing, executed, failed."""
    return category(f"Function.{function}")


def user_category(function: str) -> logging.Logger:
    """What the function itself logs."""
    return category(f"Function.{function}.User")


def category_of(logger_name: str) -> str | None:
    """The category that a logger stands for; None for an ordinary module logger."""
    return logger_name.removeprefix(_PREFIX) if logger_name.startswith(_PREFIX) else None


def assign_category(module: str, category: str) -> None:
    """Let the extension that a module belongs to log under a category: `emulator.extensions.timers.…`."""
    ASSIGNED[".".join(module.split(".")[:3])] = category
