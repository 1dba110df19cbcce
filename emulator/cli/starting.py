"""Command `azemu start`: print warnings about the configuration, and run the host under a supervisor or alone."""

from __future__ import annotations

import asyncio
import os
import platform
import sys
from contextlib import ExitStack

from emulator.cli.start_arguments import Start, split_arguments
from emulator.clock import SystemClock
from emulator.config import hostjson, settings
from emulator.config.hostjson import LogLevel
from emulator.config.missing_settings import missing_settings_message
from emulator.config.start import Configuration, StartOptions, configure
from emulator.errors import ConfigurationError
from emulator.host.console.output import Style, use_colour
from emulator.loading import loading_modules
from emulator.process.serving import open_console, serve_alone


def run_start(command: Start) -> int:
    """Run the app until a stop signal. Return the exit code. Raises EmulatorError if the first start fails."""
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
        otlp=command.otlp,
    )
    configuration = configure(options, os.environ)
    style = Style(colour=use_colour(sys.stdout, os.environ, disabled=command.no_color), format=command.log_format)
    console = open_console(sys.stdout, options, configuration, style=style, clock=clock)
    # Printed here and not in the host process, which reads the same files again after every restart.
    for warning in configuration.warnings:
        console.print(warning, level=LogLevel.WARNING)
    # As the app will see it: a setting may come from the file or from the environment.
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
