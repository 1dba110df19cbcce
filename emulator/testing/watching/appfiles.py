"""Which code is the app's own: neither a library's nor azemu's, though both may lie below the app's folder."""

from __future__ import annotations

import os
from pathlib import Path
from types import FrameType

_LIBRARIES = ("site-packages", "dist-packages", str(Path(__file__).parents[2]) + os.sep)


class AppFiles:
    """Of the app in the folder `root`."""

    def __init__(self, root: Path) -> None:
        self._root = str(root.resolve()) + os.sep
        self._known: dict[str, bool] = {}

    def __contains__(self, file: object) -> bool:
        if not isinstance(file, str):
            return False
        known = self._known.get(file)
        if known is None:
            known = file.startswith(self._root) and not any(part in file for part in _LIBRARIES)
            self._known[file] = known
        return known

    def place(self, frame: FrameType | None) -> str | None:
        """`file:line` where the app's code stands in a stack, the innermost; None: it is not in it."""
        while frame is not None:
            if frame.f_code.co_filename in self:
                return f"{frame.f_code.co_filename}:{frame.f_lineno}"
            frame = frame.f_back
        return None
