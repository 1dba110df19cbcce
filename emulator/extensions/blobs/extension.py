"""The extension of blobs: its records by binding type."""

from __future__ import annotations

from emulator.extensions.blobs.blob_input import blob_input
from emulator.extensions.blobs.blob_output import blob_output
from emulator.host.context import ExtensionContext
from emulator.host.port import Extension


def blob_extension(context: ExtensionContext) -> Extension:
    """Blob inputs and outputs."""
    return Extension(name="blobs", inputs={"blob": blob_input(context)}, outputs={"blob": blob_output(context)})
