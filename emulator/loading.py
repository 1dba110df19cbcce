"""Garbage collection while modules are loaded."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading_modules() -> Iterator[None]:
    """Collect no garbage while entered, and exempt the objects that exist at the end from all later collections.

    Modules create many objects, nearly all of which stay until the process ends. Searching them for garbage again and
    again takes a tenth of the start. For processes of azemu, before they load user code.
    """
    # Where the collector is off already, a caller or the user switches it on.
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.freeze()
            gc.enable()
