"""What holds virtual time up: work that the event loop cannot see."""

from __future__ import annotations

import threading
import types
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from time import monotonic

from emulator.virtual_time.sleepers import place_of


@dataclass(frozen=True, slots=True)
class OngoingWork:
    """Work during which time cannot jump, for `seconds` of real time so far. `where`: who said `busy()`."""

    where: str
    seconds: float


@dataclass(slots=True, eq=False)
class _Token:
    """One `with busy()`."""

    work: Work
    code: types.CodeType
    line: int
    since: float = field(default_factory=monotonic)

    def __enter__(self) -> None:
        self.work.begin(self)

    def __exit__(self, *_: object) -> None:
        self.work.end(self)


class Work:
    """What holds time up. Tokens come and go on any thread."""

    def __init__(self, done: Callable[[], None]) -> None:
        self._done = done
        self._lock = threading.Lock()
        # In the order of their coming.
        self._tokens: dict[_Token, None] = {}

    def token(self, frame: types.FrameType) -> AbstractContextManager[None]:
        return _Token(self, frame.f_code, frame.f_lineno)

    @property
    def going_on(self) -> bool:
        return bool(self._tokens)

    def begin(self, token: _Token) -> None:
        token.since = monotonic()
        with self._lock:
            self._tokens[token] = None

    def end(self, token: _Token) -> None:
        with self._lock:
            del self._tokens[token]
            last = not self._tokens
        if last:
            self._done()

    def now(self) -> Sequence[OngoingWork]:
        with self._lock:
            tokens = list(self._tokens)
        return [OngoingWork(place_of(token.code, token.line), monotonic() - token.since) for token in tokens]
