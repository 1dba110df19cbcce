"""A client of debugpy that speaks the Debug Adapter Protocol, as an editor does: attach, stop at a line, continue."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BufferedRWPair
from pathlib import Path
from typing import Any

from tests.waiting import PATIENCE_SECONDS


class Debugger:
    """A debugger that is attached to a process, with one breakpoint."""

    def __init__(self, stream: BufferedRWPair) -> None:
        self._stream = stream
        self._requests = 0

    def attach(self, file: Path, line: int) -> None:
        """Attach with a breakpoint, and let the process run if it waits for this."""
        self._send("initialize", adapterID="tests", pathFormat="path", linesStartAt1=True)
        self._send("attach", justMyCode=True)
        self._wait_for("event", "initialized")
        self._send("setBreakpoints", source={"path": str(file)}, breakpoints=[{"line": line}])
        self._send("configurationDone")
        self._wait_for("command", "attach")

    def stopped_in(self) -> tuple[str, int]:
        """Wait until the process stops at the breakpoint. Return the function and the line, and continue."""
        thread = self._wait_for("event", "stopped")["body"]["threadId"]
        self._send("stackTrace", threadId=thread, levels=1)
        [frame] = self._wait_for("command", "stackTrace")["body"]["stackFrames"]
        self._send("continue", threadId=thread)
        return frame["name"], frame["line"]

    def _send(self, command: str, **arguments: Any) -> None:
        self._requests += 1
        message = {"seq": self._requests, "type": "request", "command": command, "arguments": arguments}
        body = json.dumps(message).encode()
        self._stream.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        self._stream.flush()

    def _wait_for(self, member: str, value: str) -> Mapping[str, Any]:
        while True:
            length = 0
            while header := self._stream.readline().strip():
                length = int(header.partition(b":")[2])
            assert length, f"debugpy has closed the connection before {member} {value}"
            message: dict[str, Any] = json.loads(self._stream.read(length))
            if message.get(member) == value:
                assert message.get("success", True), message
                return message


@contextmanager
def connected(port: int) -> Iterator[Debugger]:
    """Connect to a debugpy that is being started."""
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)
            break
        except OSError:
            assert time.monotonic() < end, f"no debugpy listens on port {port}"
            time.sleep(0.1)
    # debugpy's own process keeps the standard output open until both are closed.
    with connection, connection.makefile("rwb") as stream:
        yield Debugger(stream)
