"""JSON values as plain text: the output of Newtonsoft's JToken.ToString for JSON responses and output messages.

Source: Newtonsoft.Json 13 (JToken.ToString, DateTimeUtils), .NET BCL; docs/protocol/functions-host.md 4.5, 7.5.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from emulator.dotnet.json_writer import newtonsoft_text

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.(?P<fraction>\d+))?(?P<zone>Z|[-+]\d{2}:?\d{2})?")


def scalar_text(value: Any) -> str:
    """Return the text of a scalar: null is empty, booleans are capitalised, strings have no quotes."""
    match value:
        case None:
            return ""
        case str():
            # Newtonsoft has turned strings that look like dates into DateTime values before they are printed.
            moment = _date(value)
            return value if moment is None else f"{moment.replace(tzinfo=None):%m/%d/%Y %H:%M:%S}"
        # Before int, of which bool is a subclass. Python and .NET spell True and False alike.
        case bool():
            return str(value)
        case float():
            # Double.ToString writes no ".0", and NaN without the quotes that JSON needs.
            return newtonsoft_text(value).strip('"').removesuffix(".0")
        case int():
            return str(value)
        case _:
            return newtonsoft_text(value)


def indented(value: Any, depth: int = 0, *, rewrite_dates: bool = True) -> str:
    """Return an object or array as JSON over several lines, indented by two spaces.

    `rewrite_dates`: strings that look like dates are written as Newtonsoft writes them when it has read them as dates.
    """

    def below(member: Any) -> str:
        return indented(member, depth + 1, rewrite_dates=rewrite_dates)

    match value:
        # Empty objects and arrays stay on one line: {} and [].
        case Mapping() if value:
            items = [f"{newtonsoft_text(name)}: {below(member)}" for name, member in value.items()]
            return _block("{", items, "}", depth)
        case list() if value:
            return _block("[", [below(item) for item in value], "]", depth)
        case str():
            return newtonsoft_text(_rewritten_date(value) if rewrite_dates else value)
        case _:
            return newtonsoft_text(value)


def _block(opening: str, items: Sequence[str], closing: str, depth: int) -> str:
    blanks = "\n" + "  " * (depth + 1)
    return opening + blanks + ("," + blanks).join(items) + "\n" + "  " * depth + closing


def _date(text: str) -> datetime | None:
    """Return the local time of a string that Newtonsoft reads as a date (DateParseHandling.DateTime)."""
    match = _DATE.fullmatch(text)
    if match is None:
        return None
    try:
        moment = datetime.fromisoformat(text[:19])
        if match["zone"] in (None, "Z"):
            return moment.replace(tzinfo=UTC if match["zone"] else None)
        return datetime.fromisoformat(text[:19] + match["zone"]).astimezone()
    except (ValueError, OverflowError, OSError):  # OSError on Windows, for a local time before 1970
        return None


def _rewritten_date(text: str) -> str:
    """Return a date as Newtonsoft writes it after reading: without trailing zeros, with the local offset."""
    moment = _date(text)
    if moment is None:
        return text
    match = _DATE.fullmatch(text)
    assert match is not None
    ticks = int((match["fraction"] or "").ljust(7, "0")[:7])
    fraction = f".{ticks:07d}".rstrip("0") if ticks else ""
    zone = match["zone"] if match["zone"] in (None, "Z") else moment.isoformat()[19:]
    return f"{moment.replace(tzinfo=None).isoformat(timespec='seconds')}{fraction}{zone or ''}"
