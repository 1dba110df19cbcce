"""The management calls of a recording, played again, and what of an answer may differ."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.recordings import newest

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,7})?(Z|\+00:00)?|\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT")
_GUID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")
# What .NET appends to the text of a failed activity or child: a serialised exception, or a stack.
_NET_DETAILS = re.compile(r" \\?n? ?\n (\{\"\$type\"|Message: )[\s\S]*$")
_STACK = re.compile(r"(Stack: )[\s\S]*")
# The recordings' app has got more orchestrators since, and .NET lists them in no particular order.
_KNOWN_NAMES = re.compile(r"(?<=known orchestrator functions: )'[^.]*'(?=\.)")
_HEADERS = ("Content-Type", "Location", "Retry-After", "x-ms-continuation-token")


@dataclass(frozen=True)
class Call:
    method: str
    path: str
    body: str | None
    status: int
    headers: Mapping[str, str]
    answer: str
    note: str = ""

    @property
    def instance_id(self) -> str | None:
        parts = urlsplit(self.path).path.strip("/").split("/")
        match parts:
            case ["instances", instance_id, *_]:
                return instance_id
            case ["orchestrators", _, instance_id]:
                return instance_id
        return None

    @property
    def content_type(self) -> str | None:
        """The recorder sent JSON unless its note says otherwise."""
        if self.body is None:
            return None
        return "text/plain" if self.note == "bad type" else "application/json"


def recorded_calls(scenario: str) -> list[Call]:
    """Return the calls of the newest recording of this scenario."""
    return [Call(**call) for call in newest(scenario).calls(scenario) if "method" in call]


def hub_of(calls: list[Call]) -> str | None:
    """The hub that the recording used, from a URL in an answer."""
    for call in calls:
        if "Location" in call.headers:
            return parse_qs(urlsplit(call.headers["Location"]).query)["taskHub"][0]
    return None


class Normal:
    """Answers with times, ids, ports and .NET stacks replaced: equal ids stay equal."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}

    def answer(self, status: int, headers: Mapping[str, str], text: str) -> dict[str, Any]:
        return {
            "status": status,
            "headers": {name: self._text(headers[name]) for name in _HEADERS if name in headers},
            "body": self._value(json.loads(text)) if text else None,
        }

    def _value(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._member(name, item) for name, item in value.items()}
        if isinstance(value, list):
            return [self._value(item) for item in value]
        return self._text(value) if isinstance(value, str) else value

    def _member(self, name: str, value: Any) -> Any:
        # An activity's details are a .NET exception, whose frames are those of the machine it ran on.
        if name in ("Details", "StackTrace") and isinstance(value, str):
            return "<details>"
        return self._value(value)

    def _text(self, text: str) -> str:
        text = _NET_DETAILS.sub(" <details>", text)
        text = re.sub(r"status (Pending|Running) already", "status <living> already", text)
        text = _KNOWN_NAMES.sub("<names>", text)
        text = _STACK.sub(r"\1<stack>", text)
        text = re.sub(r"http://(localhost|127\.0\.0\.1):\d+/runtime", "<origin>/runtime", text)
        text = re.sub(r"code=[\w=%-]+", "code=<code>", text)
        return _GUID.sub(self._id, _TIME.sub("<time>", text))

    def _id(self, found: re.Match[str]) -> str:
        return self._ids.setdefault(found[0], f"<id {len(self._ids)}>")


def differences(expected: Any, actual: Any, path: str = "") -> Iterator[str]:
    """Where two JSON values differ, one line each."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        for name in [*expected, *(name for name in actual if name not in expected)]:
            yield from differences(expected.get(name, "(absent)"), actual.get(name, "(absent)"), f"{path}.{name}")
        if list(expected) != list(actual) and set(expected) == set(actual):
            yield f"{path}: members in the order {list(actual)}, expected {list(expected)}"
    elif isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        for number, (one, other) in enumerate(zip(expected, actual, strict=True)):
            yield from differences(one, other, f"{path}[{number}]")
    elif expected != actual:
        yield f"{path}: expected {json.dumps(expected)[:2000]}, got {json.dumps(actual)[:2000]}"
