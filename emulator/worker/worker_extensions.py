"""Worker extensions: calls of the load and invocation hooks of AppExtensionBase and FuncExtensionBase.

Off unless the setting PYTHON_ENABLE_WORKER_EXTENSIONS is on, which is the official worker's default for Python 3.10 and
later. Source: docs/protocol/python-worker.md 9.3.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import azure.functions as func

ENABLE_SETTING = "PYTHON_ENABLE_WORKER_EXTENSIONS"


class WorkerExtensions:
    """Calls the hooks that the app's worker extensions have registered with the library."""

    def after_load(self, name: str, directory: str) -> None:
        """Call the `post_function_load` hooks of a function."""
        self._call_hooks(name, "post_function_load", lambda _: (name, directory))

    def before_invocation(self, context: func.Context, arguments: Mapping[str, Any]) -> None:
        """Call the `pre_invocation` hooks. `arguments` are the function's parameters by name."""
        self._call_hooks(context.function_name, "pre_invocation", lambda logger: (logger, context, arguments))

    def after_invocation(self, context: func.Context, arguments: Mapping[str, Any], returned: object) -> None:
        """Call the `post_invocation` hooks. They are not called if the function has raised."""
        self._call_hooks(
            context.function_name, "post_invocation", lambda logger: (logger, context, arguments, returned)
        )

    def _call_hooks(self, function: str, stage: str, arguments: Callable[[logging.Logger], tuple[Any, ...]]) -> None:
        # The order is the official worker's: hooks of the function, then hooks of the whole app.
        hooks = (
            *getattr(func.ExtensionMeta.get_function_hooks(function), stage, ()),
            *getattr(func.ExtensionMeta.get_application_hooks(), f"{stage}_app_level", ()),
        )
        for hook in hooks:
            logger = logging.getLogger(hook.ext_name)  # noqa: TID251 - of the extension
            try:
                hook.ext_impl(*arguments(logger))
            except Exception:
                # A hook must not make an invocation fail; the official worker logs the error and continues.
                logger.exception("The worker extension %s failed", hook.ext_name)
