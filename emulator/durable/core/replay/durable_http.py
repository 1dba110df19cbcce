"""CallHttp: an activity that the host itself has, and the polling of a 202.

Source: durable-extension, DurableHttpRequest.cs, Listener/TaskHttpActivityShim.cs, RemoteOrchestratorContext.cs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import urljoin

from emulator.dotnet.json_writer import json_text
from emulator.durable.core.replay.actions import CallHttp

HTTP_ACTIVITY = "BuiltIn::HttpActivity"

_TYPE = (
    "Microsoft.Azure.WebJobs.Extensions.DurableTask.DurableHttpRequest, Microsoft.Azure.WebJobs.Extensions.DurableTask"
)


def activity_input(call: CallHttp) -> str:
    """The TaskScheduled input of the request."""
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
    """How long to wait, then what to ask, when the answer is a 202 that says where to look; None: it is final."""
    answer = _answer(result)
    headers = {name.lower(): _first(value) for name, value in (answer.get("headers") or {}).items()}
    target = _target(call.uri, headers.get("location", ""))
    if not call.polls or answer.get("statusCode") != 202 or target is None:
        return None
    kept = {name: value for name, value in call.headers.items() if name.lower() != "x-functions-key"}
    pause = _pause(headers.get("retry-after", ""))
    return default_pause if pause is None else pause, replace(
        call, method="GET", uri=target, headers=kept, content=None
    )


def _target(base: str, location: str) -> str | None:
    """Where a Location leads to; None: nowhere."""
    try:
        return urljoin(base, location) if location else None
    except ValueError:
        return None


def _pause(retry_after: str) -> timedelta | None:
    """The time that a Retry-After asks for; None for a date, and for more seconds than an Int32 holds."""
    if not re.fullmatch("[0-9]{1,10}", retry_after) or int(retry_after) >= 2**31:
        return None
    return timedelta(seconds=int(retry_after))


def _answer(result: str | None) -> Mapping[str, Any]:
    try:
        answer = json.loads(result or "null")
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _first(value: object) -> str:
    return str(value[0]) if isinstance(value, list) and value else str(value)
