"""The warm-up trigger (warmupTrigger): a function that /admin/warmup runs once.

Source: docs/protocol/functions-host.md 6 and 8.7.
"""

from __future__ import annotations

from contextlib import nullcontext

from emulator.host.bindings import WARMUP_TRIGGER
from emulator.host.context import ExtensionContext
from emulator.host.port import Extension, Trigger


def warmup_extension(context: ExtensionContext) -> Extension:
    """Return the extension of warm-up triggers. They have no listener: the admin API invokes the function."""
    trigger = Trigger(listen=lambda function, binding, invoke: nullcontext())
    return Extension(name="warmup", triggers={WARMUP_TRIGGER: trigger})
