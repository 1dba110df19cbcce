"""TCP listening sockets of `azemu start`. They stay open while the host process is restarted."""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from emulator.listening import listening_sockets

# On Windows a socket stays bound to the I/O completion port of the event loop that used it first. A second process
# cannot serve on it, so there each host process binds the port itself.
_CAN_BE_INHERITED: Final = sys.platform != "win32"


class ListeningPort:
    """Listening sockets of one port, bound while the context manager is entered.

    `port`: the requested port; 0 becomes the number of a free port when the sockets are bound. `sockets`: for the host
    process to inherit; connections are queued until it accepts them. Always empty on Windows, where the host process
    binds `port` itself. Entering raises PortUnavailable.
    """

    def __init__(self, address: str, port: int) -> None:
        self._address = address
        self.port = port
        self.sockets: Sequence[socket.socket] = ()

    def __enter__(self) -> Self:
        self.sockets = listening_sockets(self._address, self.port)
        self.port = self.sockets[0].getsockname()[1]
        if not _CAN_BE_INHERITED:
            # Binding has shown that the port is free; keeping it would make the host process fail.
            self._close()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        for listening in self.sockets:
            listening.close()
        self.sockets = ()
