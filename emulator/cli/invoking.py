"""Command `azemu invoke`: run a function of a running host through its HTTP interface, and print the result.

HTTP functions are called at their route. All others are run by the host's admin API (host/admin/manual.py).
"""

from __future__ import annotations

import base64
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

from emulator import bound_json as json
from emulator import exit_codes
from emulator.cli.invoke_arguments import Invoke
from emulator.config.settings import find_project_root, load_settings
from emulator.config.start import DEFAULT_PORT
from emulator.errors import ConfigurationError, EmulatorError
from emulator.host.captured_outputs import json_value
from emulator.host.http.keys.secret_format import SecretsUnreadable, read_host_secrets
from emulator.host.http.routing.templates import Parameter, parse_template

_KEY_HEADER: Final = "x-functions-key"
# How long a host may take to start, and to answer a question about itself. A function may run for any time.
_START_SECONDS: Final = 30.0
_PAUSE_SECONDS: Final = 0.2
# The usual methods of functions that expect a body.
_WITH_BODY: Final = ("POST", "PUT", "PATCH")


class HostNotRunning(EmulatorError):
    """No azemu answers at the port."""


class InvocationFailed(EmulatorError):
    """The host has refused to run the function, or the function has failed."""


@dataclass(frozen=True, slots=True)
class _Response:
    status: int
    body: bytes

    def json(self) -> Any:
        """Return what the body contains as JSON; None if it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


def run_invoke(command: Invoke) -> int:
    """Run the command and return its exit code.

    Raises ConfigurationError for data that cannot be read, HostNotRunning, InvocationFailed.
    """
    data = None if command.data is None else _read(command.data)
    inputs = {name: _read(text) for name, text in command.inputs.items()}
    port = command.port or _configured_port(command.app)
    host = _Host(port, command)
    _wait_until_started(host)
    function = host.get(f"/admin/functions/{quote(command.name, safe='')}")
    url = (function.json() or {}).get("invoke_url_template") if function.status == 200 else None
    if url is not None:
        return _call_http(host, command, function.json(), data, inputs)
    return _run(host, command, data, inputs)


def _wait_until_started(host: _Host) -> None:
    """Wait at most 30 seconds for a host that is starting. Raises InvocationFailed if it could not load the app."""
    for _ in range(int(_START_SECONDS / _PAUSE_SECONDS)):
        response = host.get("/admin/host/status")
        status = response.json()
        if response.status != 200 or not isinstance(status, dict) or "state" not in status:
            raise InvocationFailed(
                f"The server at http://localhost:{host.port} is not azemu. Name its port with --port N."
            )
        problems = "\n".join(status.get("errors") or ())
        # Like Azure's, a host that could not load the app runs, but without functions.
        if status["state"] == "Error" or (problems and host.get("/admin/functions").json() == []):
            raise InvocationFailed(f"The host at port {host.port} could not load the app.\n{problems}")
        if status["state"] not in ("Default", "Starting"):
            return
        time.sleep(_PAUSE_SECONDS)


def _run(host: _Host, command: Invoke, data: bytes | None, inputs: Mapping[str, bytes]) -> int:
    request = {
        **json_value(b"" if data is None else data, "input"),
        "metadata": {name: _metadata_value(text) for name, text in command.metadata.items()},
        "inputs": {name: _text(name, value) for name, value in inputs.items()},
    }
    path = f"/admin/azemu/functions/{quote(command.name, safe='')}/invoke"
    response = host.send("POST", path, json.dumps(request).encode(), {"Content-Type": "application/json"})
    content = response.json()
    if response.status != 200 or not isinstance(content, dict):
        message = content.get("error") if isinstance(content, dict) else None
        raise InvocationFailed(message or f"The host at port {host.port} answered with status {response.status}.")
    for output in content["outputs"]:
        shown = _shown(output["value"]) if "value" in output else f"bytes, in Base64: {output['valueBase64']}"
        sys.stderr.write(f"output {output['binding']} ({output['type']}): {shown}\n")
    if content.get("result") is not None:
        sys.stdout.write(f"{_shown(content['result'])}\n")
    elif "resultBase64" in content:
        sys.stdout.buffer.write(base64.b64decode(content["resultBase64"]))
    else:
        sys.stderr.write(f"Function '{command.name}' has run.\n")
    return exit_codes.OK


def _call_http(
    host: _Host, command: Invoke, function: Mapping[str, Any], data: bytes | None, inputs: Mapping[str, bytes]
) -> int:
    if command.metadata:
        raise ConfigurationError(f"--metadata has no effect on '{command.name}': it is an HTTP function.")
    bindings = function["config"]["bindings"]
    trigger = next(binding for binding in bindings if binding["type"].lower() == "httptrigger")
    methods = [str(name).upper() for name in trigger.get("methods") or ()]
    preferred = _WITH_BODY if data is not None else ("GET",)
    method = command.method or next(
        (name for name in preferred if name in methods or not methods), methods[0] if methods else preferred[0]
    )
    # Not with urllib: `?` and `#` may be part of the template.
    path = _filled_route(command, "/" + function["invoke_url_template"].split("/", 3)[3])
    name = quote(function["name"], safe="")
    for binding, value in inputs.items():
        supplied = host.send("PUT", f"/admin/azemu/functions/{name}/inputs/{quote(binding, safe='')}", value)
        if supplied.status != 204:
            raise InvocationFailed((supplied.json() or {}).get("error") or f"--input {binding}: {supplied.status}")
    try:
        response = host.send(method, path, data, {} if data is None else {"Content-Type": _content_type(data)})
    finally:
        # The values are meant for this call only.
        for binding in inputs:
            host.send("DELETE", f"/admin/azemu/functions/{name}/inputs/{quote(binding, safe='')}")
    sys.stdout.flush()
    sys.stdout.buffer.write(response.body)
    # A prompt or the next line of a script must not continue the last line of the body.
    if response.body and not response.body.endswith(b"\n") and sys.stdout.isatty():
        sys.stdout.buffer.write(b"\n")
    sys.stdout.flush()
    if response.status >= 400:
        # A failed function has an empty body, as on Azure.
        reason = " The console of the host shows why." if response.status >= 500 and not response.body else ""
        sys.stderr.write(f"{method} {path} was answered with status {response.status}.{reason}\n")
        return exit_codes.FAILED
    return exit_codes.OK


def _filled_route(command: Invoke, route: str) -> str:
    """Return path and query of a request. `route`: the path of the function's URL template, in lower case."""
    given = {name.lower(): (name, value) for name, value in command.parameters.items()}
    segments = []
    for segment in parse_template(route).segments:
        text = ""
        for part in segment.parts:
            if not isinstance(part, Parameter):
                text += part
                continue
            _, value = given.pop(part.name.lower(), ("", part.default))
            if value is None and not part.optional and not part.catch_all:
                raise ConfigurationError(f"The route of '{command.name}' is {route}. Add --param {part.name}=VALUE.")
            text += quote(value or "", safe="/" if part.catch_all else "")
        segments.append(text)
    query = urlencode(list(given.values()))
    # An optional parameter without a value leaves its segment out.
    path = "/" + "/".join(segments).rstrip("/")
    return f"{path}?{query}" if query else path


class _Host:
    """A running host. Requests have the master key if the host asks for it."""

    def __init__(self, port: int, command: Invoke) -> None:
        self.port = port
        self._app = command.app
        self._key = command.key
        # Proxies of the environment are meant for other machines.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)

    def get(self, path: str) -> _Response:
        """Send a GET request for the admin API. Raises HostNotRunning; InvocationFailed if the key is refused."""
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

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        seconds: float | None = None,
    ) -> _Response:
        """Send a request and return its response, whatever its status. `seconds` None: wait for it without a limit.

        Raises HostNotRunning.
        """
        request = urllib.request.Request(f"http://localhost:{self.port}{path}", data=body, method=method)
        for name, value in {**(headers or {}), **({_KEY_HEADER: self._key} if self._key else {})}.items():
            request.add_header(name, value)
        try:
            with self._opener.open(request, timeout=seconds) as response:
                return _Response(response.status, response.read())
        except urllib.error.HTTPError as error:
            with error:
                return _Response(error.code, error.read())
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise HostNotRunning(
                f"No host answers at http://localhost:{self.port} ({reason}). Start it with `azemu start` in the "
                "folder of the app, or name its port with --port N."
            ) from None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Shows redirects of HTTP functions instead of following them to other hosts."""

    def redirect_request(self, *arguments: Any, **options: Any) -> None:
        return None


def _configured_port(app: Path) -> int:
    try:
        root = find_project_root(app)
    except ConfigurationError:
        # The command works anywhere: only the port would have been read from the app's settings.
        return DEFAULT_PORT
    return load_settings(root, os.environ, overrides={}).host.port or DEFAULT_PORT


def _master_key(app: Path) -> str | None:
    from emulator.host.site import SECRETS_FOLDER

    try:
        root = find_project_root(app)
        folder = load_settings(root, os.environ, overrides={}).settings.get("FUNCTIONS_SECRETS_PATH")
        text = (root / (folder or SECRETS_FOLDER) / "host.json").read_text(encoding="utf-8-sig")
        return read_host_secrets(text).master.value
    except (ConfigurationError, SecretsUnreadable, OSError, UnicodeDecodeError):
        return None


def _read(text: str) -> bytes:
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


def _text(name: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise ConfigurationError(f"--input {name}: the value is not text in UTF-8.") from None


def _metadata_value(text: str) -> Any:
    # Numbers, lists and objects are written as JSON; anything else is text.
    try:
        return json.loads(text)
    except ValueError:
        return text


def _content_type(data: bytes) -> str:
    try:
        text = data.decode()
        json.loads(text)
    except UnicodeDecodeError:
        return "application/octet-stream"
    except ValueError:
        return "text/plain; charset=utf-8"
    return "application/json"


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
