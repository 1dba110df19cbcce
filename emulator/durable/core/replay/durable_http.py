"""Durable HTTP calls: the input of the host's built-in HTTP activity, and the next poll after a 202.

Source: durable-extension, DurableHttpRequest.cs, Listener/TaskHttpActivityShim.cs, RemoteOrchestratorContext.cs;
docs/protocol/durable-orchestration.md 6.6.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urljoin

from emulator.dotnet.json_values import json_object, read_object
from emulator.dotnet.json_writer import json_text
from emulator.durable.core.replay.actions import CallHttp

HTTP_ACTIVITY = "BuiltIn::HttpActivity"

_TYPE = (
    "Microsoft.Azure.WebJobs.Extensions.DurableTask.DurableHttpRequest, Microsoft.Azure.WebJobs.Extensions.DurableTask"
)


def activity_input(call: CallHttp) -> str:
    """Return the TaskScheduled input of the request."""
    # An array with one object. The inputs of ordinary activities are arrays with one text.
    return json_text(
        [
            {
                "$type": _TYPE,
                "method": call.method,
                "uri": call.uri,
                "headers": dict(call.headers),
                "content": call.content,
                "tokenSource": call.token_source,
                "asynchronousPatternEnabled": call.polls,
                "retryOptions": None,
                "timeout": None,
            }
        ]
    )


def next_poll(call: CallHttp, result: str | None, default_pause: timedelta) -> tuple[timedelta, CallHttp] | None:
    """Return the delay and the request that follow a response, or None if the response is final.

    Only a 202 with a Location is followed, and only if the call asks for it. `default_pause`: delay if there is no
    Retry-After.
    """
    if not call.polls:
        return None
    try:
        response = read_object(result or "{}")
        headers = {name.lower(): value for name, value in json_object(response.get("headers")).items()}
        location = _first_value(headers.get("location"))
        target = urljoin(call.uri, location)
    except ValueError:
        return None  # The Location is not a URL, or the result is not that of an HTTP activity.
    # Every other response is final, including errors: a status code is never a failure of the activity.
    if response.get("statusCode") != 202 or not location:
        return None
    retry_after, pause = _first_value(headers.get("retry-after")), default_pause
    # .NET reads the seconds as an Int32. It ignores larger numbers and dates.
    if re.fullmatch("[0-9]{1,10}", retry_after) and int(retry_after) < 2**31:
        pause = timedelta(seconds=int(retry_after))
    # The key belongs to the function that was called first; the Location may lead to another host.
    kept = {name: value for name, value in call.headers.items() if name.lower() != "x-functions-key"}
    return pause, replace(call, method="GET", uri=target, headers=kept, content=None)


def _first_value(header: object) -> str:
    """Return a header's first value; the activity's result has a list where a header has several."""
    first = header[0] if isinstance(header, list) and header else header
    return "" if first is None else str(first)
