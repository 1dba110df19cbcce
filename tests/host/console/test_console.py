"""Console: levels, format, colours, and the list of functions."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Mapping
from typing import Any

import pytest

from emulator.clock import SystemClock
from emulator.config.hostjson import LogLevel
from emulator.errors import ConfigurationError
from emulator.host.console.banner import print_banner, print_functions
from emulator.host.console.categories import category, function_category, user_category
from emulator.host.console.output import Console, LevelRules, Style, category_for, console_logging, use_colour
from emulator.host.port import Function
from emulator.logs import get_logger
from emulator.worker.port import Binding, FunctionMetadata


class Screen:
    """A console that writes into memory."""

    def __init__(self, style: Style | None = None, **rules: Any) -> None:
        self.stream = io.StringIO()
        self.console = Console(self.stream, clock=SystemClock(), rules=LevelRules(**rules), style=style or Style())

    @property
    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines()

    @property
    def messages(self) -> list[str]:
        return [line.split("] ", 1)[1] for line in self.lines if line.startswith("[")]


@pytest.mark.parametrize(
    ("logger", "found"),
    [
        ("emulator.host.invoker", "Host.Executor"),
        ("emulator.host.http.keys", "Host.General"),
        ("emulator.durable.azurestorage.messaging.queues", "Host.Triggers.DurableTask"),
        ("emulator.worker.inprocess", "Worker.python"),
        ("emulator.workers", "Host.General"),
        (function_category("F").name, "Function.F"),
        (user_category("F").name, "Function.F.User"),
        (category("Host.Triggers.Timer").name, "Host.Triggers.Timer"),
        ("asyncio", "asyncio"),
    ],
)
def test_category_of_a_logger(logger: str, found: str) -> None:
    assert category_for(logger) == found


@pytest.mark.parametrize(
    ("configured", "verbose", "name", "minimum"),
    [
        ({}, False, "Host.General", "Warning"),
        ({}, True, "Host.General", "Information"),
        ({}, False, "Function.F", "Information"),
        ({}, False, "Function.F.User", "Information"),
        ({}, False, "Host.Function.Console", "Information"),
        ({"default": "Error"}, True, "Host.General", "Error"),
        ({"default": "Error"}, False, "Function.F", "Error"),
        ({"default": "Error", "Function": "Debug"}, False, "Function.F.User", "Debug"),
        ({"Function": "Debug", "Function.F.User": "None"}, False, "Function.F.User", "None"),
        ({"Function": "Debug", "function.f.user": "Warning"}, False, "Function.F.User", "Warning"),
        ({"Host.Triggers.Timer": "Information"}, False, "Host.Triggers.Timer", "Information"),
        ({"Host.Triggers.Timer": "Information"}, False, "Host.Triggers.Queue", "Warning"),
    ],
)
def test_minimum_level_of_a_category(configured: Mapping[str, str], verbose: bool, name: str, minimum: str) -> None:
    rules = LevelRules(configured={key: LogLevel(level) for key, level in configured.items()}, verbose=verbose)
    assert rules.minimum(name) is LogLevel(minimum)


def test_user_log_level_applies_to_user_logs_only() -> None:
    rules = LevelRules(user_level=LogLevel.ERROR)
    assert rules.minimum("Function.F.User") is LogLevel.ERROR
    assert rules.minimum("Function.F") is LogLevel.INFORMATION


def test_default_levels() -> None:
    screen = Screen()
    with console_logging(screen.console):
        category("Host.General").info("unseen")
        category("Host.General").warning("a warning of the host")
        function_category("F").info("Executing")
        user_category("F").info("user says %d", 1)
        user_category("F").debug("unseen")
        category("Host.Singleton").info("Host lock lease acquired by instance ID '0'.")
        category("Worker.python").info("Worker process started and initialized.")
        get_logger("emulator.durable.engine").info("unseen")
    category("Host.General").warning("after the end")
    assert screen.messages == [
        "a warning of the host",
        "Executing",
        "user says 1",
        "Host lock lease acquired by instance ID '0'.",
        "Worker process started and initialized.",
    ]


def test_debug_lines_are_shown_if_host_json_enables_them() -> None:
    screen = Screen(configured={"Host.Triggers.DurableTask": LogLevel.DEBUG})
    with console_logging(screen.console):
        get_logger("emulator.durable.engine").debug("protocol")
        get_logger("emulator.storage.azure").debug("unseen")
    assert screen.messages == ["protocol"]


def test_level_none_hides_even_errors() -> None:
    screen = Screen(configured={"Function.F": LogLevel.NONE})
    with console_logging(screen.console):
        function_category("F").critical("unseen")
    assert screen.lines == []


def test_message_of_several_lines() -> None:
    screen = Screen()
    with console_logging(screen.console):
        user_category("F").info("one\ntwo")
    assert screen.lines[0].endswith("Z] one")
    assert screen.lines[1] == "two"


def test_control_characters_of_requests_are_escaped() -> None:
    screen = Screen(verbose=True)
    with console_logging(screen.console):
        category("Host.General").info("instance %s", "a\x1b]0;title\x07\r\x00b")
        user_category("F").info("\x1b[32mgreen\x1b[0m")
    assert screen.messages == ["instance a\\x1b]0;title\\x07\\x0d\\x00b", "\x1b[32mgreen\x1b[0m"]


def test_exception_is_a_second_entry() -> None:
    screen = Screen()
    with console_logging(screen.console):
        for error in (ConfigurationError("the message for the user"), ValueError("a bug")):
            try:
                raise error
            except Exception:
                category("Host.General").exception("It failed.")
    assert screen.messages == [
        "It failed.",
        "the message for the user",
        "It failed.",
        "Traceback (most recent call last):",
    ]
    assert screen.lines[-1] == "ValueError: a bug"


def test_json_lines_have_level_category_and_extra_fields() -> None:
    screen = Screen(style=Style(format="json"))
    with console_logging(screen.console):
        user_category("F").warning("careful\nnow", extra={"invocation_id": "i-1"})
    screen.console.print()
    screen.console.print("Functions:")
    said, printed = (json.loads(line) for line in screen.lines)
    stamp = said.pop("timestamp")
    assert stamp.endswith("Z")
    assert said == {
        "level": "Warning",
        "category": "Function.F.User",
        "message": "careful\nnow",
        "invocation_id": "i-1",
    }
    assert (printed["message"], printed["category"]) == ("Functions:", "Host.Console")


@pytest.mark.parametrize(
    ("level", "name", "colour"),
    [
        (logging.CRITICAL, "Host.General", "\x1b[91m"),
        (logging.ERROR, "Function.F.User", "\x1b[91m"),
        (logging.WARNING, "Function.F", "\x1b[33m"),
        (logging.INFO, "Function.F", "\x1b[36m"),
        (logging.INFO, "Function.F.User", ""),
        (logging.DEBUG, "Function.F.User", "\x1b[32m"),
        (5, "Function.F.User", "\x1b[90m"),
    ],
)
def test_colours(level: int, name: str, colour: str) -> None:
    screen = Screen(style=Style(colour=True), configured={"default": LogLevel.TRACE})
    with console_logging(screen.console):
        category(name).log(level, "text")
    [line] = screen.lines
    if colour:
        assert line.startswith(f"{colour}[")
        assert line.endswith("text\x1b[0m")
    else:
        assert "\x1b" not in line


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "environ", "disabled", "expected"),
    [
        (Terminal(), {}, False, True),
        (io.StringIO(), {}, False, False),
        (Terminal(), {"NO_COLOR": "1"}, False, False),
        (Terminal(), {"NO_COLOR": ""}, False, True),
        (Terminal(), {"TERM": "dumb"}, False, False),
        (Terminal(), {}, True, False),
    ],
)
def test_colours_depend_on_terminal_and_environment(
    stream: io.StringIO, environ: Mapping[str, str], disabled: bool, expected: bool
) -> None:
    assert use_colour(stream, environ, disabled=disabled) is expected


def test_characters_that_the_terminal_cannot_show() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    console = Console(stream, clock=SystemClock(), rules=LevelRules())
    console.print("Größe …")
    assert raw.getvalue().decode("ascii").splitlines() == ["Gr??e ?"]


def function(name: str, kind: str, *, disabled: bool = False, **properties: object) -> Function:
    trigger = Binding(type=kind, name="x", direction="in", data_type=None, properties={"type": kind, **properties})
    metadata = FunctionMetadata(name=name, id=name, bindings=[trigger])
    return Function(metadata=metadata, trigger=trigger, disabled=disabled)


FUNCTIONS = [
    function("any", "httpTrigger", route="any"),
    function("Items", "httpTrigger", route="items/{id:int}", methods=["GET", "post"]),
    function("off", "queueTrigger", disabled=True),
    function("orders", "orchestrationTrigger"),
    function("root", "HttpTrigger", route="/"),
    function("tick", "timerTrigger"),
]


def test_list_of_functions() -> None:
    screen = Screen()
    print_functions(screen.console, FUNCTIONS, port=7071, route_prefix="api", verbose=False)
    assert screen.lines == [
        "",
        "Functions:",
        "",
        "\tany:  http://localhost:7071/api/any",
        "",
        "\tItems: [GET,POST] http://localhost:7071/api/items/{id:int}",
        "",
        "\troot:  http://localhost:7071/api",
        "",
        "\torders: orchestrationTrigger",
        "",
        "\ttick: timerTrigger",
        "",
        "Function off is disabled.",
        "For detailed output, run azemu with --verbose flag.",
    ]


def test_list_of_functions_without_route_prefix_verbose() -> None:
    screen = Screen()
    print_functions(screen.console, FUNCTIONS[:1], port=80, route_prefix="", verbose=True)
    assert screen.lines == ["", "Functions:", "", "\tany:  http://localhost:80/any", ""]


def test_no_heading_without_functions() -> None:
    screen = Screen()
    print_functions(screen.console, [], port=80, route_prefix="api", verbose=False)
    assert screen.lines == ["For detailed output, run azemu with --verbose flag."]


def test_banner_without_storage() -> None:
    screen = Screen()
    print_banner(screen.console, storage=None)
    assert "Storage:                  none (AzureWebJobsStorage is not set)" in screen.lines
