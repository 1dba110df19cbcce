"""Names under which clients may reach the host: the option --host-names and the setting AZEMU_ALLOWED_HOSTS.

    parse_host_names("functions, 10.0.0.7", source="--host-names")   # {"functions", "10.0.0.7"}

They extend what the Host header of a management request may contain (see `host.http.callers`).
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from emulator.errors import ConfigurationError

SETTING: Final = "AZEMU_ALLOWED_HOSTS"
"""App setting or environment variable with the names, for starts without a command line of their own."""

# The characters of host names (RFC 1123), and the underscore, which names of containers can have.
_NAME: Final = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")


def parse_host_names(text: str, *, source: str) -> frozenset[str]:
    """Return the names and IP addresses of a list that is separated by commas, as `host_name` writes them.

    `source`: the option or setting, for the message. Raises ConfigurationError for anything else, such as a URL.
    """
    names = set()
    for word in filter(None, (part.strip() for part in text.split(","))):
        name = word.lower()
        address = _address(name.removeprefix("[").removesuffix("]"))
        if address is None and _NAME.fullmatch(name) is None:
            raise ConfigurationError(
                f"{source}: '{word}' is not a host name. Write names or IP addresses without a scheme and a port, "
                "separated by commas, such as: functions,host.docker.internal"
            )
        names.add(address or name)
    return frozenset(names)


def host_name(authority: str) -> str:
    """Return the host of `host[:port]` in lower case; an IPv6 address without its brackets and in its short form."""
    host, _ = split_authority(authority, default_port="")
    return host


def split_authority(authority: str, default_port: str) -> tuple[str, str]:
    """Return host (see `host_name`) and port of `host[:port]`."""
    lower = authority.strip().lower()
    if lower.startswith("["):
        host, _, rest = lower[1:].partition("]")
        host, port = _address(host) or host, rest.removeprefix(":")
    else:
        host, _, port = lower.partition(":")
    return host, port or default_port


def address_name(text: str) -> str:
    """Return the usual spelling of an IP address of a socket, without a zone; any other text unchanged."""
    return _address(text.partition("%")[0]) or text


def _address(text: str) -> str | None:
    """Return the usual spelling of an IP address; None if the text is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    # A socket for IPv6 shows the addresses of IPv4 in this form.
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
