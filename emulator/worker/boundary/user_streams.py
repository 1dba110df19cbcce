"""sys.stdout and sys.stderr as user code sees them: complete text streams whose lines belong to the running invocation.

What is not written by an invocation goes to the stream below, the one that was there before. User code may close,
detach or rewrap the streams, as it may those of its own process on Azure, without an effect on the host.
"""

from __future__ import annotations

import codecs
import io
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, TextIO
from weakref import WeakKeyDictionary

# A debugger talks to its user through sys.stdout. Its prompt has no line end, so it would never be shown as a log line.
_DEBUGGERS = frozenset(("pdb", "bdb", "cmd", "code", "IPython"))

# What a text file has and the stream below may lack, for example an io.StringIO of a test.
_DEFAULTS: Final[Mapping[str, Any]] = {"mode": "w", "line_buffering": True, "write_through": False}


class Printer(Protocol):
    """Something that receives what is printed: a running invocation."""

    def write(self, stream: str, text: str) -> None:
        """Take a text. `stream`: "stdout" or "stderr"."""


class UserStream(io.TextIOBase):
    """Replacement of sys.stdout or sys.stderr (`name`), installed at once.

    `printer`: returns the invocation that receives what the calling code prints; None: the stream below receives it.
    """

    def __init__(self, name: str, printer: Callable[[], Printer | None]) -> None:
        self._printer: Callable[[], Printer | None] | None = printer
        self._name = name
        self._stream: TextIO = getattr(sys, name)
        self.buffer = _UserBuffer(self, name, self._stream)
        setattr(sys, name, self)

    def uninstall(self) -> None:
        """Restore the stream below, or only stop capturing if another replacement has been put on top since."""
        self._printer = None
        stream = getattr(sys, self._name)
        # Apps may be closed in any order, so the stream below may be a replacement that was uninstalled earlier.
        while isinstance(stream, UserStream) and stream._printer is None:
            stream = stream._stream
        setattr(sys, self._name, stream)

    def is_active(self) -> bool:
        """Return whether sys.stdout or sys.stderr still leads to this stream."""
        # Replacements of apps that were opened later may be on top; they pass on what is not theirs.
        stream = getattr(sys, self._name)
        while isinstance(stream, UserStream):
            if stream is self:
                return True
            stream = stream._stream
        return False

    def printer(self) -> Printer | None:
        """Return the invocation that receives what the calling code prints."""
        return None if self._printer is None else self._printer()

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        printer = self.printer()
        if printer is not None:
            # Frame 0 is this method, frame 1 the code that prints.
            caller = sys._getframe().f_back
            module = "" if caller is None else str(caller.f_globals.get("__name__", ""))
            if module.partition(".")[0] not in _DEBUGGERS:
                printer.write(self._name, text)
                return len(text)
        written = self._stream.write(text)
        # The host writes its lines to a stream of its own. Without this, lines of user code could appear much later.
        if "\n" in text:
            self._stream.flush()
        return written

    def flush(self) -> None:
        self._stream.flush()

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def reconfigure(self, **options: Any) -> None:
        """Reconfigure the stream below, if it can be."""
        reconfigure = getattr(self._stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(**options)

    def detach(self) -> _UserBuffer:  # type: ignore[override]
        """Return the buffer. Unlike that of a file, the stream stays usable, because other code still writes to it."""
        return self.buffer

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding or "utf-8"

    @property
    def errors(self) -> str:  # type: ignore[override]
        return self._stream.errors or "strict"

    def close(self) -> None:
        """Do nothing: the stream below belongs to the process, and others still write to it."""

    def __getattr__(self, name: str) -> Any:
        try:
            return getattr(self._stream, name)
        except AttributeError:
            if name == "name":
                return f"<{self._name}>"
            if name in _DEFAULTS:
                return _DEFAULTS[name]
            raise


class _UserBuffer(io.BufferedIOBase):
    """The binary stream below a UserStream: `sys.stdout.buffer`."""

    def __init__(self, text: UserStream, name: str, below: TextIO) -> None:
        self._text = text
        self._name = name
        self._below = below
        # A character may be split between two calls of `write`.
        self._decoders: WeakKeyDictionary[Printer, codecs.IncrementalDecoder] = WeakKeyDictionary()

    def write(self, data: Any) -> int:
        if isinstance(data, str):
            raise TypeError("a bytes-like object is required, not 'str'")
        content = bytes(data)
        printer = self._text.printer()
        below = getattr(self._below, "buffer", None)
        if printer is not None:
            decoder = self._decoders.get(printer)
            if decoder is None:
                decoder = self._decoders[printer] = codecs.getincrementaldecoder(self._text.encoding)("replace")
            printer.write(self._name, decoder.decode(content))
        elif below is not None:
            below.write(content)
            below.flush()
        else:
            self._below.write(content.decode(self._text.encoding, "replace"))
        return len(content)

    def flush(self) -> None:
        self._below.flush()

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._below.isatty()

    def fileno(self) -> int:
        return self._below.fileno()

    def close(self) -> None:
        """Do nothing. A TextIOWrapper around this stream closes it when it is garbage-collected."""

    def __getattr__(self, name: str) -> Any:
        # A TextIOWrapper calls a private method to warn that its file was not closed. That is not meant for the file
        # below, which is not closed on purpose.
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._below.buffer, name)
