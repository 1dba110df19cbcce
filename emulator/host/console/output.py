"""Console log of the host: `[timestamp] message` lines or JSON lines, filtered by category and level.

How to log (nothing of this module needs to be imported):

* `get_logger(__name__)` of `emulator.logs` in a module of the host: the category is that of the module in
  `MODULE_CATEGORIES`. It is shown from Warning up, with --verbose from Information up.
* `category("Host.Triggers.Timer")`, `function_category(f)`, `user_category(f)` of categories.py: that category.
  `Function.*` and `Host.Function.Console` are shown from Information up.
* Levels: DEBUG, INFO, WARNING, ERROR, CRITICAL are .NET's Debug to Critical; anything below DEBUG is Trace.
* `exc_info`: shown as a second entry, an EmulatorError by its message, other exceptions with their traceback.
* `extra={"invocation_id": …, "function": …, "instance_id": …}`: members of the JSON line (`JSON_FIELDS`).

`logging.logLevel` in host.json replaces these minimum levels: the longest prefix of the category counts, and `default`
applies to all other categories.
Source: core-tools, Diagnostics/ColoredConsoleLogger.cs, Common/LoggingFilterHelper.cs;
docs/protocol/functions-host.md 10.3, 10.4.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, TextIO

from emulator import bound_json as json
from emulator.clock import Clock
from emulator.config.hostjson import LogLevel
from emulator.errors import EmulatorError
from emulator.host.console.categories import ASSIGNED, HTTP_TRACE, PREFIX, category_of
from emulator.logs import get_logger

# The longest prefix wins. Modules that are not named here are Host.General; extensions name their own category.
MODULE_CATEGORIES: Final[Mapping[str, str]] = {
    "emulator": "Host.General",
    "emulator.app": "Host.Startup",
    "emulator.config": "Host.Startup",
    "emulator.host": "Host.General",
    "emulator.host.catalog": "Host.Startup",
    "emulator.host.invoker": "Host.Executor",
    "emulator.host.bindings": "Host.Bindings",
    "emulator.host.admin": "Host.Controllers.Admin",
    "emulator.worker": "Worker.python",
    "emulator.storage": "Host.Storage",
    "emulator.durable": "Host.Triggers.DurableTask",
}
"""Category per module name; the longest prefix counts."""
JSON_FIELDS: Final = ("invocation_id", "function", "instance_id")
"""Attributes of log records that become members of JSON lines."""

# Messages with these beginnings are shown at all levels (core-tools, LoggingFilterHelper.cs).
_ALWAYS_SHOWN: Final = ("Worker process started and initialized.", "Host lock lease acquired by instance ID")

_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_ORDER: Final = {level: rank for rank, level in enumerate(LogLevel)}
_PYTHON_LEVELS: Final = {
    LogLevel.TRACE: 1,
    LogLevel.DEBUG: logging.DEBUG,
    LogLevel.INFORMATION: logging.INFO,
    LogLevel.WARNING: logging.WARNING,
    LogLevel.ERROR: logging.ERROR,
    LogLevel.CRITICAL: logging.CRITICAL,
    LogLevel.NONE: logging.CRITICAL + 1,
}
# Loggers with several lines for each request or message. Most hosts show none of them, and then none is created.
_FREQUENT: Final = (f"{PREFIX}{HTTP_TRACE}", "emulator.durable")
_RED, _YELLOW, _CYAN, _GREEN, _GREY, _PLAIN = "\x1b[91m", "\x1b[33m", "\x1b[36m", "\x1b[32m", "\x1b[90m", "\x1b[0m"
# Colours of ColoredConsoleLogger.
_LINE_COLOURS: Final = {LogLevel.WARNING: _YELLOW, LogLevel.ERROR: _RED, LogLevel.CRITICAL: _RED}
_RECORD_COLOURS: Final = {
    LogLevel.CRITICAL: _RED,
    LogLevel.ERROR: _RED,
    LogLevel.WARNING: _YELLOW,
    LogLevel.INFORMATION: _CYAN,
    LogLevel.DEBUG: _GREEN,
    LogLevel.TRACE: _GREY,
    LogLevel.NONE: _GREY,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """Format of lines. `colour`: use terminal colours."""

    colour: bool = False
    format: Literal["text", "json"] = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelRules:
    """Rules for which lines are shown.

    `configured`: `logging.logLevel` of host.json. `user_level`: minimum for what functions log, if set.
    """

    configured: Mapping[str, LogLevel] = field(default_factory=dict)
    verbose: bool = False
    user_level: LogLevel | None = None

    def minimum(self, category: str) -> LogLevel:
        """Return the lowest log level to show for a category."""
        # Category names ignore case, as in the configuration of .NET.
        folded = category.lower()
        prefixes = [name for name in self.configured if name.lower() != "default" and folded.startswith(name.lower())]
        if prefixes:
            return self.configured[max(prefixes, key=len)]
        if self.user_level is not None and _is_user(category):
            return self.user_level
        fallback = next((level for name, level in self.configured.items() if name.lower() == "default"), None)
        if fallback is not None:
            return fallback
        is_function = category.startswith("Function.") or category == "Host.Function.Console"
        return LogLevel.INFORMATION if self.verbose or is_function else LogLevel.WARNING

    def allows(self, category: str, level: LogLevel, message: str) -> bool:
        """Return whether a line is shown."""
        if message.startswith(_ALWAYS_SHOWN):
            return True
        minimum = self.minimum(category)
        return minimum is not LogLevel.NONE and _ORDER[level] >= _ORDER[minimum]

    def lowest_python_level(self) -> int:
        """Return the Python level below which no category is shown."""
        # The level of the logger: Python drops records below it before it creates them, which is much cheaper than
        # asking the rules for each.
        levels = [LogLevel.INFORMATION, *self.configured.values(), *([self.user_level] if self.user_level else [])]
        return _PYTHON_LEVELS[min(levels, key=_ORDER.__getitem__)]

    def python_level(self, category: str) -> int:
        """Return the Python level below which nothing of a category is shown."""
        return _PYTHON_LEVELS[self.minimum(category)]


def _is_user(category: str) -> bool:
    return category == "Host.Function.Console" or (category.startswith("Function.") and category.endswith(".User"))


def category_for(logger_name: str) -> str:
    """The category of a record, by the name of its logger."""
    named = category_of(logger_name)
    if named is not None:
        return named
    categories = {**MODULE_CATEGORIES, **ASSIGNED}
    prefixes = [prefix for prefix in categories if f"{logger_name}.".startswith(f"{prefix}.")]
    return categories[max(prefixes, key=len)] if prefixes else logger_name


def level_of(number: int) -> LogLevel:
    """Return .NET's level for Python's level number."""
    for lowest, level in (
        (logging.CRITICAL, LogLevel.CRITICAL),
        (logging.ERROR, LogLevel.ERROR),
        (logging.WARNING, LogLevel.WARNING),
        (logging.INFO, LogLevel.INFORMATION),
        (logging.DEBUG, LogLevel.DEBUG),
    ):
        if number >= lowest:
            return level
    return LogLevel.TRACE


class Console(logging.Handler):
    """Log handler that writes records, and lines without category, to one stream."""

    def __init__(self, stream: TextIO, *, clock: Clock, rules: LevelRules, style: Style = Style()) -> None:
        super().__init__()
        self._clock = clock
        # Functions print on their own threads, and a line must not be torn.
        self._write_lock = threading.Lock()
        self.rules = rules
        self._stream = stream
        self._style = style

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record if the rules allow it."""
        try:
            category, level, message = category_for(record.name), level_of(record.levelno), record.getMessage()
            if self.rules.allows(category, level, message):
                self._write_record(record, category, level, message)
        except Exception:
            self.handleError(record)

    def print(self, line: str = "", *, level: LogLevel = LogLevel.NONE, **members: object) -> None:
        """Write a line without timestamp and category: banner, function list, errors.

        In JSON format empty lines are left out, and `members` are added to the others.
        """
        if self._style.format == "text":
            self._write(self._coloured(line, _LINE_COLOURS.get(level, "")))
        elif line.strip() or members:
            json_level = LogLevel.INFORMATION if level is LogLevel.NONE else level
            self._write_json(self._clock.now(), json_level, "Host.Console", line.strip(), members)

    def _write_record(self, record: logging.LogRecord, category: str, level: LogLevel, message: str) -> None:
        moment = self._clock.now()
        failure: str | None = None
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            # The message of an EmulatorError says what to do; a traceback through the host would hide it.
            is_own = isinstance(error, EmulatorError)
            failure = str(error) if is_own else "".join(traceback.format_exception(error)).rstrip()
        if self._style.format == "json":
            members = {name: value for name in JSON_FIELDS if (value := getattr(record, name, None)) is not None}
            self._write_json(
                moment, level, category, message, {**members, **({"exception": failure} if failure else {})}
            )
            return
        colour = "" if level is LogLevel.INFORMATION and _is_user(category) else _RECORD_COLOURS[level]
        if not _is_user(category):
            # Lines of the host can quote requests, for example a path, and escape sequences in it could control the
            # user's terminal. Functions may print escape sequences, for example colours, on purpose.
            message = _CONTROLS.sub(lambda control: f"\\x{ord(control[0]):02x}", message)
        for text in (message, failure):
            if text is not None:
                self._write(self._coloured(f"[{_timestamp(moment)}] {text}", colour))

    def _write_json(
        self, moment: datetime, level: LogLevel, category: str, message: str, members: Mapping[str, object]
    ) -> None:
        content = {"timestamp": _timestamp(moment), "level": level.value, "category": category, "message": message}
        # `default`: a field may be any object. A log line must not fail because of it.
        self._write(json.dumps({**content, **members}, ensure_ascii=False, default=str))

    def _coloured(self, text: str, colour: str) -> str:
        return f"{colour}{text}{_PLAIN}" if self._style.colour and colour and text else text

    def _write(self, text: str) -> None:
        # The reader of a pipe may have exited (`azemu start | head`), the terminal may be closed, the disk of a log
        # file full. The host continues without the line: what it does next may be to stop because of that.
        with self._write_lock, suppress(OSError):
            try:
                self._stream.write(text + "\n")
            except UnicodeEncodeError:
                # A terminal with an old code page shows a line with question marks, which is better than none.
                encoding = self._stream.encoding or "ascii"
                self._stream.write(text.encode(encoding, "replace").decode(encoding) + "\n")
            # Into a pipe Python would buffer blocks of 8 KiB, and a reader would see lines late.
            self._stream.flush()


@contextmanager
def console_logging(console: Console) -> Iterator[Console]:
    """Show the host's log lines on `console` while entered, and not on the handlers of the root logger.

    Several consoles can be entered at once, and left in any order.
    """
    # Handlers on the root logger belong to the app or to a test runner and are meant for the user's own lines.
    loggers = (get_logger("emulator"), logging.getLogger("asyncio"))  # noqa: TID251 - not of the host
    own_thread = _OwnThread()
    # asyncio logs exceptions of forgotten tasks, for example. On the host's loop they are defects of the host.
    console.addFilter(own_thread)
    for logger in loggers:
        logger.addHandler(console)
    _set_levels(loggers[0])
    try:
        yield console
    finally:
        for logger in loggers:
            logger.removeHandler(console)
        console.removeFilter(own_thread)
        _set_levels(loggers[0])


def _set_levels(host: logging.Logger) -> None:
    """Set the levels of the host's loggers to the lowest that one of its consoles shows."""
    consoles = [handler for handler in host.handlers if isinstance(handler, Console)]
    host.setLevel(min((console.rules.lowest_python_level() for console in consoles), default=logging.NOTSET))
    host.propagate = not consoles
    for name in _FREQUENT:
        shown = (console.rules.python_level(category_for(name)) for console in consoles)
        get_logger(name).setLevel(min(shown, default=logging.NOTSET))


class _OwnThread(logging.Filter):
    """Filter that drops warnings of asyncio about other event loops than the host's: they run user code."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()

    def filter(self, record: logging.LogRecord) -> bool:
        return record.name != "asyncio" or record.thread == self._thread


def use_colour(stream: TextIO, environ: Mapping[str, str], *, disabled: bool = False) -> bool:
    """Return whether to use colours: on a terminal that shows them, unless NO_COLOR is set (https://no-color.org).

    `disabled`: the user has switched colours off (--no-color).
    """
    if disabled or environ.get("NO_COLOR") or environ.get("TERM") == "dumb" or not stream.isatty():
        return False
    if sys.platform == "win32":
        # An empty command makes the Windows console understand colour sequences, as a side effect of starting a shell.
        return os.system("") == 0
    return True


def _timestamp(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
