"""Dates and GUIDs by .NET format string, as in binding expressions (`{datetime:yyyy-MM}`), in the invariant culture.

Source: .NET documentation, "Standard date and time format strings", "Custom date and time format strings" and
"Guid.ToString".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

DEFAULT_DATE_FORMAT = "yyyy-MM-ddTHH-mm-ssK"

_STANDARD = {
    "d": "MM/dd/yyyy",
    "D": "dddd, dd MMMM yyyy",
    "f": "dddd, dd MMMM yyyy HH:mm",
    "F": "dddd, dd MMMM yyyy HH:mm:ss",
    "g": "MM/dd/yyyy HH:mm",
    "G": "MM/dd/yyyy HH:mm:ss",
    "m": "MMMM dd",
    "M": "MMMM dd",
    "o": "yyyy-MM-ddTHH:mm:ss.fffffffK",
    "O": "yyyy-MM-ddTHH:mm:ss.fffffffK",
    "r": "ddd, dd MMM yyyy HH:mm:ss 'GMT'",
    "R": "ddd, dd MMM yyyy HH:mm:ss 'GMT'",
    "s": "yyyy-MM-ddTHH:mm:ss",
    "t": "HH:mm",
    "T": "HH:mm:ss",
    "u": "yyyy-MM-dd HH:mm:ss'Z'",
    "y": "yyyy MMMM",
    "Y": "yyyy MMMM",
}

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)

_TOKEN = re.compile(r"""'([^']*)'|"([^"]*)"|\\(.)|%(?=.)|(y+|M+|d+|H+|h+|m+|s+|f+|F+|t+|z+|K|g+)|(.)""", re.DOTALL)


def format_date(moment: datetime, form: str) -> str:
    """Write an aware datetime by a standard or custom format string."""
    # One letter is a standard format. A custom format of one letter is written with a percent sign, as in %d.
    form = _STANDARD.get(form, form) if len(form) == 1 else form
    parts = []
    for match in _TOKEN.finditer(form):
        *literals, field, other = match.groups()
        if field is not None:
            # A repeated letter is one field; the number of letters is its width.
            parts.append(_FIELDS[field[0]](moment, len(field)))
        else:
            parts += [literal for literal in (*literals, other) if literal is not None]
    return "".join(parts)


def format_guid(identifier: UUID, form: str) -> str:
    """Write a GUID by one of the formats D (also for an empty string), N, B, P and X. Raises ValueError for others."""
    match form.upper():
        case "" | "D":
            return str(identifier)
        case "N":
            return identifier.hex
        case "B":
            return f"{{{identifier}}}"
        case "P":
            return f"({identifier})"
        case "X":
            first, second, third, *_ = identifier.fields
            tail = ",".join(f"0x{byte:02x}" for byte in identifier.bytes[8:])
            return f"{{0x{first:08x},0x{second:04x},0x{third:04x},{{{tail}}}}}"
        case _:
            raise ValueError(f'"{form}" is not a GUID format; allowed: D, N, B, P, X')


def _named(names: tuple[str, ...], index: int, number: int, width: int) -> str:
    if width <= 2:
        return f"{number:0{width}d}"
    return names[index][:3] if width == 3 else names[index]


def _offset(moment: datetime, width: int) -> str:
    minutes = int((moment.utcoffset() or UTC.utcoffset(None)).total_seconds()) // 60
    sign, hours, rest = "-" if minutes < 0 else "+", abs(minutes) // 60, abs(minutes) % 60
    return f"{sign}{hours:0{min(width, 2)}d}" + (f":{rest:02d}" if width > 2 else "")


_FIELDS: dict[str, Callable[[datetime, int], str]] = {
    # One or two letters are the shortest form, which .NET cuts to two digits.
    "y": lambda moment, width: f"{moment.year % 100:0{width}d}" if width <= 2 else f"{moment.year:0{width}d}",
    "M": lambda moment, width: _named(_MONTHS, moment.month - 1, moment.month, width),
    "d": lambda moment, width: _named(_DAYS, moment.weekday(), moment.day, width),
    "H": lambda moment, width: f"{moment.hour:0{min(width, 2)}d}",
    "h": lambda moment, width: f"{moment.hour % 12 or 12:0{min(width, 2)}d}",
    "m": lambda moment, width: f"{moment.minute:0{min(width, 2)}d}",
    "s": lambda moment, width: f"{moment.second:0{min(width, 2)}d}",
    "f": lambda moment, width: f"{moment.microsecond * 10:07d}"[:width],
    "F": lambda moment, width: f"{moment.microsecond * 10:07d}"[:width].rstrip("0"),
    "t": lambda moment, width: ("AM" if moment.hour < 12 else "PM")[:width],
    "z": _offset,
    "K": lambda moment, width: _offset(moment, 3) if moment.utcoffset() else "Z",
    # The invariant culture knows one era.
    "g": lambda moment, width: "A.D.",
}
