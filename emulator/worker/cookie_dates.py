"""Dates of the attribute `expires` of cookies, in all spellings that the official Python worker reads.

That worker uses dateutil. The package is there if the app uses azure-functions-durable; otherwise the spellings of the
HTTP standard, ISO 8601 and common orders of day, month and year are read.
Source: azure-functions-python-worker, bindings/datumdef.py; docs/protocol/python-worker.md 4.6.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

_DAYS = (
    *("%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%m/%d/%Y", "%m-%d-%Y", "%m.%d.%Y"),
    *("%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%b %d %Y", "%B %d %Y", "%d-%b-%y", "%d %b %y", "%d %B %y"),
)
_TIMES = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
_ZONES = (" gmt", " utc", " z")


def http_date(text: str) -> str:
    """Return a date in the form of RFC 9110, in GMT. A time without a zone is one in GMT.

    Raises ValueError with the official worker's text.
    """
    try:
        moment = _parsed(text)
    except OverflowError:
        raise ValueError(
            f"Can not parse value {text} of expires in the cookie because the parsed date exceeds the largest valid C "
            "integer on your system."
        ) from None
    except (ValueError, ArithmeticError):
        # ArithmeticError: dateutil reads thousands of digits as a decimal number.
        raise ValueError(f"Can not parse value {text} of expires in the cookie due to invalid format.") from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return format_datetime(moment, usegmt=True)


def _parsed(text: str) -> datetime:
    try:
        # Imported late, because it is rarely needed and not always installed.
        from dateutil import parser
    except ImportError:
        pass
    else:
        moment: datetime = parser.parse(text)  # type: ignore[no-untyped-call]
        return moment
    with suppress(ValueError):
        return datetime.fromisoformat(text.strip())
    plain = " ".join(text.replace(",", " ").split()).lower()
    zone = next((zone for zone in _ZONES if plain.endswith(zone)), "")
    plain = plain.removesuffix(zone)
    first, _, rest = plain.partition(" ")
    # The day of the week says nothing that the date does not say.
    if first.isalpha() and first[:3] in ("mon", "tue", "wed", "thu", "fri", "sat", "sun"):
        plain = rest
    for day in _DAYS:
        for time in _TIMES:
            with suppress(ValueError):
                return datetime.strptime(plain, day + time)  # noqa: DTZ007 - the caller adds the zone
    # Last, because it also reads what it does not understand completely, such as times with "PM".
    return parsedate_to_datetime(text)
