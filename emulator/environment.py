"""App settings as environment variables (os.environ), from the start of their app to its stop.

A process has one environment, but tests open several apps in it, nested or at the same time, and close them in any
order. If several open apps set the same variable, the app opened last wins.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager


class EnvironmentLayers:
    """Environment variables of all open apps, one layer per app. The layer of the app that was opened last wins."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        self._environ = environ
        self._lock = threading.Lock()
        # The values before any layer set them; None: the variable did not exist.
        self._original: dict[str, str | None] = {}
        self._layers: list[Mapping[str, str]] = []

    @contextmanager
    def containing(self, values: Mapping[str, str]) -> Iterator[None]:
        """Set variables while entered. Afterwards each has its value of the layer below, or its original one."""
        layer = dict(values)
        with self._lock:
            for name in layer:
                self._original.setdefault(name, self._environ.get(name))
            self._layers.append(layer)
            self._environ.update(layer)
        try:
            yield
        finally:
            with self._lock:
                # By identity: two apps may have equal settings, and the one that is closed need not be the topmost.
                self._layers = [other for other in self._layers if other is not layer]
                for name in layer:
                    values_below = [below[name] for below in self._layers if name in below]
                    value = values_below[-1] if values_below else self._original.pop(name)
                    if value is None:
                        self._environ.pop(name, None)
                    else:
                        self._environ[name] = value


PROCESS = EnvironmentLayers(os.environ)
"""The layers over os.environ. There is one environment per process, so there is one instance, too."""
