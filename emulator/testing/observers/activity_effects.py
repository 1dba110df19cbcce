"""Effects of activities outside the app: files, sockets, processes. A repeated activity has them again.

Sync functions only: `sys.setprofile` observes one thread, and on that of async functions many functions run.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import Any

from emulator.testing.observers.app_files import AppFiles
from emulator.testing.observers.side_effects import IO, forbidden_call, side_effect_of_app
from emulator.worker.port import FunctionMetadata

_ACTIVITY_TRIGGER = "activitytrigger"


class ActivityEffects:
    """The effects of one app's activities so far. Activities run on many threads, and any of them may report."""

    def __init__(self, files: AppFiles) -> None:
        self._files = files
        # A dict keeps the order, and each effect once.
        self._effects: defaultdict[str, dict[str, None]] = defaultdict(dict)

    def of_functions(self) -> Mapping[str, Sequence[str]]:
        """Return the effects by function, such as "calls open() at /app/function_app.py:12"."""
        return {function: tuple(effects) for function, effects in self._effects.items()}

    def observed(self, function: FunctionMetadata, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that does the same and is observed, if `call` is a sync activity."""
        is_activity = any(binding.type.lower() == _ACTIVITY_TRIGGER for binding in function.bindings)
        if not is_activity or inspect.iscoroutinefunction(call):
            return call

        def profile(frame: FrameType, event: str, argument: Any) -> None:
            found = forbidden_call(frame, event, argument)
            # Reading the clock or a random number changes nothing outside.
            if found is not None and found.instead == IO and (effect := side_effect_of_app(found, self._files)):
                self._effects[function.name][f"{effect.what} at {effect.place}"] = None

        @functools.wraps(call)
        def observed_call(**arguments: Any) -> Any:
            # A profiler that measures the test must not lose its own function.
            if sys.getprofile() is not None:
                return call(**arguments)
            sys.setprofile(profile)
            try:
                return call(**arguments)
            finally:
                sys.setprofile(None)

        return observed_call
