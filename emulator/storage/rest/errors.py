"""What the body of a refusal says."""

from __future__ import annotations

import json
from xml.etree import ElementTree


def error_in(body: bytes) -> tuple[str, str]:
    """Code and first line of the message; empty when it says nothing that can be read."""
    start = body[:1]
    if start == b"{":
        return _from_json(body)
    if b"<" in body[:4]:
        return _from_xml(body)
    return "", ""


def _from_json(body: bytes) -> tuple[str, str]:
    try:
        error = json.loads(body)["odata.error"]
        return str(error["code"]), _first_line(str(error["message"]["value"]))
    except (ValueError, KeyError, TypeError):
        return "", ""


def _from_xml(body: bytes) -> tuple[str, str]:
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError:
        return "", ""
    return root.findtext("Code") or "", _first_line(root.findtext("Message") or "")


def _first_line(text: str) -> str:
    return text.split("\n", 1)[0].strip()
