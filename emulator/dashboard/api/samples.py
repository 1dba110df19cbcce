"""Sample payloads by trigger type, with which the pages fill the form that runs a function."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from emulator import bound_json as json
from emulator.host.port import Function
from emulator.worker.port import member_of

_ROUTE_PARAMETER: Final = re.compile(r"\{\*?([^{}:?=]+)[^{}]*\}")
_JSON: Final = {"id": 1, "name": "sample"}
_EVENT: Final = {
    "eventType": "Sample.Created",
    "subject": "samples/1",
    "dataVersion": "1.0",
    "data": _JSON,
}


def sample_of(function: Function, path: str | None, example: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
    """Return how a function can be run.

    `kind`: "http" (with `method`, `path`, `body`), "start" (an orchestration), "signal" (an entity), or "manual"
    (`data`, the input of a manual invocation; None: it needs none). `path`: that of an HTTP function.
    `example`: what the function expects, from its docstring.
    """
    payload = example or _JSON
    trigger = function.trigger
    match trigger.type.lower():
        case "httptrigger":
            methods = [str(method).upper() for method in member_of(trigger.properties, "methods") or ()]
            # A sample with a body shows more than one without.
            method = "POST" if "POST" in methods else methods[0] if methods else "GET"
            body = json.dumps(payload, indent=2) if method not in ("GET", "HEAD", "DELETE") else ""
            return {"kind": "http", "methods": methods, "method": method, "path": _example(path or ""), "body": body}
        case "orchestrationtrigger":
            name = str(member_of(trigger.properties, "orchestration") or function.name)
            return {"kind": "start", "name": name, "data": json.dumps(payload, indent=2)}
        case "entitytrigger":
            name = str(member_of(trigger.properties, "entityName") or function.name)
            return {"kind": "signal", "name": name, "operation": "add", "data": "1"}
        case "timertrigger" | "warmuptrigger":
            return {"kind": "manual", "data": None}
        case "blobtrigger":
            blob = re.sub(r"\{[^{}]*\}", "sample", str(member_of(trigger.properties, "path") or "container/sample.txt"))
            return {"kind": "manual", "data": "sample content", "metadata": {"BlobTrigger": blob}}
        case "eventgridtrigger":
            return {"kind": "manual", "data": json.dumps(example or _EVENT, indent=2)}
        # The trigger gives the function an array of changed documents.
        case "cosmosdbtrigger":
            return {"kind": "manual", "data": json.dumps([payload], indent=2)}
        case _:
            return {"kind": "manual", "data": json.dumps(payload, indent=2)}


def _example(path: str) -> str:
    """Return a path in which the parameters have values: the default, or one that their constraint accepts."""

    def value(parameter: re.Match[str]) -> str:
        text = parameter[0]
        if "=" in text:
            return text.rpartition("=")[2].rstrip("}")
        return "1" if re.search(r":(int|long|decimal|double|float|min|max|range)", text) else "sample"

    return _ROUTE_PARAMETER.sub(value, path)
