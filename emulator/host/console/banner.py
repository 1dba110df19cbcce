"""Console output at startup: version and storage of the host, and the list of functions.

The list has order and wording of core-tools: Actions/HostActions/DisplayFunctionsInfoUtilities;
docs/protocol/functions-host.md 10.2.
"""

from __future__ import annotations

import platform
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from emulator import __version__
from emulator.config.hostjson import LogLevel
from emulator.config.start import DEFAULT_PORT
from emulator.host.console.output import Console
from emulator.worker.port import member_of

if TYPE_CHECKING:
    # The supervisor process prints the banner. Importing the port would load the web server there, which takes longer
    # than the rest of its start.
    from emulator.host.port import Function, ManualBindings

RUNTIME_VERSION = "4.1052.100.0"
"""Version of the Functions host whose behaviour azemu reproduces."""


def print_banner(console: Console, *, storage: str | None) -> None:
    """Print name and versions. `storage`: description of AzureWebJobsStorage; None: the setting is missing."""
    console.print()
    console.print("azemu, local Azure Functions and Durable Functions", level=LogLevel.WARNING)
    console.print(f"Version:                  {__version__} (Python {platform.python_version()})")
    console.print(f"Function Runtime Version: {RUNTIME_VERSION}")
    console.print(f"Storage:                  {storage or 'none (AzureWebJobsStorage is not set)'}")
    console.print()


def print_functions(
    console: Console, functions: Sequence[Function], *, port: int, route_prefix: str, verbose: bool
) -> None:
    """Print the list of functions. `functions`: in name order."""
    enabled = [function for function in functions if not function.disabled]
    if enabled:
        console.print()
        console.print("Functions:", level=LogLevel.WARNING)
        console.print()
    http = [function for function in enabled if is_http(function)]
    for function in http:
        names = member_of(function.trigger.properties, "methods") or ()
        methods = f"[{','.join(str(name).upper() for name in names)}]" if names else ""
        console.print(f"\t{function.name}: {methods} {url_of(function, port=port, route_prefix=route_prefix)}")
        console.print()
    # core-tools lists HTTP functions first, because their URLs are what users look for.
    for function in enabled:
        if function not in http:
            console.print(f"\t{function.name}: {function.trigger.type}")
            console.print()
    # Disabled functions are missing in the list, so a line says why.
    for function in functions:
        if function.disabled:
            console.print(f"Function {function.name} is disabled.", level=LogLevel.WARNING)
    if not verbose:
        console.print("For detailed output, run azemu with --verbose flag.")


def print_manual_functions(console: Console, manual: Sequence[ManualBindings], *, port: int) -> None:
    """Print which bindings azemu does not connect to their services, and how their functions are run all the same."""
    url = f"http://localhost:{port}/admin"
    # azemu invoke looks at the default port, as users do.
    option = "" if port == DEFAULT_PORT else f" --port {port}"
    triggers = [found.function for found in manual if found.is_manual and not found.function.disabled]
    outputs = [(found.function.name, binding) for found in manual for binding in found.outputs]
    inputs = [(found.function.name, binding) for found in manual for binding in found.inputs]
    if triggers:
        name = triggers[0].name
        _print_block(
            console,
            "azemu does not listen to these triggers yet. Nothing needs to be installed. Run the functions yourself:",
            [f"{function.name} ({function.trigger.type})" for function in triggers],
            terminal=f"azemu invoke {name}{option} [DATA|@FILE]",
            http=f'POST {url}/functions/{name}  {{"input": "DATA"}}',
            test=f'app.invoke("{name}", data)',
        )
    if outputs:
        _print_block(
            console,
            "azemu does not send these outputs yet. Their values are captured:",
            [f"{name}: {binding.name} ({binding.type})" for name, binding in outputs],
            http=f"GET {url}/azemu/outputs",
            test=f'app.outputs("{outputs[0][0]}")',
        )
    if inputs:
        name, binding = inputs[0]
        _print_block(
            console,
            "azemu does not read these inputs yet. Supply values, or the functions fail:",
            [f"{name}: {binding.name} ({binding.type})" for name, binding in inputs],
            terminal=f"azemu invoke {name}{option} --input {binding.name}=VALUE",
            http=f"PUT {url}/azemu/functions/{name}/inputs/{binding.name}  VALUE",
            test=f'app.supply("{name}", "{binding.name}", value)',
        )


def _print_block(
    console: Console, heading: str, names: Sequence[str], *, terminal: str = "", http: str, test: str
) -> None:
    console.print()
    console.print(heading, level=LogLevel.WARNING)
    console.print()
    for line in textwrap.wrap(", ".join(names), width=100, break_long_words=False, break_on_hyphens=False):
        console.print(f"\t{line}")
    console.print()
    for place, example in (("in a terminal:", terminal), ("over HTTP:", http), ("in a test:", test)):
        if example:
            console.print(f"\t{place:<15} {example}")


def print_dashboard(console: Console, url: str) -> None:
    """Print where the dashboard is."""
    console.print(f"Dashboard: {url}")


def print_key_folder(console: Console, folder: Path) -> None:
    """Print where the keys are that requests need with --enable-auth. `folder`: that of the secrets files."""
    console.print(
        f"Requests need a key (--enable-auth), as the header x-functions-key or the parameter code. The keys are in "
        f"{folder}: those of the host in host.json, those of a function, from its first request on, in NAME.json."
    )


def print_ready_again(console: Console, functions: Sequence[Function]) -> None:
    """Print that the host runs again after a restart, with its functions."""
    names = ", ".join(function.name for function in functions if not function.disabled)
    console.print(f"The host is ready again. Functions: {names or 'none'}.")


def print_without_functions(console: Console) -> None:
    """Print what a host does whose app cannot be loaded after a change. The error is printed where it occurs."""
    console.print(
        "The host runs without functions, because the app cannot be loaded (see above). Orchestrations and messages "
        "wait until it is repaired.",
        level=LogLevel.WARNING,
    )


def print_stopping(console: Console) -> None:
    """Print that the host is shutting down."""
    console.print("Stopping the host … (press Ctrl-C again to exit immediately)")


def is_http(function: Function) -> bool:
    """Return whether a function has an HTTP trigger."""
    return function.trigger.type.lower() == "httptrigger"


def url_of(function: Function, *, port: int, route_prefix: str) -> str:
    """Return the URL of an HTTP function, with route parameters in braces."""
    # Always localhost, whatever address the host listens on, as in core-tools.
    route = str(member_of(function.trigger.properties, "route") or function.name)
    path = "/".join(part for part in (route_prefix.strip("/"), route.strip("/")) if part)
    return f"http://localhost:{port}/{path}"
