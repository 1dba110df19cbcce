"""The list of extensions that every host has.

A new family of triggers is a folder beside this module and a line in `EXTENSIONS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from emulator.extensions.blobs.extension import blob_extension
from emulator.extensions.durable.extension import durable_extension
from emulator.extensions.eventgrid.extension import eventgrid_extension
from emulator.extensions.http.extension import http_extension
from emulator.extensions.queues.extension import queues_extension
from emulator.extensions.tables.extension import tables_extension
from emulator.extensions.timers.extension import timers_extension
from emulator.extensions.unsupported.extension import unsupported_bindings
from emulator.extensions.warmup import warmup_extension
from emulator.host.context import ExtensionContext
from emulator.host.port import Extension, Fallback

# Imported here and not by name, so that a factory with a wrong signature is found by the type checker.
EXTENSIONS: Final[Sequence[Callable[[ExtensionContext], Extension]]] = (
    http_extension,
    warmup_extension,
    durable_extension,
    blob_extension,
    queues_extension,
    timers_extension,
    tables_extension,
    eventgrid_extension,
)


def open_extensions(context: ExtensionContext) -> Sequence[Extension]:
    """Create all extensions. Raises ConfigurationError for wrong options in host.json or in the app settings."""
    return [factory(context) for factory in EXTENSIONS]


def fallback(context: ExtensionContext) -> Fallback:
    """Return what the host does with binding types of no extension."""
    # The real host refuses a function with such a binding, because its extension is not installed. Here it would be
    # refused although everything is installed, and the app's other functions may well need it.
    return unsupported_bindings(context)
