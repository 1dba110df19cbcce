"""Request limits of Kestrel, the web server of the Functions host, and the requests that it rejects.

Source: ASP.NET Core, KestrelServerLimits.cs, HttpUtilities.cs, Http1Connection.cs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from aiohttp import HttpVersion10, HttpVersion11, web
from yarl import URL

from emulator.config.host_names import split_authority

SUPPORTED_VERSIONS = (HttpVersion10, HttpVersion11)
MAX_REQUEST_LINE_BYTES = 8 * 1024
MAX_HEADERS = 100
MAX_HEADERS_BYTES = 32 * 1024
KEEP_ALIVE_SECONDS = 130.0
REQUEST_HEAD_SECONDS = 30.0
# After an early response the rest of the request body is still read for this time. A client that is cut off while it
# sends usually gets a connection reset from its operating system instead of the response.
UNREAD_BODY_SECONDS = 5.0

UNSUPPORTED_VERSION = "UNSUPPORTED VERSION"
"""Method of requests of another HTTP version. A real method has no space."""

# HttpUtilities.IsHostHeaderValid; an empty host is valid.
_HOST = re.compile(r"(?:(?:[A-Za-z0-9!$&'()\-._~]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?)?")


def kestrel_rejection(request: web.Request) -> web.Response | None:
    """Return the empty 4xx or 505 response with which Kestrel rejects a request that aiohttp accepts, or None."""
    headers = request.raw_headers
    # Kestrel counts the bytes of header lines, which end with CR LF and have a colon and usually a blank inside.
    header_bytes = sum(len(name) + len(value) + 4 for name, value in headers)
    if len(headers) > MAX_HEADERS or header_bytes > MAX_HEADERS_BYTES:
        return web.Response(status=431)
    if request.method == UNSUPPORTED_VERSION or request.version not in SUPPORTED_VERSIONS:
        return web.Response(status=505)
    hosts = request.headers.getall("Host", ())
    # HTTP/1.0 requests may lack the header; RFC 9112 3.2 demands exactly one of all others.
    if len(hosts) > 1 or (request.version >= (1, 1) and not hosts) or not all(map(_is_valid_host, hosts)):
        return web.Response(status=400)
    if not request.raw_path.startswith("/") and not _is_target_of(request.raw_path, hosts):
        return web.Response(status=400)
    # aiohttp decodes bytes that are not UTF-8 to lone surrogates. Every later attempt to encode such a text, for
    # example for the worker or for the log, would raise UnicodeEncodeError.
    texts = (request.path_qs, *request.headers.values())
    if any("\ud800" <= character <= "\udfff" for text in texts if not text.isascii() for character in text):
        return web.Response(status=400)
    return None


def origin_form(request: web.Request) -> web.Request:
    """Return a request whose target is a path and query; `http://host/path`, as clients of proxies send it, is cut."""
    if request.raw_path.startswith(("/", "*")):
        return request
    target = urlsplit(request.raw_path)
    return request.clone(rel_url=URL.build(path=target.path or "/", query_string=target.query, encoded=True))


def _is_target_of(target: str, hosts: Sequence[str]) -> bool:
    """Return whether the authority of an absolute target is that of the Host header, or the target is `*`."""
    if target == "*" or not hosts:
        return True
    # Otherwise `http://evil.example/admin` with `Host: localhost` would be a request to two hosts.
    scheme, separator, rest = target.partition("://")
    authority = re.split(r"[/?#]", rest if separator else target, maxsplit=1)[0].rpartition("@")[2]
    default_port = "443" if separator and scheme.lower() == "https" else "80"
    return split_authority(authority, default_port) == split_authority(hosts[0], default_port)


def _is_valid_host(text: str) -> bool:
    host = _HOST.fullmatch(text)
    return host is not None and int(host[1] or 0) <= 65535
