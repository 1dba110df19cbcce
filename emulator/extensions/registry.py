"""The list of extensions that every host has.

A new family of triggers is a folder beside this module and a line in `EXTENSIONS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from emulator.extensions.durable.extension import durable_extension
from emulator.extensions.http.extension import http_extension
from emulator.extensions.warmup import warmup_extension
from emulator.host.context import ExtensionContext
from emulator.host.port import Extension, Fallback

# Imported here and not by name, so that a factory with a wrong signature is found by the type checker.
EXTENSIONS: Final[Sequence[Callable[[ExtensionContext], Extension]]] = (
    http_extension,
    warmup_extension,
    durable_extension,
)

# Refusing is what the real host does without the extension, and what tells users that azemu does not run the trigger.
FALLBACK: Final = Fallback()
"""What happens to binding types of no extension: functions that use them are in error, as on a real host without the
extension."""


def open_extensions(context: ExtensionContext) -> Sequence[Extension]:
    """Create all extensions. Raises ConfigurationError for wrong options in host.json or in the app settings."""
    return [factory(context) for factory in EXTENSIONS]
