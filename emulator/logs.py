"""Loggers of the host, which user code in the same process cannot switch off.

    _log = get_logger(__name__)

They are ordinary loggers with a registry of their own. `logging.disable`, `logging.config.dictConfig`, which by default
disables all existing loggers, and the replaceable classes of loggers and records apply only to the registry of the
module `logging`, and so only to the app. Without a console of a host, records reach the handlers of the root logger.
"""

from __future__ import annotations

import logging
from typing import Any


class HostRecord(logging.LogRecord):
    """A log record of the host, as opposed to one of user code, which may use the same logger names."""


class _HostLogger(logging.Logger):
    def isEnabledFor(self, level: int) -> bool:  # noqa: N802
        # The inherited method caches the answer until the level of a logger in the same registry changes. The root
        # logger, whose level counts when the host has no console, is in another one.
        return level >= self.getEffectiveLevel()

    def makeRecord(self, *arguments: Any) -> logging.LogRecord:  # noqa: N802
        # The inherited method calls the record factory, which an app may have replaced by one that fails for records
        # that are not its own. The logger passes all ten arguments by position.
        name, level, path, line, message, values, error, function, extra, stack = arguments
        record = HostRecord(name, level, path, line, message, values, error, function, stack)
        vars(record).update(extra or {})
        return record


# The module's root logger at the top: pytest's caplog and the handlers of programs that embed a host see the records.
_registry = logging.Manager(logging.root)
_registry.setLoggerClass(_HostLogger)


def get_logger(name: str) -> logging.Logger:
    """Return the host's logger of this name; the same object for the same name."""
    return _registry.getLogger(name)
