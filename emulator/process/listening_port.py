"""The address that the host serves on, taken once for all its restarts."""

from __future__ import annotations

import socket
import sys
from types import TracebackType
from typing import Final, Self

_BACKLOG: Final = 128

# On Windows a socket belongs for ever to the event loop that served it first, so each host has to bind its own there.
_CAN_BE_SHARED: Final = sys.platform != "win32"


class Port:
    """Enter it to take the port. `listener` None: it cannot be handed to another process; bind `number` there."""

    def __init__(self, address: str, number: int) -> None:
        self._address = address
        self.number = number
        self.listener: socket.socket | None = None

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> None:
        """Take it, or take it again; whoever connects from now on is served by the next host.

        Raises PortUnavailable. Port 0 becomes a number at the first call.
        """
        if self.listener is not None:
            return
        family = socket.AF_INET6 if ":" in self._address else socket.AF_INET
        try:
            listener = socket.create_server((self._address, self.number), family=family, backlog=_BACKLOG)
        except OSError as error:
            from emulator.host.http.server.connections import PortUnavailable  # It loads the web server.

            raise PortUnavailable(self._address, self.number, error) from error
        self.number = listener.getsockname()[1]
        if _CAN_BE_SHARED:
            self.listener = listener
        else:
            listener.close()

    def close(self) -> None:
        """Refuse connections: there is nobody who would serve them."""
        if self.listener is not None:
            self.listener.close()
            self.listener = None
