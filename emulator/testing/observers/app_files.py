"""The app's own source files, as opposed to those of libraries and of azemu, which may be in the same folder."""

from __future__ import annotations

import os
from pathlib import Path
from types import FrameType

# The app's folder may contain a virtual environment, or azemu's own package if the app is at the root of a checkout.
_NOT_APP = ("site-packages", "dist-packages", str(Path(__file__).parents[2]) + os.sep)


class AppFiles:
    """The source files of the app in the folder `root`. `file in app_files` tests a file name."""

    def __init__(self, root: Path) -> None:
        self._root = str(root.resolve()) + os.sep
        # The profiler of the determinism check asks for every call of an orchestrator.
        self._cache: dict[str, bool] = {}

    def __contains__(self, file: object) -> bool:
        if not isinstance(file, str):
            return False
        known = self._cache.get(file)
        if known is None:
            known = file.startswith(self._root) and not any(part in file for part in _NOT_APP)
            self._cache[file] = known
        return known

    def place_in_stack(self, frame: FrameType | None) -> str | None:
        """Return `file:line` of the innermost frame of the app's code in a stack; None if there is none."""
        while frame is not None:
            if frame.f_code.co_filename in self:
                return f"{frame.f_code.co_filename}:{frame.f_lineno}"
            frame = frame.f_back
        return None
