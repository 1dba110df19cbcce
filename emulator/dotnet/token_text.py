"""JSON values as the text of a response: how .NET prints scalars and indents objects.

Source: Newtonsoft.Json 13 (JToken.ToString, DateTimeUtils), .NET BCL; docs/protocol/functions-host.md 4.5.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from emulator.dotnet.json_writer import newtonsoft_text

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.(?P<fraction>\d+))?(?P<zone>Z|[-+]\d{2}:?\d{2})?")


def scalar_text(value: Any) -> str:
    """A single value: null is empty, booleans have capitals, numbers are invariant, texts are themselves."""
    match value:
        case None:
            return ""
        case str():
            moment = _date(value)
            return value if moment is None else f"{moment.replace(tzinfo=None):%m/%d/%Y %H:%M:%S}"
        case bool():
            return str(value)
        case float():
            return newtonsoft_text(value).strip('"').removesuffix(".0")
        case int():
            return str(value)
        case _:
            return newtonsoft_text(value)


def indented(value: Any, depth: int = 0) -> str:
    """An object or array over several lines, two blanks deep; dates in it as Newtonsoft writes them back."""
    match value:
        case Mapping() if value:
            items = [f"{newtonsoft_text(name)}: {indented(member, depth + 1)}" for name, member in value.items()]
            return _block("{", items, "}", depth)
        case list() if value:
            return _block("[", [indented(item, depth + 1) for item in value], "]", depth)
        case str():
            return newtonsoft_text(_date_text(value))
        case _:
            return newtonsoft_text(value)


def _block(opening: str, items: Sequence[str], closing: str, depth: int) -> str:
    blanks = "\n" + "  " * (depth + 1)
    return opening + blanks + ("," + blanks).join(items) + "\n" + "  " * depth + closing


def _date(text: str) -> datetime | None:
    """The local time of a text that Newtonsoft takes for a date (DateParseHandling.DateTime)."""
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    try:
        moment = datetime.fromisoformat(text[:19])
        if found["zone"] in (None, "Z"):
            return moment.replace(tzinfo=UTC if found["zone"] else None)
        return datetime.fromisoformat(text[:19] + found["zone"]).astimezone()
    except (ValueError, OverflowError, OSError):  # the last one on Windows, for a local time before 1970
        return None


def _date_text(text: str) -> str:
    """The same text, or the date in it with the zeros at the end of its fraction gone and its offset the local one."""
    moment = _date(text)
    if moment is None:
        return text
    found = _DATE.fullmatch(text)
    assert found is not None
    ticks = int((found["fraction"] or "").ljust(7, "0")[:7])
    fraction = f".{ticks:07d}".rstrip("0") if ticks else ""
    zone = found["zone"] if found["zone"] in (None, "Z") else moment.isoformat()[19:]
    return f"{moment.replace(tzinfo=None).isoformat(timespec='seconds')}{fraction}{zone or ''}"
