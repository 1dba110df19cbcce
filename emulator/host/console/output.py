"""What the user reads while the host runs: `[timestamp] message` lines, or the same as JSON.

How to log (all of it is Python's logging; nothing here has to be imported for it):

* `logging.getLogger(__name__)` in a module of the host: the line belongs to the system category that
  `MODULE_CATEGORIES` gives to the module, and is seen from Warning up (Information with --verbose).
* `category("Host.Triggers.Timer")`, `function_category(f)`, `user_category(f)` of categories.py: exactly that category.
  `Function.*` and `Host.Function.Console` are seen from Information up.
* Levels: DEBUG, INFO, WARNING, ERROR, CRITICAL are .NET's Debug … Critical, anything below DEBUG is Trace.
* `exc_info`: a second entry; an EmulatorError is shown by its message, anything else with its traceback.
* `extra={"invocation_id": …, "function": …, "instance_id": …}`: members of the JSON line (`JSON_FIELDS`).

host.json's `logging.logLevel` replaces these minima: the longest prefix of the category wins, `default` is the rest.
Source: core-tools, Diagnostics/ColoredConsoleLogger.cs, Common/LoggingFilterHelper.cs;
docs/protocol/functions-host.md 10.3, 10.4.
"""

from __future__ import annotations

import json
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

from emulator.clock import Clock
from emulator.config.hostjson import LogLevel
from emulator.errors import EmulatorError
from emulator.host.console.categories import ASSIGNED, category_of

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
JSON_FIELDS: Final = ("invocation_id", "function", "instance_id")
# core-tools shows these whatever the levels say.
_ALWAYS_SHOWN: Final = ("Worker process started and initialized.", "Host lock lease acquired by instance ID")

_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_ORDER: Final = {level: rank for rank, level in enumerate(LogLevel)}
_RED, _YELLOW, _CYAN, _GREEN, _GREY, _PLAIN = "\x1b[91m", "\x1b[33m", "\x1b[36m", "\x1b[32m", "\x1b[90m", "\x1b[0m"


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How lines look. `colour`: the stream is a terminal that shows it."""

    colour: bool = False
    format: Literal["text", "json"] = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelRules:
    """Which lines are seen. `configured`: logging.logLevel of host.json. `user_level`: for what functions log."""

    configured: Mapping[str, LogLevel] = field(default_factory=dict)
    verbose: bool = False
    user_level: LogLevel | None = None

    def minimum(self, category: str) -> LogLevel:
        folded = category.lower()
        prefixes = [name for name in self.configured if name.lower() != "default" and folded.startswith(name.lower())]
        if prefixes:
            return self.configured[max(prefixes, key=len)]
        if self.user_level is not None and _is_user(category):
            return self.user_level
        fallback = next((level for name, level in self.configured.items() if name.lower() == "default"), None)
        if fallback is not None:
            return fallback
        return LogLevel.INFORMATION if self.verbose or _is_function(category) else LogLevel.WARNING

    def allows(self, category: str, level: LogLevel, message: str) -> bool:
        if message.startswith(_ALWAYS_SHOWN):
            return True
        minimum = self.minimum(category)
        return minimum is not LogLevel.NONE and _ORDER[level] >= _ORDER[minimum]

    def lowest_python_level(self) -> int:
        """Below this, no category shows anything."""
        levels = [LogLevel.INFORMATION, *self.configured.values(), *([self.user_level] if self.user_level else [])]
        return {LogLevel.TRACE: 1, LogLevel.DEBUG: logging.DEBUG}.get(min(levels, key=_ORDER.__getitem__), logging.INFO)


def _is_function(category: str) -> bool:
    return category.startswith("Function.") or category == "Host.Function.Console"


def _without_controls(text: str) -> str:
    """Control characters spelt out: in a terminal they could do more than be seen."""
    return _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


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
    """Python's level number as .NET's level."""
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
    """Writes log records, and plain lines that are no log, to one stream."""

    def __init__(self, stream: TextIO, *, clock: Clock, rules: LevelRules, style: Style = Style()) -> None:
        super().__init__()
        self._clock = clock
        self._writing = threading.Lock()
        self.rules = rules
        self._stream = stream
        self._style = style

    def emit(self, record: logging.LogRecord) -> None:
        try:
            category, level, message = category_for(record.name), level_of(record.levelno), record.getMessage()
            if self.rules.allows(category, level, message):
                self._write_record(record, category, level, message)
        except Exception:
            self.handleError(record)

    def print(self, line: str = "", *, level: LogLevel = LogLevel.NONE, **members: object) -> None:
        """A line of the host's own: banner, function list, errors. As JSON, empty lines are left out."""
        if self._style.format == "text":
            self._write(self._coloured(line, _line_colour(level)))
        elif line.strip() or members:
            shown = LogLevel.INFORMATION if level is LogLevel.NONE else level
            self._write_json(self._clock.now(), shown, "Host.Console", line.strip(), members)

    def _write_record(self, record: logging.LogRecord, category: str, level: LogLevel, message: str) -> None:
        moment = self._clock.now()
        failure = _failure(record)
        if self._style.format == "json":
            members = {name: value for name in JSON_FIELDS if (value := getattr(record, name, None)) is not None}
            self._write_json(
                moment, level, category, message, {**members, **({"exception": failure} if failure else {})}
            )
            return
        colour = _record_colour(level, category)
        # What functions print may have colours of its own. What the host says may quote whoever sent a request.
        own = message if _is_user(category) else _without_controls(message)
        for text in (own, failure):
            if text is not None:
                self._write(self._coloured(f"[{_timestamp(moment)}] {text}", colour))

    def _write_json(
        self, moment: datetime, level: LogLevel, category: str, message: str, members: Mapping[str, object]
    ) -> None:
        content = {"timestamp": _timestamp(moment), "level": level.value, "category": category, "message": message}
        self._write(json.dumps({**content, **members}, ensure_ascii=False, default=str))

    def _coloured(self, text: str, colour: str) -> str:
        return f"{colour}{text}{_PLAIN}" if self._style.colour and colour and text else text

    def _write(self, text: str) -> None:
        with (
            self._writing,
            suppress(BrokenPipeError),
        ):  # Who reads us has gone (`azemu start | head`); the host goes on.
            try:
                self._stream.write(text + "\n")
            except UnicodeEncodeError:
                # A terminal with an old code page; a line with question marks is better than none.
                encoding = self._stream.encoding or "ascii"
                self._stream.write(text.encode(encoding, "replace").decode(encoding) + "\n")
            self._stream.flush()


@contextmanager
def console_logging(console: Console) -> Iterator[Console]:
    """Show the host's logs on `console` while entered, and nowhere else: what the app or a test runner has put on the
    root logger is for the user's own lines. Several may be entered, and left in any order.
    """
    loggers = (logging.getLogger("emulator"), logging.getLogger("asyncio"))
    own_thread = _OwnThread()
    console.addFilter(own_thread)
    for logger in loggers:
        logger.addHandler(console)
    _settle(loggers[0])
    try:
        yield console
    finally:
        for logger in loggers:
            logger.removeHandler(console)
        console.removeFilter(own_thread)
        _settle(loggers[0])


def _settle(host: logging.Logger) -> None:
    """Let through what the consoles that are there want to see."""
    consoles = [handler for handler in host.handlers if isinstance(handler, Console)]
    host.setLevel(min((console.rules.lowest_python_level() for console in consoles), default=logging.NOTSET))
    host.propagate = not consoles


class _OwnThread(logging.Filter):
    """asyncio's complaints are the host's only on the host's own loop; the app's loop is user code."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()

    def filter(self, record: logging.LogRecord) -> bool:
        return record.name != "asyncio" or record.thread == self._thread


def wants_colour(stream: TextIO, environ: Mapping[str, str], *, refused: bool = False) -> bool:
    """Only on a terminal that can show it, and never against NO_COLOR (https://no-color.org)."""
    if refused or environ.get("NO_COLOR") or environ.get("TERM") == "dumb" or not stream.isatty():
        return False
    return sys.platform != "win32" or _enable_windows_colour()


def _enable_windows_colour() -> bool:
    # An empty command makes the Windows console understand colour sequences, as a side effect of starting a shell.
    return sys.platform == "win32" and os.system("") == 0


def _failure(record: logging.LogRecord) -> str | None:
    if not record.exc_info or record.exc_info[1] is None:
        return None
    error = record.exc_info[1]
    if isinstance(error, EmulatorError):
        return str(error)
    return "".join(traceback.format_exception(error)).rstrip()


def _timestamp(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def _line_colour(level: LogLevel) -> str:
    return {LogLevel.WARNING: _YELLOW, LogLevel.ERROR: _RED, LogLevel.CRITICAL: _RED}.get(level, "")


def _record_colour(level: LogLevel, category: str) -> str:
    match level:
        case LogLevel.CRITICAL | LogLevel.ERROR:
            return _RED
        case LogLevel.WARNING:
            return _YELLOW
        case LogLevel.INFORMATION:
            return "" if _is_user(category) else _CYAN
        case LogLevel.DEBUG:
            return _GREEN
        case _:
            return _GREY
