"""warmupTrigger: nothing to listen for; /admin/warmup runs the function. Source: docs/protocol/functions-host.md 6
and 8.7."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, nullcontext

from emulator.host.port import Extension, Function, Invoke
from emulator.worker.port import Binding

TRIGGER = "warmuptrigger"


def warmup_extension() -> Extension:
    return Extension(name="warmup", triggers={TRIGGER: _listen})


def _listen(function: Function, binding: Binding, invoke: Invoke) -> AbstractAsyncContextManager[None]:
    return nullcontext()
