"""The first screen: who runs, where storage lives, and the list of functions.

Order and wording of the list: core-tools, Actions/HostActions/DisplayFunctionsInfoUtilities;
docs/protocol/functions-host.md 10.2.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import TYPE_CHECKING

from emulator import __version__
from emulator.config.hostjson import LogLevel
from emulator.host.console.output import Console

if TYPE_CHECKING:
    # The supervisor prints the banner and must not load the web server for that.
    from emulator.host.port import Function

# The Functions host whose behaviour is reproduced.
RUNTIME_VERSION = "4.1037.0.0"


def print_banner(console: Console, *, storage: str | None) -> None:
    """`storage`: where AzureWebJobsStorage lives, for people; None: the app has none."""
    console.print()
    console.print("azemu, local Azure Functions and Durable Functions", level=LogLevel.WARNING)
    console.print(f"Version:                  {__version__} (Python {platform.python_version()})")
    console.print(f"Function Runtime Version: {RUNTIME_VERSION}")
    console.print(f"Storage:                  {storage or 'none (AzureWebJobsStorage is not set)'}")
    console.print()


def print_functions(
    console: Console, functions: Sequence[Function], *, port: int, route_prefix: str, verbose: bool
) -> None:
    """Once, when the host is running. `functions`: in name order."""
    enabled = [function for function in functions if not function.disabled]
    if enabled:
        console.print()
        console.print("Functions:", level=LogLevel.WARNING)
        console.print()
    http = [function for function in enabled if is_http(function)]
    for function in http:
        console.print(
            f"\t{function.name}: {_methods(function)} {url_of(function, port=port, route_prefix=route_prefix)}"
        )
        console.print()
    for function in enabled:
        if function not in http:
            console.print(f"\t{function.name}: {function.trigger.type}")
            console.print()
    for function in functions:
        if function.disabled:
            console.print(f"Function {function.name} is disabled.", level=LogLevel.WARNING)
    if not verbose:
        console.print("For detailed output, run azemu with --verbose flag.")


def tell_stopping(console: Console) -> None:
    console.print("Stopping the host … (Ctrl-C again to end at once)")


def is_http(function: Function) -> bool:
    return function.trigger.type.lower() == "httptrigger"


def url_of(function: Function, *, port: int, route_prefix: str) -> str:
    """The URL of an HTTP function: always localhost, template braces as they are."""
    route = str(function.trigger.properties.get("route") or function.name)
    path = "/".join(part for part in (route_prefix.strip("/"), route.strip("/")) if part)
    return f"http://localhost:{port}/{path}"


def _methods(function: Function) -> str:
    methods = function.trigger.properties.get("methods") or ()
    return f"[{','.join(str(method).upper() for method in methods)}]" if methods else ""
