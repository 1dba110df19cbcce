"""Worker extensions: the library's AppExtensionBase and FuncExtensionBase hooks around load and invocation.

Only with PYTHON_ENABLE_WORKER_EXTENSIONS, as in the official worker on the Python versions that we run on. A hook
that raises is logged and changes nothing. Source: docs/protocol/python-worker.md 9.3.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import azure.functions as func

SETTING = "PYTHON_ENABLE_WORKER_EXTENSIONS"


class Hooks:
    """Calls the hooks that the app's extensions registered with the library."""

    def after_load(self, name: str, directory: str) -> None:
        for hook in self._both(name, "post_function_load"):
            self._run(hook, name, directory)

    def before(self, context: func.Context, arguments: Mapping[str, Any]) -> None:
        for hook in self._both(context.function_name, "pre_invocation"):
            self._run(hook, _logger(hook), context, arguments)

    def after(self, context: func.Context, arguments: Mapping[str, Any], returned: object) -> None:
        for hook in self._both(context.function_name, "post_invocation"):
            self._run(hook, _logger(hook), context, arguments, returned)

    def _both(self, function: str, stage: str) -> Iterator[Any]:
        own = func.ExtensionMeta.get_function_hooks(function)
        yield from getattr(own, stage, ())
        app = func.ExtensionMeta.get_application_hooks()
        yield from getattr(app, f"{stage}_app_level", ())

    def _run(self, hook: Any, *arguments: Any) -> None:
        try:
            hook.ext_impl(*arguments)
        except Exception:
            _logger(hook).exception("The worker extension %s failed", hook.ext_name)


def _logger(hook: Any) -> logging.Logger:
    return logging.getLogger(hook.ext_name)
