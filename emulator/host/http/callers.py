"""Callers of the management API, the admin API and the RPC listener: rules that keep web pages out.

    refusal = rules.refusal(request)     # None: the request is acceptable; else a response with status 403

A browser lets any web page send requests to a port of the developer's machine. Two facts of such a request cannot be
chosen by the page, and both are checked:

* `Host` names the site that the page believes to call. A page of evil.example whose name resolves to 127.0.0.1 (DNS
  rebinding) is of the same origin for the browser, but sends `Host: evil.example`.
* `Origin` and `Sec-Fetch-Site` tell which site the page is of. A page cannot read the response of another origin, but
  a POST, PUT or DELETE has had its effect by then.

The threat model is in docs/security.md.
"""

from __future__ import annotations

import socket
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from emulator.config.host_names import SETTING, address_name, host_name, split_authority
from emulator.config.start import Configuration, Cors
from emulator.listening import is_loopback
from emulator.logs import get_logger

_log = get_logger(__name__)

_LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "::1")
_READING: Final = frozenset(("GET", "HEAD", "OPTIONS"))
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}
# Each name or origin is logged once. A client can send any number of them.
_MOST_LOGGED: Final = 20
# How many characters of a header a message shows.
_SHOWN: Final = 200


class CallerRules:
    """Decides which requests may come in. `names`: accepted hosts, besides the address at which a request arrives.

    `forwarded`: those of them that the user has named, which proxies may also put into `X-Forwarded-Host`.
    `cors`: the CORS rules of the app, whose origins may also change things here.
    """

    def __init__(self, names: Collection[str], forwarded: Collection[str] = (), cors: Cors | None = None) -> None:
        self._names = frozenset(names)
        self._forwarded = frozenset(forwarded)
        self._cors = cors
        self._logged: set[str] = set()

    @classmethod
    def of(cls, configuration: Configuration) -> CallerRules:
        """Return the rules of a host."""
        names = {*_LOOPBACK_NAMES, *configuration.host_names}
        if not is_loopback(configuration.address):
            machine = socket.gethostname().lower()
            names |= {address_name(configuration.address), machine, machine.partition(".")[0]}
        return cls(names, configuration.host_names, configuration.cors)

    def accepts_forwarded_host(self, authority: str) -> bool:
        """Return whether the value of `X-Forwarded-Host` is one of the names that the user has given."""
        return host_name(authority) in self._forwarded

    def refusal(self, request: web.Request, *, also_reads: bool = False) -> web.Response | None:
        """Return the 403 response to a request that may be of a web page, with the reason and the remedy, or None.

        `also_reads`: refuse what other pages read, too. A browser hides the response from them, but not how long it
        took, and keeps event streams open.
        """
        host = request.headers.get("Host", "")
        name = host_name(host)
        # The IP address of this machine at which the request has arrived; a browser does not look that up in the DNS.
        local = request.transport.get_extra_info("sockname") if request.transport is not None else None
        if name not in self._names and not (local and name == address_name(local[0])):
            shown = name[:_SHOWN]
            unknown = f'the name "{shown}", under which this host is not known' if shown else "no name"
            return self._refuse(
                f"The Host header has {unknown}. Web pages could reach this host by a name of their own. If the name "
                f"is yours, start azemu with --host-names {shown or 'NAME'}, or add it to the setting {SETTING}."
            )
        if request.method.upper() in _READING and not also_reads:
            return None
        origins = request.headers.getall("Origin", ())
        if origins and self._cors is not None and all(map(self._cors.allows, origins)):
            return None
        is_cross_site = request.headers.get("Sec-Fetch-Site", "").strip().lower() == "cross-site"
        if not is_cross_site and all(self._is_own(origin, request, host) for origin in origins):
            return None
        shown = ", ".join(origins)[:_SHOWN] or "not named"
        if also_reads:
            return self._refuse(
                f"The request comes from a web page of another origin ({shown}). Other pages may neither read nor "
                "change anything here, whatever CORS allows them."
            )
        return self._refuse(
            f"The request comes from a web page of another origin ({shown}), which must not "
            'change anything here. If the page is yours, add its origin to --cors, or to "Host": {"CORS": …} in '
            "local.settings.json."
        )

    def _is_own(self, origin: str, request: web.Request, host: str) -> bool:
        """Return whether an origin is that of this host, as the browser sees it: perhaps through a proxy with TLS."""
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        default_port = _DEFAULT_PORTS.get(parts.scheme)
        if default_port is None:
            return False
        own = [host]
        forwarded = request.headers.get("X-Forwarded-Host", "")
        if self.accepts_forwarded_host(forwarded):
            own.append(forwarded)
        return split_authority(parts.netloc, default_port) in [split_authority(name, default_port) for name in own]

    def _refuse(self, reason: str) -> web.Response:
        if reason not in self._logged and len(self._logged) < _MOST_LOGGED:
            self._logged.add(reason)
            _log.warning("A request was refused. %s", reason)
        return web.Response(status=403, text=reason + "\n", headers={"X-Content-Type-Options": "nosniff"})
