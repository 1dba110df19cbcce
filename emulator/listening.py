"""Listening TCP sockets, bound before the web server that serves on them is loaded."""

from __future__ import annotations

import errno
import socket

from emulator.errors import ConfigurationError

_BACKLOG = 128


class PortUnavailable(ConfigurationError):
    """The address and port cannot be bound. The message says how to choose others."""

    def __init__(self, address: str, port: int, error: OSError) -> None:
        if error.errno == errno.EADDRINUSE:
            # The first two sentences are those of core-tools.
            text = (
                f"Port {port} is unavailable. Close the process using that port, or specify another port using "
                '--port [-p]. The setting for it is "Host": {"LocalHttpPort": …} in local.settings.json.'
            )
        else:
            text = (
                f"Cannot listen on address {address}, port {port}: {error.strerror or error}. "
                "Choose others with --address and --port."
            )
        super().__init__(text)


def listening_socket(address: str, port: int) -> socket.socket:
    """Return a socket that listens on an IP address. `port` 0: any free port. Raises PortUnavailable."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.create_server((address, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise PortUnavailable(address, port, error) from error
