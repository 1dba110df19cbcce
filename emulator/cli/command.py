"""The command `azemu`: arguments, messages, exit codes. What they do is elsewhere.

Nothing heavy is imported before a command is known: the help should come at once.
"""

from __future__ import annotations

import asyncio
import io
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from emulator import exit_codes
from emulator.cli.arguments import Start, Transfer, parse
from emulator.errors import ConfigurationError, EmulatorError

if TYPE_CHECKING:
    from emulator.config.start import Configuration
    from emulator.host.console.output import Console


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 after a clean stop, 1 when the message says why not, 2 for a wrong command line."""
    _write_anything(sys.stdout)
    command = parse(sys.argv[1:] if arguments is None else arguments)
    try:
        match command:
            case Start():
                return _start(command)
            case Transfer():
                return _transfer(command)
            case int():
                return command
    except EmulatorError as error:
        _complain(str(error))
        return exit_codes.FAILED
    except KeyboardInterrupt:
        return exit_codes.INTERRUPTED


def _write_anything(stream: TextIO) -> None:
    """A question mark is better than no line where the terminal or file does not know a character (Windows)."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")


def _start(command: Start) -> int:
    from emulator.clock import SystemClock
    from emulator.config.hostjson import LogLevel
    from emulator.config.settings import find_project_root
    from emulator.config.start import StartOptions, configure
    from emulator.host.console.output import Style, wants_colour
    from emulator.process.serving import open_console

    clock = SystemClock()
    options = StartOptions(
        app=find_project_root(command.app),
        port=command.port,
        address=command.address,
        functions=command.functions,
        enable_auth=command.enable_auth,
        cors=command.cors,
        cors_credentials=command.cors_credentials,
        storage=command.storage,
        verbose=command.verbose,
        user_log_level=LogLevel(command.user_log_level) if command.user_log_level else None,
    )
    configuration = configure(options, os.environ)
    style = Style(colour=wants_colour(sys.stdout, os.environ, refused=command.no_color), format=command.log_format)
    console = open_console(sys.stdout, options, configuration, style=style, clock=clock)
    for warning in configuration.warnings:
        console.print(warning, level=LogLevel.WARNING)
    if command.verbose:
        _tell_surroundings(console, configuration)
    if command.reload:
        from emulator.process.supervisor import SupervisorOptions, supervise

        arguments = _python_arguments(command, configuration)
        wishes = SupervisorOptions(start=options, style=style, python_arguments=arguments)
        return asyncio.run(supervise(wishes, configuration, console, clock))
    from emulator.process.serving import serve_alone

    return asyncio.run(serve_alone(options, configuration, console, clock))


def _python_arguments(command: Start, configuration: Configuration) -> list[str]:
    words = command.python_arguments or configuration.settings.get("languageWorkers:python:arguments") or ""
    # In shlex's own way a backslash would protect the next character; on Windows it is part of a path.
    lexer = shlex.shlex(words, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters = True, ""
    lexer.escape = "" if sys.platform == "win32" else "\\"
    try:
        return list(lexer)
    except ValueError as error:
        where = "--python-arguments" if command.python_arguments else "The setting languageWorkers:python:arguments"
        raise ConfigurationError(f"{where} cannot be taken apart into words: {error}. Found: {words}") from None


def _tell_surroundings(console: Console, configuration: Configuration) -> None:
    from emulator.config import hostjson, settings

    for name in (settings.FILE_NAME, hostjson.FILE_NAME):
        if (configuration.root / name).is_file():
            console.print(f"'{name}' found in root directory ({configuration.root}).")
    console.print(f"Found Python version {platform.python_version()} ({sys.executable}).")
    console.print(f"Host configuration file read:\n{configuration.host.text}")


def _transfer(command: Transfer) -> int:
    from emulator.cli.transferring import run_transfer

    return run_transfer(command)


def _complain(message: str) -> None:
    from emulator.host.console.output import wants_colour

    red, plain = ("\x1b[91m", "\x1b[0m") if wants_colour(sys.stderr, os.environ) else ("", "")
    sys.stderr.write(f"{red}{message}{plain}\n")
