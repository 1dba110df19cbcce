"""Command `azemu`: run what the arguments ask for, print errors, return the exit code.

Modules that are needed by one command only are imported inside functions, so that `azemu --help` responds at once.
"""

from __future__ import annotations

import asyncio
import io
import os
import platform
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from emulator import exit_codes
from emulator.cli.arguments import Start, Transfer, parse, split_arguments
from emulator.cli.invoke_arguments import Invoke
from emulator.cli.send_arguments import Send
from emulator.errors import ConfigurationError, EmulatorError
from emulator.loading import loading_modules

if TYPE_CHECKING:
    from emulator.config.start import Configuration


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command (default: the process's arguments). Return its exit code: 0 after a clean stop, 1 after an error
    whose message was printed, 2 for a wrong command line, 130 after Ctrl-C."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # The encoding of a terminal or file may lack a character (Windows). A question mark is better than a traceback.
        sys.stdout.reconfigure(errors="replace")
    command = parse(sys.argv[1:] if arguments is None else arguments)
    try:
        match command:
            case Start():
                return _start(command)
            case Invoke():
                from emulator.cli.invoking import run_invoke

                return run_invoke(command)
            case Send():
                from emulator.cli.sending import run_send

                return run_send(command)
            case Transfer():
                from emulator.cli.transferring import run_transfer

                # A transfer cleans up after Ctrl-C, so it must not end the process at once (see entry.py).
                if signal.getsignal(signal.SIGINT) == signal.SIG_DFL:
                    signal.signal(signal.SIGINT, signal.default_int_handler)
                return run_transfer(command)
            case int():
                return command  # `parse` has printed the help or an error message.
    except EmulatorError as error:
        from emulator.host.console.output import use_colour

        red, plain = ("\x1b[91m", "\x1b[0m") if use_colour(sys.stderr, os.environ) else ("", "")
        sys.stderr.write(f"{red}{error}{plain}\n")
        return exit_codes.FAILED
    except KeyboardInterrupt:
        # Only where no signal handler is installed yet, or during a transfer.
        return exit_codes.INTERRUPTED


def _start(command: Start) -> int:
    with loading_modules():
        from emulator.clock import SystemClock
        from emulator.config import hostjson, settings
        from emulator.config.hostjson import LogLevel
        from emulator.config.missing_settings import missing_settings_message
        from emulator.config.start import StartOptions, configure
        from emulator.host.console.output import Style, use_colour
        from emulator.process.serving import open_console, serve_alone

    clock = SystemClock()
    options = StartOptions(
        app=settings.find_project_root(command.app),
        port=command.port,
        address=command.address,
        functions=command.functions,
        enable_auth=command.enable_auth,
        cors=command.cors,
        cors_credentials=command.cors_credentials,
        host_names=command.host_names,
        storage=command.storage,
        verbose=command.verbose,
        user_log_level=LogLevel(command.user_log_level) if command.user_log_level else None,
        dashboard_path=command.dashboard_path,
        dashboard_writes=command.dashboard_writes,
    )
    configuration = configure(options, os.environ)
    style = Style(colour=use_colour(sys.stdout, os.environ, disabled=command.no_color), format=command.log_format)
    console = open_console(sys.stdout, options, configuration, style=style, clock=clock)
    # Printed here and not in the host process, which reads the same files again after every restart.
    for warning in configuration.warnings:
        console.print(warning, level=LogLevel.WARNING)
    environ = {**os.environ, **configuration.environment(configuration.port)}
    if (message := missing_settings_message(configuration.root, configuration.settings, environ)) is not None:
        console.print(message, level=LogLevel.WARNING)
    if command.verbose:
        # Order and wording as in `func start --verbose`.
        for name in (settings.FILE_NAME, hostjson.FILE_NAME):
            if (configuration.root / name).is_file():
                console.print(f"'{name}' found in root directory ({configuration.root}).")
        console.print(f"Found Python version {platform.python_version()} ({sys.executable}).")
        console.print(f"Host configuration file read:\n{configuration.host.text}")
    with ExitStack() as stack:
        chaos = None
        if command.chaos is not None:
            with loading_modules():
                from emulator.process.chaos import prepared

            chaos = stack.enter_context(prepared(command.chaos, configuration, console.print, may_crash=command.reload))
        if not command.reload:
            return serve_alone(options, configuration, console, clock, chaos)
        with loading_modules():
            from emulator.process.supervisor import SupervisorOptions, supervise

        supervised = SupervisorOptions(
            start=options, style=style, python_arguments=_python_arguments(command, configuration), chaos=chaos
        )
        return asyncio.run(supervise(supervised, configuration, console, clock))


def _python_arguments(command: Start, configuration: Configuration) -> list[str]:
    """Return the arguments of the app's interpreter. Raises ConfigurationError."""
    # VS Code sets languageWorkers__python__arguments to attach its debugger to the process of the app.
    text = command.python_arguments or configuration.settings.get("languageWorkers:python:arguments") or ""
    try:
        return split_arguments(text)
    except ValueError as error:
        source = "--python-arguments" if command.python_arguments else "The setting languageWorkers:python:arguments"
        raise ConfigurationError(
            f"{source} cannot be split into arguments: {error}. Close every quotation mark. The value is: {text}"
        ) from None
