"""Client of a running host, for the commands that need one."""

from __future__ import annotations

import http.client
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from email.message import Message
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from emulator.cli.answers import Response, Shape, UnexpectedAnswer
from emulator.cli.printing import waiting
from emulator.config.settings import find_project_root, load_settings
from emulator.config.start import DASHBOARD_PATH
from emulator.errors import ConfigurationError, EmulatorError
from emulator.host.http.keys.secret_format import SecretsUnreadable, read_host_secrets
from emulator.listening import LOCALHOST
from emulator.process.host_record import HostRecord, reachable_name
from emulator.regular_files import read_regular_text

_KEY_HEADER: Final = "x-functions-key"
# How long a host may take to start, and to answer a question about itself. A function may run for any time.
_START_SECONDS: Final = 30.0
_PAUSE_SECONDS: Final = 0.2
_MOST_STATUS_BYTES: Final = 1024 * 1024
_MOST_LINE_BYTES: Final = 64 * 1024 * 1024
_PART_BYTES: Final = 64 * 1024
_STATUS: Final = {"state": str, "id": str, "versionDetails": str, "errors?": [str]}


class HostNotRunning(EmulatorError):
    """No azemu answers at the port."""


class InvocationFailed(EmulatorError):
    """The host has refused to run the function, or the function has failed."""


class NotAzemu(InvocationFailed):
    """Another program answers at the port."""


class HostClient:
    """A running host. Requests have the master key if the host asks for it.

    `app`: a folder of the app, where the key is looked up. `key`: the master key, if the user has given it. `record`:
    that of the host, if it is known; it has its address, and the path of its dashboard. The stored key is sent only to
    a host whose record says that its process is alive: any program may answer at the port of a host that has stopped.
    """

    def __init__(self, port: int, *, app: Path, key: str | None, record: HostRecord | None = None) -> None:
        self.port = port
        self.dashboard = record.dashboard if record is not None else DASHBOARD_PATH
        # The host id of the app that the host runs. Known after `wait_until_started`.
        self.id: str | None = None
        self.origin = f"http://{reachable_name(record.address) if record is not None else LOCALHOST}:{port}"
        self._app = app
        self._key = key
        self._record = record
        # Proxies of the environment are meant for other machines.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)

    @property
    def is_own(self) -> bool:
        """Whether the process that has written the record of the host is alive, so that nothing else has its port."""
        return self._record is not None and self._record.is_alive

    @property
    def used_key(self) -> str | None:
        """The master key that requests have; None if the host does not ask for it."""
        return self._key

    def dashboard_path(self, command: str, *, advice: str = "") -> str:
        """Return the path of the dashboard, with a slash at both ends. Raises InvocationFailed if the host has none.

        `command`, `advice`: for the error, the command that needs it, and what else to do.
        """
        if self.dashboard is None:
            reason = f"was started with --dashboard-path none, which also ends `azemu {command}`."
            raise InvocationFailed(f"The host at port {self.port} {reason}{advice}")
        return f"/{self.dashboard}/"

    def wait_until_started(self, *, needs_app: bool = True) -> None:
        """Wait at most 30 seconds for a host that is starting, and note its `id`.

        `needs_app`: False for what the host does also without the app; then a note for the user.
        Raises HostNotRunning, NotAzemu, and InvocationFailed if the host could not load the app.
        """
        for _ in range(int(_START_SECONDS / _PAUSE_SECONDS)):
            response = self.get("/admin/host/status", most_bytes=_MOST_STATUS_BYTES)
            try:
                status = response.content(_STATUS)
            except UnexpectedAnswer:
                status = {"versionDetails": ""}
            # The host of Core Tools has the same API, and the same host id for a folder.
            if "azemu" not in status["versionDetails"]:
                kind = f"Azure Functions host {status['versionDetails']}; " if status["versionDetails"] else ""
                raise NotAzemu(
                    f"The server at {self.origin} is not azemu: GET /admin/host/status was answered with {kind}"
                    f"{response.description}. Name the port of a host with --port N."
                    if not self.is_own
                    else f"The host at {self.origin} does not serve at present: it answers with "
                    f"{response.description}. Its console shows why."
                )
            self.id = status["id"]
            problems = "\n".join(status.get("errors", ()))
            # Like Azure's, a host that could not load the app runs, but without functions.
            if status["state"] == "Error" or (problems and self.get("/admin/functions").json() == []):
                if needs_app:
                    raise InvocationFailed(f"The host at port {self.port} could not load the app.\n{problems}")
                sys.stderr.write(
                    f"The host at port {self.port} could not load the app, so no function runs until it is repaired. "
                    "`azemu logs` shows the error.\n"
                )
                return
            if status["state"] not in ("Default", "Starting"):
                return
            time.sleep(_PAUSE_SECONDS)

    def get(self, path: str, *, most_bytes: int | None = None) -> Response:
        """Send a GET request for the admin API. Raises HostNotRunning; InvocationFailed if the key is refused."""
        # Most hosts check no keys, so the key of the folder is looked up only when one asks for it.
        response = self.send("GET", path, seconds=_START_SECONDS, most_bytes=most_bytes)
        if response.status in (401, 403) and self._key is None and self.is_own:
            self._key = _master_key(self._app)
            response = self.send("GET", path, seconds=_START_SECONDS, most_bytes=most_bytes)
        if response.status in (401, 403):
            raise InvocationFailed(
                f"The server at {self.origin} checks keys (--enable-auth). Pass its master key with --key KEY and its "
                "port with --port N. Without --key, the key in the folder of the app (--app DIR) is sent only to a "
                "host that was started in that folder."
            )
        return response

    def events(self, path: str, shape: Shape) -> Iterator[dict[str, Any]]:
        """Yield the server-sent events of a path (`data: {…}`), which have a shape, until the host ends the response.

        Raises HostNotRunning, UnexpectedAnswer, and InvocationFailed for a status other than 200 and an event of the
        type `error`.
        """
        request = urllib.request.Request(f"{self.origin}{path}")
        if self._key:
            request.add_header(_KEY_HEADER, self._key)
        asked = f"GET {self.origin}{path.partition('?')[0]}"
        try:
            with self._opener.open(request) as response:
                headers = _lower(response.headers)
                if not headers.get("content-type", "").startswith("text/event-stream"):
                    raise Response(response.status, response.read(_PART_BYTES), headers, asked).unexpected()
                is_error = False
                # An event has one line. Without a limit a response without line ends would fill the memory.
                while line := response.readline(_MOST_LINE_BYTES + 1):
                    if len(line) > _MOST_LINE_BYTES:
                        raise Response(response.status, line, headers, asked).unexpected("a line has no end")
                    if line.startswith(b"event: "):
                        is_error = line.strip() == b"event: error"
                    elif line.startswith(b"data: "):
                        event = Response(response.status, line.removeprefix(b"data: "), headers, asked)
                        if is_error:
                            raise InvocationFailed(event.refusal())
                        yield event.content(shape)
        except urllib.error.HTTPError as error:
            with error:
                body = error.read(_PART_BYTES)
            raise InvocationFailed(Response(error.code, body, _lower(error.headers), asked).refusal()) from None
        except (OSError, http.client.HTTPException) as error:
            raise HostNotRunning(f"The connection to the host at {self.origin} was lost ({error}).") from None

    @waiting("Waiting for the host")
    def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        seconds: float | None = None,
        most_bytes: int | None = None,
    ) -> Response:
        """Send a request and return its response, whatever its status.

        `seconds`: the longest time for the whole of it; None: any. `most_bytes`: more are not read. Raises
        HostNotRunning.
        """
        request = urllib.request.Request(f"{self.origin}{path}", data=body, method=method)
        for name, value in {**(headers or {}), **({_KEY_HEADER: self._key} if self._key else {})}.items():
            request.add_header(name, value)
        asked = f"{method} {self.origin}{path.partition('?')[0]}"
        until = None if seconds is None else time.monotonic() + seconds
        try:
            # urllib closes the response of an error together with the error object.
            refused: urllib.error.HTTPError | None = None
            try:
                response = self._opener.open(request, timeout=seconds)
            except urllib.error.HTTPError as error:
                refused, response = error, error.fp
            with refused or response:
                content = bytearray()
                # In parts, because the time limit of the socket is that of each part of a slow response.
                while part := response.read1(_PART_BYTES):
                    content += part
                    if most_bytes is not None and len(content) > most_bytes:
                        break
                    if until is not None and time.monotonic() > until:
                        raise TimeoutError(f"its response has not ended after {seconds:g} seconds")
                else:
                    # Unlike `read`, `read1` does not notice that the end is missing.
                    if response.length:
                        raise http.client.IncompleteRead(bytes(content), response.length)
                return Response(response.status, bytes(content), _lower(response.headers), asked)
        # HTTPException: what came is not HTTP, or ended too early.
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise HostNotRunning(
                f"No host answers at {self.origin} ({reason}). Start it with `azemu start` in the "
                "folder of the app, or name its port with --port N."
            ) from None


def url_segment(text: str) -> str:
    """Return an id or a name as one segment of a URL's path. Raises ConfigurationError for "." and ".."."""
    if text in (".", ".."):
        raise ConfigurationError(f'"{text}" cannot be named here, because in a URL it means a folder.')
    return quote(text, safe="")


def _lower(headers: Message) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Shows redirects of HTTP functions instead of following them to other hosts."""

    def redirect_request(self, *arguments: Any, **options: Any) -> None:
        return None


def _master_key(app: Path) -> str | None:
    from emulator.host.site import SECRETS_FOLDER

    try:
        root = find_project_root(app)
        folder = load_settings(root, os.environ, overrides={}).settings.get("FUNCTIONS_SECRETS_PATH")
        text = read_regular_text(root / (folder or SECRETS_FOLDER) / "host.json")
        return read_host_secrets(text).master.value
    except (ConfigurationError, SecretsUnreadable, OSError, UnicodeDecodeError):
        return None
