"""The app's settings in os.environ, for as long as the app is open.

A process has one environment, and tests open several apps in it, in any order and at the same time: what an app put
there goes with it, what it covered comes back, and of two that say different things the one opened last is heard.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager


class Layers:
    """Who put what into an environment, in the order of their coming."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        self._environ = environ
        self._lock = threading.Lock()
        self._before: dict[str, str | None] = {}
        self._layers: list[Mapping[str, str]] = []

    @contextmanager
    def containing(self, values: Mapping[str, str]) -> Iterator[None]:
        layer = dict(values)
        with self._lock:
            for name in layer:
                self._before.setdefault(name, self._environ.get(name))
            self._layers.append(layer)
            self._environ.update(layer)
        try:
            yield
        finally:
            with self._lock:
                self._layers = [other for other in self._layers if other is not layer]
                for name in layer:
                    self._show(name)

    def _show(self, name: str) -> None:
        remaining = [layer[name] for layer in self._layers if name in layer]
        value = remaining[-1] if remaining else self._before.pop(name)
        if value is None:
            self._environ.pop(name, None)
        else:
            self._environ[name] = value


PROCESS = Layers(os.environ)
"""os.environ is the process's, and so is the account of who changed it."""
