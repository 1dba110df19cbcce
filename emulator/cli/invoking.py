"""Command `azemu invoke`: run a function of a running host through its HTTP interface, and print the result.

HTTP functions are called at their route. All others are run by the host's admin API (host/admin/manual.py).
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final
from urllib.parse import quote, urlencode

from emulator import bound_json as json
from emulator import exit_codes
from emulator.cli.answers import FUNCTION
from emulator.cli.data_arguments import read_argument
from emulator.cli.finding_hosts import find_host
from emulator.cli.host_client import HostClient, InvocationFailed, url_segment
from emulator.cli.invoke_arguments import Invoke
from emulator.cli.printing import print_json, shown_value
from emulator.errors import ConfigurationError
from emulator.host.captured_outputs import json_value
from emulator.host.http.routing.templates import Parameter, parse_template

# The usual methods of functions that expect a body.
_WITH_BODY: Final = ("POST", "PUT", "PATCH")
_RESULT: Final = {
    "result?": object,
    "resultBase64?": str,
    "outputs": [{"binding": str, "type": str, "value?": object, "valueBase64?": str}],
}


def run_invoke(command: Invoke) -> int:
    """Run the command and return its exit code.

    Raises ConfigurationError for data that cannot be read, HostNotRunning, InvocationFailed.
    """
    data = None if command.data is None else read_argument(command.data)
    inputs = {name: read_argument(text) for name, text in command.inputs.items()}
    host = find_host(command.app, port=command.port, key=command.key)
    function = host.get(f"/admin/functions/{url_segment(command.name)}")
    facts = function.content(FUNCTION) if function.status == 200 else {}
    if facts.get("invoke_url_template") is not None:
        return _call_http(host, command, facts, data, inputs)
    return _run(host, command, data, inputs)


def _run(host: HostClient, command: Invoke, data: bytes | None, inputs: Mapping[str, bytes]) -> int:
    metadata: dict[str, Any] = dict(command.metadata)
    for name, text in command.metadata.items():
        # Numbers, lists and objects are written as JSON; anything else is text.
        with suppress(ValueError):
            metadata[name] = json.loads(text)
    texts = {}
    for name, value in inputs.items():
        try:
            texts[name] = value.decode()
        except UnicodeDecodeError:
            raise ConfigurationError(f"--input {name}: the value is not text in UTF-8.") from None
    request = {**json_value(data or b"", "input"), "metadata": metadata, "inputs": texts}
    path = f"/admin/azemu/functions/{url_segment(command.name)}/invoke"
    response = host.send("POST", path, json.dumps(request).encode(), {"Content-Type": "application/json"})
    if response.status >= 300:
        raise InvocationFailed(response.refusal())
    content = response.content(_RESULT)
    if command.json:
        result = {name: content[name] for name in ("result", "resultBase64") if name in content}
        print_json({"function": command.name, "result": None, **result, "outputs": content["outputs"]})
        return exit_codes.OK
    for output in content["outputs"]:
        shown = shown_value(output["value"]) if "value" in output else f"bytes, in Base64: {output['valueBase64']}"
        sys.stderr.write(f"output {output['binding']} ({output['type']}): {shown}\n")
    if content.get("result") is not None:
        sys.stdout.write(f"{shown_value(content['result'])}\n")
    elif "resultBase64" in content:
        sys.stdout.buffer.write(base64.b64decode(content["resultBase64"]))
    else:
        sys.stderr.write(f"Function '{command.name}' has run.\n")
    return exit_codes.OK


def _call_http(
    host: HostClient, command: Invoke, function: Mapping[str, Any], data: bytes | None, inputs: Mapping[str, bytes]
) -> int:
    if command.metadata:
        raise ConfigurationError(f"--metadata has no effect on '{command.name}': it is an HTTP function.")
    bindings = function["config"]["bindings"]
    trigger: Mapping[str, Any] = next((binding for binding in bindings if binding["type"].lower() == "httptrigger"), {})
    methods = [str(name).upper() for name in trigger.get("methods") or ()]
    preferred = _WITH_BODY if data is not None else ("GET",)
    method = command.method or next(
        (name for name in preferred if name in methods or not methods), methods[0] if methods else preferred[0]
    )
    # Not with urllib: `?` and `#` may be part of the template.
    path = _filled_route(command, "/" + "".join(function["invoke_url_template"].split("/", 3)[3:]))
    name = url_segment(function["name"])
    for binding, value in inputs.items():
        supplied = host.send("PUT", f"/admin/azemu/functions/{name}/inputs/{url_segment(binding)}", value)
        if supplied.status != 204:
            raise InvocationFailed(f"--input {binding}: {supplied.refusal()}")
    try:
        response = host.send(method, path, data, {} if data is None else {"Content-Type": _content_type(data)})
    finally:
        # The values are meant for this call only.
        for binding in inputs:
            host.send("DELETE", f"/admin/azemu/functions/{name}/inputs/{url_segment(binding)}")
    if command.json:
        result = json_value(response.body, "body")
        print_json({"function": function["name"], "method": method, "path": path, "status": response.status, **result})
        return exit_codes.OK if response.status < 400 else exit_codes.FAILED
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


def _content_type(data: bytes) -> str:
    try:
        text = data.decode()
        json.loads(text)
    except UnicodeDecodeError:
        return "application/octet-stream"
    except ValueError:
        return "text/plain; charset=utf-8"
    return "application/json"
