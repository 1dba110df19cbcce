"""Files with stacks that faulthandler has written, which works also while native code holds the interpreter's lock."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from traceback import FrameSummary

# A line for each thread, then one for each frame, the innermost first.
_THREAD = re.compile(r"(Current thread|Thread) 0x")
_FRAME = re.compile(r'  File "(?P<file>.*)", line (?P<line>\d+) in (?P<name>.*)')


def stacks_in(file: Path) -> Iterator[Sequence[FrameSummary]]:
    """Yield the stack of each thread, its innermost frame first. A file that does not exist has none."""
    if not file.exists():
        return
    stack: list[FrameSummary] = []
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        if _THREAD.match(line):
            yield stack
            stack = []
        elif match := _FRAME.fullmatch(line):
            stack.append(FrameSummary(match["file"], int(match["line"]), match["name"], lookup_line=False))
    yield stack
