"""warmupTrigger: nothing to listen for; /admin/warmup runs the function. Source: spec/functions-host.md 6 and 8.7."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, nullcontext

from emulator.host.extension import Extension, Function, Invoke
from emulator.worker.api import Binding

TRIGGER = "warmuptrigger"


def warmup_extension() -> Extension:
    return Extension(name="warmup", triggers={TRIGGER: _listen})


def _listen(function: Function, binding: Binding, invoke: Invoke) -> AbstractAsyncContextManager[None]:
    return nullcontext()
