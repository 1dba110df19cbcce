"""The warm-up trigger (warmupTrigger): a function that /admin/warmup runs once.

Source: docs/protocol/functions-host.md 6 and 8.7.
"""

from __future__ import annotations

from contextlib import nullcontext

from emulator.host.context import ExtensionContext
from emulator.host.port import Extension, Trigger

# The admin API looks for this type, because the function may have any name.
TRIGGER = "warmuptrigger"


def warmup_extension(context: ExtensionContext) -> Extension:
    """Warm-up triggers. There are no events to listen for: the admin API invokes the function."""
    return Extension(name="warmup", triggers={TRIGGER: Trigger(listen=lambda function, binding, invoke: nullcontext())})
