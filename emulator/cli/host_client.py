"""Client of a running host for the commands that need one, and the data of their arguments."""

from __future__ import annotations

import http.client
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from emulator import bound_json as json
from emulator.config.settings import find_project_root, load_settings
from emulator.config.start import DASHBOARD_PATH, DEFAULT_PORT
from emulator.errors import ConfigurationError, EmulatorError
from emulator.host.host_id import host_id
from emulator.host.http.keys.secret_format import SecretsUnreadable, read_host_secrets
from emulator.listening import LOCALHOST
from emulator.process.host_record import reachable_name, recorded_hosts

_KEY_HEADER: Final = "x-functions-key"
# How long a host may take to start, and to answer a question about itself. A function may run for any time.
_START_SECONDS: Final = 30.0
_PAUSE_SECONDS: Final = 0.2


class HostNotRunning(EmulatorError):
    """No azemu answers at the port."""


class InvocationFailed(EmulatorError):
    """The host has refused to run the function, or the function has failed."""


@dataclass(frozen=True, slots=True)
class Response:
    """Response of a host. `headers`: by names in lower case."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    def json(self) -> Any:
        """Return what the body contains as JSON; None if it is not JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    def refusal(self) -> str | None:
        """Return the message of an error of the dashboard's API (`{"error": {"message": …}}`); None for others."""
        content = self.json()
        error = content.get("error") if isinstance(content, dict) else None
        return error.get("message") if isinstance(error, dict) else None


class HostClient:
    """A running host. Requests have the master key if the host asks for it.

    `app`: a folder of the app, where the key is looked up. `key`: the master key, if the user has given it. `name`: the
    host's name or address in URLs. `dashboard`: the path of its dashboard, None if it has none.
    """

    def __init__(
        self,
        port: int,
        *,
        app: Path,
        key: str | None,
        name: str = LOCALHOST,
        dashboard: str | None = DASHBOARD_PATH,
    ) -> None:
        self.port = port
        self.dashboard = dashboard
        # The host id of the app that the host runs. Known after `wait_until_started`.
        self.id: str | None = None
        self.origin = f"http://{name}:{port}"
        self._app = app
        self._key = key
        # Proxies of the environment are meant for other machines.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)

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

    def wait_until_started(self) -> None:
        """Wait at most 30 seconds for a host that is starting, and note its `id`.

        Raises HostNotRunning, and InvocationFailed if the host could not load the app.
        """
        for _ in range(int(_START_SECONDS / _PAUSE_SECONDS)):
            response = self.get("/admin/host/status")
            status = response.json()
            if response.status != 200 or not isinstance(status, dict) or not isinstance(status.get("state"), str):
                raise InvocationFailed(
                    f"The server at {self.origin} is not azemu. Name the port of a host with --port N."
                )
            self.id = str(status.get("id"))
            problems = "\n".join(map(str, _list(status.get("errors"))))
            # Like Azure's, a host that could not load the app runs, but without functions.
            if status["state"] == "Error" or (problems and self.get("/admin/functions").json() == []):
                raise InvocationFailed(f"The host at port {self.port} could not load the app.\n{problems}")
            if status["state"] not in ("Default", "Starting"):
                return
            time.sleep(_PAUSE_SECONDS)

    def get(self, path: str) -> Response:
        """Send a GET request for the admin API. Raises HostNotRunning; InvocationFailed if the key is refused."""
        # Most hosts check no keys, so the key of the folder is looked up only when one asks for it.
        response = self.send("GET", path, seconds=_START_SECONDS)
        if response.status in (401, 403) and self._key is None:
            self._key = _master_key(self._app)
            response = self.send("GET", path, seconds=_START_SECONDS)
        if response.status in (401, 403):
            raise InvocationFailed(
                f"The host at port {self.port} checks keys (--enable-auth). Pass its master key with --key KEY, or the "
                "folder of the app with --app DIR: the key is in .azemu/secrets/host.json there."
            )
        return response

    def events(self, path: str) -> Iterator[dict[str, Any]]:
        """Yield the server-sent events of a path (`data: {…}`) as they come, until the host ends the response.

        Raises HostNotRunning, and InvocationFailed for a status other than 200 and an event of the type `error`.
        """
        request = urllib.request.Request(f"{self.origin}{path}")
        if self._key:
            request.add_header(_KEY_HEADER, self._key)
        try:
            with self._opener.open(request) as response:
                is_error = False
                for line in response:
                    if line.startswith(b"event: "):
                        is_error = line.strip() == b"event: error"
                    elif line.startswith(b"data: "):
                        event = json.loads(line.removeprefix(b"data: "))
                        if is_error:
                            raise InvocationFailed(event["error"]["message"])
                        yield event
        except urllib.error.HTTPError as error:
            with error:
                message = Response(error.code, error.read()).refusal()
            raise InvocationFailed(
                message or f"The host at port {self.port} answered with status {error.code}."
            ) from None
        except (OSError, http.client.HTTPException) as error:
            raise HostNotRunning(f"The connection to the host at {self.origin} was lost ({error}).") from None

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        seconds: float | None = None,
    ) -> Response:
        """Send a request and return its response, whatever its status. `seconds` None: wait for it without a limit.

        Raises HostNotRunning.
        """
        request = urllib.request.Request(f"{self.origin}{path}", data=body, method=method)
        for name, value in {**(headers or {}), **({_KEY_HEADER: self._key} if self._key else {})}.items():
            request.add_header(name, value)
        try:
            with self._opener.open(request, timeout=seconds) as response:
                return Response(response.status, response.read(), _lower(response.headers))
        except urllib.error.HTTPError as error:
            with error:
                return Response(error.code, error.read(), _lower(error.headers))
        # HTTPException: what came is no HTTP, or ended too early.
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


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _lower(headers: Message) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Shows redirects of HTTP functions instead of following them to other hosts."""

    def redirect_request(self, *arguments: Any, **options: Any) -> None:
        return None


def find_host(app: Path, *, port: int | None, key: str | None) -> HostClient:
    """Return the running host of an app folder, or of a port if the user has given one.

    It answers requests. Several hosts of one folder: the one that was started last, and a note for the user.
    Raises HostNotRunning; InvocationFailed if the host refuses the key or could not load the app.
    """
    if port is not None:
        host = HostClient(port, app=app, key=key)
        host.wait_until_started()
        return host
    try:
        root = find_project_root(app).resolve()
    except ConfigurationError as error:
        raise HostNotRunning(f"{error}\nTo use a running host from any folder, name its port with --port N.") from None
    loaded = load_settings(root, os.environ, overrides={})
    own_id = host_id(root, loaded.settings)
    default_port = loaded.host.port or DEFAULT_PORT
    found = []
    records = recorded_hosts(root)
    # A killed host leaves its record behind, and another app may have its port by now.
    for record in records:
        name = reachable_name(record.address)
        host = HostClient(record.port, app=root, key=key, name=name, dashboard=record.dashboard)
        if _serves(host, own_id, key=key):
            found.append(host)
    # In a folder that cannot be written, hosts have no record.
    if not found and default_port not in [record.port for record in records]:
        host = HostClient(default_port, app=root, key=key)
        if _serves(host, own_id, key=key):
            found.append(host)
    if not found:
        raise HostNotRunning(
            f"No host of the app in {root} is running. Start it with `azemu start`, or name the port of another host "
            "with --port N."
        )
    if len(found) > 1:
        ports = ", ".join(str(host.port) for host in found)
        sys.stderr.write(
            f"Several hosts of this folder are running, at the ports {ports}. Using port {found[0].port}, which was "
            "started last. Choose with --port N.\n"
        )
    return found[0]


def _serves(host: HostClient, own_id: str, *, key: str | None) -> bool:
    """Return whether a host answers and runs the app with this host id. Raises InvocationFailed if it cannot."""
    try:
        host.wait_until_started()
    except HostNotRunning:
        return False
    except InvocationFailed:
        # Without an id it is another server, or the host of another app that refuses the key of this one. A key that
        # the user has given is for this host.
        if host.id == own_id or key is not None:
            raise
        return False
    return host.id == own_id


def _master_key(app: Path) -> str | None:
    from emulator.host.site import SECRETS_FOLDER

    try:
        root = find_project_root(app)
        folder = load_settings(root, os.environ, overrides={}).settings.get("FUNCTIONS_SECRETS_PATH")
        text = (root / (folder or SECRETS_FOLDER) / "host.json").read_text(encoding="utf-8-sig")
        return read_host_secrets(text).master.value
    except (ConfigurationError, SecretsUnreadable, OSError, UnicodeDecodeError):
        return None


def read_argument(text: str) -> bytes:
    """Return the data of an argument: `@FILE`, `@-` for the standard input, else the text itself."""
    if not text.startswith("@"):
        return text.encode("utf-8", "surrogateescape")
    if text == "@-":
        return sys.stdin.buffer.read()
    try:
        return Path(text[1:]).read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"The file '{text[1:]}' cannot be read: {error.strerror}. To send a text that begins with @, put it into "
            "a file."
        ) from None
