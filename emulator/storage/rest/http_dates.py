"""Dates in HTTP headers and queue messages: the format of RFC 1123, always GMT, independent of the locale."""

from __future__ import annotations

from datetime import UTC, datetime

# strftime and strptime use the names of the locale.
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH_NUMBERS = {name: number for number, name in enumerate(_MONTHS, 1)}


def http_date(moment: datetime) -> str:
    """Format a UTC time, for example "Tue, 24 Nov 2026 03:38:16 GMT"."""
    return (
        f"{_DAYS[moment.weekday()]}, {moment.day:02} {_MONTHS[moment.month - 1]} {moment.year:04} "
        f"{moment.hour:02}:{moment.minute:02}:{moment.second:02} GMT"
    )


def parse_http_date(text: str) -> datetime:
    """Parse what `http_date` formats. Raises ValueError or KeyError."""
    # By position, because every message has three dates: email.utils takes ten times as long.
    return datetime(
        int(text[12:16]),
        _MONTH_NUMBERS[text[8:11]],
        int(text[5:7]),
        int(text[17:19]),
        int(text[20:22]),
        int(text[23:25]),
        tzinfo=UTC,
    )
